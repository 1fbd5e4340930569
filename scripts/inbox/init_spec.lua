-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("inbox", function()
  local site

  before_each(function() site = spec.site "inbox" end)
  after_each(function() site:close { leaks = true } end)

  local function come(user, device)
    return assert(site:connect { namespace = true, query = { user = user, deviceId = device } })
  end

  it("lets users in, and nobody else", function()
    assert.same({ name = "ann", rooms = { "user_ann", "team" } }, come("ann", "laptop").auth)
    assert.same({ nil, "Forbidden" }, { site:connect { namespace = true, query = { user = "a b" } } })
  end)

  it("sends to a user's devices, and to all of the team", function()
    local laptop, bob = come("ann", "laptop"), come("bob", "phone")
    local got = {}
    laptop:on("mail", function(mail) got[#got + 1] = mail.text end) -- and acknowledges it
    bob:on("mail", function(mail) got[#got + 1] = mail.from end)
    assert.is_true((bob:emitWithAck("send", "ann", "hello")))
    site:settle()
    assert.same({ "hello" }, got)
    assert.is_true((laptop:emitWithAck("send", "team", "to all")))
    site:settle()
    table.sort(got)
    assert.same({ "ann", "hello", "to all" }, got)
  end)
end)
