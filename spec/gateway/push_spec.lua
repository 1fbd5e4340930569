-- SPDX-License-Identifier: MIT
-- Reliable delivery: what a backend sends to users waits for each of their devices until it is
-- acknowledged, whoever dies meanwhile. The same examples over all stores.

local fleet = require "spec.support.fleet"
local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local redis = require "spec.support.redis"
local socketio = require "spec.support.socketio"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

-- "user:room,room": who a client is and where.
local SCRIPT = [[
local server
return { setup = function(s) server = s end,
controllers = { send = function(_, data) return server:send(data) end },
authentication = function(req)
  local user, more = (req.query.who or ""):match "^(.-):(.*)$"
  if not user then return false end
  local rooms = { user }
  for room in more:gmatch "[^,]+" do rooms[#rooms + 1] = room end
  return { rooms = rooms }
end }
]]

local SITE = { push = { api_key = ("k"):rep(32), user_room_prefix = "user_", public_channel = "public" } }

local function site_with(more, limits)
  local site = { push = {}, limits = limits }
  for key, value in pairs(SITE.push) do site.push[key] = value end
  for key, value in pairs(more or {}) do site.push[key] = value end
  return site
end

local g

local function send(rooms, event, args, query, node)
  local answer = http.get((node or g).port, "/send?site=shop" .. (query or ""), {
    method = "POST", headers = { ["X-Api-Key"] = ("k"):rep(32), ["Content-Type"] = "application/json" },
    body = json.encode { rooms = rooms, event = event, args = args } })
  assert.equal(200, answer.status, answer.body)
  return answer
end

-- A device of who, let in. Its settings have been read.
local function device(who, name, node)
  local c = socketio.open(node or g, { query = "&who=" .. who .. (name and "&deviceId=" .. name or "") })
  c:join "/shop"
  c.settings = c:receive()
  return c
end

-- The next event: its id (nil: no ack is wanted) and its items.
local function event(c)
  local id, items = c:receive():match "^2/shop,(%d*)(.*)$"
  return id ~= "" and id or nil, json.decode(items, 1, "null")
end

local function expect(c, ...)
  local id, items = event(c)
  assert.same({ ... }, items)
  return id
end

local function acknowledge(c, id) c:send("3/shop," .. id .. "[]") end

-- Nothing has come until now: what is asked for next is the next that comes.
local function expect_nothing(c)
  c:send '2/shop,77["nothing"]'
  assert.equal('3/shop,77["Function not found"]', c:receive())
end

-- It leaves; the answer to what it asks for next says that it has left.
local function gone(c)
  c:send "1/shop,"
  c:send "0/nope,"
  while c:receive():sub(1, 2) ~= "4/" do end
  c:close()
end

local STORES = {
  memory = function(options) return gateway.start(options) end,
  sqlite = function(options)
    options.folder = options.folder or tmp.dir()
    options.gateway.store = "sqlite:" .. options.folder .. "/moonlatch.db"
    return gateway.start(options)
  end,
  redis = function(options)
    options.redis = options.redis or redis.start()
    options.gateway.store = options.redis:url()
    local node = gateway.start(options)
    assert(node:wait_log("connection=moonlatch-commands", 5))
    assert(node:wait_log("connection=moonlatch-pushes", 5))
    return node
  end,
}

for store, open in pairs(STORES) do
  local options

  local function start(site)
    options = { gateway = {}, sites = { shop = site or SITE }, scripts = { shop = SCRIPT } }
    g = open(options)
  end

  -- The gateway is killed, and another takes its place.
  local function start_again()
    g:signal "KILL"
    g:wait_exit(5)
    g = open(options)
  end

  describe("the queues of devices in the store " .. store, function()
    after_each(gateway.stop_all)
    after_each(redis.stop_all)

    it("keep what is not acknowledged, in order, and each device gets it once", function()
      start()
      local a = device("user_5:staff", "A")
      assert.equal('2/shop,["_settings",{"device_ttl":3600}]', a.settings)
      send("user_5", "news", { 1, { x = 2 } })
      acknowledge(a, expect(a, "news", 1, { x = 2 }))
      send({ "user_5", "STAFF", "user_5" }, "other", "one")
      expect(a, "other", "one")
      expect_nothing(a)
      gone(a)
      send("staff", "news", { "two" })
      send("user_5", "other", { "three" })
      a = device("user_5:staff", "A")
      assert.same({ "_batch", { { "other", "one" }, { "news", "two" }, { "other", "three" } } }, (select(2, event(a))))
      gone(a)
      a = device("user_5:staff", "A") -- nobody acknowledged it
      local batch, items = event(a)
      assert.equal(3, #items[2])
      send("user_5", "news", { "four" })
      expect(a, "news", "four")
      acknowledge(a, batch) -- only what it had
      expect_nothing(a)
      gone(a)
      a = device("user_5:staff", "A")
      assert.same({ "_batch", { { "news", "four" } } }, (select(2, event(a))))
      a:close()
    end)

    it("are of each device, and of users that are known", function()
      start()
      send("user_9", "news", { "nobody" })
      local a, b, other = device("user_9:staff", "A"), device("user_9:staff"), device("user_8:", "A")
      expect_nothing(a)
      send("user_9", "news", { 1 })
      acknowledge(a, expect(a, "news", 1))
      expect(b, "news", 1)
      expect_nothing(other)
      gone(b)
      b = device("user_9:staff")
      acknowledge(b, (event(b)))
      local twin = device("user_9:staff", "A") -- the same device: both get it, one ack is enough
      send("user_9", "news", { 2 })
      acknowledge(twin, expect(twin, "news", 2))
      expect(a, "news", 2)
      expect_nothing(twin)
      gone(a)
      gone(twin)
      a = device("user_9:staff", "A")
      expect_nothing(a)
      for _, each in ipairs { a, b, other } do each:close() end
    end)

    it("are for users: who is none does not get in", function()
      start()
      local c = socketio.open(g, { query = "&who=guest:staff" })
      assert.equal('4/shop,{"message":"User is missing a private room"}', c:connect "/shop")
      c:close()
    end)

    it("reach the public channel, and a socket of two users once", function()
      start()
      local everybody = device("public:", "P")
      local both = device("user_7:user_7_admin,reviewer", "X")
      send("public", "news", { "all" })
      acknowledge(everybody, expect(everybody, "news", "all"))
      send("reviewer", "news", { "once" })
      acknowledge(both, expect(both, "news", "once"))
      expect_nothing(both)
      gone(both)
      both = device("user_7:user_7_admin,reviewer", "X")
      expect_nothing(both)
      both:close()
      everybody:close()
    end)

    it("take what a script sends, and give it to token clients too", function()
      start()
      local a = device("user_6:staff", "A")
      local t = token.connect(g.port, { path = "/shop/sockets" })
      local answer = http.get(g.port, "/shop/socket/token?who=user_6:staff")
      t:authenticate(json.decode(answer.body).token)
      local result
      a:send '2/shop,5["send",{"rooms":["staff"],"event":"news","args":[1,"two"],"resync":true}]'
      repeat
        result = a:receive()
        local id = result:match '^2/shop,(%d+)%["news",1,"two"%]$'
        if id then acknowledge(a, id) end
      until result:find "^3"
      assert.equal("3/shop,5[null,true]", result)
      local call = wait.for_true(function()
        local message = t:receive()
        return message and message.internal and message.command == "rpc" and message.data
      end)
      assert.same({ "news", { 1, "two" } }, { call.command, call.args })
      t:send { rpc = "_rpc", fid = call.fid, resp = { data = "seen" } }
      a:close()
      t:close()
    end)

    it("forget the rooms that a user is not in any more", function()
      start()
      local a = device("user_3:old", "A")
      gone(a)
      a = device("user_3:new", "A")
      send("old", "news", { "no" })
      send("new", "news", { "yes" })
      acknowledge(a, expect(a, "news", "yes"))
      a:close()
    end)

    it("tell a device to resync that acknowledges out of order, where that is asked for", function()
      start()
      local a = device("user_2:", "A")
      send("user_2", "news", { 1 }, "&resync=1")
      send("user_2", "news", { 2 }, "&resync=1")
      send("user_2", "other", { 3 })
      local first, second = expect(a, "news", 1), expect(a, "news", 2)
      expect(a, "other", 3)
      acknowledge(a, second)
      assert.is_nil(expect(a, "_resync"))
      acknowledge(a, first) -- it was cleared: once is enough
      expect_nothing(a)
      gone(a)
      a = device("user_2:", "A") -- all of that event are gone, and no others
      assert.same({ "_batch", { { "other", 3 } } }, (select(2, event(a))))
      send("user_2", "news", { 4 }, "&resync=1")
      acknowledge(a, expect(a, "news", 4)) -- in order
      expect_nothing(a)
      a:close()
    end)

    it("are emptied when they are full, for one resync", function()
      start(site_with(nil, { queue_messages = 3 }))
      local a = device("user_2:", "A")
      gone(a)
      for i = 1, 3 do assert.is_nil(send("user_2", "news", { i }).headers["moonlatch-overflow"]) end
      assert.equal("true", send("user_2", "news", { 4 }).headers["moonlatch-overflow"])
      send("user_2", "news", { 5 })
      a = device("user_2:", "A")
      assert.is_nil(expect(a, "_resync"))
      local batch, items = event(a)
      assert.same({ "_batch", { { "news", 5 } } }, items)
      acknowledge(a, batch)
      expect_nothing(a)
      gone(a)
      a = device("user_2:", "A")
      expect_nothing(a)
      for i = 1, 3 do send("user_2", "news", { i }) end -- the same while it is here
      for i = 1, 3 do expect(a, "news", i) end
      send("user_2", "news", { 4 })
      assert.is_nil(expect(a, "_resync"))
      acknowledge(a, expect(a, "news", 4)) -- it is told all the same
      gone(a)
      a = device("user_2:", "A")
      expect_nothing(a)
      a:close()
    end)

    it("come in batches, each after the ack of the one before", function()
      start(site_with(nil, { batch_messages = 2 }))
      local a = device("user_2:", "A")
      gone(a)
      for i = 1, 5 do send("user_2", "news", { i }) end
      a = device("user_2:", "A")
      local batch, items = event(a)
      assert.same({ "_batch", { { "news", 1 }, { "news", 2 } } }, items)
      send("user_2", "news", { 6 }) -- waits for its turn
      expect_nothing(a)
      acknowledge(a, batch)
      batch, items = event(a)
      assert.same({ "_batch", { { "news", 3 }, { "news", 4 } } }, items)
      acknowledge(a, batch)
      batch, items = event(a)
      assert.same({ "_batch", { { "news", 5 }, { "news", 6 } } }, items)
      acknowledge(a, batch)
      expect_nothing(a)
      send("user_2", "news", { 7 }) -- the store may still be asked whether there is more: then it is in a batch
      batch, items = event(a)
      assert.same({ "news", 7 }, items[1] == "_batch" and items[2][1] or items)
      acknowledge(a, batch)
      a:close()
    end)

    it("go device_ttl after the device has left, and not before", function()
      start(site_with { device_ttl = "1s" })
      local a = device("user_2:", "A")
      gone(a)
      send("user_2", "news", { 1 })
      a = device("user_2:", "A")
      assert.same({ "_batch", { { "news", 1 } } }, (select(2, event(a))))
      wait.pass(1.3) -- it is here, and so are its records
      gone(a)
      a = device("user_2:", "A")
      assert.same({ "_batch", { { "news", 1 } } }, (select(2, event(a))))
      gone(a)
      wait.pass(1.3)
      a = device("user_2:", "A")
      expect_nothing(a)
      a:close()
    end)

    it("are of so many devices of a user", function()
      start(site_with(nil, { queue_devices = 2 }))
      for _, name in ipairs { "A", "B" } do gone(device("user_2:", name)) end
      send("user_2", "news", { 1 })
      local c = device("user_2:", "C") -- A has been away for longest
      gone(device("user_2:", "A"))
      local b = device("user_2:", "B")
      expect_nothing(b) -- it had to go for A
      b:close()
      c:close()
    end)

    it("speak the names of 2015 where the site wants them", function()
      start(site_with { names = "batch" })
      local c = socketio.open(g, { query = "&who=user_1:&deviceId=A" })
      c:join "/shop"
      expect_nothing(c)
      gone(c)
      send("user_1", "news", { 1 })
      c = socketio.open(g, { query = "&who=user_1:&deviceId=A" })
      c:join "/shop"
      assert.same({ "batch", { { "news", 1 } } }, (select(2, event(c))))
      c:close()
    end)

    if store ~= "memory" then
      it("outlive a gateway that is killed: what was answered with 200 comes", function()
        start()
        gone(device("user_4:", "A"))
        for round = 1, 3 do
          for i = 1, 20 do send("user_4", "news", { round, i }) end
          start_again()
        end
        local a = device("user_4:", "A")
        local batch, items = event(a)
        assert.equal(60, #items[2])
        for i, message in ipairs(items[2]) do
          assert.same({ "news", (i - 1) // 20 + 1, (i - 1) % 20 + 1 }, message)
        end
        acknowledge(a, batch)
        expect_nothing(a)
        start_again()
        a = device("user_4:", "A")
        expect_nothing(a)
        a:close()
      end)
    end
  end)
end

describe("the push service on two nodes", function()
  after_each(gateway.stop_all)
  after_each(fleet.stop_all)

  it("sends by any of them, and a device may come back to the other", function()
    local f = fleet.start { nodes = 2, sites = { shop = SITE }, scripts = { shop = SCRIPT } }
    local a, b = device("user_5:staff", "A", f[1]), device("user_5:staff", "B", f[2])
    send("staff", "news", { 1 }, "", f[1])
    acknowledge(a, expect(a, "news", 1))
    expect(b, "news", 1)
    gone(b)
    send("user_5", "news", { 2 }, "", f[2])
    acknowledge(a, expect(a, "news", 2))
    b = device("user_5:staff", "B", f[1])
    local batch, items = event(b)
    assert.same({ "_batch", { { "news", 1 }, { "news", 2 } } }, items)
    acknowledge(b, batch)
    a:close()
    b:close()
  end)

  it("keeps messages in the lists that the service of old had", function()
    local f = fleet.start { nodes = 1, sites = { shop = SITE }, scripts = { shop = SCRIPT } }
    local a = device("user_5:", "A", f[1])
    send("user_5", "news", { "x" }, "", f[1])
    expect(a, "news", "x")
    local kept = f.redis:call("LRANGE", "/shop:socket.io:user_5:A:news", "0", "-1")
    assert.truthy(kept[1]:find '^%d+:%["news","x"%]$')
    a:close()
  end)
end)
