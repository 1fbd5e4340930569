-- SPDX-License-Identifier: MIT
-- HTTP against the real gateway: the refusals H1 to H20 of the threat model, keep-alive, the forms of
-- answers, and static files.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local socket = require "socket"
local stream = require "spec.support.stream"
local wait = require "spec.support.wait"

local LARGE = 4 * 1024 * 1024
local PAGE = "<!DOCTYPE html><title>moonlatch</title>"
local POST = "POST / HTTP/1.1\r\nHost: a\r\n"
local GET = "GET / HTTP/1.1\r\nHost: a\r\n"
local EVIL = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"

-- Memory is measured here: a sanitizer must not keep what was freed.
local SANITIZER = (os.getenv("ASAN_OPTIONS") or "") .. ":quarantine_size_mb=1"

local function start(limits)
  return gateway.start {
    env = { ASAN_OPTIONS = SANITIZER },
    gateway = { admin = { listen = "127.0.0.1:0" }, log = { level = "debug" }, limits = limits },
    sites = { web = { path = "/", static = "public" } },
    scripts = {
      web = {
        ["init.lua"] = "return {}",
        ["public/index.html"] = PAGE,
        ["public/app.js"] = "run()",
        ["public/sub/my page.txt"] = "plain",
        ["public/.hidden"] = "no",
        ["public/large.bin"] = ("x"):rep(LARGE),
      },
    },
  }
end

