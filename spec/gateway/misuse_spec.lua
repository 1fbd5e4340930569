-- SPDX-License-Identifier: MIT
-- Every function that a script has, called with whatever there is: wrong types, negative and huge numbers, NaN, long
-- texts, handles of sockets that are gone. It may raise or fail, and nothing else; the sanitizers look on. CALLS sets how
-- often each is called (SECURITY.md L10).

local gateway = require "spec.support.gateway"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local SCRIPT = [[
local task = require "moonlatch.task"
local modules = {}
for _, name in ipairs { "json", "time", "log", "crypto", "cache", "task", "http", "redis" } do
  modules[name] = require("moonlatch." .. name)
end
local site, server, gone = {}, nil, nil

-- What ends the run itself, or takes all of its time, is left out.
local SKIP = { ["server.shutdown"] = true, ["_G.error"] = true, ["coroutine.yield"] = true, ["_G.require"] = true,
  ["server.removeAllListeners"] = true, ["server.on"] = true, ["server.before"] = true, ["server.after"] = true,
  ["server.once"] = true, ["server.publishFilter"] = true, ["server.every"] = true, ["server.removeListener"] = true,
  ["task.spawn"] = true, ["server.disableCleanup"] = true, ["server.enableCleanup"] = true, ["_G.print"] = true }

local function functions(socket)
  local list = {}
  local function add(owner, t)
    for name, value in pairs(t) do
      local wanted = type(value) == "function" and type(name) == "string" and not SKIP[owner .. "." .. name]
      if wanted then list[#list + 1] = { owner .. "." .. name, value } end
    end
  end
  add("_G", _G)
  for _, name in ipairs { "string", "table", "math", "utf8", "os", "coroutine", "debug" } do add(name, _G[name]) end
  for name, module in pairs(modules) do add(name, module) end
  add("server", server)
  for _, name in ipairs { "rpc", "send", "subscribe", "unsubscribe" } do list[#list + 1] = { "socket." .. name, socket[name] } end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

local function values(socket)
  local cycle = {}
  cycle[1] = cycle
  return { nil, true, false, 0, 1, -1, 2^53, -2^63, math.maxinteger, math.mininteger, 0/0, 1/0, -1/0, 1.5, 1e308, "", "x", ("y"):rep(70000),
    "\0\255\254", "%d%s%c%q%5.5s", "http://127.0.0.1:1/", "room", {}, { 1, 2, nil, 4 }, { a = { b = {} } }, cycle,
    setmetatable({}, { __index = function() return 1 end, __len = function() return 2^40 end, __tostring = function() return "t" end }),
    print, function() end, function() error({}) end, coroutine.create(function() end), socket, gone or false, server, modules.json.null,
    modules.json.empty_array, { url = "http://127.0.0.1:1/", timeout = 0.01 }, { timeout = -1 }, { since = 0/0 } }
end

local function pick(list, n) return list[math.random(n)] end

function site.authentication(req) return { name = req.query.name } end
site.controllers = {
  count = function(_, _, socket) return #functions(socket) end,
  -- Calls the nth function some times with arguments by chance; how often it came back.
  misuse = function(_, data, socket)
    local all, list = functions(socket), values(socket)
    local name, fn = all[data.n][1], all[data.n][2]
    local came = 0
    for _ = 1, data.calls do
      local arguments = {}
      for i = 1, 5 do arguments[i] = pick(list, 39) end
      if math.random() < 0.5 then arguments[1] = name:find("^server") and server or name:find("^socket") and socket or arguments[1] end
      local count = math.random(0, 5)
      task.deadline(0.02, function() pcall(fn, table.unpack(arguments, 1, count)) end)
      came = came + 1
    end
    return { name, came }
  end,
}
function site.setup(s)
  server = s
  s:on("connect", function(socket) if socket.auth.name == "gone" then gone = socket end end)
end
return site
]]

describe("functions of scripts", function()
  after_each(gateway.stop_all)

  it("raise or fail when they are misused, and the gateway goes on", function()
    local g = gateway.start { sites = { s = { path = "/" } }, scripts = { s = SCRIPT },
      gateway = { limits = { script_violations = 1000000, rpc_timeout = "60s", script_log_rate = 1, published_message = "1M" } } }
    token.login(g.port, { query = "name=gone" }):drop()
    local c = token.login(g.port, { query = "name=ann" })
    local calls = tonumber(os.getenv "CALLS" or 100)
    local count = c:rpc "count"
    assert.is_true(count > 120, count)
    for n = 1, count do
      local answer, err = c:rpc("misuse", { n = n, calls = calls }, 60)
      -- a call may close the socket, take all memory, or the slice: that is its own fault
      if not answer and (err == "closed" or c.ws.code) then
        c = assert(wait.for_true(function() return token.login(g.port, { query = "name=ann" }) end, 5))
      end
      assert.is_true(g:alive(), "function " .. n)
    end
    local last = assert(wait.for_true(function() return token.login(g.port, { query = "name=bob" }) end, 5))
    assert.is_number((last:rpc "count")) -- a script may have set what it likes in its own server table
  end)
end)
