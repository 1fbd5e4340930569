-- SPDX-License-Identifier: MIT
-- What no WebSocket peer may send, and floods: the attacks of the threat model, and UTF-8.

local echoes = require "spec.support.echoes"
local gateway = require "spec.support.gateway"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local connect, alive, returns = echoes.connect, echoes.alive, echoes.returns
local assert_closed, ends_with = echoes.assert_closed, echoes.ends_with
local MEGABYTE = 1024 * 1024

describe("the WebSocket refuses", function()
  local g

  setup(function() g = echoes.start() end)
  teardown(gateway.stop_all)

  it("W1: frames without a mask", function()
    ends_with(1002, ws.frame_bytes(1, "x", { mask = false }))
    ends_with(1002, ws.frame_bytes(8, "", { mask = false }))
  end)

  it("W2: reserved bits, also right behind the handshake", function()
    for rsv = 1, 7 do
      for _, opcode in ipairs { 1, 2, 9, 8 } do
        ends_with(1002, ws.frame_bytes(opcode, "x", { rsv = rsv }), "/small")
      end
      local w = connect("/small", { raw_first_bytes = ws.frame_bytes(1, "x", { rsv = rsv }) })
      assert_closed(w, 1002)
    end
    alive()
  end)

  it("W3: opcodes that mean nothing", function()
    for _, opcode in ipairs { 3, 4, 5, 6, 7, 11, 12, 13, 14, 15 } do
      ends_with(1002, ws.frame_bytes(opcode, ""))
      ends_with(1002, ws.frame_bytes(opcode, "x"))
    end
  end)

  it("W4: control frames that are long, fragmented, or written too wide", function()
    ends_with(1002, ws.frame_bytes(9, ("x"):rep(126)))
    ends_with(1002, ws.frame_bytes(9, "x", { fin = false }))
    ends_with(1002, ws.frame_bytes(10, "hello", { wide = 16 }))
    ends_with(1002, ws.frame_bytes(8, ("\3\232" .. ("x"):rep(124))))
    ends_with(1002, ws.frame_bytes(1, "hello", { wide = 16 }))
    ends_with(1002, ws.frame_bytes(1, "hello", { wide = 64 }))
    ends_with(1002, ws.frame_bytes(1, "", { length = math.mininteger, wide = 64 }))
  end)

  it("continuations of nothing and messages inside messages", function()
    ends_with(1002, ws.frame_bytes(0, "x"))
    ends_with(1002, ws.frame_bytes(0, "", { fin = false }))
    ends_with(1002, ws.frame_bytes(1, "a", { fin = false }) .. ws.frame_bytes(1, "b"))
    ends_with(1002, ws.frame_bytes(2, "a", { fin = false }) .. ws.frame_bytes(1, "b", { fin = false }))
  end)

  it("W5: what is announced too large, at once and without memory for it", function()
    local before = g:rss()
    for _, length in ipairs { 1 << 30, math.maxinteger, 16 * MEGABYTE + 1 } do
      for _ = 1, 10 do
        local w = connect()
        w:write(ws.frame_bytes(2, "", { length = length, wide = 64 }))
        assert_closed(w, 1009)
      end
    end
    local open = {}
    for i = 1, 50 do -- allowed, but it never comes
      open[i] = connect()
      open[i]:write(ws.frame_bytes(2, "x", { length = 16 * MEGABYTE, wide = 64 }))
    end
    alive()
    assert.is_true(g:rss() - before < 20 * MEGABYTE)
    for _, w in ipairs(open) do w:hang_up() end
  end)

  it("W6, W7: floods of fragments, empty ones too", function()
    local before = g:rss()
    for _, piece in ipairs { "x", "" } do
      for _ = 1, 50 do
        local w = connect("/small")
        w:write(ws.frame_bytes(1, piece, { fin = false }) .. ws.frame_bytes(0, piece, { fin = false }):rep(2000))
        assert_closed(w, 1009)
      end
    end
    assert.is_true(g:rss() - before < 20 * MEGABYTE)
    local w = connect("/small") -- 64 are as many as may be
    w:write(ws.frame_bytes(1, "a", { fin = false }) .. ws.frame_bytes(0, "b", { fin = false }):rep(62)
      .. ws.frame_bytes(0, "c"))
    assert.are.equal("a" .. ("b"):rep(62) .. "c", (w:receive()))
    w:write(ws.frame_bytes(1, "a", { fin = false }) .. ws.frame_bytes(0, "b", { fin = false }):rep(64))
    assert_closed(w, 1009)
  end)

  it("W8: messages that never end", function()
    for _, bytes in ipairs { ws.frame_bytes(1, "x", { fin = false }), ws.frame_bytes(1, "xyz"):sub(1, 7), "\x81" } do
      local w = connect("/hasty/quiet")
      local before = wait.now()
      w:write(bytes)
      assert_closed(w, 1008)
      assert.is_true(wait.now() - before >= 0.25)
    end
  end)

  it("W9, W10: floods of pings and pongs, from peers that do not read", function()
    local before = g:rss()
    for _, opcode in ipairs { 9, 10 } do
      local flood = ws.frame_bytes(opcode, ("p"):rep(100)):rep(2000)
      for _ = 1, 20 do
        local w = connect("/small", { auto_pong = false })
        for _ = 1, 10 do w:write(flood) end
        w.stream:drop()
      end
      local w = connect("/small")
      w:write(flood)
      assert_closed(w, 1008)
    end
    assert.is_true(g:rss() - before < 20 * MEGABYTE)
    alive()
  end)

  it("more messages than the site allows, after having waited with them", function()
    local w = connect("/hasty/quiet")
    local before = wait.now()
    for _ = 1, 40 do w:send("m") end
    for _ = 1, 40 do assert.are.equal("m", (w:receive())) end
    assert.is_true(wait.now() - before >= 0.2)
    w = connect("/hasty/quiet")
    for _ = 1, 2000 do w:send("m") end
    local got = 0
    while w:receive(7) do got = got + 1 end
    assert.are.equal(1008, w:close_code())
    assert.is_true(got < 400)
    assert.is_true(wait.now() - before < 10)
  end)

  it("W11: text that is not UTF-8, as soon as the byte is there", function()
    for _, text in ipairs {
      "\x80", "\xbf", "\xc0", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf",
      "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xfe", "\xff", "\xed\xa0\x80", "\xed\xbf\xbf",
      "\xf4\x90\x80\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x98",
      "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64", "a\xc3b", "\xc3\xbc\xff",
    } do
      ends_with(1007, ws.frame_bytes(1, text))
      local w = connect()
      for i = 1, #text do w:frame(i == 1 and 1 or 0, text:sub(i, i), { fin = i == #text }) end
      assert_closed(w, 1007)
    end
    local w = connect() -- the frame is not over, nor the message
    w:write(ws.frame_bytes(1, "abc\xff" .. ("d"):rep(1000), { fin = false }):sub(1, 20))
    assert_closed(w, 1007)
  end)

  it("W11: nothing that is UTF-8", function()
    local w = connect()
    for _, text in ipairs {
      "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", "\0", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
      "\xef\xbf\xbf", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
      "\xef\xbf\xbe", "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4",
    } do
      returns(w, text, 1)
      for i = 1, #text do w:frame(i == 1 and 1 or 0, text:sub(i, i), { fin = i == #text }) end
      assert.are.equal(text, (w:receive()))
    end
  end)

  it("W21: binary where the dialect speaks text", function()
    local w = connect("/token")
    w:send_binary("x")
    assert_closed(w, 1003)
  end)
end)
