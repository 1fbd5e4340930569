-- SPDX-License-Identifier: MIT
-- The token dialect, row by row: a gateway with a site for it, the wires it is spoken over, and what is
-- said with what must come back.

local assert = require "luassert"
local gateway = require "spec.support.gateway"
local json = require "dkjson"
local token = require "spec.support.token"

local rows = {}

local SITE = [[
local json = require "moonlatch.json"
local site = {}

function site.authentication(req)
  if req.query.user == "huge" then return { text = ("x"):rep(4000), list = json.empty_array, n = json.null } end
  return req.query.user and { name = req.query.user }
end

site.controllers = {
  echo = function(_, data) return data end,
  who = { am = { i = function(auth) return auth end } },
  undef = function() end,
  null = function() return json.null end,
  fail = function(_, data) return nil, data end,
  ask = function(_, data, socket)
    local answer, code, detail = socket:rpc("client.answer", data, { timeout = 2 })
    if code then return nil, detail or code end
    return answer
  end,
  empty = function(_, data) site.server:unsubscribeAll(data) end,
  close = function(_, data, socket) socket:close(data.code, data.reason) end,
}

function site.setup(server) site.server = server end

return site
]]

local ENDPOINTS = {
  { path = "/sockets", transport = "sockjs", dialect = "token" },
  { path = "/ws", transport = "websocket", dialect = "token" },
}
local RATES = { publish_rate = 1000, publish_burst = 1000, subscribe_rate = 1000, subscribe_burst = 1000 }

-- conf: further keys of the site; limits: instead of high rates.
function rows.start(conf, limits)
  local site = { path = "/", endpoints = ENDPOINTS }
  for key, value in pairs(conf or {}) do site[key] = value end
  return gateway.start { gateway = { limits = limits or RATES }, sites = { main = site }, scripts = { main = SITE } }
end

-- JSON with its members in order, so that [] and {} and absent and null can be told apart.
local function canonical(value)
  if type(value) ~= "table" or value == json.null then return json.encode(value) end
  local meta, parts = getmetatable(value), {}
  if meta and meta.__jsontype == "array" then
    for i, item in ipairs(value) do parts[i] = canonical(item) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, member in pairs(value) do parts[#parts + 1] = json.encode(key) .. ":" .. canonical(member) end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

function rows.form(text) return canonical(assert(json.decode(text, 1, json.null))) end

-- Says a message; these come back, and nothing else.
function rows.row(c, said, ...)
  c:send_text(said)
  for i = 1, select("#", ...) do
    local message, err = c:receive(2)
    assert.equal(rows.form((select(i, ...))), message and canonical(message) or err, said)
  end
  assert.is_true((c:rpc("echo", true)))
  assert.equal(0, #c.queue, said .. ": " .. canonical(c.queue[1]))
end

-- Says a message; these come back, and then the end.
function rows.last(c, said, code, reason, ...)
  c:send_text(said)
  for i = 1, select("#", ...) do
    local message, err = c:receive(2)
    assert.equal(rows.form((select(i, ...))), message and canonical(message) or err, said)
  end
  assert.same({ code, reason }, { c:wait_close(2) }, said)
  assert.equal(0, #c.queue, said)
end

rows.canonical = canonical

-- Options of token.connect, by name.
rows.kinds = {
  ["SockJS-websocket"] = {},
  ["xhr-polling"] = { polling = true },
  ["raw SockJS-websocket"] = { plain = true, path = "/sockets/websocket" },
  ["a plain WebSocket"] = { plain = true },
}

-- Somebody who is logged in over kind, by name.
function rows.login(g, kind, user)
  local options = { query = "user=" .. (user or "ann") }
  for key, value in pairs(kind) do options[key] = value end
  return assert(token.login(g.port, options))
end

-- A fresh token.
function rows.token(g, user)
  return (assert(token.get(g.port, "/socket/token?user=" .. (user or "ann"))))
end

return rows
