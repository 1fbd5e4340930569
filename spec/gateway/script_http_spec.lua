-- SPDX-License-Identifier: MIT
-- moonlatch.http against a backend that behaves and misbehaves: SECURITY.md A9, C7, C8, C10 to C12, RELIABILITY.md R-BACKEND.

local backend = require "spec.support.backend"
local fleet = require "spec.support.fleet"
local gateway = require "spec.support.gateway"
local json = require "dkjson"
local redis = require "spec.support.redis"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local SCRIPT = [[
  local http = require "moonlatch.http"
  local task = require "moonlatch.task"
  local time = require "moonlatch.time"
  local site = {}
  function site.authentication(req)
    if not req.query.ask then return { name = "x" } end
    local res, code = http.request { url = site.options.url .. req.query.ask, headers = { authorization = "Bearer " .. req.query.ask } }
    if not res then return nil, code end
    return res.status == 200 and res:json()
  end
  site.controllers = {
    echo = function(_, data) return data end,
    ask = function(_, options)
      local res, code, why = http.request(options)
      if not res then return { code = code, why = why } end
      local decoded = res:json()
      return { status = res.status, headers = res.headers, body = res.body, json = decoded }
    end,
    size = function(_, url)
      local res, code = http.get(url)
      return res and #res.body or code
    end,
    misuse = function(_, options)
      local ok, err = pcall(function()
        local res = http.request(options)
        return res
      end)
      return { ok, not ok and err or "" }
    end,
    -- The second request is made in the very turn in which the first is answered, but later.
    at_once = function(_, options)
      local first = http.get(options.first)
      local till = time.monotonic() + 0.2
      while time.monotonic() < till do end
      local res, code, why = http.post(options.second)
      return { first.body, res and res.body or code .. ": " .. why }
    end,
    given_up = function(_, url)
      local handle = task.spawn(function() http.get(url) end)
      handle:wait(0.1)
      handle:cancel()
      return select(2, handle:wait())
    end,
    encode = function(_, value) return { http.encode(value), http.escape("a/b c?d=ü") } end,
  }
  return site]]

local function start(limits, extra)
  local conf = { sites = { s = { path = "/", options = { url = "http://127.0.0.1:1" } } }, scripts = { s = SCRIPT },
    gateway = { limits = limits } }
  for key, value in pairs(extra or {}) do conf[key] = value end
  return gateway.start(conf)
end

local function login(g) return assert(token.login(g.port, {})) end

