-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("counter", function()
  local site
  after_each(function() site:close() end)

  it("counts for all, and tells who listens", function()
    site = spec.site("counter", { store = "redis" })
    local ann, bob = assert(site:connect()), assert(site:connect())
    bob:subscribe "counter"
    assert.equal(0, ann:rpc "read")
    assert.equal(5, ann:rpc("add", 5))
    assert.equal(3, bob:rpc("add", -2))
    assert.equal(3, ann:rpc "read")
    assert.equal(5, bob:receive(5).data)
    assert.equal(3, bob:receive(5).data)
    assert.same({ nil, "an integer from -100 to 100" }, { ann:rpc("add", 1.5) })
  end)

  it("says that there is no Redis", function()
    site = spec.site "counter"
    local ann = assert(site:connect())
    assert.same({ nil, "unavailable" }, { ann:rpc "read" })
    assert.same({ nil, "unavailable" }, { ann:rpc("add", 1) })
  end)
end)
