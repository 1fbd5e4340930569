-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("echo", function()
  local site
  before_each(function() site = spec.site "echo" end)
  after_each(function() site:close() end)

  it("sends raw messages back, texts and bytes", function()
    local raw = assert(site:connect { endpoint = "/ws" })
    raw:send "hello"
    assert.same({ "hello", false }, { raw:receive(5) })
    raw:send("\0\1\2", true)
    assert.same({ "\0\1\2", true }, { raw:receive(5) })
  end)

  it("answers a call with what it was given", function()
    local client = assert(site:connect())
    assert.same({ n = 1, list = { "a", true } }, client:rpc("echo", { n = 1, list = { "a", true } }))
  end)
end)
