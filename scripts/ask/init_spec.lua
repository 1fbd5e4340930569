-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("ask", function()
  local site
  before_each(function() site = spec.site "ask" end)
  after_each(function() site:close() end)

  it("collects the answers of all, and does not wait for ever", function()
    local asked
    local function enter(name) return assert(site:connect { query = { name = name } }) end
    local ann, bob = enter "ann", enter "bob"
    enter "eve" -- who does not answer
    ann:on("vote", function(args) asked = args.question; return "yes" end)
    bob:on("vote", function() return nil, "I do not vote" end)
    local answers = ann:rpc("poll", { question = "Lua?" })
    table.sort(answers, function(a, b) return a.name < b.name end)
    assert.same({ { name = "ann", answer = "yes" }, { name = "bob", answer = "no answer" }, { name = "eve", answer = "no answer" } },
      answers)
    assert.equal("Lua?", asked)
    assert.same({ nil, "which question?" }, { ann:rpc "poll" })
  end)
end)
