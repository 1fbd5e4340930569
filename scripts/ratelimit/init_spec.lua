-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("ratelimit", function()
  local site
  before_each(function() site = spec.site("ratelimit", { options = { calls = 3, seconds = 1 } }) end)
  after_each(function() site:close() end)

  it("counts the calls of a user on all sockets, and begins anew", function()
    local ann, again = assert(site:connect { query = { name = "ann" } }), assert(site:connect { query = { name = "ann" } })
    local bob = assert(site:connect { query = { name = "bob" } })
    for _ = 1, 2 do assert.equal("a long report for ann", ann:rpc "report") end
    assert.equal("a long report for ann", again:rpc "report")
    assert.same({ nil, { code = "rate", message = "3 calls in 1 seconds" } }, { ann:rpc "report" })
    assert.equal("a long report for bob", bob:rpc "report")
    assert.equal("as often as you like", ann:rpc "cheap")
    site:pass(1.1)
    assert.equal("a long report for ann", ann:rpc "report")
  end)
end)
