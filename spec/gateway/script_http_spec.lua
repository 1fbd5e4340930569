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
    for i = 1, 8 do c:send { rpc = "ask", req = { url = b.url .. "/hang" }, uuid = "u" .. i } end
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
      { url = b.url, method = "GET /evil" }, { url = b.url, timeout = -1 }, { url = b.url, body = 5 }, { url = b.url, form = 5 } } do
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
