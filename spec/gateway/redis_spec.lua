-- SPDX-License-Identifier: MIT
-- Two gateways over one Redis, and what Redis can do to them: the rows R-TOK, R-SUBLIVE, R-ORDER, R-GAP and
-- R-REDISDOWN of RELIABILITY.md in their short form; SECURITY.md A1, A2, A8, A13, A14, B1, B3, B4.

local fleet = require "spec.support.fleet"
local gateway = require "spec.support.gateway"
local redis = require "spec.support.redis"
local token = require "spec.support.token"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local SCRIPT = [[
  local site = {}
  function site.authentication(req) return { name = req.query.user or "x" } end
  site.controllers = { echo = function(_, data) return data end }
  function site.setup(server)
    for _, event in ipairs { "subscribe", "unsubscribe", "publish", "broadcast" } do
      server:on(event, function() return true end)
    end
    local gaps = {}
    server:on("gap", function(channel) gaps[#gaps + 1] = channel end)
    site.controllers.gaps = function() return gaps end
    site.controllers.empty = function(_, channel) return server:unsubscribeAll(channel) end
    site.controllers.say = function(_, data) return server:publish(data.channel, data.data) end
  end
  return site]]

local FAST = { store_timeout = "500ms", redis_connect_timeout = "300ms", redis_heartbeat = "200ms", redis_backoff = "200ms",
  publish_rate = 100000, publish_burst = 100000, subscribe_rate = 100000, subscribe_burst = 100000 }

local function start(options)
  local conf = { sites = { s = { path = "/", redis = { layout = options and options.layout } } }, scripts = { s = SCRIPT },
    gateway = { limits = FAST, admin = { listen = "127.0.0.1:0" } } }
  for key, value in pairs(options or {}) do conf[key] = value end
  return fleet.start(conf)
end

local function login(node, user)
  return assert(token.login(node.port, { query = "user=" .. (user or "x") }))
end

-- Whether the internal frame about a gap in this channel comes before any message of it.
local function gap_before(client, channel, timeout)
  local m = client:wait(function(m)
    return (m.internal and m.command == "gap" and m.data.channel == channel) or m.channel == channel
  end, timeout)
  return m and m.command == "gap"
end

describe("two nodes over Redis", function()
  after_each(fleet.stop_all)

  it("take a token of either, once (R-TOK)", function()
    local f = start()
    local here, there = login(f[1]), token.connect(f[2].port)
    local id = token.get(f[1].port, "/socket/token?user=ann")
    assert.are.equal("success", there:authenticate(id))
    assert.are.equal("ann", there:rpc("echo", "ann"))
    assert.is_not_nil(here)
    for _ = 1, 25 do
      id = token.get(f[1].port, "/socket/token")
      local clients, admitted = {}, 0
      for i = 1, 8 do clients[i] = token.connect(f[1 + i % 2].port) end
      for _, c in ipairs(clients) do c:send { rpc = "auth", token = id, uuid = "u" } end
      for _, c in ipairs(clients) do
        if c:receive().resp == "success" then admitted = admitted + 1 end
        c:drop()
      end
      assert.are.equal(1, admitted)
    end
  end)

  it("bring messages, broadcasts and unsubscribeAll across, in order (R-ORDER)", function()
    local f = start()
    local ann, bob = login(f[1], "ann"), login(f[2], "bob")
    assert(ann:subscribe("room") and bob:subscribe("room") and bob:subscribe("other"))
    for i = 1, 500 do ann:publish("room", { at = i }) end
    for _, c in ipairs { ann, bob } do
      for i = 1, 500 do assert.are.equal(i, c:message("room").at) end
    end
    bob:broadcast("to all")
    assert.are.equal("to all", ann:message("room"))
    assert.are.equal("to all", bob:message("room"))
    assert.are.equal("to all", bob:message("other"))
    assert.is_true(ann:rpc("empty", "room"))
    for _, c in ipairs { ann, bob } do
      assert.is_not_nil(c:wait(function(m) return m.internal and m.command == "unsubscribe" end))
    end
    ann:publish("room", "nobody hears")
    ann:publish("other", "bob does")
    assert.are.equal("bob does", bob:message("other"))
    assert.is_nil(bob:message("room", 0.05))
  end)

  it("answer a subscribe when it is live (R-SUBLIVE)", function()
    local f = start()
    local ann, bob = login(f[1], "ann"), login(f[2], "bob")
    for i = 1, 300 do
      local channel = "c" .. i
      assert(ann:subscribe(channel))
      bob:publish(channel, i)
      assert.are.equal(i, ann:message(channel, 2))
      assert(ann:unsubscribe(channel))
    end
  end)

  it("a name given up and wanted again at once is live when it says so", function()
    local f = start()
    local ann, bob = login(f[1], "ann"), login(f[2], "bob")
    for i = 1, 100 do
      ann:send { rpc = "_subscribe", req = { channel = "c" }, uuid = "a" .. i }
      ann:send { rpc = "_unsubscribe", req = { channel = "c" }, uuid = "b" .. i }
      ann:send { rpc = "_subscribe", req = { channel = "c" }, uuid = "c" .. i }
      assert(ann:wait(function(m) return m.internal and m.data.uuid == "c" .. i end))
      bob:publish("c", i)
      assert.are.equal(i, ann:message("c", 2))
      assert(ann:unsubscribe("c"))
    end
  end)

  it("keep their things under names of their own (A14, B3)", function()
    local f = start { nodes = 1 }
    local ann, id = login(f[1])
    local seen = f.redis:monitor(function()
      id = token.get(f[1].port, "/socket/token?user=ann")
      assert(ann:subscribe("room:1{x}"))
      ann:publish("room:1{x}", "line\r\nPUBLISH x y")
      assert.are.equal("line\r\nPUBLISH x y", ann:message("room:1{x}"))
      assert(ann:unsubscribe("room:1{x}"))
    end)
    local all = table.concat(seen, "\n")
    assert.is_truthy(all:find('"SET" "moonlatch:{s}:token:' .. id .. '" "{\\"name\\":\\"ann\\"}" "PX" "30000"', 1, true))
    assert.is_truthy(all:find('"SUBSCRIBE" "moonlatch:{s}:ch:room:1{x}"', 1, true))
    assert.is_truthy(all:find('"PUBLISH" "moonlatch:{s}:ch:room:1{x}" "\\"line\\\\r\\\\nPUBLISH x y\\""', 1, true))
    assert.is_truthy(all:find('"UNSUBSCRIBE" "moonlatch:{s}:ch:room:1{x}"', 1, true))
    assert.is_nil(all:find('"KEYS"', 1, true))
    seen = f.redis:monitor(function()
      for _, bad in ipairs { "x" .. id, id .. "y", "moonlatch:{s}:token:" .. id, "*", ("a"):rep(1000) } do
        local c = token.connect(f[1].port)
        c:send { rpc = "auth", token = bad }
        assert.is_not_nil(c:wait_close())
      end
    end)
    for _, line in ipairs(seen) do assert.is_nil(line:find("GETDEL", 1, true)) end
  end)

  it("drop what is no message of theirs, and count it (B1, B4)", function()
    local f = start { nodes = 1 }
    local ann = login(f[1])
    assert(ann:subscribe("room"))
    for _, garbage in ipairs { "", "{", "\xff\xfe", "[1,]", "nan", ("["):rep(1000), "{\"a\":1,\"a\":2}", ("x"):rep(300000) } do
      f.redis:call("PUBLISH", "moonlatch:{s}:ch:room", garbage)
      f.redis:call("PUBLISH", "moonlatch:{s}:all", garbage)
      f.redis:call("PUBLISH", "moonlatch:{s}:all", "broadcast " .. garbage)
      f.redis:call("PUBLISH", "moonlatch:{s}:all", "nonsense " .. garbage)
    end
    f.redis:call("PUBLISH", "moonlatch:{s}:ch:room", " {\"good\": [1, 2]} ")
    assert.are.same({ good = { 1, 2 } }, ann:message("room"))
    for _, data in ipairs { "", "5", "[]", "{", "{\"a\":1,\"a\":2}" } do
      local id = token.get(f[1].port, "/socket/token")
      f.redis:call("SET", "moonlatch:{s}:token:" .. id, data)
      local c = token.connect(f[1].port)
      local _, err = c:authenticate(id)
      assert.are.equal("Token not found", err, data)
    end
    f.redis:call("LPUSH", "moonlatch:{s}:token:53932aab-fbc1-4d14-9f1b-bb8a38dfaef4", "a list")
    local c = token.connect(f[1].port)
    assert.are.equal("unavailable", select(2, c:authenticate("53932aab-fbc1-4d14-9f1b-bb8a38dfaef4")))
    assert.are.equal(4503, (c:wait_close()))
    assert.are.equal("x", ann:rpc("echo", "x"))
  end)
end)

-- Redis goes away by away() and comes back by back(); what has to hold in between and after. gap: messages were
-- missed for sure; else perhaps none, and what was refused may come late.
local function survives(f, away, back, gap)
  local ann, bob = login(f[1], "ann"), login(f[2], "bob")
  assert(ann:subscribe("room") and bob:subscribe("room"))
  away()
  local t0 = wait.now()
  assert.are.equal("here", ann:rpc("echo", "here"))
  assert.is_true(wait.now() - t0 < 0.3)
  local uuid = ann:publish("room", "lost")
  local refused = ann:wait(function(m) return m.uuid == uuid end, 2.2)
  assert.are.equal("unavailable", refused and refused.error)
  assert.are.equal("unavailable", select(2, ann:subscribe("new", 2.2)))
  assert.are.equal(503, select(2, token.get(f[1].port, "/socket/token")).status)
  assert.is_true(wait.now() - t0 < 2.2)
  back()
  t0 = wait.now()
  if gap then
    assert.is_true(gap_before(ann, "room", 3))
    assert.is_true(gap_before(bob, "room", 3))
  end
  assert(ann:subscribe("new", 3))
  local heard
  repeat
    uuid = ann:publish("room", "again")
    heard = bob:message("room", 0.1)
  until heard == "again" or wait.now() - t0 > 3
  assert.are.equal("again", heard)
  assert.is_truthy(wait.for_true(function() return token.login(f[2].port, {}) end, 3))
  assert.is_true(wait.now() - t0 < 3)
  if gap then assert.are.same({ "room" }, bob:rpc("gaps")) end
end

describe("when Redis", function()
  after_each(fleet.stop_all)

  it("is killed and comes back, no socket is lost, and gaps are told (R-REDISDOWN, R-GAP)", function()
    local f = start()
    survives(f, function() f.redis:kill() end, function() f.redis:restart() end, true)
  end)

  it("hangs, what needs it is unavailable soon", function()
    local f = start()
    survives(f, function() f.redis:freeze() end, function() f.redis:thaw() end)
  end)

  it("cannot be reached, neither", function()
    local f = start { faults = true }
    survives(f,
      function() for _, p in ipairs(f.proxies) do p:set("refuse") p:set("rst") end end,
      function() for _, p in ipairs(f.proxies) do p:set("pass") end end, true)
  end)

  it("is behind a link that is half dead, that is noticed, and is a gap", function()
    local f = start { faults = true }
    local ann, bob = login(f[1], "ann"), login(f[2], "bob")
    assert(ann:subscribe("room") and bob:subscribe("room"))
    f.proxies[1]:set("half_dead")
    bob:publish("room", "not for ann")
    assert.is_true(gap_before(ann, "room", 3))
    bob:publish("room", "for ann")
    assert.are.equal("for ann", ann:message("room"))
  end)

  it("cuts the subscriptions only, that is a gap", function()
    local f = start { nodes = 1 }
    local ann = login(f[1])
    assert(ann:subscribe("room"))
    assert.are.equal(1, f.redis:call("CLIENT", "KILL", "TYPE", "pubsub"))
    assert.is_true(gap_before(ann, "room", 3))
    ann:publish("room", 1)
    assert.are.equal(1, ann:message("room"))
  end)

  it("cuts the subscriptions, sockets of the dialect raw are told as well", function()
    local f = start { nodes = 1, sites = { s = { path = "/",
      endpoints = { { path = "/sockets", transport = "sockjs", dialect = "token" },
        { path = "/raw", transport = "websocket", dialect = "raw" } } } },
      scripts = { s = SCRIPT:gsub("return site%s*$", [[
        local setup = site.setup
        function site.setup(server)
          setup(server)
          server:on("connect", function(socket) if socket.endpoint == "/raw" then socket:subscribe("room") end end)
          server:on("message", function(socket) socket:send(socket.channels) end)
        end
        return site]]) } }
    local raw, ann = ws.connect(f[1].port, "/raw"), login(f[1])
    raw:send("where am I?")
    assert.are.equal('["room"]', (raw:receive()))
    ann:publish("room", { x = 1 })
    assert.are.equal('{"channel":"room","message":{"x":1}}', (raw:receive()))
    f.redis:call("CLIENT", "KILL", "TYPE", "pubsub")
    assert.are.equal('{"channel":"room","gap":true}', (raw:receive()))
    ann:publish("room", 2)
    assert.are.equal('{"channel":"room","message":2}', (raw:receive()))
  end)

  it("is not there at the start, the gateway serves, and finds it later", function()
    local r = redis.start()
    r:kill()
    local g = gateway.start { gateway = { store = r:url(), limits = FAST },
      sites = { s = { path = "/" } }, scripts = { s = SCRIPT } }
    assert.are.equal(503, select(2, token.get(g.port, "/socket/token")).status)
    r:restart()
    assert.is_not_nil(wait.for_true(function() return token.get(g.port, "/socket/token") end, 3))
    assert.is_not_nil(login(g))
  end)

  it("wants a password, it gets that of the URL (B5)", function()
    local r = redis.start { requirepass = "s3cret/&" }
    local g = gateway.start {
      gateway = { store = ("redis://:s3cret%%2F%%26@127.0.0.1:%d/3"):format(r.port), limits = FAST },
      sites = { s = { path = "/" } }, scripts = { s = SCRIPT } }
    assert.is_true(g:wait_log("connection=moonlatch-commands", 3))
    assert.is_not_nil(login(g))
    local wrong = gateway.start {
      gateway = { store = ("redis://:other@127.0.0.1:%d"):format(r.port), limits = FAST },
      sites = { s = { path = "/" } }, scripts = { s = SCRIPT } }
    assert.is_true(wrong:wait_log("redis refuses us", 3))
    assert.are.equal(503, select(2, token.get(wrong.port, "/socket/token")).status)
    assert.is_nil(wrong:log():find("other", 1, true))
  end)

  it("is at a unix socket, that will do", function()
    local r = redis.start()
    local g = gateway.start { gateway = { store = "unix://" .. r.dir .. "/socket?db=2", limits = FAST },
      sites = { s = { path = "/" } }, scripts = { s = SCRIPT } }
    assert.is_true(g:wait_log("connection=moonlatch-commands", 3))
    local ann = login(g)
    assert(ann:subscribe("room"))
    ann:publish("room", 1)
    assert.are.equal(1, ann:message("room"))
  end)

  it("speaks TLS, it is believed only with the right certificate (B6)", function()
    local r = redis.start_tls()
    local function over(host, ca)
      return gateway.start { gateway = { store = ("rediss://%s:%d"):format(host, r.tls_port), redis = { ca = ca }, limits = FAST },
        sites = { s = { path = "/" } }, scripts = { s = SCRIPT } }
    end
    for _, host in ipairs { "localhost", "127.0.0.1" } do
      local g = over(host, r.ca)
      assert.is_true(g:wait_log("connection=moonlatch-commands", 3))
      local ann = login(g)
      assert(ann:subscribe("room"))
      ann:publish("room", ("x"):rep(60000))
      assert.are.equal(60000, #ann:message("room"))
    end
    local strangers = over("127.0.0.1")
    assert.is_true(strangers:wait_log("certificate verify failed", 3))
    assert.are.equal(503, select(2, token.get(strangers.port, "/socket/token")).status)
    local plain = gateway.start { gateway = { store = r:url(), limits = FAST }, sites = { s = { path = "/" } }, scripts = { s = SCRIPT } }
    assert.is_true(plain:wait_log("connection=moonlatch-commands", 3))
    assert.is_not_nil(login(plain))
  end)

  it("fails over, the sentinels' new master is followed (R-FAILOVER)", function()
    local master = redis.start()
    local replica = redis.replica(master)
    assert(wait.for_true(function() return master:call("INFO", "replication"):find("state=online", 1, true) end, 10))
    local watch = redis.sentinel(master, "mymaster")
    assert(wait.for_true(function() return #watch:call("SENTINEL", "replicas", "mymaster") == 1 end, 15))
    local url = ("redis+sentinel://127.0.0.1:1,127.0.0.1:%d/mymaster/0"):format(watch.port)
    local f = { gateway.start { gateway = { store = url, limits = FAST }, sites = { s = { path = "/" } }, scripts = { s = SCRIPT } } }
    assert.is_true(f[1]:wait_log("connection=moonlatch-pushes", 3))
    assert.is_not_nil(wait.for_true(function() return token.get(f[1].port, "/socket/token") end, 3))
    local ann = login(f[1])
    assert(ann:subscribe("room"))
    master:kill()
    assert.is_true(gap_before(ann, "room", 20))
    assert.is_truthy(wait.for_true(function() return token.login(f[1].port, {}) end, 5))
    assert.are.equal("master", replica:call("ROLE")[1])
    assert.is_truthy(wait.for_true(function() -- the sentinel cuts clients off once more
      ann:publish("room", "over the new one")
      return ann:message("room", 0.2) == "over the new one"
    end, 5))
  end)
end)
