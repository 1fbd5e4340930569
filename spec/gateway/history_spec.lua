-- SPDX-License-Identifier: MIT
-- Channels with a history: who comes back gets what it missed, in order, or is told that it cannot. The
-- same with the memory store and with Redis.

local fleet = require "spec.support.fleet"
local gateway = require "spec.support.gateway"
local redis = require "spec.support.redis"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local SCRIPT = [[
  local site = {}
  function site.authentication(req) return { name = req.query.user or "x" } end
  local gaps, server = {}, nil
  site.controllers = {
    history = function(_, data)
      local list, where = server:history(data.channel, data.options)
      return { list or "nil", where }
    end,
    gaps = function() return gaps end,
    enter = function(_, channel, socket)
      socket:subscribe(channel)
      for i = 1, 3 do server:publish(channel, i) end
      return true
    end,
    misuse = function() return { pcall(server.history, server, "room:1", { limit = 0 }) } end,
  }
  function site.filter(_, _, message) if message ~= "hidden" then return true end end
  function site.setup(s)
    server = s
    for _, event in ipairs { "subscribe", "unsubscribe", "publish" } do server:on(event, function() return true end) end
    server:on("gap", function(channel) gaps[#gaps + 1] = channel end)
  end
  return site]]

local SITES = { s = { path = "/",
  channels = { ["room:*"] = { history = { size = 5, ttl = "2s" } }, ["room:long*"] = { history = { size = 500 } } },
  endpoints = { { path = "/sockets", transport = "sockjs", dialect = "token" },
    { path = "/raw", transport = "websocket", dialect = "raw", auth = "token" } } } }
local LIMITS = { store_timeout = "500ms", redis_connect_timeout = "300ms", redis_heartbeat = "200ms", redis_backoff = "200ms",
  publish_rate = 100000, publish_burst = 100000, subscribe_rate = 100000, subscribe_burst = 100000 }

local function login(port, user) return assert(token.login(port, { query = "user=" .. (user or "x") })) end

-- Subscribes with what was had last; the data of the answer.
local function rejoin(c, channel, offset, epoch)
  c:send { rpc = "_subscribe", req = { channel = channel, offset = offset, epoch = epoch }, uuid = "r" .. tostring(offset) }
  return assert(c:wait(function(m) return m.internal and m.command == "subscribe" and m.data.channel == channel end)).data
end

-- The next messages of the channel as { message, offset }.
local function take(c, channel, count)
  local list = {}
  for i = 1, count do
    local m = assert(c:wait(function(m) return m.channel == channel end, 2), "message " .. i)
    list[i] = { m.message, m.offset }
  end
  return list
end

local function specs(start)
  it("gives who names its last offset what it missed, in order, and then what comes", function()
    local port = start()
    local ann, bob = login(port, "ann"), login(port, "bob")
    local first = rejoin(ann, "room:1")
    assert.are.same({ 0, 8, nil }, { first.offset, #first.epoch, first.recovered })
    for i = 1, 3 do ann:publish("room:1", i) end
    assert.are.same({ { 1, 1 }, { 2, 2 }, { 3, 3 } }, take(ann, "room:1", 3))
    local again = rejoin(bob, "room:1", 1, first.epoch)
    assert.are.same({ 3, first.epoch, true }, { again.offset, again.epoch, again.recovered })
    ann:publish("room:1", "new")
    assert.are.same({ { 2, 2 }, { 3, 3 }, { "new", 4 } }, take(bob, "room:1", 3))
    local carol = login(port, "carol")
    assert.is_true(rejoin(carol, "room:1", 4, first.epoch).recovered)
    assert.is_nil(carol:message("room:1", 0.05))
  end)

  it("says when it cannot", function()
    local port = start()
    local ann = login(port, "ann")
    local epoch = rejoin(ann, "room:1").epoch
    for i = 1, 8 do ann:publish("room:1", i) end
    take(ann, "room:1", 8)
    local function fails(offset, of)
      local c = login(port)
      c:send { rpc = "_subscribe", req = { channel = "room:1", offset = offset, epoch = of }, uuid = "r" }
      local answer = assert(c:wait(function(m) return m.internal and m.command == "subscribe" end)).data
      assert.are.same({ false, 8 }, { answer.recovered, answer.offset })
      assert.are.equal("gap", c:receive().command)
      ann:publish("room:other", 1)
      assert.is_nil(c:message("room:1", 0.02))
    end
    fails(2, epoch) -- 3 is not kept any more
    fails(9, epoch) -- was never
    fails(3, "other123")
    fails(3)
    fails("x", 5)
    local c = login(port)
    assert.is_true(rejoin(c, "room:1", 3, epoch).recovered)
    assert.are.same({ { 4, 4 }, { 5, 5 }, { 6, 6 }, { 7, 7 }, { 8, 8 } }, take(c, "room:1", 5))
  end)

  it("loses nothing to who comes back while others publish", function()
    local port = start()
    local ann = login(port, "ann")
    local at = rejoin(ann, "room:long")
    local last, epoch, seen = at.offset, at.epoch, 0
    for round = 1, 20 do
      local bob = login(port, "bob")
      for i = 1, 5 do ann:publish("room:long", round * 100 + i) end
      bob:send { rpc = "_subscribe", req = { channel = "room:long", offset = last, epoch = epoch }, uuid = "b" }
      for i = 6, 10 do ann:publish("room:long", round * 100 + i) end
      assert.is_true(bob:wait(function(m) return m.internal and m.command == "subscribe" end).data.recovered)
      for i = 1, 10 do
        local m = assert(bob:wait(function(m) return m.channel == "room:long" end, 2))
        assert.are.same({ round * 100 + i, last + 1 }, { m.message, m.offset })
        last, seen = m.offset, seen + 1
      end
      bob:drop()
    end
    assert.are.equal(200, seen)
  end)

  it("filters what was missed as well", function()
    local port = start()
    local ann, bob = login(port, "ann"), login(port, "bob")
    local epoch = rejoin(ann, "room:1").epoch
    for _, message in ipairs { "one", "hidden", "three" } do ann:publish("room:1", message) end
    take(ann, "room:1", 2)
    assert.is_true(rejoin(bob, "room:1", 0, epoch).recovered)
    assert.are.same({ { "one", 1 }, { "three", 3 } }, take(bob, "room:1", 2))
  end)

  it("keeps nothing of channels without one, and forgets after a while", function()
    local port = start()
    local ann = login(port, "ann")
    local other = rejoin(ann, "other", 3, "abcdefgh")
    assert.are.same({}, { other.offset, other.epoch, other.recovered })
    ann:publish("other", 1)
    local m = ann:wait(function(m) return m.channel == "other" end)
    assert.are.same({}, { m.offset, m.epoch })
    assert.are.same({ "nil", "no_history" }, ann:rpc("history", { channel = "other" }))
    local epoch = rejoin(ann, "room:1").epoch
    ann:publish("room:1", 1)
    take(ann, "room:1", 1)
    assert.are.equal(1, #ann:rpc("history", { channel = "room:1" })[1])
    wait.pass(2.1)
    assert.is_false(rejoin(login(port), "room:1", 0, epoch).recovered)
  end)

  it("is there for scripts", function()
    local port = start()
    local ann = login(port, "ann")
    local function history(options) return ann:rpc("history", { channel = "room:1", options = options }) end
    local epoch = rejoin(ann, "room:1").epoch
    assert.are.same({ {}, { offset = 0, epoch = epoch, complete = true } }, history())
    for i = 1, 8 do ann:publish("room:1", { at = i }) end
    take(ann, "room:1", 8)
    local list = {}
    for i = 4, 8 do list[#list + 1] = { offset = i, message = { at = i } } end
    assert.are.same({ list, { offset = 8, epoch = epoch, complete = true } }, history())
    assert.are.same({ { list[4], list[5] }, { offset = 8, epoch = epoch, complete = true } }, history { limit = 2 })
    assert.are.same({ { list[2] }, { offset = 8, epoch = epoch, complete = true } }, history { since = 4, limit = 1 })
    assert.is_false(history({ since = 2 })[2].complete)
    assert.is_false(history({ since = 4, epoch = "abcdefgh" })[2].complete)
    assert.are.same({ {}, { offset = 8, epoch = epoch, complete = true } }, history { since = 8 })
    assert.are.same({ "nil", "bad_channel" }, ann:rpc("history", { channel = "a b" }))
    assert.is_truthy(ann:rpc("misuse")[2]:find("limit: an integer"))
  end)
end

describe("history in memory", function()
  after_each(fleet.stop_all)
  specs(function() return gateway.start({ gateway = { limits = LIMITS }, sites = SITES, scripts = { s = SCRIPT } }).port end)

  it("brings a socket that the script subscribed all that is published from then on", function()
    local ann = login(gateway.start({ sites = SITES, scripts = { s = SCRIPT } }).port)
    assert.is_true(ann:rpc("enter", "room:1"))
    assert.are.same({ { 1, 1 }, { 2, 2 }, { 3, 3 } }, take(ann, "room:1", 3))
    ann:publish("room:1", 4)
    assert.are.same({ { 4, 4 } }, take(ann, "room:1", 1))
  end)

  it("is bounded in all: the longest silent channels lose theirs", function()
    local limits = { memory_history = "256K" }
    for key, value in pairs(LIMITS) do limits[key] = value end
    local g = gateway.start { gateway = { limits = limits }, sites = SITES, scripts = { s = SCRIPT } }
    local ann = login(g.port, "ann")
    local epoch = rejoin(ann, "room:1").epoch
    ann:publish("room:1", 1)
    take(ann, "room:1", 1)
    for i = 1, 10 do ann:publish("room:big" .. i, ("x"):rep(50000)) end
    assert.are.equal("pong", ann:rpc("_ping").message)
    assert.is_false(rejoin(login(g.port), "room:1", 0, epoch).recovered)
  end)
end)

describe("history in SQLite", function()
  after_each(fleet.stop_all)
  specs(function()
    local store = "sqlite:" .. tmp.dir() .. "/store.db"
    return gateway.start({ gateway = { limits = LIMITS, store = store }, sites = SITES, scripts = { s = SCRIPT } }).port
  end)
end)

describe("history in Redis", function()
  after_each(fleet.stop_all)
  specs(function()
    return fleet.start({ nodes = 1, gateway = { limits = LIMITS }, sites = SITES, scripts = { s = SCRIPT } })[1].port
  end)

  it("is one for all nodes, and outlives them", function()
    local f = fleet.start { gateway = { limits = LIMITS }, sites = SITES, scripts = { s = SCRIPT } }
    local ann, bob = login(f[1].port, "ann"), login(f[2].port, "bob")
    local epoch = rejoin(ann, "room:1").epoch
    ann:publish("room:1", "of ann")
    take(ann, "room:1", 1)
    bob:publish("room:1", "of bob")
    assert.are.same({ { "of bob", 2 } }, take(ann, "room:1", 1))
    f[1]:signal("KILL")
    assert.is_true(rejoin(bob, "room:1", 0, epoch).recovered)
    assert.are.same({ { "of ann", 1 }, { "of bob", 2 } }, take(bob, "room:1", 2))
  end)

  it("makes good what was missed while the link was away, without a gap", function()
    local f = fleet.start { gateway = { limits = LIMITS }, sites = SITES, scripts = { s = SCRIPT }, faults = true }
    local ann, bob = login(f[1].port, "ann"), login(f[2].port, "bob")
    assert(ann:subscribe("room:1") and ann:subscribe("other") and bob:subscribe("room:1"))
    bob:publish("room:1", 1)
    assert.are.same({ { 1, 1 } }, take(ann, "room:1", 1))
    f.proxies[1]:set("refuse")
    f.proxies[1]:set("rst")
    for i = 2, 5 do bob:publish("room:1", i) end
    take(bob, "room:1", 5)
    f.proxies[1]:set("pass")
    bob:publish("room:1", 6)
    assert.are.same({ { 2, 2 }, { 3, 3 }, { 4, 4 }, { 5, 5 }, { 6, 6 } }, take(ann, "room:1", 5))
    assert.are.equal("other", ann:wait(function(m) return m.internal and m.command == "gap" end, 2).data.channel)
    assert.are.same({ "other" }, ann:rpc("gaps"))
    f.proxies[1]:set("refuse")
    f.proxies[1]:set("rst")
    for i = 7, 17 do bob:publish("room:1", i) end -- more than is kept
    take(bob, "room:1", 12)
    f.proxies[1]:set("pass")
    local m = ann:wait(function(m) return m.channel == "room:1" or (m.command == "gap" and m.data.channel == "room:1") end, 3)
    assert.are.equal("gap", m and m.command)
    bob:publish("room:1", "on")
    assert.are.same({ { "on", 18 } }, take(ann, "room:1", 1))
  end)

  it("begins anew when Redis has forgotten, which is a gap", function()
    local f = fleet.start { nodes = 1, gateway = { limits = LIMITS }, sites = SITES, scripts = { s = SCRIPT } }
    local ann = login(f[1].port, "ann")
    local epoch = rejoin(ann, "room:1").epoch
    ann:publish("room:1", 1)
    take(ann, "room:1", 1)
    f.redis:call("FLUSHALL")
    f.redis:call("SCRIPT", "FLUSH")
    wait.for_true(function()
      ann:publish("room:1", 2)
      return ann:wait(function(m) return m.command == "gap" end, 0.2)
    end)
    local m = assert(ann:wait(function(m) return m.channel == "room:1" end, 2))
    assert.are_not.equal(epoch, m.epoch)
  end)

  it("does not take what somebody else put there", function()
    local f = fleet.start { nodes = 1, gateway = { limits = LIMITS }, sites = SITES, scripts = { s = SCRIPT } }
    local ann = login(f[1].port, "ann")
    local epoch = rejoin(ann, "room:1").epoch
    for _, payload in ipairs { "#", "#abc:1:{}", "#abcdefgh:x:{}", "#abcdefgh:1", "#abcdefgh:1:", "#abcdefgh:1:{", "#abc\"efgh:1:1" } do
      f.redis:call("PUBLISH", "moonlatch:{s}:ch:room:1", payload)
    end
    ann:publish("room:1", 1)
    assert.are.same({ { 1, 1 } }, take(ann, "room:1", 1))
    f.redis:call("XADD", "moonlatch:{s}:hist:room:1", "2-0", "m", "no json")
    f.redis:call("XADD", "moonlatch:{s}:hist:room:1", "3-0", "other", "x", "y", "z")
    f.redis:call("HSET", "moonlatch:{s}:meta:room:1", "o", 3)
    local c = login(f[1].port)
    assert.is_true(rejoin(c, "room:1", 0, epoch).recovered)
    assert.are.same({ { 1, 1 } }, take(c, "room:1", 1))
    f.redis:call("SET", "moonlatch:{s}:meta:room:2", "no hash")
    assert.is_nil(rejoin(ann, "room:2").epoch)
  end)

  it("is in the conf, checked", function()
    local r = redis.start()
    local status, _, errors = gateway.run({ "check", "--conf", "@conf", "--scripts", "@scripts" }, {
      gateway = { store = r:url() }, scripts = { s = SCRIPT },
      sites = { s = { path = "/", redis = { layout = "node-token-sockjs" },
        channels = { ["a b"] = { history = true }, ok = { history = { size = 0 } }, x = { histori = true } } } } })
    assert.are.equal(2, status)
    for _, part in ipairs { 'channels: "a b" is no channel\'s name', 'channels["ok"].history.size must be from 1 to 10000',
      "did you mean 'history'", "a history cannot be had with redis.layout" } do
      assert.is_truthy(errors:find(part, 1, true), part .. "\n" .. errors)
    end
  end)
end)