describe("moonlatch.http", function()
  local b

  before_each(function() b = backend.start() end)
  after_each(function()
    fleet.stop_all()
    backend.stop_all()
  end)

  it("sends what it is asked to, and reads the answer", function()
    local c = login(start())
    local function echoed(options)
      options.url = b.url .. (options.url or "/echo")
      return json.decode(c:rpc("ask", options).body)
    end
    local seen = echoed {}
    assert.are.same({ "GET", "/echo", "" }, { seen.method, seen.target, seen.body })
    assert.are.same({ host = "127.0.0.1:" .. b.port, ["user-agent"] = "moonlatch" }, seen.headers)
    seen = echoed { json = { a = { 1, 2.5, "x" } }, headers = { ["X-One"] = "1" } }
    assert.are.same({ "POST", '{"a":[1,2.5,"x"]}', "application/json", "1", "17" }, { seen.method, seen.body,
      seen.headers["content-type"], seen.headers["x-one"], seen.headers["content-length"] })
    seen = echoed { form = { a = "b c", d = { e = "ü&" } }, method = "PUT" }
    assert.are.same({ "PUT", "a=b%20c&d%5Be%5D=%C3%BC%26" }, { seen.method, seen.body })
    seen = echoed { url = "/echo?x=1", query = { y = "a&b=c", z = { 1, 2 } } }
    assert.are.equal("/echo?x=1&y=a%26b%3Dc&z%5B1%5D=1&z%5B2%5D=2", seen.target)
    seen = echoed { body = "plain", method = "DELETE", headers = { ["content-type"] = "text/x" } }
    assert.are.same({ "DELETE", "plain", "text/x" }, { seen.method, seen.body, seen.headers["content-type"] })
    local answer = c:rpc("ask", { url = b.url .. "/status/404" })
    assert.are.same({ 404, "status 404" }, { answer.status, answer.body })
    assert.are.same({ 204, "" }, { c:rpc("ask", { url = b.url .. "/status/204", method = "HEAD" }).status, "" })
    answer = c:rpc("ask", { url = b.url .. "/cookies" })
    assert.are.same({ "a=1\nb=2", "1, 2" }, { answer.headers["set-cookie"], answer.headers["x-a"] })
    assert.are.equal("hello there", c:rpc("ask", { url = b.url .. "/chunked" }).body)
    assert.are.equal("until the end", c:rpc("ask", { url = b.url .. "/close" }).body)
    assert.are.equal("after", c:rpc("ask", { url = b.url .. "/interim" }).body)
    assert.are.equal(302, c:rpc("ask", { url = b.url .. "/redirect" }).status)
    assert.are.equal(1048576, c:rpc("size", b.url .. "/size/1048576"))
    assert.are.same({ "a=1&b%5Bc%5D=x%20y", "a%2Fb%20c%3Fd%3D%C3%BC" }, (c:rpc("encode", { a = 1, b = { c = "x y" } })))
  end)

  it("keeps its connections, also when the backend closed one meanwhile", function()
    local c = login(start())
    for _ = 1, 20 do assert.are.equal(200, c:rpc("ask", { url = b.url .. "/status/200" }).status) end
    assert.are.equal(1, select(2, b:requests()))
    assert.are.equal("once", c:rpc("ask", { url = b.url .. "/once" }).body)
    assert.are.equal(200, c:rpc("ask", { url = b.url .. "/status/200" }).status)
    assert.are.equal(2, select(2, b:requests()))
  end)

  it("does not use a connection again after anything odd (C11)", function()
    local c = login(start())
    for _ = 1, 3 do
      assert.are.equal("fine", c:rpc("ask", { url = b.url .. "/extra" }).body)
      assert.are.equal("status 200", c:rpc("ask", { url = b.url .. "/status/200" }).body)
    end
    assert.is_true(select(2, b:requests()) >= 4)
  end)

  it("sees what a kept connection has come to before it uses it", function()
    local c = login(start { script_time = "2s" })
    for _, late in ipairs { "/late?junk", "/late?end" } do
      assert.are.same({ "fine", "status 200" }, (c:rpc("at_once", { first = b.url .. late, second = b.url .. "/status/200" })))
    end
    assert.are.equal(3, select(2, b:requests()))
  end)

  local function raw(c, lines, options)
    options = options or {}
    options.url = b.url .. "/raw" .. (options.query or "")
    options.query, options.body = nil, table.concat(lines, "\r\n")
    return c:rpc("ask", options)
  end

  it("knows by itself which answers have no body", function()
    local c = login(start { http_timeout = "500ms" })
    local function is(status, body, connections, lines, options)
      local answer = raw(c, lines, options)
      assert.are.same({ status, body }, { answer.status, answer.body }, lines[1] .. " " .. tostring(answer.why))
      local before = select(2, b:requests())
      assert.are.equal(200, c:rpc("ask", { url = b.url .. "/status/200" }).status)
      assert.are.equal(connections, select(2, b:requests()) - before, lines[1])
    end
    is(304, "", 0, { "HTTP/1.1 304 Not Modified", "content-length: 5", "", "" })
    is(304, "", 0, { "HTTP/1.1 304 Not Modified", "content-length: 10000000", "", "" })
    is(204, "", 1, { "HTTP/1.1 204 No Content", "content-length: 5", "", "" })
    is(204, "", 1, { "HTTP/1.1 204 No Content", "transfer-encoding: chunked", "", "" })
    is(204, "", 0, { "HTTP/1.1 204 No Content", "", "" })
    is(204, "", 1, { "HTTP/1.1 204 No Content", "", "evil" })
    is(200, "ok", 0, { "HTTP/1.1 103 Early Hints", "content-length: 5", "", "HTTP/1.1 200 OK", "content-length: 2", "", "ok" })
    is(200, "", 0, { "HTTP/1.1 200 OK", "content-length: 5", "", "" }, { method = "HEAD" })
    is(200, "", 0, { "HTTP/1.1 200 OK", "transfer-encoding: chunked", "", "" }, { method = "HEAD" })
    is(200, "", 1, { "HTTP/1.1 200 OK", "content-length: 5", "", "hello" }, { method = "HEAD" })
    is(200, "", 1, { "HTTP/1.1 200 OK", "connection: close", "content-length: 0", "", "" })
    is(200, "", 1, { "HTTP/1.0 200 OK", "content-length: 0", "", "" })
  end)

  it("takes an answer for complete only when it is", function()
    local c = login(start())
    local head = { "HTTP/1.1 200 OK", "", "half" }
    assert.are.equal("half", raw(c, head, { query = "?close" }).body)
    for query, lines in pairs { ["?reset"] = head, ["?close"] = { "HTTP/1.1 200 OK", "content-length: 5", "", "half" },
      ["?close&"] = { "HTTP/1.1 200 OK", "transfer-encoding: chunked", "", "4", "half", "" }, ["?close&&"] = { "HTTP/1.1 200 OK", "x: y" },
      ["?close&&&"] = { "HTTP/1.1 100 Continue", "", "" } } do
      local answer = raw(c, lines, { query = query })
      assert.are.equal("unavailable", answer.code, query)
    end
  end)

  it("refuses answers that others might read otherwise", function()
    local c, chunked = login(start()), "transfer-encoding: chunked"
    for name, lines in pairs {
      ["two lengths"] = { "content-length: 2", "content-length: 2", "", "ok" }, ["a list"] = { "content-length: 2, 2", "", "ok" },
      ["a sign"] = { "content-length: +2", "", "ok" }, ["no number"] = { "content-length: 2x", "", "ok" },
      ["too much"] = { "content-length: 18446744073709551618", "", "ok" }, ["a space"] = { "content-length : 2", "", "ok" },
      ["no colon"] = { "content-length", "", "ok" }, ["a bare CR"] = { "x: a\rb", "content-length: 2", "", "ok" },
      ["a NUL"] = { "x: a\0b", "content-length: 2", "", "ok" },
      ["a hex chunk"] = { chunked, "", "0x2", "ok", "0", "", "" },
      ["a large chunk"] = { chunked, "", "10000000000000002", "ok", "0", "", "" },
      ["a negative chunk"] = { chunked, "", "-2", "ok", "0", "", "" },
      ["a long chunk"] = { chunked, "", "2", "okay", "0", "", "" },
      ["no chunk"] = { chunked, "", "", "2", "ok", "0", "", "" }, ["a bare LF"] = { chunked, "", "2\nok", "0", "", "" },
    } do
      local answer = raw(c, { "HTTP/1.1 200 OK", table.unpack(lines) })
      assert.are.equal("unavailable: the answer is not HTTP", tostring(answer.code) .. ": " .. tostring(answer.why), name)
      c:rpc("ask", { url = b.url .. "/status/200" }) -- else there are soon enough failures for the circuit
    end
  end)

  it("keeps headers apart from what comes behind the body", function()
    local c = login(start { http_response_head = "1K" })
    local lines = { "HTTP/1.1 200 OK", "transfer-encoding: chunked", "x-a: 1", " and more", "x-b:", "", "2;ext=\"x\"", "ok", "0",
      "x-a: 2", "x-c: 3", "", "" }
    local answer = raw(c, lines)
    assert.are.same({ "ok", "1 and more", "" }, { answer.body, (answer.headers["x-a"]:gsub(" +", " ")), answer.headers["x-b"] })
    assert.is_nil(answer.headers["x-c"])
    lines[11] = "x-c: " .. ("y"):rep(1024)
    assert.are.equal("too_large", raw(c, lines).code)
  end)

  it("gives a turn back when nobody waits for the answer any more", function()
    local c = login(start { http_calls = 1, http_timeout = "20s" })
    assert.are.equal("cancelled", (c:rpc("given_up", b.url .. "/hang")))
    assert.are.equal(200, c:rpc("ask", { url = b.url .. "/status/200" }, 3).status)
  end)

  it("goes on for a client that has left, as what it was asked to do does", function()
    local g = start { http_calls = 1 }
    local c, other = login(g), login(g)
    other:send { rpc = "ask", req = { url = b.url .. "/hang", timeout = 0.5 }, uuid = "u1" }
    wait.for_true(function() return #b:requests() == 1 end)
    other.ws:drop()
    assert.are.equal(200, c:rpc("ask", { url = b.url .. "/status/200" }, 3).status) -- waits for that turn
    assert.are.equal(2, #b:requests())
  end)

  it("keeps only so many idle connections", function()
    local c = login(start { http_calls = 2 })
    local others = { backend.start(), backend.start() }
    for _, at in ipairs { b, others[1], others[2], others[2], others[1] } do
      assert.are.equal(200, c:rpc("ask", { url = at.url .. "/status/200" }).status)
    end
    assert.are.equal(1, select(2, others[1]:requests()))
    assert.are.equal(1, select(2, others[2]:requests()))
    assert.are.equal(200, c:rpc("ask", { url = b.url .. "/status/200" }).status)
    assert.are.equal(2, select(2, b:requests())) -- its first was the longest idle
  end)

  it("turns the queue away when the backend's circuit opens", function()
    local c = login(start { http_calls = 1 })
    for i = 1, 60 do c:send { rpc = "ask", req = { url = b.url .. "/reset" }, uuid = "u" .. i } end
    for _ = 1, 60 do assert.are.equal("unavailable", c:receive().resp.code) end
    assert.are.equal(10, #b:requests())
    assert.are.equal("x", c:rpc("echo", "x"))
  end)

  it("takes addresses in brackets, and no passwords", function()
    local c = login(start())
    local answer = c:rpc("ask", { url = ("http://[::ffff:127.0.0.1]:%d/echo"):format(b.port) })
    if answer.code then assert.are.equal("unreachable", answer.why) -- a machine without IPv6
    else assert.are.equal("[::ffff:127.0.0.1]:" .. b.port, json.decode(answer.body).headers.host) end
    for _, authority in ipairs { "user:pass@127.0.0.1", "user@127.0.0.1", "127.0.0.1@evil", "::1", "[::1", "::1]", "[127.0.0.1@x]", "[]",
      "[::1%25lo]", "[::1]x", "a b", "a\\b", "", ":80", "a:80:90", "a:-1", "a:1e3" } do
      local seen = c:rpc("misuse", { url = "http://" .. authority .. "/" })
      assert.is_false(seen[1], authority)
      assert.is_truthy(seen[2]:find("url: not http://host[:port]/path", 1, true), seen[2])
    end
  end)

  it("says what went wrong, within its time, whatever the backend does (A9, R-BACKEND)", function()
    local c = login(start { http_timeout = "400ms", http_connect_timeout = "200ms" })
    local function fails(path, code, options)
      options = options or {}
      options.url = path:find("^http") and path or b.url .. path
      local t0 = wait.now()
      local answer = c:rpc("ask", options)
      assert.are.equal(code, answer.code, path .. " " .. tostring(answer.why) .. tostring(answer.status))
      assert.is_true(wait.now() - t0 < 0.7, path)
    end
    fails("/hang", "timeout")
    fails("/drip", "timeout")
    fails("/hang", "timeout", { timeout = 0.05 })
    fails("/reset", "unavailable")
    fails("/cut", "unavailable")
    fails("/garbage", "unavailable")
    fails("/both", "unavailable")
    fails("/switch", "unavailable")
    assert.are.equal(200, c:rpc("ask", { url = b.url .. "/status/200" }).status)
    fails("/interims", "unavailable")
    fails("/large", "too_large")
    fails("/endless", "too_large")
    fails("/headers", "too_large")
    fails("/size/1048577", "too_large")
    fails("http://127.0.0.1:1/", "unavailable")
    fails("http://nowhere.invalid/", "unavailable")
    assert.are.equal("x", c:rpc("echo", "x"))
  end)

  it("leaves a backend alone that failed too often, for a while", function()
    local c = login(start())
    for _ = 1, 10 do assert.are.equal("unavailable", c:rpc("ask", { url = b.url .. "/reset" }).code) end
    local before = #b:requests()
    local t0 = wait.now()
    local answer = c:rpc("ask", { url = b.url .. "/status/200" })
    assert.are.equal("unavailable", answer.code)
    assert.is_true(wait.now() - t0 < 0.1)
    assert.are.equal(before, #b:requests())
    assert.is_truthy(wait.for_true(function() return c:rpc("ask", { url = b.url .. "/status/200" }).status == 200 end, 7))
    assert.are.equal(200, c:rpc("ask", { url = b.url .. "/status/200" }).status)
  end)

  it("has only so many requests under way, and so many that wait", function()
    local c = login(start { http_calls = 2, http_waiting = 3, http_timeout = "300ms" })
    local calls = {}
    for i = 1, 8 do calls[i] = json.encode { rpc = "ask", req = { url = b.url .. "/hang" }, uuid = "u" .. i } end
    c.ws:send(json.encode(calls)) -- in one frame, so that all of them have the same time
    local codes = {}
    for _ = 1, 8 do
      local code = c:receive(2).resp.code
      codes[code] = (codes[code] or 0) + 1
    end
    assert.are.same({ busy = 3, timeout = 5 }, codes)
    assert.are.equal(2, #b:requests())
    assert.are.equal(200, c:rpc("ask", { url = b.url .. "/status/200" }).status)
  end)

  it("lets nothing of a client's change host, path or headers (C7, C10)", function()
    local c = login(start())
    for value, target in pairs { ["../../admin"] = "..%2F..%2Fadmin", ["1?x="] = "1%3Fx%3D", ["a@evil"] = "a%40evil", ["a#b"] = "a%23b",
      ["\r\nx: y"] = "%0D%0Ax%3A%20y", ["%2e%2e"] = "%252e%252e", ["ü"] = "%C3%BC", ["a b"] = "a%20b" } do
      c:rpc("ask", { url = b.url .. "/users/{id}/x", params = { id = value } })
      local all = b:requests()
      assert.are.equal("GET /users/" .. target .. "/x", all[#all])
    end
    local before = #b:requests()
    for _, options in ipairs { { url = b.url .. "/{id}", params = { id = ".." } }, { url = b.url .. "/{id}", params = { id = "" } },
      { url = b.url .. "/{id}" }, { url = b.url .. "/a b" }, { url = b.url .. "/\r\nx: y" }, { url = "ftp://x/" }, { url = "/x" },
      { url = "http://a@b/" }, { url = "http://x:0/" }, { url = "http://x:70000/" }, { url = 5 }, {},
      { url = b.url, headers = { ["x"] = "a\r\nb" } }, { url = b.url, headers = { ["a b"] = "x" } },
      { url = b.url, headers = { host = "x" } },
      { url = b.url, headers = { ["Transfer-Encoding"] = "chunked" } }, { url = b.url, headers = { ["content-length"] = "1" } },
      { url = b.url, method = "GET /evil" }, { url = b.url, timeout = -1 }, { url = b.url, body = 5 }, { url = b.url, form = 5 },
      { url = b.url, headers = "x: y" }, { url = b.url, query = "a=b" }, { url = b.url .. "/{id}", params = 5 },
      { url = b.url, headers = { x = "a\0b" } }, { url = b.url, headers = { ["x\r\ny"] = "a" } }, { url = b.url, headers = { [""] = "a" } },
      { url = b.url, headers = { ["Expect"] = "100-continue" } }, { url = b.url, headers = { "x: y" } } } do
      local seen = c:rpc("misuse", options)
      assert.is_false(seen[1], json.encode(options))
      assert.is_truthy(seen[2]:find("^scripts/s/init.lua:%d+: "), seen[2])
    end
    assert.are.equal(before, #b:requests())
  end)

  it("is what a login may wait for, and a login it cannot judge fails", function()
    local g = start({ http_timeout = "300ms" }, { sites = { s = { path = "/", options = { url = b.url } } } })
    local function ask(path) return select(2, token.get(g.port, "/socket/token?ask=" .. path)) end
    assert.is_not_nil((token.get(g.port, "/socket/token?ask=/echo")))
    local all = b:requests()
    assert.are.equal("GET /echo", all[#all])
    assert.are.equal(403, ask("/status/500").status)
    assert.are.same({ 500, '{"error":"timeout"}' }, { ask("/hang").status, ask("/hang").body })
    assert.are.equal(500, ask("/reset").status)
    assert.are.equal(500, ask("/large").status)
  end)

  it("believes a backend over TLS only with the right certificate (C12)", function()
    local r = redis.start_tls() -- it speaks no HTTP, but the handshake comes first
    local g = start(nil, { gateway = { http = { ca = r.ca } } })
    local c = login(g)
    local url = ("https://%s:%d/"):format("localhost", r.tls_port)
    assert.are.equal("closed by peer", c:rpc("ask", { url = url }).why)
    local other = login(start())
    assert.is_truthy(other:rpc("ask", { url = url }).why:find("certificate verify failed"))
  end)

  it("costs a gateway that ends nothing", function()
    local g = start()
    local c = login(g)
    for i = 1, 5 do c:send { rpc = "ask", req = { url = b.url .. "/hang" }, uuid = "u" .. i } end
    wait.for_true(function() return #b:requests() == 5 end)
    assert.are.equal(0, g:stop())
  end)
end)
