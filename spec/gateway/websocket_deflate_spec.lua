-- SPDX-License-Identifier: MIT
-- permessage-deflate (RFC 7692) against the real gateway.

local echoes = require "spec.support.echoes"
local gateway = require "spec.support.gateway"
local ws = require "spec.support.ws"

local connect, alive = echoes.connect, echoes.alive
local assert_closed, ends_with = echoes.assert_closed, echoes.ends_with
local MEGABYTE = 1024 * 1024

-- Raw deflate of a million and more zero bytes' worth: one literal, then matches of 258 at distance 1.
-- Eight of those fill 13 bytes, so the middle is a repetition.
local function bomb(bytes)
  local bits = { 0, 1, 0 } -- not final, fixed codes
  local function add(code, length) -- Huffman codes begin with their first bit
    for i = length - 1, 0, -1 do bits[#bits + 1] = code >> i & 1 end
  end
  add(0x30 + 65, 8)
  for _ = 1, 24 do
    add(0xc5, 8)
    add(0, 5)
  end
  local out = {}
  for at = 1, #bits - 7, 8 do
    local byte = 0
    for i = 0, 7 do byte = byte | bits[at + i] << i end
    out[#out + 1] = string.char(byte)
  end
  local all = table.concat(out)
  return all:sub(1, 2) .. all:sub(3, 15):rep(bytes // (8 * 258))
end

describe("WebSocket compression", function()
  local g

  setup(function() g = echoes.start() end)
  teardown(gateway.stop_all)

  local HELLO = "\xf2\x48\xcd\xc9\xc9\x07\x00" -- RFC 7692 7.2.3.1
  local OFFER = "permessage-deflate; client_max_window_bits"

  it("is agreed on as offered: the first offer that can be kept", function()
    local function agreed(path, offers)
      return connect(path, { extensions = offers }).headers["sec-websocket-extensions"]
    end
    local none = "; server_no_context_takeover; client_no_context_takeover"
    assert.are.equal("permessage-deflate" .. none, agreed("/ws", "permessage-deflate"))
    assert.are.equal("permessage-deflate" .. none .. "; client_max_window_bits=12", agreed("/ws", OFFER))
    assert.are.equal("permessage-deflate", agreed("/takeover", OFFER))
    assert.are.equal("permessage-deflate; server_max_window_bits=10",
      agreed("/takeover", "permessage-deflate; server_max_window_bits=10"))
    assert.are.equal("permessage-deflate; client_no_context_takeover; client_max_window_bits=9",
      agreed("/takeover", "permessage-deflate; client_max_window_bits=9; client_no_context_takeover"))
    assert.are.equal("permessage-deflate; server_no_context_takeover",
      agreed("/takeover", "permessage-deflate; server_max_window_bits=8, foo, "
        .. "permessage-deflate; server_no_context_takeover"))
    assert.is_nil(agreed("/small", OFFER))
  end)

  it("W15: is not agreed on when the offer is wrong", function()
    for _, offers in ipairs { "constructor", "__proto__", "permessage-deflate; server_max_window_bits=8",
      "permessage-deflate; server_max_window_bits=16", "permessage-deflate; server_max_window_bits",
      "permessage-deflate; x=1", "permessage-deflate; server_no_context_takeover=1", "permessage-deflate;;", ";",
      ",,,", "\"", "permessage-deflate; client_max_window_bits=\"", ("x, "):rep(2000) } do
      assert.is_nil(connect("/takeover", { extensions = offers }).headers["sec-websocket-extensions"], offers)
    end
    assert.are.equal(431, ws.connect(g.port, "/ws", { extensions = ("x, "):rep(33000) }).status)
  end)

  it("carries messages both ways, with the window kept", function()
    local w = connect("/takeover", { extensions = OFFER })
    w:frame(1, HELLO, { rsv = 4 })
    assert.are.equal("Hello", (w:receive()))
    w:frame(1, "\xf2\x00\x11\x00\x00", { rsv = 4 }) -- 7.2.3.2: refers to the first
    assert.are.equal("Hello", (w:receive()))
    w:frame(1, HELLO:sub(1, 3), { rsv = 4, fin = false })
    w:frame(0, HELLO:sub(4))
    assert.are.equal("Hello", (w:receive()))
    w:send(("long enough to be worth it "):rep(40))
    local first = w:receive_frame()
    assert.are.same({ 4, 1 }, { first.rsv, first.opcode })
    assert.is_true(#first.payload < 200)
    w:send(("long enough to be worth it "):rep(40))
    assert.is_true(#w:receive_frame().payload < 20)
  end)

  it("W15: ends with 1007 at what is no deflate stream, and at bad text inside", function()
    local options = { extensions = OFFER }
    for _, bytes in ipairs { "\xde\xad\xbe\xef", HELLO:sub(1, 4), "\x06", "\x78\xbb\x00\x00\x00\x01\x4b\x4c\x04\x00",
      "\x00\x01\x00\xfe\xff\xff\x00" } do
      ends_with(1007, ws.frame_bytes(1, bytes, { rsv = 4 }), "/takeover", options)
      ends_with(1007, ws.frame_bytes(1, bytes, { rsv = 4 }), "/ws", options)
    end
    local start = ws.frame_bytes(1, HELLO:sub(1, 3), { rsv = 4, fin = false })
    ends_with(1002, start .. ws.frame_bytes(0, "x", { rsv = 4 }), "/ws", options)
    ends_with(1002, ws.frame_bytes(9, "", { rsv = 4 }), "/ws", options)
    ends_with(1002, ws.frame_bytes(1, HELLO, { rsv = 4 }), "/ws")
    alive()
  end)

  it("W14: does not blow up", function()
    local bytes = bomb(64 * MEGABYTE)
    assert.is_true(#bytes < MEGABYTE)
    local before = g:rss()
    for _ = 1, 5 do
      local w = connect("/takeover", { extensions = OFFER })
      w:frame(2, bytes:sub(1, 60000), { rsv = 4 })
      assert_closed(w, 1009)
    end
    local w = connect("/ws", { extensions = OFFER })
    w:frame(2, bytes, { rsv = 4 })
    assert_closed(w, 1009)
    assert.is_true(g:rss() - before < 40 * MEGABYTE)
    alive()
  end)

  it("is the gateway's work, and not on the account of the script that sends", function()
    local large = gateway.start {
      sites = { large = { path = "/", endpoints = { { path = "/ws", transport = "websocket", dialect = "raw",
        compress = true, max_message = "16M" } } } },
      scripts = { large = [[
        local site = {}
        function site.setup(server)
          server:on("message", function(socket, data) socket:send(data) socket:send("and on") end)
        end
        return site]] },
    }
    local pieces = {}
    for i = 1, 65536 do pieces[i] = string.char(math.random(97, 122)) end
    local text = table.concat(pieces):rep(12 * MEGABYTE // 65536)
    local w = ws.connect(large.port, "/ws", { extensions = OFFER })
    w:send(text)
    local echo = w:receive_frame(20)
    assert.are.same({ 4, 1 }, { echo.rsv, echo.opcode })
    assert.are.equal("and on", (w:receive(20)))
    assert.is_nil(large:log():find("script_timeout", 1, true))
  end)
end)
