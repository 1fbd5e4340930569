-- SPDX-License-Identifier: MIT
-- The rules of the demo site, without a server or against one (moonlatch test --live).

local spec = require "moonlatch.spec"

describe("the demo", function()
  local site

  before_each(function()
    site = spec.site("demo", { options = { staff_key = "moon", rooms = { "lobby", "lua", "staff" } } })
  end)
  after_each(function() site:close() end)

  local function enter(name, key) return assert(site:connect { query = { name = name, key = key } }) end

  it("lets people in by name, and makes staff of who knows the key", function()
    assert.same({ name = "ann", role = "guest" }, enter("ann").auth)
    assert.same({ name = "ann", role = "guest" }, enter("ann", "sun").auth)
    assert.same({ name = "eve", role = "staff" }, enter("eve", "moon").auth)
    for _, query in ipairs { "", "name=", "name=" .. ("x"):rep(21), "name=a%0Ab", "name[a]=b", "key=moon" } do
      local token, status = site:token { query = query }
      assert.same({ nil, 500 }, { token, status }, query)
    end
  end)

  it("keeps guests out of the staff room, and everybody out of rooms there are not", function()
    local ann, eve = enter "ann", enter("eve", "moon")
    assert.is_true(ann:subscribe "lobby")
    assert.is_true(eve:subscribe "staff")
    assert.same({ nil, "not your room" }, { ann:subscribe "staff" })
    assert.same({ nil, "not your room" }, { eve:subscribe "attic" })
    assert.same({ nil, "not your room" }, { ann:publish("staff", { text = "x" }) })
    assert.same({ nil, "Forbidden" }, { eve:broadcast(1) })
  end)

  it("signs what is said with the name of who says it", function()
    local ann, bob = enter "ann", enter "bob"
    bob:subscribe "lobby"
    assert.is_true(ann:publish("lobby", { text = "hi", from = "eve", at = 1 }))
    local said = bob:receive(5).data
    assert.same({ "ann", "hi", false }, { said.from, said.text, said.whisper })
    assert.is_true(math.abs(said.at - site:now()) < 5)
    for _, bad in ipairs { "text", 5, {}, { text = "" }, { text = 5 }, { text = ("x"):rep(501) } } do
      assert.is_nil((ann:publish("lobby", bad)))
    end
    assert.same({}, bob:messages())
  end)

  it("shows whispers to staff and to who whispered", function()
    local ann, bob, eve = enter "ann", enter "bob", enter("eve", "moon")
    for _, client in ipairs { ann, bob, eve } do client:subscribe "lobby" end
    ann:publish("lobby", { text = "psst", whisper = true })
    ann:publish("lobby", { text = "loud" })
    assert.equal("psst", ann:receive(5).data.text)
    assert.equal("psst", eve:receive(5).data.text)
    assert.equal("loud", bob:receive(5).data.text)
  end)

  it("answers calls", function()
    local ann, eve = enter "ann", enter("eve", "moon")
    ann:subscribe "lobby"
    eve:subscribe "lobby"
    assert.same(ann.auth, ann:rpc "whoami")
    assert.same({ { name = "lobby", people = 2 }, { name = "lua", people = 0 }, { name = "staff", people = 0 } }, ann:rpc "rooms")
    assert.same({ nil, "Function not found" }, { ann:rpc "whoam" })
  end)

  it("asks the browser back, and tells the room", function()
    local ann, question = enter "ann", nil
    ann:on("prompt", function(args) question = args; return "blue" end)
    ann:subscribe "lobby"
    assert.equal("told everybody in lobby", ann:rpc("ask.colour", "lobby"))
    assert.same({ question = "Your favourite colour?" }, question)
    assert.same({ from = "ann", text = "likes blue", notice = true }, ann:receive(5).data)
    assert.same({ nil, "not your room" }, { ann:rpc("ask.colour", "staff") })
    ann:on("prompt", function() return { 1 } end)
    assert.same({ nil, "no answer" }, { ann:rpc("ask.colour", "lobby") })
  end)
end)
