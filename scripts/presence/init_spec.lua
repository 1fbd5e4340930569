-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("presence", function()
  local site
  before_each(function() site = spec.site "presence" end)
  after_each(function() site:close() end)

  it("tells who is there, and of who comes and goes", function()
    local function enter(name) return assert(site:connect { query = { name = name } }) end
    local ann = enter "ann"
    ann:subscribe "presence"
    local bob = enter "bob"
    assert.same({ name = "bob", tabs = 1 }, ann:receive(5).data)
    local tab = enter "bob"
    assert.same({ name = "bob", tabs = 2 }, ann:receive(5).data)
    assert.same({ ann = 1, bob = 2 }, ann:rpc "online")
    tab:close()
    assert.same({ name = "bob", tabs = 1 }, ann:receive(5).data)
    bob:close()
    assert.same({ name = "bob", tabs = 0 }, ann:receive(5).data)
    assert.same({ ann = 1 }, ann:rpc "online")
    assert.same({}, ann:messages())
    assert.same({ nil, "Forbidden" }, { ann:publish("presence", { name = "eve", tabs = 1 }) })
  end)
end)
