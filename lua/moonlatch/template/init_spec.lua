-- SPDX-License-Identifier: MIT
-- What NAME promises. `moonlatch test` runs this without a server, `moonlatch test --live` against a
-- real one, over real connections.

local spec = require "moonlatch.spec"

describe("NAME", function()
  local site

  before_each(function() site = spec.site("NAME", { options = { staff = { "ann" } } }) end)
  after_each(function() site:close() end)

  it("lets in who has a name", function()
    local ann = site:connect { query = { name = "ann" } }
    assert.equal("ann", ann.auth.name)
    assert.is_nil((site:token { query = {} }))
  end)

  it("keeps the staff room for the staff", function()
    local ann = site:connect { query = { name = "ann" } }
    local bob = site:connect { query = { name = "bob" } }
    assert.is_true(ann:subscribe("staff"))
    local joined, err = bob:subscribe("staff")
    assert.is_nil(joined)
    assert.equal("staff only", err)
  end)

  it("says hello, and tells the room", function()
    local ann = site:connect { query = { name = "ann" } }
    local bob = site:connect { query = { name = "bob" } }
    assert.is_true(bob:subscribe("lobby"))
    assert.equal("hello, ann", ann:rpc("hello", { room = "lobby" }))
    assert.same({ channel = "lobby", data = { text = "ann says hello" } }, bob:receive(5))
  end)
end)
