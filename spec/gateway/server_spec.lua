-- SPDX-License-Identifier: MIT
-- The server and socket objects of a script: calls to clients, channels, timers, misuse.

local gateway = require "spec.support.gateway"
local token = require "spec.support.token"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"
local json = require "dkjson"

local SITE = [[
local time = require "moonlatch.time"
local site = {}
local server, kept, ticks, handle

function site.authentication(req) return { name = req.query.user } end

-- What a function gave, so that nil, code, detail can be told apart.
local function results(...)
  local list = { n = select("#", ...) }
  for i = 1, list.n do list[tostring(i)] = (select(i, ...)) end
  return list
end

local function tried(f, ...)
  local ok, err = pcall(f, ...)
  return ok and "ok" or tostring(err)
end

site.controllers = {
  call = function(_, data, socket) return results(socket:rpc(data.name, data.args, data.options)) end,
  call_sid = function(_, data) return results(server:rpc(data.sid, "hello", 1)) end,
  call_socket = function(_, _, socket) return results(server:rpc(socket, "hello", { 1 }, { timeout = 1 })) end,
  huge = function(_, _, socket) return results(socket:rpc("x", ("x"):rep(70000))) end,
  sid = function(_, _, socket) return socket.sid end,
  publish = function(_, data) return results(server:publish(data.channel, data.data)) end,
  publish_huge = function() return results(server:publish("a", ("x"):rep(70000))) end,
  broadcast = function(_, data) return results(server:broadcast(data)) end,
  join = function(_, data, socket) return results(socket:subscribe(data)) end,
  leave = function(_, data, socket) return results(socket:unsubscribe(data)) end,
  server_join = function(_, data, socket) return results(server:subscribe(socket, data)) end,
  server_leave = function(_, data, socket) return results(server:unsubscribe(socket, data)) end,
  mine = function(_, _, socket) table.sort(socket.channels); return #socket.channels end,
  empty_out = function(_, data) return results(server:unsubscribeAll(data)) end,
  channels = function() local list, more = server:channels(); table.sort(list); return { list, more } end,
  sockets = function(_, max)
    local list, more = server:sockets(max)
    local names = {}
    for i, s in ipairs(list) do names[i] = s.auth.name end
    table.sort(names)
    return { names, more }
  end,
  members = function(_, data)
    local names = {}
    for i, s in ipairs((server:channelSockets(data))) do names[i] = s.auth.name end
    table.sort(names)
    return names
  end,
  delay = function(_, data, socket)
    server:delay(data, function() socket:rpc("fired", nil, { timeout = 1 }) end)
  end,
  cancelled = function()
    local fired = false
    local timer = server:delay(0.02, function() fired = true end)
    local first, second = timer:cancel(), timer:cancel()
    time.sleep(0.06)
    return { first, second, fired }
  end,
  every = function()
    ticks = 0
    local timer = server:every(0.01, function() ticks = ticks + 1; if ticks == 2 then error("tick") end end)
    time.sleep(0.2)
    timer:cancel()
    local seen = ticks
    time.sleep(0.05)
    return { seen >= 3, ticks == seen }
  end,
  timers = function()
    local made, n = {}, 0
    local err = tried(function() for i = 1, 1000 do made[i] = server:delay(100, print); n = i end end)
    for _, t in ipairs(made) do t:cancel() end
    return { n, err }
  end,
  now = function() return server:now() > 1.7e9 end,
  close = function(_, data, socket) return socket:close(data.code, data.reason) end,
  colour = function(_, _, socket) return socket.colour end,
  keep = function(_, _, socket) kept = socket; socket.colour = "red"; return socket.colour end,
  look = function()
    return { sid = kept.sid, name = kept.auth.name, colour = kept.colour,
      handshake = tostring(kept.handshake), channels = tostring(kept.channels),
      rpc = results(kept:rpc("x")), sub = results(kept:subscribe("x")), unsub = results(kept:unsubscribe("x")),
      close = results(kept:close()), server_rpc = results(server:rpc(kept, "x")), text = tostring(kept) }
  end,
  fields = function(_, _, socket)
    return { tried(function() socket.sid = 1 end), tried(function() socket.auth = {} end),
      tried(function() socket.send = print end), tostring(getmetatable(socket)), tostring(socket.nothing) }
  end,
  misuse = function(_, data, socket)
    local calls, object, name = 0, data.on == "socket" and socket or server, data.name
    local values = { nil, false, 0, -1, 0/0, 1e308, math.huge, 1 << 62, "", "x", ("x"):rep(300), "\0", {}, { 1 }, print,
      socket, server, coroutine.create(print) }
    local f = object[name]
    local function try(...)
      calls = calls + 1
      local ok, timer = pcall(f, ...)
      if ok and (name == "every" or name == "delay") then timer:cancel() end
    end
    for i = 1, 18 do
      local first = values[i]
      -- what would be right use, and wait or end this very socket
      local right = name == "rpc" and (first == socket or type(first) == "string" or type(first) == "number")
        or name == "close" and first == nil or name == "publishFilter" and type(first) == "function"
      for j = 1, right and 0 or 18 do try(object, first, values[j]) end
      if first ~= object then try(first) end
    end
    if name ~= "close" and name ~= "shutdown" then try() end
    return calls
  end,
  listen = function()
    local function vote() return false, "not now" end
    server:on("publish", vote)
    local first = {}
    server:removeListener("publish", vote)
    server:removeListener("publish", vote)
    server:on("broadcast", vote)
    server:removeAllListeners("broadcast")
    return true
  end,
  filter_on = function() server:publishFilter(function(_, _, m) return { wrapped = m } end) end,
  filter_off = function() server:publishFilter(nil) end,
  cleanup = function(_, ms) server:enableCleanup(ms) end,
  no_cleanup = function() server:disableCleanup() end,
  shutdown = function() server:shutdown() end,
  send = function(_, _, socket) return tried(socket.send, socket, "x") end,
}

function site.setup(s) server = s end

return site
]]

