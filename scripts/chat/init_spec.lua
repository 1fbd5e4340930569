-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("chat", function()
  local site, ann, bob

  before_each(function()
    site = spec.site "chat"
    ann = assert(site:connect { namespace = true, credentials = { name = "ann" } })
    bob = assert(site:connect { namespace = true, credentials = { name = "bob" } })
  end)
  after_each(function() site:close() end)

  it("wants a name", function()
    assert.same({ nil, "who are you?" }, { site:connect { namespace = true } })
  end)

  it("tells the others in a room", function()
    assert.same({ joined = "kitchen" }, (ann:emitWithAck("join", "kitchen")))
    assert.same({ joined = "kitchen" }, (bob:emitWithAck("join", "kitchen")))
    assert.same({ event = "came", args = { "kitchen", "bob" } }, ann:receive(5))
    assert.same({ said = true }, (bob:emitWithAck("say", "kitchen", "hello")))
    assert.same({ event = "said", args = { "kitchen", "bob", "hello" } }, ann:receive(5))
    ann:emit("typing", "kitchen")
    assert.same({ event = "typing", args = { "kitchen", "ann" } }, bob:receive(5))
    assert.same({}, ann:messages())
  end)

  it("is for those who are in the room", function()
    ann:emitWithAck("join", "kitchen")
    assert.same({ error = "join first" }, (bob:emitWithAck("say", "kitchen", "hello")))
    assert.same({ error = "bad_channel" }, (bob:emitWithAck("join", "a b")))
    assert.same({}, ann:messages())
  end)
end)
