-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("rooms", function()
  local site, ann, bob
  before_each(function()
    site = spec.site "rooms"
    ann, bob = assert(site:connect { query = { name = "ann" } }), assert(site:connect { query = { name = "bob" } })
  end)
  after_each(function() site:close() end)

  it("are joined by a call, and tell who is there", function()
    ann:rpc("rooms.join", "lua")
    bob:rpc("rooms.join", "lua")
    local names = ann:rpc("rooms.who", "lua")
    table.sort(names)
    assert.same({ "ann", "bob" }, names)
    assert.same({ joined = "ann" }, ann:receive(5).data)
    assert.same({ joined = "bob" }, ann:receive(5).data)
    assert.same({ nil, "call rooms.join" }, { ann:subscribe "room:other" })
    assert.same({ nil, "no such room" }, { ann:rpc("rooms.join", "*") })
  end)

  it("remember what was said", function()
    ann:rpc("rooms.join", "lua")
    assert.is_true(ann:publish("room:lua", "first"))
    local before = bob:rpc("rooms.join", "lua").before
    assert.equal("first", before[2].message)
    assert.same({ nil, "join first" }, { bob:publish("room:other", "x") })
  end)

  it("are left, and then they are gone", function()
    ann:rpc("rooms.join", "lua")
    bob:rpc("rooms.join", "lua")
    ann:messages()
    assert.is_true(bob:rpc("rooms.leave", "lua"))
    assert.same({ left = "bob" }, ann:receive(5).data)
    assert.is_false(bob:rpc("rooms.leave", "lua")) -- and says nothing to the others
    assert.same({ "ann" }, ann:rpc("rooms.who", "lua"))
    assert.same({}, ann:messages())
    assert.is_true(ann:rpc("rooms.leave", "lua"))
  end)
end)