for _, how in ipairs { "SockJS", "plain WebSocket" } do
  describe("the server object, over " .. how, function()
    local g, c

    local function login(name)
      return assert(token.login(g.port, { query = "user=" .. name, plain = how ~= "SockJS" }))
    end

    setup(function() g = gateway.start { sites = { main = { path = "/" } }, scripts = { main = SITE } } end)
    teardown(function() assert.equal(0, g:stop()) end)
    before_each(function() c = login("ann") end)
    after_each(function()
      c:close()
      assert.is_true(g:alive())
    end)

    -- Starts the RPC, answers the call that it causes with resp, and gives its result.
    local function ask(name, req, resp)
      c:send { rpc = name, req = req, uuid = "ask" }
      local called, args, fid = c:call()
      if resp then c:answer(fid, resp) end
      local answer = c:wait(function(m) return m.uuid == "ask" end, 5)
      assert(answer, "no answer")
      return answer.resp or answer.error, called, args, fid
    end

    it("calls the client and gets its answer, error or silence", function()
      local result, name, args, fid = ask("call", { name = "a.b", args = { x = 1 } }, { data = { y = 2 } })
      assert.same({ "a.b", { x = 1 } }, { name, args })
      assert.same({ ["1"] = { y = 2 }, n = 1 }, result)
      assert.is_truthy(fid:match("^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$"))
      assert.same({ n = 3, ["2"] = "refused", ["3"] = "no" }, (ask("call", { name = "x" }, { error = "no" })))
      assert.same({ n = 3, ["2"] = "refused", ["3"] = { code = 1 } }, (ask("call", { name = "x" }, { error = { code = 1 } })))
      assert.same({ n = 1, ["1"] = json.null }, (ask("call", { name = "x" }, { data = json.null })))
      assert.same({ n = 1, ["1"] = json.null }, (ask("call", { name = "x" }, setmetatable({}, { __jsontype = "object" }))))
      assert.same({ n = 1, ["1"] = false }, (ask("call", { name = "x" }, { data = false })))
      assert.same({ n = 2, ["2"] = "timeout" }, (ask("call", { name = "x", options = { timeout = 0.05 } })))
      assert.same({ n = 1, ["1"] = 5 }, (ask("call_socket", nil, { data = 5 })))
      local sid = c:rpc("sid")
      assert.same({ n = 1, ["1"] = 6 }, (ask("call_sid", { sid = sid }, { data = 6 })))
      assert.same({ n = 2, ["2"] = "closed" }, (c:rpc("call_sid", { sid = "nobody" })))
      assert.same({ n = 2, ["2"] = "too_large" }, (c:rpc("huge")))
    end)

    it("takes no answer from another socket, and none twice", function()
      local d = login("dan")
      c:send { rpc = "call", req = { name = "x", options = { timeout = 1 } }, uuid = "ask" }
      local _, _, fid = c:call()
      d:answer(fid, { data = "forged" })
      assert.equal("Function not found", (select(2, d:rpc("none"))))
      c:answer("wrong", { data = "wrong" })
      c:answer(fid, { data = "mine" })
      c:answer(fid, { data = "again" })
      assert.equal("mine", c:wait(function(m) return m.uuid == "ask" end).resp["1"])
      d:close()
    end)

    it("tells a script that the client left while it was asked", function()
      local d = login("dan")
      d:rpc("keep")
      d:send { rpc = "call", req = { name = "x" }, uuid = "q" }
      d:call()
      d:drop()
      local seen
      assert.is_truthy(wait.for_true(function()
        seen = c:rpc("look")
        return seen.rpc["2"] == "closed"
      end, 5))
      assert.equal("dan", seen.name)
      assert.equal("red", seen.colour)
      assert.equal(22, #seen.sid)
      assert.equal("socket " .. seen.sid, seen.text)
      for _, name in ipairs { "sub", "unsub", "close", "server_rpc", "rpc" } do
        assert.same({ n = 2, ["2"] = "closed" }, seen[name], name)
      end
    end)

    it("publishes and broadcasts", function()
      local d = login("dan")
      assert(c:subscribe("p1"))
      assert(d:subscribe("p1"))
      assert(d:subscribe("p2"))
      assert.same({ n = 1, ["1"] = true }, (c:rpc("publish", { channel = "p1", data = { 1, 2 } })))
      assert.same({ 1, 2 }, c:message("p1"))
      assert.same({ 1, 2 }, d:message("p1"))
      c:rpc("broadcast", "all")
      assert.equal("all", c:message("p1"))
      assert.equal("all", d:message("p1"))
      assert.equal("all", d:message("p2"))
      for _, name in ipairs { "", "a b", "___all___", "___sync___", "$x", "moonlatch:x", ("x"):rep(300), "*" } do
        assert.same({ n = 2, ["2"] = "bad_channel" }, (c:rpc("publish", { channel = name, data = 1 })), name)
        assert.same({ n = 2, ["2"] = "bad_channel" }, (c:rpc("join", name)), name)
      end
      assert.same({ n = 2, ["2"] = "too_large" }, (c:rpc("publish_huge")))
      assert.equal("Internal error", (select(2, c:rpc("publish", { channel = true, data = 1 }))).message)
      d:close()
    end)

    it("subscribes and unsubscribes sockets, and the client is told", function()
      for _, prefix in ipairs { "", "server_" } do
        assert.same({ n = 1, ["1"] = true }, (c:rpc(prefix .. "join", "in")))
        assert(c:wait(function(m) return m.internal and m.command == "subscribe" and m.data.channel == "in" end))
        assert.equal(1, (c:rpc("mine")))
        c:publish("in", "x")
        assert.equal("x", c:message("in"))
        assert.same({ n = 1, ["1"] = true }, (c:rpc(prefix .. "leave", "in")))
        assert(c:wait(function(m) return m.internal and m.command == "unsubscribe" and m.data.channel == "in" end))
        assert.same({ n = 1, ["1"] = false }, (c:rpc(prefix .. "leave", "in")))
      end
      local last
      for i = 1, 140 do last = c:rpc("join", "many" .. i) end
      assert.same({ n = 2, ["2"] = "limit" }, last)
    end)

    it("lists channels and sockets, and empties a channel", function()
      local d = login("dan")
      assert(c:subscribe("l1"))
      assert(d:subscribe("l1"))
      assert(d:subscribe("l2"))
      assert.is_truthy(wait.for_true(function()
        return json.encode((c:rpc("channels"))) == '[["l1","l2"],false]'
      end, 5))
      assert.same({ "ann", "dan" }, (c:rpc("members", "l1")))
      assert.same({}, (c:rpc("members", "none")))
      assert.is_truthy(wait.for_true(function()
        return json.encode((c:rpc("sockets"))) == '[["ann","dan"],false]'
      end, 5))
      assert.is_true((c:rpc("sockets", 1))[2])
      c:rpc("empty_out", "l1")
      for _, client in ipairs { c, d } do
        assert(client:wait(function(m) return m.internal and m.command == "unsubscribe" and m.data.channel == "l1" end))
      end
      assert.same({ { "l2" }, false }, (c:rpc("channels")))
      d:close()
    end)

    it("runs timers, and as many as the limit says", function()
      c:rpc("delay", 0.02)
      assert.equal("fired", (c:call()))
      assert.same({ true, false, false }, (c:rpc("cancelled")))
      assert.same({ true, true }, (c:rpc("every")))
      local result = c:rpc("timers")
      assert.equal(256, result[1])
      assert.is_truthy(result[2]:find("script_timers", 1, true))
      assert.is_true((c:rpc("now")))
    end)

    it("closes a socket with a code and a reason", function()
      c:send { rpc = "close", req = { code = 4321, reason = "enough" }, uuid = "x" }
      assert.equal("closed", (select(2, c:receive(2))))
      local code, reason = c:wait_close()
      assert.same({ 4321, "enough" }, { code, reason })
      c = login("ann")
      assert.equal("Internal error", (select(2, c:rpc("close", { code = 1005 }))).message)
      c:send { rpc = "close", req = {}, uuid = "x" }
      assert.equal("closed", (select(2, c:receive(2))))
      assert.equal(1000, (c:wait_close()))
    end)

    it("keeps what a script puts into a socket, and its own fields", function()
      assert.equal("red", (c:rpc("keep")))
      assert.equal("red", (c:rpc("colour")))
      local seen = c:rpc("fields")
      for i = 1, 3 do assert.is_truthy(seen[i]:find("cannot be set", 1, true)) end
      assert.same({ "false", "nil" }, { seen[4], seen[5] })
      assert.is_truthy((c:rpc("send")):find("raw endpoints", 1, true))
    end)

    it("survives every misuse", function()
      for on, names in pairs {
        socket = { "rpc", "send", "subscribe", "unsubscribe", "close" },
        server = { "rpc", "publish", "broadcast", "subscribe", "unsubscribe", "unsubscribeAll", "sockets", "channels",
          "channelSockets", "history", "enableCleanup", "publishFilter", "on", "before", "after", "once", "removeListener",
          "removeAllListeners", "every", "delay", "now" },
      } do
        for _, name in ipairs(names) do
          local calls, err = c:rpc("misuse", { on = on, name = name })
          assert.is_true((calls or 0) > 15, name .. ": " .. tostring(err))
        end
      end
      assert.is_nil((c:rpc("nothing")))
    end)

    it("adds and removes listeners and the filter at run time", function()
      assert.is_true((c:rpc("listen")))
      assert(c:subscribe("f"))
      c:publish("f", 1)
      assert.equal(1, c:message("f"))
      c:rpc("filter_on")
      c:publish("f", 1)
      assert.same({ wrapped = 1 }, c:message("f"))
      c:rpc("filter_off")
      c:publish("f", 1)
      assert.equal(1, c:message("f"))
    end)

    it("cleans up sockets that do not log in, in the time the script says", function()
      c:rpc("cleanup", 150)
      local w = ws.connect(g.port, "/ws")
      assert.is_truthy(w:wait_close(3))
      c:rpc("no_cleanup")
      local open = ws.connect(g.port, "/ws")
      assert.is_nil((open:receive(0.3)))
      open:send('{"rpc":"x"}')
      assert.is_truthy((open:receive(2)))
      c:rpc("cleanup", 5000)
    end)

    it("shuts a site down: every socket is closed with 1000", function()
      local d = login("dan")
      c:send { rpc = "shutdown", uuid = "x" }
      assert.equal(1000, (c:wait_close()))
      assert.equal(1000, (d:wait_close()))
      c = login("ann")
      assert.is_true((c:rpc("now")))
    end)
  end)
end
