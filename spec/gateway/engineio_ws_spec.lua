-- SPDX-License-Identifier: MIT
-- Engine.IO over WebSockets, and how a session moves to one from polling, well or badly.

local engineio = require "spec.support.engineio"
local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local g

local function open(path, options) return engineio.open(g, path or "/engine.io", options) end
local function connect(path, options) return engineio.websocket(g, path or "/engine.io", options) end

-- The next message: its payload and "binary" or "text".
local function receive(w)
  local payload, opcode = w:receive()
  return payload, opcode == 2 and "binary" or opcode
end

local function assert_refused(w, status, body)
  assert.equal(status, w.status)
  assert.equal(body, w.body)
  assert.equal("text/html", w.headers["content-type"])
  assert.equal("close", w.headers.connection)
  assert.is_true(w:wait_eof())
end

describe("an Engine.IO WebSocket", function()
  setup(function() g = engineio.start() end)
  teardown(gateway.stop_all)

  it("opens a session without upgrades", function()
    for _, version in ipairs { 3, 4 } do
      local w = connect("/engine.io", { version = version })
      assert.equal("0", w.open:sub(1, 1))
      local packet = json.decode(w.open:sub(2))
      assert.same({}, packet.upgrades)
      assert.equal(27, #packet.sid)
      w:close()
    end
  end)

  it("carries texts and bytes of protocol 4", function()
    local w = connect()
    w:send "4h\xc3\xa9llo"
    assert.equal("4h\xc3\xa9llo", w:receive())
    w:send_binary "\4\0\1\xfa"
    assert.same({ "\4\0\1\xfa", "binary" }, { receive(w) })
    w:send_binary ""
    assert.same({ "", "binary" }, { receive(w) })
    w:send "4protocol"
    assert.equal("4websocket", w:receive())
    w:close()
  end)

  it("carries texts and bytes of protocol 3", function()
    local w = connect("/engine.io", { version = 3 })
    w:send "4h\xc3\xa9llo"
    assert.equal("4h\xc3\xa9llo", w:receive())
    w:send_binary "\4\0\1\xfa"
    assert.same({ "\4\0\1\xfa", "binary" }, { receive(w) })
    w:close()
    w = connect("/engine.io", { version = 3, query = "&b64=1" })
    w:send "b4AAH6"
    assert.same({ "b4AAH6", 1 }, { receive(w) })
    w:close()
  end)

  it("ends with a packet that is none", function()
    for _, message in ipairs { "", "x", "9", "bAAA", "2" } do
      local w = connect()
      w:send(message)
      assert.equal(1002, (w:wait_close()))
    end
    local w = connect("/engine.io", { version = 3 })
    w:send_binary "x"
    assert.equal(1002, (w:wait_close()))
    w = connect("/engine.io", { version = 3 })
    w:send "3"
    assert.equal(1002, (w:wait_close()))
  end)

  it("takes no part in packets that mean nothing to it", function()
    local w = connect()
    for _, packet in ipairs { "0{}", "3", "5", "6", "6noop" } do w:send(packet) end
    w:send "4here"
    assert.equal("4here", w:receive())
    w:close()
  end)

  it("closes from both sides, and the script hears of it", function()
    local watcher = connect()
    watcher:send "4watch"
    watcher:send "4ready"
    assert.equal("4ready", watcher:receive())
    local function ended(act)
      local w = connect()
      w:send "4sid"
      local sid = w:receive():sub(2)
      act(w)
      return engineio.told(watcher, sid)
    end
    assert.same({ 3001, "asked" }, ended(function(w) w:send "4close" end))
    assert.same({ 4000, "bye" }, ended(function(w) w:close(4000, "bye") end))
    assert.same({ 1005, "" }, ended(function(w) w:close() end))
    assert.same({ 1000, "" }, ended(function(w) w:send "1" end))
    assert.same({ 1002, "parse error" }, ended(function(w) w:send "x" end))
    assert.equal(1006, ended(function(w) w.stream:drop() end)[1])
    local w = connect "/farewell"
    assert.equal("0", w.open:sub(1, 1))
    assert.same({ 3000, "Go away!" }, { w:wait_close() })
    watcher:close()
  end)

  it("has the heartbeat of its protocol", function()
    local w = connect "/quick"
    for _ = 1, 3 do
      assert.equal("2", w:receive())
      w:send "3"
    end
    local began = wait.now()
    assert.equal("2", w:receive())
    assert.is_nil((w:receive()))
    assert.is_true(wait.now() - began >= 0.29)
    w = connect("/quick", { version = 3 })
    began = wait.now()
    wait.pass(0.3)
    w:send "2"
    assert.equal("3", w:receive())
    assert.is_nil((w:receive()))
    assert.is_true(wait.now() - began >= 0.79)
  end)

  it("is refused as a page would be that asks for a WebSocket", function()
    assert_refused(connect("/engine.io", { version = 5 }), 400, "Unsupported protocol version")
    assert_refused(connect("/only4", { version = 3 }), 400, "Unsupported protocol version")
    assert_refused(connect("/engine.io", { query = "&sid=nobody" }), 400, "Session ID unknown")
    assert_refused(ws.connect(g.port, "/engine.io/?EIO=4&transport=polling"), 400, "Bad request")
    assert_refused(ws.connect(g.port, "/engine.io/?EIO=4&transport=x"), 400, "Transport unknown")
    local s = open()
    assert_refused(ws.connect(g.port, "/engine.io/?EIO=4&transport=polling&sid=" .. s.sid), 400, "Bad request")
    assert_refused(ws.connect(g.port, "/second/?EIO=4&transport=websocket&sid=" .. s.sid), 400, "Session ID unknown")
    assert.equal(426, ws.connect(g.port, "/engine.io/?EIO=4&transport=websocket", { version = "7" }).status)
    s:post "4still"
    assert.equal("4still", s:poll())
  end)
end)

describe("an Engine.IO session", function()
  setup(function() g = engineio.start() end)
  teardown(gateway.stop_all)

  it("moves from polling to a WebSocket", function()
    for _, version in ipairs { 3, 4 } do
      local s = open("/engine.io", { version = version })
      local poll = s:waiting_poll()
      local w = s:websocket()
      w:send "2probe"
      assert.equal("3probe", w:receive())
      assert.equal(version == 3 and "1:6" or "6", poll:read().body) -- so that the client can move
      w:send "5"
      w:send "4there"
      assert.equal("4there", w:receive())
      w:send "4protocol"
      assert.equal("4websocket", w:receive())
      local r = s:get()
      assert.equal(400, r.status)
      assert.equal('{"code":3,"message":"Bad request"}', r.body)
      assert.equal(400, s:post("4x").status)
      w:send "4still"
      assert.equal("4still", w:receive())
      poll:close()
      w:close()
      assert.truthy(s:is_gone())
    end
  end)

  it("goes on polling until the client has moved", function()
    local s = open()
    local w = s:websocket()
    s:post "4one"
    assert.equal("4one", s:poll())
    w:send "2probe"
    assert.equal("3probe", w:receive())
    s:post "4two"
    assert.equal("4two", s:poll())
    assert.equal("6", s:poll()) -- nothing is there, and no poll is held
    s:post "4three\x1ebAAE="
    w:send "5"
    assert.equal("4three", w:receive())
    assert.same({ "\0\1", "binary" }, { receive(w) })
    w:close()
  end)

  it("ends a poll that is still there when its client moves", function()
    local s = open()
    local w = s:websocket()
    w:send "2probe"
    assert.equal("3probe", w:receive())
    w:send "5"
    w:send "4moved"
    assert.equal("4moved", w:receive())
    assert.equal(400, s:get().status)
    w:close()
  end)

  it("moves once", function()
    local s = open()
    local w = s:upgrade()
    local second = s:websocket()
    assert.equal(101, second.status)
    second:send "2probe"
    assert.is_nil((second:receive()))
    w:send "4still"
    assert.equal("4still", w:receive())
    w:close()
  end)

  it("is tried by one WebSocket at a time", function()
    local s = open()
    local first, second = s:websocket(), s:websocket()
    assert.is_nil((second:receive()))
    first:send "2probe"
    assert.equal("3probe", first:receive())
    first:send "5"
    first:send "4there"
    assert.equal("4there", first:receive())
    first:close()
  end)

  it("polls on when a WebSocket comes to nothing", function()
    local scripts = {
      { "5" }, { "2probe", "2probe" }, { "2" }, { "4hello" }, { "3probe" }, { "2probe", "4hello" }, { "2probe", "6" },
      { "" }, { "2probe", "5 " }, { "2probe1" }, { "1" }, { "2probe", "1" },
    }
    for _, packets in ipairs(scripts) do
      local s = open()
      local w = s:websocket()
      for _, packet in ipairs(packets) do w:send(packet) end
      assert.equal(1005, (w:wait_close()) or 1005)
      assert.is_true(w.closing)
      s:post "4still"
      assert.equal("4still", s:poll())
      local again = s:upgrade()
      again:send "4moved"
      assert.equal("4moved", again:receive())
      again:close()
    end
  end)

  -- A WebSocket whose probe was answered: the first that is tried when the one before is known to be gone.
  local function proven(s)
    return assert(wait.for_true(function()
      local w = s:websocket()
      w:send "2probe"
      if w:receive() == "3probe" then return w end
      w.stream:drop()
    end))
  end

  it("polls on when a WebSocket is cut off, whenever that is", function()
    local s = open()
    for round = 1, 20 do
      local w = round % 2 == 0 and proven(s) or s:websocket()
      assert.equal(101, w.status)
      if round % 3 == 0 then w:close() else w.stream:drop() end
      s:post("4" .. round)
      local packet
      repeat packet = s:packets(1)[1] until packet ~= "6"
      assert.equal("4" .. round, packet)
    end
    local w = proven(s)
    w:send "5"
    w:send "4moved"
    assert.equal("4moved", w:receive())
    w:close()
  end)

  it("polls on when a WebSocket takes too long", function()
    for _, probes in ipairs { false, true } do
      local s = open "/quick"
      local w = s:websocket()
      if probes then
        w:send "2probe"
        assert.equal("3probe", w:receive())
      end
      local began = wait.now()
      assert.is_nil((w:receive()))
      assert.is_true(wait.now() - began >= 0.15)
      assert.is_true(w.closing)
      repeat
        local packet = s:packets(1)[1]
        if packet == "2" then s:post "3" end
      until packet == "2"
      s:post "4still"
      assert.equal("4still", s:packets(1)[1])
    end
  end)

  it("closes its WebSocket with it", function()
    local s = open()
    local w = s:websocket()
    w:send "2probe"
    assert.equal("3probe", w:receive())
    s:post "4close"
    assert.is_nil((w:receive()))
    assert.is_true(w.closing)
    assert.equal("1", s:poll())
    assert.truthy(s:is_gone())
  end)

  it("ends when the WebSocket does that it has moved to", function()
    for _, act in ipairs {
      function(w) w:close() end, function(w) w.stream:drop() end, function(w) w:send "1" end,
      function(w) w:send "x" end, function(w) w:send "4close" end,
    } do
      local s = open()
      act(s:upgrade())
      assert.truthy(s:is_gone())
    end
  end)

  it("loses and doubles nothing on its way, whenever it moves", function()
    for round = 1, 25 do
      local s = open()
      local got, sent = {}, 0
      local function send(n)
        local packets = {}
        for i = 1, n do
          sent = sent + 1
          packets[i] = "4" .. sent
        end
        if n > 0 then s:post(table.concat(packets, "\x1e")) end
      end
      local function take(payload)
        for _, packet in ipairs(engineio.decode(payload)) do if packet ~= "6" then got[#got + 1] = packet end end
      end
      send(round % 5)
      local poll = s:waiting_poll()
      local w = s:websocket()
      w:send "2probe"
      send(round % 3)
      assert.equal("3probe", w:receive())
      take(poll:read().body)
      send(round % 4)
      w:send "5"
      for _ = 1, 3 do
        sent = sent + 1
        w:send("4" .. sent)
      end
      while #got < sent do got[#got + 1] = assert(w:receive()) end
      for i = 1, sent do assert.equal("4" .. i, got[i]) end
      poll:close()
      w:close()
    end
  end)

  it("leaves nothing behind", function()
    local before = g:fds()
    for _ = 1, 20 do
      local s = open()
      local w = s:websocket()
      w:send "2probe"
      http.raw(g.port, "GET /engine.io/?EIO=4&transport=polling&sid=" .. s.sid .. " HTTP/1.1\r\nHost: x\r\n\r\n", { stop = "6" })
      w.stream:drop()
    end
    assert.truthy(wait.for_true(function() return g:fds() <= before end))
    assert.equal(0, g:stop())
    g = engineio.start()
  end)
end)
