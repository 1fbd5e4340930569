-- SPDX-License-Identifier: MIT
-- The token route, to the byte: what clients of node-token-sockjs ask, over XHR and JSONP, and what they
-- are answered. What authentication sees and may say stands in login_spec.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local token = require "spec.support.token"

local SITE = [[
local site = {}

function site.authentication(req)
  if req.query.fail then return nil, "backend \u{2028}\u{2029}</script> down" end
  return req.query.user and { name = req.query.user, query = req.query, cookie = req.cookies.sid }
end

site.controllers = {
  who = function(auth) return auth end,
  where = function(_, _, socket) return { host = socket.host, ip = socket.ip, ips = socket.ips } end,
}

return site
]]

local UUID = "%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x"

local g

local function start(conf, path)
  local site = { path = path or "/", token = conf, origins = { "https://listed.example" } }
  g = gateway.start { sites = { main = site }, scripts = { main = SITE } }
end

-- query with its "?"; options as for http.get, or the headers.
local function get(query, headers, options)
  options = options or {}
  options.headers = headers
  return http.get(g.port, (options.path or "/socket/token") .. query, options)
end

local function assert_json(r, status, body)
  assert.equal(status, r.status)
  assert.equal("application/json; charset=utf-8", r.headers["content-type"])
  if body then assert.equal(body, r.body) end
end

local function assert_script(r, status, body)
  assert.equal(status, r.status)
  assert.equal("text/javascript; charset=utf-8", r.headers["content-type"])
  assert.equal("nosniff", r.headers["x-content-type-options"])
  if body then assert.equal(body, r.body) end
end

