-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

-- Made with: crypto.jwt_sign({ iss = "example", sub = "ann", roles = { "admin" }, exp = ... }, "secret")
local GOOD = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJleGFtcGxlIiwicm9sZXMiOlsiYWRtaW4iXSwic3ViIjoiYW5uIn0."
  .. "FnqNnBXRk5l2UhjU7u9HqooGeX57ZvQmPxq49GLhyj8"
local EXPIRED = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjEwMDAsImlzcyI6ImV4YW1wbGUiLCJzdWIiOiJhbm4ifQ."
  .. "h7JqJDnK1EvZzTDqpsYh8HyLB6VkS-FMXMWDMoLxJxk"

describe("jwt", function()
  local site
  before_each(function() site = spec.site("jwt", { options = { secret = "secret" } }) end)
  after_each(function() site:close() end)

  it("lets in who has a good token, in the header or the query", function()
    local ann = assert(site:connect { headers = { Authorization = "Bearer " .. GOOD } })
    assert.same({ name = "ann", roles = { "admin" } }, ann:rpc "whoami")
    assert.equal("ann", assert(site:connect { query = { jwt = GOOD } }).auth.name)
  end)

  it("says what is wrong with others", function()
    local function why(token) return select(3, site:token { query = { jwt = token } }) end
    assert.same({ error = "no token" }, why(nil))
    assert.same({ error = "malformed" }, why "rubbish")
    assert.same({ error = "signature" }, why(GOOD:sub(1, -2) .. "A"))
    assert.same({ error = "expired" }, why(EXPIRED))
  end)
end)
