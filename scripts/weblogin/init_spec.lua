-- SPDX-License-Identifier: MIT
local spec = require "moonlatch.spec"

describe("weblogin", function()
  local site, asked
  before_each(function()
    asked = {}
    site = spec.site("weblogin", { options = { api = spec.backend(function(req)
      asked[#asked + 1] = req.path
      if req.path == "/sessions/odd" then return { body = "<p>moved" } end
      if req.path == "/sessions/good" then return { json = { name = "ann" } } end
      return { status = 404 }
    end) } })
  end)
  after_each(function() site:close() end)

  it("asks the backend who it is, and not again at once", function()
    local ann = assert(site:connect { cookies = { session = "good" } })
    assert.same({ name = "ann" }, ann:rpc "whoami")
    assert(site:connect { cookies = { session = "good" } })
    assert.same({ "/sessions/good" }, asked)
  end)

  it("refuses who the backend does not know", function()
    assert.same({ nil, 403, { error = "Forbidden" } }, { site:token { cookies = { session = "bad" } } })
    assert.same({ nil, 500, { error = "not logged in" } }, { site:token {} })
  end)

  it("asks for nothing that cannot be a session", function()
    for _, session in ipairs { "../admin", "..", "", ("x"):rep(2000) } do
      assert.same({ nil, 500, { error = "not logged in" } }, { site:token { cookies = { session = session } } })
    end
    assert.same({}, asked)
  end)

  it("keeps no answer that is no user", function()
    for _ = 1, 2 do assert.same({ nil, 500, { error = "unavailable" } }, { site:token { cookies = { session = "odd" } } }) end
    assert.same({ "/sessions/odd", "/sessions/odd" }, asked)
  end)
end)
