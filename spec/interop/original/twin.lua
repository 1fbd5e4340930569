-- SPDX-License-Identifier: MIT
-- The site of twin.cjs in Lua, rule for rule.

local json = require "moonlatch.json"
local time = require "moonlatch.time"

local site = { ping = true }
local server

function site.customMiddleware(req, res)
  if req.query.mode == "middleware" then
    res:status(402):set("x-twin", "yes"):json { pay = { 1, {} } }
  elseif req.query.mode == "session" then
    req.session = { name = "of the session", list = json.empty_array, deep = { n = json.null } }
  end
end

function site.authentication(req)
  local mode, name = req.query.mode, req.query.name
  if mode == "session" then return true end
  if mode == "error" then return nil, { message = "backend down" } end
  if mode == "text" then return nil, "no \u{2028}backend" end
  return name and name ~= "" and { name = name, query = req.query }
end

local function filter(socket, channel, message)
  if channel == "flush" or type(message) ~= "table" then return message end
  if message["not"] == socket.auth.name then return nil end
  if message.name then message.seenBy = socket.auth.name end
  return message
end

local failure = { message = "boom", code = "E42", extra = { n = { 1 } } }

site.controllers = {
  echo = function(_, data) return data end,
  who = { am = { i = function(auth) return auth end } },
  where = function(_, _, socket) return { host = socket.host, ip = socket.ip, ips = socket.ips } end,
  undef = function() end,
  ["nil"] = function() return json.null end,
  none = function(_, data) return { data == nil, data == json.null } end,
  fail = {
    text = function() return nil, "no luck" end,
    number = function() return nil, 42 end,
    error = function() return nil, failure end,
    list = function() return nil, { failure, { code = 7 } } end,
    object = function() return nil, { reason = "why", list = json.empty_array, map = {} } end,
  },
  later = function(_, data)
    time.sleep(0.03)
    return data
  end,
  clash = function() return "controller" end,
  ask = function(_, data, socket)
    local answer, code, detail = socket:rpc("client.answer", data)
    if code then return nil, detail or code end
    return { heard = answer }
  end,
  ["end"] = function(_, _, socket) socket:close() end,
  settled = function() return "settled" end,
  server = {
    subscribe = function(_, data, socket) server:subscribe(socket, data.channel) end,
    unsubscribe = function(_, data, socket) server:unsubscribe(socket, data.channel) end,
    unsubscribeAll = function(_, data) server:unsubscribeAll(data.channel) end,
    publish = function(_, data) server:publish(data.channel, data.data) end,
    broadcast = function(_, data) server:broadcast(data) end,
    filter = function(_, on) server:publishFilter(on and filter or nil) end,
    cleanup = function(_, ms)
      if ms ~= json.null then server:enableCleanup(ms) else server:disableCleanup() end
    end,
  },
}

site.routes = {
  clash = function(_, res) res:json { from = "route" } end,
  user = {
    read = function(_, res) res:status(200):set("X-Foo", "bar"):json { users = { 1 } } end,
    create = function(req, res)
      res:status(201):json {
        body = req.body, query = req.query, params = req.params, user = req.user, session = req.session,
        headers = req.headers, method = req.method, protocol = req.protocol, originalUrl = req.originalUrl,
      }
    end,
    fail = function(_, res) res:status(500):json { error = "db down", more = 1 } end,
    failWith = function(_, res) res:status(400):json { error = { field = "name" } } end,
    missing = function(_, res) res:status(404):json { nothing = true } end,
    moved = function(_, res) res:status(302):json { to = "there" } end,
    error200 = function(_, res) res:json { error = "but fine" } end,
    list = function(_, res) res:json { 1, 2, 3 } end,
    empty = function(_, res) res:json {} end,
    same = function(req, res) res:json(req.body) end,
    text = function(_, res) res:json "hello" end,
    later = function(_, res) server:delay(0.02, function() res:json { late = true } end) end,
  },
  socket = { read = function(_, res) res:json {} end },
  public = function(_, res) res:json {} end,
}

local verdicts = {
  denied = function() return false end,
  twice = function() return false end,
  reasoned = function() return nil, "staff only" end,
  raised = function() return nil, failure end,
  numbered = function() return nil, 7 end,
}

local function judge(name)
  if verdicts[name] then return verdicts[name]() end
  return true
end

local function judge_data(_, data)
  return judge(type(data.data) == "table" and data.data.verdict)
end

function site.setup(given)
  server = given
  server:on("authentication", function(_, auth) if auth.name == "slow" then time.sleep(0.04) end end)
  server:on("subscribe", function(_, data)
    if data.channel == "slow" then time.sleep(0.04) end
    return judge(data.channel)
  end)
  server:on("subscribe", function(_, data) return data.channel ~= "second" and data.channel ~= "twice" end)
  server:on("unsubscribe", function(_, data) return data.channel ~= "sticky" end)
  server:on("publish", judge_data)
  server:on("broadcast", judge_data)
end

return site
