-- SPDX-License-Identifier: MIT
-- What the black-box specs stand on, where it can be wrong without anybody noticing.

local gateway = require "spec.support.gateway"
local digest = require "moonlatch.spec.digest"
local ws = require "spec.support.ws"

local hex = digest.hex

describe("the harness", function()
  it("computes SHA-1", function()
    assert.equal("da39a3ee5e6b4b0d3255bfef95601890afd80709", hex(digest.sha1("")))
    assert.equal("a9993e364706816aba3e25717850c26c9cd0d89d", hex(digest.sha1("abc")))
    assert.equal("34aa973cd4c4daa4f61eeb2bdbad27316534016f", hex(digest.sha1(string.rep("a", 1000000))))
  end)

  it("writes tables as Lua source that gives them again", function()
    local conf = {
      path = "/", ["a-b"] = "quote \" backslash \\ line\nend", on = true, number = 1.5,
      list = { { path = "/ws", auth = "none" }, { path = "/x" } },
    }
    assert.same(conf, load("return " .. gateway.source(conf))())
  end)

  it("frames as RFC 6455 section 5.7 shows it", function()
    assert.equal("818537fa213d7f9f4d5158", hex(ws.frame_bytes(1, "Hello", { mask = "\x37\xfa\x21\x3d" })))
    assert.equal("810548656c6c6f", hex(ws.frame_bytes(1, "Hello", { mask = false })))
    assert.equal("010348656c", hex(ws.frame_bytes(1, "Hel", { mask = false, fin = false })))
    assert.equal("827e0100", hex(ws.frame_bytes(2, string.rep("x", 256), { mask = false }):sub(1, 4)))
    assert.equal("827f0000000000010000", hex(ws.frame_bytes(2, string.rep("x", 65536), { mask = false }):sub(1, 10)))
  end)
end)
