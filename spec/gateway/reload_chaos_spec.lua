-- SPDX-License-Identifier: MIT
-- Everything at once: reloads of right and wrong scripts, rollbacks, sockets that come and are cut off, calls that wait,
-- loop, raise and eat memory, listeners and filters that note things on sockets. Nothing is asked but that the gateway
-- stays whole, which under the sanitizers is much. CHAOS_SECONDS makes it longer.

local gateway = require "spec.support.gateway"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local SITE = [[
local time, cache, task, http = require "moonlatch.time", require "moonlatch.cache", require "moonlatch.task", require "moonlatch.http"
local site, server, gen = {}, nil, %d
function site.authentication(req) return { name = req.query.name } end
site.controllers = {
  echo = function(_, d, s) s.n = (s.n or 0) + 1; s.t = { gen, s.n }; return d end,
  slow = function(_, d) time.sleep(d); return gen end,
  ask = function(_, _, s) return (s:rpc("x", {}, { timeout = 0.3 })) or false end,
  all = function() return task.all { function() time.sleep(0.05) return 1 end, function() time.sleep(0.1) return 2 end } end,
  spawn = function() task.spawn(function() time.sleep(0.2); server:publish("room", gen) end); return true end,
  delay = function() server:delay(0.15, function() time.sleep(0.1); server:publish("room", "late") end); return true end,
  get = function() return (http.get "http://127.0.0.1:1/") == nil end,
  mem = function() local t = {} for i = 1, 1e7 do t[i] = { i } end end,
  loop = function() while true do end end,
  fail = function() if gen %% 3 == 0 then error "x" end return 1 end,
  list = function() return #server:sockets(), #server:channelSockets "room" end,
  kick = function(_, _, s) s:close(4000, "x") end,
  count = function() return cache.incr "n" end,
}
function site.filter(socket, _, m)
  socket.f = (socket.f or 0) + 1
  return not (type(m) == "number" and m %% 2 == 0) or nil
end
function site.setup(s)
  server = s
  s:on("subscribe", function() if gen %% 2 == 0 then time.sleep(0.01) end return true end)
  s:on("publish", function() return true end)
  s:on("connect", function(x) x.since = gen end)
  s:on("disconnect", function(x) time.sleep(0.02); server:publish("room", x.since or 0) end)
  s:on("authentication", function(x) x:subscribe "room"; time.sleep(0.005) end)
  s:every(0.02, function() server:publish("room", gen); time.sleep(0.03) end)
end
return site
]]

local CALLS = { "echo", "slow", "ask", "all", "spawn", "delay", "get", "mem", "loop", "fail", "list", "kick", "count" }

-- Memory that was freed is to be used again, also under a sanitizer.
local SANITIZER = (os.getenv "ASAN_OPTIONS" or "") .. ":quarantine_size_mb=8"

local function start()
  return gateway.start { sites = { s = { path = "/" } }, scripts = { s = SITE:format(1) }, env = { ASAN_OPTIONS = SANITIZER },
    gateway = { limits = { script_reload = "5s", script_grace = "1s", script_violations = 1000000, script_rollback_time = "1s" } } }
end

-- Does something with one of the clients; false when that is gone.
local function use(client, serial)
  if math.random() < 0.3 then client:publish("room", math.random(10))
  else client:send { rpc = CALLS[math.random(#CALLS)], req = 0.05, uuid = "u" .. serial } end
  for _ = 1, 3 do
    if not client:receive(0.002) then break end
  end
  client.queue = {}
  return client.ws.code == nil
end

describe("reload, with everything else at once,", function()
  after_each(gateway.stop_all)

  it("leaves the gateway whole", function()
    local g, clients, serial, generation = start(), {}, 0, 1
    local ends = wait.now() + tonumber(os.getenv "CHAOS_SECONDS" or 5)
    while wait.now() < ends do
      local dice = math.random()
      serial = serial + 1
      if dice < 0.03 and #clients < 20 then
        clients[#clients + 1] = token.login(g.port, { query = "name=c" .. serial, plain = serial % 2 == 0 })
      elseif dice < 0.05 and #clients > 0 then
        table.remove(clients, math.random(#clients)):drop()
      elseif dice < 0.12 then
        generation = generation + 1
        local text = SITE:format(generation)
        if math.random() < 0.2 then text = text:sub(1, math.random(#text)) end
        tmp.write(g.dir .. "/scripts/s/init.lua", text)
        g:signal "HUP"
      elseif dice < 0.15 then
        os.execute(("%s rollback s --socket-path %s >/dev/null 2>&1"):format(gateway.binary(), g.socket))
      elseif #clients > 0 then
        local at = math.random(#clients)
        local ok, alive = pcall(use, clients[at], serial)
        if not (ok and alive) then
          local gone = table.remove(clients, at)
          pcall(gone.drop, gone)
        end
      end
      assert.is_true(g:alive())
    end
    local log = g:log()
    assert.is_true(select(2, log:gsub('msg="script reloaded"', "")) > 3)
    assert.equal(0, g:stop())
  end)
end)