-- The statuses of all answers in these bytes.
local function statuses(bytes)
  local found = {}
  for status in bytes:gmatch("HTTP/1%.1 (%d%d%d) ") do found[#found + 1] = tonumber(status) end
  return found
end

local function count(text, plain)
  local n, from = 0, 1
  while true do
    local first, last = text:find(plain, from, true)
    if not first then return n end
    n, from = n + 1, last + 1
  end
end

describe("the HTTP server", function()
  local g

  setup(function() g = start() end)
  teardown(gateway.stop_all)

  local function alive()
    local before = wait.now()
    assert.are.equal(200, http.get(g.port, "/health/live").status)
    assert.is_true(wait.now() - before < 1)
  end

  -- One answer with one of the statuses, and the end; what stands behind is never a request.
  local function refuses(bytes, ...)
    local pieces = type(bytes) == "table" and bytes or { bytes }
    pieces[#pieces] = pieces[#pieces] .. EVIL
    local got, closed = http.raw(g.port, pieces)
    local all = statuses(got)
    local message = table.concat(pieces) .. "\n---\n" .. got
    assert.are.equal(1, #all, message)
    local good = false
    for _, status in ipairs { ... } do good = good or status == all[1] end
    assert.is_true(good, message)
    assert.is_true(closed, message)
  end

  it("H1: refuses Content-Length together with Transfer-Encoding", function()
    refuses(POST .. "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
    refuses(POST .. "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400)
    assert.is_nil(g:log():find("/evil", 1, true))
    alive()
  end)

  it("H2: refuses a header smuggled behind a bare CR", function()
    refuses(GET .. "X:\rXTransfer-Encoding: chunked\r\n\r\n", 400)
    refuses(GET .. "X: a\rTransfer-Encoding: chunked\r\n\r\n", 400)
  end)

  it("H3: refuses a head that ends with a bare CR", function()
    refuses("GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n", 400)
  end)

  it("H4: refuses folded headers, also when the fold comes in two writes", function()
    refuses(POST .. "X: y\r\n Content-Length: 5\r\n\r\n", 400)
    refuses(POST .. "Transfer-Encoding:\r\n chunked\r\n\r\n", 400)
    refuses({ POST .. "X: y\r\n", "\tz\r\n\r\n" }, 400)
    refuses({ POST .. "Transfer-Encoding:\r", "\n", " chunked\r\n\r\n" }, 400)
  end)

  it("H5: refuses space before a colon, and lines without a name", function()
    refuses("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400)
    refuses(POST .. "Content-Length : 5\r\n\r\nhello", 400)
    refuses(GET .. ": y\r\n\r\n", 400)
  end)

  it("H6: refuses broken chunks", function()
    for _, chunk in ipairs {
      "5;\1\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "10000000000000000\r\nhello",
      "0x5\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n",
    } do
      refuses(POST .. "Transfer-Encoding: chunked\r\n\r\n" .. chunk, 400)
    end
  end)

  it("H7: refuses transfer codings other than one chunked", function()
    for _, coding in ipairs { "chunked, identity", "xchunked", "identity", "gzip, chunked",
      "chunked\r\nTransfer-Encoding: chunked" } do
      refuses(POST .. "Transfer-Encoding: " .. coding .. "\r\n\r\n0\r\n\r\n", 400, 501)
    end
    refuses("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
  end)

  it("H8: refuses lengths that are no single number", function()
    for _, length in ipairs { "5\r\nContent-Length: 5", "5\r\nContent-Length: 6", "+5", "-1", "5,5", "0x5", "5 5",
      "18446744073709551616" } do
      refuses(POST .. "Content-Length: " .. length .. "\r\n\r\nhello", 400)
    end
    refuses(POST .. "Content-Length: 18446744073709551615\r\n\r\nhello", 413)
  end)

  it("H9: has a clear answer to every byte in every place", function()
    local places = {
      { "GE", "T / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" },
      { "GET /health/live?", " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" },
      { "GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-", ": y\r\n\r\n" },
      { "GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: a", "b\r\n\r\n" },
    }
    for place, parts in ipairs(places) do
      for byte = 0, 255 do
        local got, closed = http.raw(g.port, parts[1] .. string.char(byte) .. parts[2])
        local all = statuses(got)
        local what = string.format("byte %d in place %d:\n%s", byte, place, got)
        assert.is_true(closed, what)
        assert.are.equal(1, #all, what)
        local bad = byte < 32 or byte > 126
        if place == 4 and byte == 9 then bad = false end
        if bad then assert.are.equal(400, all[1], what) end
        if not bad and place == 4 then assert.are.equal(200, all[1], what) end
      end
    end
    alive()
  end)

  it("takes cookies in UTF-8, as browsers send them, but no other bytes beyond ASCII", function()
    local function status(header)
      return http.get(g.port, "/health/live", { headers = header }).status
    end
    for _, value in ipairs { "name=J\xc3\xb6rg", "a=1; b=\xe2\x82\xac \xf0\x9f\x98\x80; c=2" } do
      assert.are.equal(200, status { Cookie = value })
      assert.are.equal(400, status { Referer = value })
    end
    for _, value in ipairs { "a=\xf6", "a=\xc3", "a=\xc0\xaf", "a=\xed\xa0\x80", "a=\xf4\x90\x80\x80", "a=\x7f" } do
      assert.are.equal(400, status { Cookie = value })
    end
  end)

  it("H10: wants exactly one good Host", function()
    refuses("GET / HTTP/1.1\r\n\r\n", 400)
    for _, host in ipairs { "", "a\r\nHost: a", "a\r\nHost: b", "user@a", "user:pass@a", "a b", "a/b", "a:99999", "a:x",
      "[::1", "[x]", "a%20b", "a,b" } do
      refuses("GET / HTTP/1.1\r\nHost: " .. host .. "\r\n\r\n", 400)
    end
    for _, host in ipairs { "a", "A.example:80", "[::1]:8000", "127.0.0.1" } do
      assert.are.equal(200, http.get(g.port, "/health/live", { host = host }).status)
    end
  end)

  it("H11: is no proxy", function()
    local trap = assert(socket.bind("127.0.0.1", 0))
    local _, trap_port = trap:getsockname()
    local there = "127.0.0.1:" .. trap_port
    local upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n"
    for _, extra in ipairs { "", upgrade } do
      refuses("GET http://" .. there .. "/ HTTP/1.1\r\nHost: a\r\n" .. extra .. "\r\n", 400)
      refuses("GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n" .. extra .. "\r\n", 400)
      refuses("GET https://a/ HTTP/1.1\r\nHost: a\r\n" .. extra .. "\r\n", 400)
      refuses("CONNECT " .. there .. " HTTP/1.1\r\nHost: " .. there .. "\r\n" .. extra .. "\r\n", 400, 405)
    end
    trap:settimeout(0)
    assert.is_nil((trap:accept()))
    trap:close()
    local own = "127.0.0.1:" .. g.port
    local got = http.raw(g.port, "GET http://" .. own .. "/health/live HTTP/1.1\r\nHost: " .. own
      .. "\r\nConnection: close\r\n\r\n")
    assert.are.same({ 200 }, statuses(got))
  end)

  it("H12: speaks HTTP/1.1 and HTTP/1.0 and nothing else", function()
    refuses("GET /\r\n", 400, 505)
    refuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505)
    refuses("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400, 505)
    refuses("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400, 505)
    refuses("OPTIONS / RTSP/1.0\r\nHost: a\r\n\r\n", 400, 505)
    refuses("DESCRIBE / RTSP/1.0\r\nHost: a\r\n\r\n", 400, 505)
    refuses("SOURCE / ICE/1.0\r\nHost: a\r\n\r\n", 400, 505)
    refuses("\22\3\1\0\200\1\0\0\196", 400)
    refuses("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405)
    refuses("FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400)
  end)

  it("H15: bounds lines and headers without keeping them", function()
    alive()
    local before = g:rss()
    refuses("GET /" .. ("a"):rep(1024 * 1024), 414)
    refuses(GET .. "X: " .. ("a"):rep(1024 * 1024), 431)
    refuses(GET .. ("X: y\r\n"):rep(10000) .. "\r\n", 431)
    refuses(GET .. ("X: y\r\n"):rep(65) .. "\r\n", 431)
    assert.are.equal(200, http.get(g.port, "/health/live", { headers = { ["X-Long"] = ("a"):rep(7000) } }).status)
    refuses("GET /?a" .. ("&a"):rep(32) .. " HTTP/1.1\r\nHost: a\r\n\r\n", 400)
    refuses(GET .. "Cookie: a=" .. ("b"):rep(4096) .. "\r\n\r\n", 400)
    assert.is_true(g:rss() - before < 4 * 1024 * 1024)
  end)

  it("H17: upgrades GET requests of HTTP/1.1 without a body only", function()
    local upgrade = "Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    local path = " /sockets/websocket "
    refuses("GET" .. path .. "HTTP/1.1\r\n" .. upgrade .. "Content-Length: 5\r\n\r\nhello", 400)
    refuses("POST" .. path .. "HTTP/1.1\r\n" .. upgrade .. "Content-Length: 5\r\n\r\nhello", 400, 405)
    refuses("POST" .. path .. "HTTP/1.1\r\n" .. upgrade .. "\r\n", 400, 405)
    refuses("GET" .. path .. "HTTP/1.0\r\n" .. upgrade .. "\r\n", 400)
    refuses("GET /nowhere HTTP/1.1\r\n" .. upgrade .. "\r\n", 404)
    assert.are.equal(200, http.get(g.port, "/health/live",
      { headers = { Connection = "Upgrade, HTTP2-Settings", Upgrade = "h2c" } }).status)
  end)

  it("H18: never lets a peer write into the head of an answer", function()
    local cut = "%0d%0aX-Injected:%20yes"
    for _, request in ipairs {
      { "/" .. cut }, { "/sockets/info?callback=" .. cut }, { "/sockets/0/a/jsonp?c=" .. cut },
      { "/socket/token?callback=" .. cut }, { "/sockets/info", { Origin = "http://a" .. cut } },
      { "/sockets/info", { ["Access-Control-Request-Headers"] = "a" .. cut }, "OPTIONS" },
      { "/sockets/0/b/xhr", { Cookie = "JSESSIONID=a" .. cut }, "POST" },
      { "/", { ["If-None-Match"] = "a" .. cut } },
    } do
      local answer = http.open(g.port, request[1], { headers = request[2], method = request[3] })
      assert.is_nil(answer.headers["x-injected"], request[1])
      assert.is_nil(answer.raw_headers:find("[\r\n]X%-Injected"), request[1])
      answer:close()
    end
  end)

  it("H19: knows a path or does not", function()
    for _, path in ipairs {
      "//", "/./", "/../", "/.", "/..", "/..%2f", "/%2e%2e%2f", "/%2e%2e/%2e%2e/etc/passwd", "/../../etc/passwd",
      "/%00", "/index.html%00", "/index.html;x=1", "/;x=1", "/INDEX.HTML", "/Index.html", "/index.html/",
      "//index.html", "/./index.html", "/sub/../index.html", "/sub%2f..%2findex.html", "/sub", "/sub/", "/.hidden",
      "/%2ehidden", "/index%252ehtml", "/%zz", "/%", "/HEALTH/LIVE", "/health/live/", "/health//live",
      "/init.lua", "/../init.lua", "/..%5cinit.lua", "/public/index.html",
    } do
      assert.are.equal(404, http.get(g.port, path).status, path)
    end
    alive()
  end)

  it("H20: closes after a refusal that leaves a body unread", function()
    for status, head in pairs {
      [413] = POST .. "Content-Length: 70000\r\n\r\n",
      [400] = POST .. "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
      [417] = POST .. "Expect: wonders\r\nContent-Length: 7000\r\n\r\n",
    } do
      local st = stream.connect(g.port)
      st:write(head)
      local answer = assert(http.read_head(st, wait.now() + 2))
      assert.are.equal(status, answer.status)
      assert.are.equal("close", answer.headers.connection)
      st:write(("x"):rep(70000) .. EVIL)
      local rest, closed = st:take_all(wait.now() + 5)
      assert.are.same({}, statuses(rest))
      assert.is_true(closed)
      st:close()
    end
    assert.is_nil(g:log():find("/evil", 1, true))
  end)

  it("refuses a chunked body at the limit, however small its chunks", function()
    refuses(POST .. "Transfer-Encoding: chunked\r\n\r\n" .. ("400\r\n" .. ("x"):rep(1024) .. "\r\n"):rep(65), 413)
    refuses(POST .. "Transfer-Encoding: chunked\r\n\r\n" .. ("1;a=b\r\nx\r\n"):rep(30000), 413)
  end)

  it("asks for the body of a request that waits for it, and for that of no other", function()
    local st = stream.connect(g.port)
    st:write(POST .. "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert.are.equal(100, http.read_head(st, wait.now() + 2).status)
    st:write("hello")
    assert.are.equal(405, http.read_head(st, wait.now() + 2).status)
    st:close()
    refuses(POST .. "Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n", 413)
  end)

  it("keeps connections alive as the versions have it", function()
    local c = http.client(g.port)
    for _ = 1, 3 do assert.are.equal("ok\n", c:request({ path = "/health/live" }).body) end
    assert.are.equal("close", c:request({ path = "/", headers = { Connection = "close" } }).headers.connection)
    assert.is_true(c:wait_close())
    c = http.client(g.port)
    local old = { path = "/health/live", version = "1.0", headers = { Connection = "keep-alive" } }
    for _ = 1, 2 do assert.are.equal("keep-alive", c:request(old).headers.connection) end
    old.headers = nil
    local last = c:request(old)
    assert.are.equal("close", last.headers.connection)
    assert.are.equal("3", last.headers["content-length"])
    assert.is_true(c:wait_close())
  end)

  it("answers a client that has shut its side", function()
    local got, closed = http.raw(g.port, GET:gsub("/ ", "/health/live ", 1) .. "\r\n", { finish = true })
    assert.are.same({ 200 }, statuses(got))
    assert.is_true(closed)
  end)

  it("gives a date, and no body to HEAD", function()
    local got = http.raw(g.port, "HEAD /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert.is_truthy(got:find("\r\nContent%-Length: 3\r\n"))
    assert.is_truthy(got:find("\r\nDate: %a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT\r\n"))
    assert.are.equal("\r\n\r\n", got:sub(-4))
  end)

  it("counts what it refuses", function()
    refuses("GET / HTTP/1.1\r\n\r\n", 400)
    local port = tonumber(g:output():match("admin on %w+://[^\n]*:(%d+)"))
    local metrics = http.get(port, "/metrics").body
    assert.is_truthy(metrics:find('http_refused_total{reason="bad host"} %d'))
    assert.is_truthy(metrics:find('limit_hits_total{limit="http_max_body"} %d'))
  end)

  it("serves the files of a site", function()
    for _, path in ipairs { "/", "/index.html", "/index%2Ehtml", "/?a=b" } do
      local page = http.get(g.port, path)
      assert.are.equal(200, page.status)
      assert.are.equal(PAGE, page.body)
      assert.are.equal("text/html; charset=UTF-8", page.headers["content-type"])
      assert.are.equal("nosniff", page.headers["x-content-type-options"])
      assert.are.equal("no-cache", page.headers["cache-control"])
    end
    assert.are.equal("plain", http.get(g.port, "/sub/my%20page.txt").body)
    assert.are.equal("text/javascript; charset=UTF-8", http.get(g.port, "/app.js").headers["content-type"])
    assert.are.equal(LARGE, #http.get(g.port, "/large.bin").body)
    local etag = http.get(g.port, "/app.js").headers.etag
    local known = http.get(g.port, "/app.js", { headers = { ["If-None-Match"] = etag } })
    assert.are.equal(304, known.status)
    assert.are.equal(etag, known.headers.etag)
    assert.are.equal(200, http.get(g.port, "/", { headers = { ["If-None-Match"] = etag } }).status)
    local refused = http.get(g.port, "/app.js", { method = "POST", body = "x" })
    assert.are.equal(405, refused.status)
    assert.are.equal("GET, HEAD", refused.headers.allow)
  end)
end)

describe("the HTTP server under slow and greedy peers", function()
  after_each(gateway.stop_all)

  it("H13: ends slow headers in time and serves the others meanwhile", function()
    local g = start { http_header_timeout = "600ms" }
    local slow, silent = {}, {}
    for i = 1, 100 do
      slow[i] = stream.connect(g.port)
      slow[i]:write("GET / HTTP/1.1\r\nHost: a\r\nX: ")
    end
    for i = 1, 10 do silent[i] = stream.connect(g.port) end
    local began = wait.now()
    while wait.now() - began < 0.3 do
      for _, st in ipairs(slow) do st:write("a") end
      local before = wait.now()
      assert.are.equal(200, http.get(g.port, "/health/live").status)
      assert.is_true(wait.now() - before < 0.25)
    end
    for _, st in ipairs(slow) do
      local got, closed = st:take_all(wait.now() + 5)
      assert.are.same({ 408 }, statuses(got))
      assert.is_true(closed)
      st:close()
    end
    for _, st in ipairs(silent) do
      local got, closed = st:take_all(wait.now() + 5)
      assert.are.equal("", got)
      assert.is_true(closed)
    end
    assert.is_true(wait.now() - began < 3)
  end)

  it("H14: ends slow bodies and peers that do not read", function()
    local g = start { http_body_timeout = "300ms", send_stall_timeout = "300ms" }
    local st = stream.connect(g.port)
    st:write(POST .. "Content-Length: 1000\r\n\r\nx")
    local got, closed = st:take_all(wait.now() + 5)
    assert.are.same({ 408 }, statuses(got))
    assert.is_true(closed)

    local fds = g:fds()
    st = stream.connect(g.port)
    st:write(("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n"):rep(8))
    assert.is_true(wait.for_true(function() return g:fds() == fds + 1 end, 5))
    assert.is_true(wait.for_true(function() return g:fds() == fds end, 5))
    got = st:take_all(wait.now() + 5)
    assert.is_true(#got < 8 * LARGE)
  end)

  it("ends a body that only trickles, long before its time is over", function()
    local g = start { http_body_grace = "300ms", http_min_body_rate = 5000 }
    local st = stream.connect(g.port)
    local began = wait.now()
    st:write(POST .. "Content-Length: 60000\r\n\r\nx")
    local got, closed = st:take_all(began + 5)
    assert.are.same({ 408 }, statuses(got))
    assert.is_true(closed)
    assert.is_true(wait.now() - began < 3)
  end)

  it("closes an idle connection in time", function()
    local g = start { http_keepalive_timeout = "300ms" }
    local c = http.client(g.port)
    assert.are.equal(200, c:request({ path = "/health/live" }).status)
    assert.is_true(c:wait_close(5))
  end)

  it("H16: answers 10,000 pipelined requests in order, in flat memory", function()
    local g = start { http_requests_per_connection = 20000 }
    http.get(g.port, "/health/live")
    local before = g:rss()
    local requests, n = {}, 10000
    for i = 1, n do
      local path = i % 10 == 0 and "/app.js" or "/health/live"
      requests[i] = "GET " .. path .. " HTTP/1.1\r\nHost: a\r\n\r\n"
    end
    local got, closed = http.raw(g.port, table.concat(requests), { finish = true, timeout = 20 })
    assert.is_true(closed)
    assert.are.equal(n, #statuses(got))
    assert.are.equal(n // 10, count(got, "run()"))
    local position = 1
    for i = 1, n do
      local _, last = got:find(i % 10 == 0 and "\r\n\r\nrun()" or "\r\n\r\nok\n", position, true)
      local head = got:sub(position, last)
      assert.are.equal(1, #statuses(head))
      position = last + 1
    end
    assert.is_true(g:rss() - before < 8 * 1024 * 1024)
  end)

  it("closes a connection after as many requests as it may have", function()
    local g = start { http_requests_per_connection = 3 }
    local got, closed = http.raw(g.port, ("GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"):rep(5))
    assert.are.same({ 200, 200, 200 }, statuses(got))
    assert.are.equal(1, count(got, "Connection: close"))
    assert.is_true(closed)
  end)
end)
