-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("filter", function()
  local site, clients
  before_each(function()
    site, clients = spec.site "filter", {}
    for _, role in ipairs { "staff", "member", "guest" } do
      clients[role] = assert(site:connect { query = { name = role, role = role } })
      clients[role]:subscribe "offers"
    end
  end)
  after_each(function() site:close() end)

  it("shows each role what is for it", function()
    clients.staff:publish("offers", { item = "lamp", price = 20, cost = 11 })
    assert.same({ item = "lamp", price = 20, cost = 11, from = "staff" }, clients.staff:receive(5).data)
    assert.same({ item = "lamp", price = 20, from = "staff" }, clients.member:receive(5).data)
    assert.same({ item = "lamp", from = "staff" }, clients.guest:receive(5).data)
  end)

  it("keeps away who was muted", function()
    assert.same({ nil, "whom?" }, { clients.guest:rpc "mute" })
    assert.is_true(clients.guest:rpc("mute", "member"))
    clients.member:publish("offers", { text = "hello" })
    assert.equal("hello", clients.staff:receive(5).data.text)
    assert.same({}, clients.guest:messages())
    clients.staff:publish("offers", { text = "still there" })
    assert.equal("still there", clients.guest:receive(5).data.text)
  end)
end)
