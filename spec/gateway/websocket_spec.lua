-- SPDX-License-Identifier: MIT
-- WebSocket against the real gateway: the handshake, messages, closing, times. What is refused and
-- compression are in websocket_refusals_spec.lua and websocket_deflate_spec.lua.

local echoes = require "spec.support.echoes"
local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local connect, alive, returns = echoes.connect, echoes.alive, echoes.returns
local assert_closed, ends_with = echoes.assert_closed, echoes.ends_with
local MEGABYTE = 1024 * 1024
local KEY = "dGhlIHNhbXBsZSBub25jZQ=="

describe("the WebSocket", function()
  local g

  setup(function() g = echoes.start() end)
  teardown(gateway.stop_all)

  describe("handshake", function()
    local function request(lines) -- header lines, "-name" to leave one of the usual out
      local usual = { Host = "a", Upgrade = "websocket", Connection = "Upgrade",
        ["Sec-WebSocket-Version"] = "13", ["Sec-WebSocket-Key"] = KEY }
      local out = { "GET /ws HTTP/1.1" }
      for name, value in pairs(lines) do usual[name] = value or nil end
      for name, value in pairs(usual) do out[#out + 1] = name .. ": " .. value end
      return table.concat(out, "\r\n") .. "\r\n\r\n"
    end

    local function answer(lines)
      local got, closed = http.raw(g.port, request(lines), { timeout = 0.3 })
      return tonumber(got:match("^HTTP/1.1 (%d+)")), got, closed
    end

    it("answers with the accept key and with nothing that was not asked for", function()
      local status, head = answer {}
      assert.are.equal(101, status)
      assert.is_truthy(head:find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", 1, true))
      assert.is_nil(head:find("Sec-WebSocket-Extensions", 1, true))
      assert.is_nil(head:find("Sec-WebSocket-Protocol", 1, true))
    end)

    it("W17: wants version 13, a key of 16 bytes, and the right words", function()
      assert.are.equal(101, (answer { Connection = "keep-alive, Upgrade" }))
      assert.are.equal(101, (answer { Upgrade = "WebSocket", Connection = "upgrade" }))
      for _, key in ipairs { "", "dGhlIHNhbXBsZSBub25jZQ=", "AAAA", KEY .. KEY, "dGhlIHNhbXBsZSBub25jZQAA",
        "not base64 at all!!!!!!==" } do
        assert.are.equal(400, (answer { ["Sec-WebSocket-Key"] = key }), key)
      end
      assert.are.equal(400, (answer { ["Sec-WebSocket-Key"] = KEY .. "\r\nSec-WebSocket-Key: " .. KEY }))
      assert.are.equal(400, (answer { ["Sec-WebSocket-Key"] = false }))
      assert.are.equal(400, (answer { Upgrade = "h2c" }))
      assert.are.equal(400, (answer { Connection = "keep-alive" }))
      assert.are.equal(400, (answer { Upgrade = false, Connection = "close" }))
      for _, version in ipairs { "8", "99", "0", "13, 8", "abc" } do
        local status, head = answer { ["Sec-WebSocket-Version"] = version }
        assert.are.equal(426, status, version)
        assert.is_truthy(head:find("Sec-WebSocket-Version: 13\r\n", 1, true))
      end
    end)

    it("W19: closes after a refusal and never reads what stands behind", function()
      local got, closed = http.raw(g.port, request { ["Sec-WebSocket-Version"] = "9" }
        .. "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
      assert.is_true(closed)
      local _, answers = got:gsub("HTTP/1.1 %d", "")
      assert.are.equal(1, answers)
    end)

    it("is not to be had by other methods and on other paths", function()
      assert.are.equal(404, ws.connect(g.port, "/ws/x").status)
      assert.are.equal(101, ws.connect(g.port, "/ws/").status)
      local got = http.raw(g.port, (request {}:gsub("^GET", "POST")))
      assert.matches("^HTTP/1.1 4%d%d ", got)
      alive()
    end)

    it("W16: refuses a header of 60 KB at once", function()
      local before = wait.now()
      local got, closed = http.raw(g.port, request { ["Sec-WebSocket-Protocol"] = "b" .. (" "):rep(60000) .. "x" })
      assert.matches("^HTTP/1.1 431 ", got)
      assert.is_true(closed)
      assert.is_true(wait.now() - before < 0.5)
      assert.are.equal(101, (answer { ["Sec-WebSocket-Protocol"] = "b" .. (" "):rep(7000) .. "x" }))
    end)

    it("confirms the first subprotocol offered that the endpoint speaks", function()
      local function protocol(path, offered)
        return connect(path, { protocols = offered }).headers["sec-websocket-protocol"]
      end
      assert.are.equal("chat.v1", protocol("/small", "other, chat.v1, chat.v2"))
      assert.are.equal("chat.v2", protocol("/small", "chat.v2"))
      assert.is_nil(protocol("/small", "chat"))
      assert.is_nil(protocol("/small"))
      assert.is_nil(protocol("/ws", "chat.v1"))
      assert.are.equal("mine", protocol("/any", "mine, yours"))
    end)

    it("W18: lets no other site's page use its users' cookies", function()
      local bad = {
        "https://evil.example", "null", "file://", "https://good.example.evil.com", "https://evilgood.example",
        "http://good.example", "https://good.example:8443", "good.example", "https://good.example/", "",
        "https://good.example@evil.example",
      }
      for _, path in ipairs { "/asked/ws?user=ann", "/asked/open" } do
        for _, origin in ipairs(bad) do
          assert.are.equal(403, ws.connect(g.port, path, { origin = origin }).status, path .. " " .. origin)
        end
        assert.are.equal(101, ws.connect(g.port, path, { origin = "https://good.example" }).status)
        assert.are.equal(101, ws.connect(g.port, path).status) -- no browser
      end
      connect("/ws", { origin = "https://evil.example" }) -- nothing there that a cookie opens
    end)

    it("lets in whom the script admits by the request, and tells why not", function()
      local w = connect("/asked/ws?user=ann")
      w:send("hi")
      assert.are.equal("ann: hi", (w:receive()))
      assert.are.equal(403, ws.connect(g.port, "/asked/ws").status)
      assert.are.equal(503, ws.connect(g.port, "/asked/ws?user=broken").status)
    end)

    it("survives a client that goes while the script judges", function()
      local got, closed = http.raw(g.port, (request {}:gsub("/ws", "/asked/ws?user=slow", 1)), { timeout = 0.1 })
      assert.are.equal("", got)
      assert.is_false(closed)
      alive()
    end)

    it("reads frames that came right behind the request", function()
      local w = connect("/ws", { raw_first_bytes = ws.frame_bytes(1, "early") .. ws.frame_bytes(1, "bird") })
      assert.are.equal("early", (w:receive()))
      assert.are.equal("bird", (w:receive()))
    end)
  end)

  describe("messages", function()
    it("are echoed in every size", function()
      local w = connect()
      for _, size in ipairs { 0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1000000 } do
        returns(w, ("*"):rep(size), 1)
        returns(w, ("\254"):rep(size), 2)
      end
    end)

    it("are echoed up to 16 MiB, whole and in 65,536 fragments", function()
      local w = connect()
      returns(w, ("\xc3\xbc"):rep(8 * MEGABYTE), 1)
      local piece, bytes = ("x"):rep(64), {}
      for i = 1, 65536 do
        bytes[i] = ws.frame_bytes(i == 1 and 2 or 0, piece, { fin = i == 65536, mask = "abcd" })
      end
      w:write(table.concat(bytes))
      assert.are.equal(64 * 65536, #(w:receive(20)))
    end)

    it("come whole, however they are cut into writes", function()
      local bytes = ws.frame_bytes(1, "one") .. ws.frame_bytes(1, "t", { fin = false })
        .. ws.frame_bytes(0, "", { fin = false }) .. ws.frame_bytes(0, "wo") .. ws.frame_bytes(2, ("x"):rep(200))
      for _, step in ipairs { 1, 7, 1000 } do
        local w = connect()
        for at = 1, #bytes, step do w:write(bytes:sub(at, at + step - 1)) end
        assert.are.equal("one", (w:receive()))
        assert.are.equal("two", (w:receive()))
        assert.are.equal(("x"):rep(200), (w:receive()))
      end
    end)

    it("may have pings and pongs between their fragments", function()
      local w = connect()
      w:frame(1, "frag", { fin = false })
      w:ping("between")
      w:frame(10, "unasked")
      w:frame(0, "ment", { fin = true })
      local payload, opcode = w:receive()
      assert.are.same({ "between", 10 }, { payload, opcode })
      assert.are.equal("fragment", (w:receive()))
    end)

    it("answers pings with their payload, of any size that may be", function()
      local w = connect()
      for _, payload in ipairs { "", "a", "\0\255\254", ("p"):rep(125) } do
        w:ping(payload)
        local got, opcode = w:receive()
        assert.are.same({ payload, 10 }, { got, opcode })
      end
    end)

    it("pass through in their order, many at a time", function()
      local w = connect()
      local bytes = {}
      for i = 1, 1000 do bytes[i] = ws.frame_bytes(1, "message " .. i) end
      w:write(table.concat(bytes))
      for i = 1, 1000 do assert.are.equal("message " .. i, (w:receive())) end
    end)
  end)

  describe("closing", function()
    it("W12: echoes valid codes and answers others with 1002 or 1007", function()
      for _, code in ipairs { 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
        4000, 4999 } do
        local w = connect()
        w:close(code, "reason")
        assert_closed(w, code)
      end
      for _, code in ipairs { 0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535 } do
        ends_with(1002, ws.frame_bytes(8, string.pack(">I2", code)))
      end
      ends_with(1002, ws.frame_bytes(8, "\3"))
      ends_with(1007, ws.frame_bytes(8, "\3\232\xce\xba\xe1\xbd\xb9\xed\xa0\x80"))
      ends_with(1007, ws.frame_bytes(8, "\3\232" .. ("r"):rep(122) .. "\xc3"))
      ends_with(nil, ws.frame_bytes(8, ""))
      ends_with(1000, ws.frame_bytes(8, "\3\232" .. ("r"):rep(121) .. "\xc3\xbc"))
    end)

    it("is ours on TCP, within a second", function()
      local w = connect("/ws", { auto_close = false })
      w:close(1000)
      local frame = w:receive_frame()
      assert.are.same({ 8, "\3\232" }, { frame.opcode, frame.payload })
      local before = wait.now()
      assert.is_true(w:wait_eof(1))
      assert.is_true(wait.now() - before < 0.3)
    end)

    it("W13: hears nothing behind a close frame", function()
      local w = connect()
      w:write(ws.frame_bytes(8, "\3\232") .. ws.frame_bytes(1, "late") .. ws.frame_bytes(8, "\3\233") .. "rubbish")
      assert_closed(w, 1000)
    end)

    it("by the script waits for the client's half, but not for ever", function()
      local w = connect("/ws", { auto_close = false })
      w:send("close me")
      w:send("ignored")
      local frame = w:receive_frame()
      assert.are.same({ 8, "\15\160as you wish" }, { frame.opcode, frame.payload })
      local before = wait.now()
      assert.is_true(w:wait_eof(5))
      local took = wait.now() - before
      assert.is_true(took > 1.5 and took < 3.5)
      w = connect()
      w:send("close me")
      assert_closed(w, 4000)
    end)

    it("W13: survives resets at every moment", function()
      local fds = g:fds()
      local moments = {
        function() end,
        function(w) w:write("\x81") end,
        function(w) w:write(ws.frame_bytes(1, "abc"):sub(1, 8)) end,
        function(w) w:frame(1, "a", { fin = false }) end,
        function(w) w:send("whole") end,
        function(w) w:send(("x"):rep(100000)) end,
        function(w) w:ping("p") end,
        function(w) w:close(1000) end,
        function(w) w:write(ws.frame_bytes(8, "\3\232"):sub(1, 4)) end,
        function(w) w:frame(1, "\xff") end,
        function(w) w:send("close me") end,
        function(w) w:write(ws.frame_bytes(2, "", { length = 1 << 20, wide = 64 }) .. "x") end,
      }
      for _ = 1, 20 do
        for _, moment in ipairs(moments) do
          local w = connect()
          moment(w)
          w:drop()
        end
      end
      alive()
      assert.is_true(wait.for_true(function() return g:fds() <= fds end))
    end)
  end)

  describe("times", function()
    it("pings, and drops who does not answer, without a frame", function()
      local w = connect("/hasty/ws", { auto_pong = false })
      local before = wait.now()
      local frame = w:receive_frame()
      assert.are.equal(9, frame.opcode)
      w:frame(10, frame.payload)
      assert.are.equal(9, w:receive_frame().opcode)
      w:send("alive, but no pong")
      assert.are.equal("alive, but no pong", w:receive_frame().payload)
      local rest, why = w:receive_frame()
      assert.are.same({ nil, "closed" }, { rest, why })
      assert.is_true(wait.now() - before > 0.6)
    end)

    it("do not ping where the endpoint says so", function()
      local w = connect("/hasty/quiet", { auto_pong = false })
      assert.are.same({ nil, "timeout" }, { w:receive_frame(0.5) })
    end)

    it("end a connection at the end of its lifetime, with 1001", function()
      local w = connect("/brief/ws")
      assert_closed(w, 1001)
    end)
  end)
end)
