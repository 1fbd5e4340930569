-- SPDX-License-Identifier: MIT
-- What site.authentication and site.customMiddleware make of a request: the token route, and
-- endpoints with auth = "request".

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local token = require "spec.support.token"
local ws = require "spec.support.ws"

local SITE = [[
local time = require "moonlatch.time"
local site = {}

function site.customMiddleware(req, res)
  if req.query.m == "answer" then
    return res:status(418):set("X-Tea", "pot"):json { tea = true }
  elseif req.query.m == "text" then
    return res:type("text/html"):send("<b>hi</b>")
  elseif req.query.m == "raise" then
    error("secret")
  elseif req.query.m == "later" then
    time.sleep(0.05)
    return res:json { waited = true }
  elseif req.query.m == "bad" then
    res.headers["x\r\ny"] = "z"
    return res:json {}
  elseif req.query.m == "framing" then
    return res:set("Content-Length", "3"):json {}
  end
  req.session = req.cookies.sid and { name = req.cookies.sid, auth = req.cookies.sid ~= "stranger" } or nil
end

function site.authentication(req)
  local how = req.query.how
  if how == "table" then return { name = "ann" } end
  if how == "true" then return true end
  if how == "truthy" then return 1 end
  if how == "false" then return false end
  if how == "nil" then return nil end
  if how == "error" then return nil, "db down" end
  if how == "errortable" then return nil, { message = "db gone", code = 7 } end
  if how == "raise" then error("secret") end
  if how == "loop" then while true do end end
  if how == "list" then return { 1, 2 } end
  if how == "function" then return { f = print } end
  if how == "big" then return { x = ("x"):rep(9000) } end
  if how == "wait" then time.sleep(0.05); return { name = "patient" } end
  if how == "show" then
    return { method = req.method, path = req.path, query = req.query, cookies = req.cookies, ip = req.ip, ips = req.ips,
      host = req.host, agent = req.headers["x-agent"], many = req.headers["x-many"] }
  end
end

site.controllers = {
  auth = function(auth) return auth end,
  show = function(_, _, socket)
    local h = socket.handshake
    return { session = socket.session == socket.auth, ip = socket.ip, ips = socket.ips, host = socket.host,
      protocol = socket.protocol, endpoint = socket.endpoint, created = socket.created > 1.7e9, channels = socket.channels,
      sid = #socket.sid, path = h.path, method = h.method, query = h.query, agent = h.headers["x-agent"] }
  end,
}

return site
]]

describe("the token route", function()
  local g

  setup(function()
    g = gateway.start {
      sites = {
        main = { path = "/", endpoints = {
          { path = "/sockets", transport = "sockjs", dialect = "token" },
          { path = "/ws", transport = "websocket", dialect = "token" },
          { path = "/direct", transport = "websocket", dialect = "token", auth = "request" },
        } },
        named = { path = "/named" }, silent = { path = "/silent" },
      },
      scripts = { main = SITE,
        named = [[return { authentication = "user",
          customMiddleware = function(req) req.session = { user = req.query.user, other = 5 } end,
          controllers = { auth = function(auth) return auth end } }]],
        silent = "return {}",
      },
    }
  end)
  teardown(function() assert.equal(0, g:stop()) end)

  local function get(query, headers)
    local r = http.get(g.port, "/socket/token?" .. query, { headers = headers })
    return r.status, json.decode(r.body), r
  end

  -- The auth data that a login with this query ends up with.
  local function auth_of(query, headers)
    local c = assert(token.login(g.port, { query = query, plain = true, token_headers = headers }))
    local auth = c:rpc("auth")
    c:close()
    return auth
  end

  it("issues a token for a table, which becomes the auth data", function()
    assert.same({ name = "ann" }, auth_of("how=table"))
    assert.same({ name = "patient" }, auth_of("how=wait"))
  end)

  it("takes the session for true, and fails without one", function()
    assert.same({ name = "joe", auth = true }, auth_of("how=true", { Cookie = "sid=joe" }))
    assert.same({ name = "joe", auth = true }, auth_of("how=truthy", { Cookie = "a=b; sid=joe" }))
    assert.equal(500, (get("how=true")))
  end)

  it("refuses false and nil with 403, errors with 500", function()
    for how, expected in pairs { ["false"] = { 403, "Forbidden" }, ["nil"] = { 403, "Forbidden" },
      [""] = { 403, "Forbidden" }, error = { 500, "db down" }, errortable = { 500, "db gone" },
      raise = { 500, "Internal error" }, loop = { 500, "script_timeout" }, list = { 500, "Internal error" },
      ["function"] = { 500, "Internal error" }, big = { 413, "too_large" } } do
      local status, body = get("how=" .. how)
      assert.same(expected, { status, body.error }, how)
    end
  end)

  it("shows the request", function()
    local auth = auth_of("how=show&a%5Bb%5D=1&l[]=x&l[]=y%20z&e=", { ["X-Agent"] = "spec", ["X-Many"] = "1",
      Cookie = "one=1; two=%32; quoted=\"3\"; raw=J\xc3\xb6rg; escaped=J%C3%B6rg" })
    assert.equal("GET", auth.method)
    assert.equal("/socket/token", auth.path)
    assert.same({ how = "show", a = { b = "1" }, l = { "x", "y z" }, e = "" }, auth.query)
    assert.same({ one = "1", two = "2", quoted = "3", raw = "J\xc3\xb6rg", escaped = "J\xc3\xb6rg" }, auth.cookies)
    assert.equal("127.0.0.1", auth.ip)
    assert.same({}, auth.ips)
    assert.is_truthy(auth.host:find("127.0.0.1", 1, true))
    assert.equal("spec", auth.agent)
  end)

  it("lets the middleware answer by itself", function()
    local status, body, r = get("m=answer")
    assert.same({ 418, { tea = true }, "pot" }, { status, body, r.headers["x-tea"] })
    assert.is_truthy(r.headers["content-type"]:find("application/json", 1, true))
    r = http.get(g.port, "/socket/token?m=text")
    assert.same({ 200, "<b>hi</b>", "text/html" }, { r.status, r.body, r.headers["content-type"] })
    assert.same({ 200, { waited = true } }, { (get("m=later")), (select(2, get("m=later"))) })
    for _, how in ipairs { "raise", "bad", "framing" } do
      assert.equal(500, (get("m=" .. how)), how)
    end
    assert.is_true(g:alive())
  end)

  it("takes a name for the field of the session that must be set", function()
    local c = assert(token.login(g.port, { token_path = "/named/socket/token", path = "/named/ws", plain = true,
      query = "user=zoe" }))
    assert.same({ user = "zoe", other = 5 }, (c:rpc("auth")))
    c:close()
    assert.equal(403, http.get(g.port, "/named/socket/token").status)
    assert.equal(403, http.get(g.port, "/silent/socket/token").status)
  end)

  it("refuses too many parameters and cookies", function()
    assert.equal(400, (get(("a=1&"):rep(40))))
    assert.equal(400, (get("how=table", { Cookie = "a=" .. ("x"):rep(5000) })))
  end)

  it("knows what opened a socket", function()
    local c = assert(token.login(g.port, { query = "how=table", path = "/ws?x[y]=1", plain = true,
      headers = { ["X-Agent"] = "spec" } }))
    local s = assert(c:rpc("show"))
    assert.same({ session = true, ip = "127.0.0.1", ips = {}, protocol = "websocket", endpoint = "/ws", created = true,
      channels = {}, sid = 22, path = "/ws", method = "GET", query = { x = { y = "1" } }, agent = "spec", host = s.host }, s)
    c:close()
  end)

  it("judges the opening of an endpoint with auth = request", function()
    local w = ws.connect(g.port, "/direct?how=table")
    assert.equal(101, w.status)
    w:send('{"rpc":"auth2","uuid":"1"}')
    assert.is_truthy(w:receive(2):find("Function not found", 1, true))
    w:send('{"rpc":"auth","uuid":"2"}')
    assert.equal('{"rpc":"auth","uuid":"2","resp":{"name":"ann"}}', w:receive(2))
    w:close(1000)
    assert.equal(403, ws.connect(g.port, "/direct?how=false").status)
    assert.is_true(ws.connect(g.port, "/direct?how=raise").status >= 500)
  end)
end)

describe("the log, in the first hour,", function()
  after_each(gateway.stop_all)

  it("says which page a token was refused to, and which setting would let it in", function()
    local g = gateway.start { sites = { s = { path = "/", origins = { "https://shop.example" } },
      shut = { path = "/shut", token = { jsonp = false } } }, scripts = { s = "return {}", shut = "return {}" } }
    local function ask(path, headers) return http.get(g.port, path, { headers = headers }).status end
    assert.are.equal(403, ask("/socket/token", { Origin = "https://evil.example" }))
    assert.is_truthy(g:wait_log([[msg="origin refused" site=s origin=https://evil.example hint="list it in origins of the site's conf"]]))
    assert.are.equal(403, ask("/socket/token?callback=f", { Referer = "https://frame.example/page" }))
    assert.is_truthy(g:wait_log("origin=https://frame.example hint=\"list it in origins"))
    assert.are.equal(403, ask("/socket/token?callback=f", {}))
    assert.is_truthy(g:wait_log('origin=none hint="its page does not say where it is from; see its Referrer-Policy"'))
    assert.are.equal(403, ask("/shut/socket/token?callback=f", {}))
    assert.is_truthy(g:wait_log([[msg="origin refused" site=shut origin=none hint="token.jsonp of the site's conf is false"]]))
  end)

  it("says which controller a wrong name may have meant, and why a token may not be there", function()
    local g = gateway.start { sites = { s = { path = "/" } }, scripts = { s = [[
      local site = {}
      function site.authentication() return { name = "x" } end
      site.controllers = { user = { rename = function() return 1 end } }
      return site]] } }
    local c = assert(token.login(g.port, {}))
    for _ = 1, 3 do assert.are.equal("Function not found", select(2, c:rpc("user.renmae"))) end
    assert.is_truthy(g:wait_log('there is \\"user.rename\\"'))
    assert.are.equal(1, select(2, g:log():gsub("user.renmae", "")))
    c:rpc("quite.different")
    assert.is_truthy(g:wait_log('called \\"quite.different\\", and there is no such controller in scripts/s/init.lua'))
    local stranger = token.connect(g.port)
    stranger:authenticate("53932aab-fbc1-4d14-9f1b-bb8a38dfaef4")
    assert.is_truthy(g:wait_log('msg="token not found" site=s ip=127.0.0.1 hint="it was used already, is older than token.ttl'))
    token.connect(g.port):authenticate("ann")
    assert.is_truthy(g:wait_log('msg="no token" site=s ip=127.0.0.1 hint="what came in its place is not what the token route gives"'))
  end)
end)