describe("the token route", function()
  setup(function() start { jsonp = true } end)
  teardown(function() assert.equal(0, g:stop()) end)

  it("issues a token that nobody keeps", function()
    local r = get "?user=ann"
    assert_json(r, 200)
    assert.truthy(r.body:find('^{"token":"' .. UUID .. '"}$'), r.body)
    assert.equal(tostring(#r.body), r.headers["content-length"])
    assert.equal("no-store", r.headers["cache-control"])
    assert.is_nil(r.headers.etag)
    assert.is_nil(r.headers["access-control-allow-origin"])
    assert.is_nil(r.headers["set-cookie"])
  end)

  it("takes a query of nothing, as clients without parameters send it", function()
    for _, query in ipairs { "", "?" } do assert_json(get(query), 403, '{"error":"Forbidden"}') end
    assert_script(get "?callback=cb&", 403, "/**/ typeof cb === 'function' && cb({\"error\":\"Forbidden\"});")
  end)

  it("says what failed", function()
    assert_json(get "?fail=1", 500, '{"error":"backend \\u2028\\u2029</script> down"}')
  end)

  it("answers HEAD like GET, OPTIONS with what there is, and knows no other", function()
    local head = get("?user=ann", nil, { method = "HEAD" })
    assert_json(head, 200, "")
    assert.equal(tostring(#'{"token":"01234567-89ab-4cde-8f01-23456789abcd"}'), head.headers["content-length"])
    assert.equal(403, get("", nil, { method = "HEAD" }).status)
    local options = get("", nil, { method = "OPTIONS" })
    assert.same({ 200, "GET,HEAD" }, { options.status, options.headers.allow })
    for _, method in ipairs { "POST", "PUT", "DELETE", "PATCH" } do
      assert.equal(404, get("?user=ann", nil, { method = method, body = "" }).status)
    end
  end)

  it("reads nested parameters and cookies", function()
    local c = assert(token.login(g.port, {
      query = "user=a%40b.c&nested%5Bx%5D=1&nested%5By%5D%5B0%5D=p&nested%5By%5D%5B1%5D=q&empty=&list%5B1%5D=only",
      token_headers = { Cookie = "other=1; sid=s%3A1", Accept = "application/json", Origin = "https://listed.example" },
    }))
    assert.same({
      name = "a@b.c", cookie = "s:1",
      query = { user = "a@b.c", nested = { x = "1", y = { "p", "q" } }, empty = "", list = { "only" } },
    }, (c:rpc("who")))
    assert.same({ host = "127.0.0.1", ip = "127.0.0.1", ips = {} }, (c:rpc("where")))
    c:close()
  end)

  it("answers JSONP", function()
    local name = "token_callback_1795223896989_w856l438ue"
    local r = get("?callback=" .. name .. "&user=ann")
    assert_script(r, 200)
    local id = r.body:match("^/%*%*/ typeof " .. name .. " === 'function' && " .. name .. '%({"token":"(' .. UUID .. ')"}%);$')
    assert.truthy(id, r.body)
    assert.equal("no-store", r.headers["cache-control"])
    local c = assert(token.login(g.port, { token = id }))
    assert.equal("ann", c:rpc("who").name)
    c:close()
  end)

  it("calls back only by a name", function()
    for given, name in pairs {
      ["x;alert(1)"] = "xalert1", ["a.b[0].$c_D"] = "a.b[0].$c_D", ["%3Cscript%3E"] = "script", ["cb&callback=second"] = "cb",
      ["a%0d%0ab"] = "ab", ["%C3%BCx"] = "x", ["a+b"] = "ab",
    } do
      assert_script(get("?callback=" .. given), 403, "/**/ typeof " .. name .. " === 'function' && " .. name .. '({"error":"Forbidden"});')
    end
  end)

  it("answers JSON where the callback has no name", function()
    for _, given in ipairs { "callback=", "callback", "callback=%28%29", "Callback=x", "xcallback=x" } do
      assert_json(get("?" .. given), 403, '{"error":"Forbidden"}')
    end
  end)

  it("refuses a callback without end", function()
    assert_json(get("?user=ann&callback=" .. ("x"):rep(129)), 400, '{"error":"callback is too long"}')
    assert_script(get("?user=ann&callback=" .. ("x"):rep(128)), 200)
  end)

  it("writes JSON that is JavaScript", function()
    assert_script(get "?callback=cb&fail=1", 500,
      "/**/ typeof cb === 'function' && cb({\"error\":\"backend \\u2028\\u2029</script> down\"});")
  end)
end)

describe("the token route", function()
  after_each(gateway.stop_all)

  it("answers JSONP to known pages only, where its conf says no other", function()
    start()
    local own = "http://127.0.0.1:" .. g.port
    for _, headers in ipairs { { Referer = own .. "/page?x" }, { Origin = own }, { Referer = "https://listed.example/" },
      { Origin = "https://listed.example" }, { ["Sec-Fetch-Site"] = "same-origin" } } do
      assert_script(get("?callback=cb&user=ann", headers), 200)
    end
    for _, headers in ipairs { {}, { Referer = "https://other.example/listed.example" }, { Origin = "null" }, { Origin = "" },
      { Origin = "https://other.example", Referer = own }, { Referer = "https://listed.example.other.example/" },
      { Referer = "nonsense" }, { ["Sec-Fetch-Site"] = "cross-site" } } do
      assert_json(get("?callback=cb&user=ann", headers), 403, '{"error":"Forbidden"}')
    end
  end)

  it("answers no JSONP, where its conf says so", function()
    start { jsonp = false }
    assert_json(get("?callback=cb&user=ann", { Referer = "http://127.0.0.1:" .. g.port }), 403, '{"error":"Forbidden"}')
    assert_json(get("?user=ann"), 200)
  end)

  it("answers refused JSONP with 200, where its conf says so", function()
    start { jsonp = true, jsonp_errors = true }
    assert_script(get "?callback=cb", 200, "/**/ typeof cb === 'function' && cb({\"error\":\"Forbidden\"});")
    assert_script(get "?callback=cb&fail=1", 200)
    assert_json(get "", 403, '{"error":"Forbidden"}')
  end)

  it("sends CORS headers to listed origins, where its conf says so", function()
    start { cors = true }
    local r = get("?user=ann", { Origin = "https://listed.example" })
    assert_json(r, 200)
    assert.equal("https://listed.example", r.headers["access-control-allow-origin"])
    assert.equal("true", r.headers["access-control-allow-credentials"])
    assert.equal("Origin", r.headers.vary)
    local other = get("?user=ann", { Origin = "https://other.example" })
    assert_json(other, 403, '{"error":"Forbidden"}')
    assert.is_nil(other.headers["access-control-allow-origin"])
  end)

  it("is where the site's path and its conf put it", function()
    start({ path = "/way/in" }, "/chat")
    assert_json(get("?user=ann", nil, { path = "/chat/way/in" }), 200)
    for _, path in ipairs { "/way/in", "/chat/socket/token", "/socket/token" } do
      assert.equal(404, get("?user=ann", nil, { path = path }).status)
    end
  end)
end)
