-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("access", function()
  local site, ann, bob
  before_each(function()
    site = spec.site "access"
    ann = assert(site:connect { query = { name = "ann" } })
    bob = assert(site:connect { query = { name = "bob", team = "red" } })
  end)
  after_each(function() site:close() end)

  it("lets everybody hear what is public, and the staff say it", function()
    assert.is_true(bob:subscribe "public:news")
    assert.same({ nil, "staff speaks here" }, { bob:publish("public:news", "me") })
    assert.is_true(ann:publish("public:news", "closed on Sunday"))
    assert.equal("closed on Sunday", bob:receive(5).data)
  end)

  it("keeps teams and the staff to themselves", function()
    assert.is_true(bob:subscribe "team:red")
    assert.same({ nil, "members only" }, { bob:subscribe "team:blue" })
    assert.same({ nil, "members only" }, { ann:subscribe "team:red" })
    assert.same({ nil, "members only" }, { bob:subscribe "staff" })
    assert.is_true(ann:subscribe "staff")
    assert.same({ nil, "members only" }, { bob:subscribe "elsewhere" })
  end)

  it("lets the staff broadcast", function()
    bob:subscribe "team:red"
    assert.is_true(ann:broadcast "fire drill")
    assert.equal("fire drill", bob:receive(5).data)
    assert.same({ nil, "Forbidden" }, { bob:broadcast "me" })
  end)
end)
