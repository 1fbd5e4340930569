-- SPDX-License-Identifier: MIT
-- The SockJS protocol as a client sees it: the tests of the protocol's own suite, under their names,
-- against the services that it wants. What it leaves open is in sockjs_details_spec.lua.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local services = require "spec.support.sockjs"
local ws = require "spec.support.ws"

local g
setup(function() g = services.start() end)
teardown(gateway.stop_all)

local ECHO, CLOSE = "/echo", "/close"
local NO_WEBSOCKET, COOKIE = "/disabled_websocket_echo", "/cookie_needed_echo"
local NOT_CACHED = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
local FORM = { ["Content-Type"] = "application/x-www-form-urlencoded" }

local function get(path, headers) return http.get(g.port, path, { headers = headers }) end
local function options(path, headers) return http.get(g.port, path, { method = "OPTIONS", headers = headers }) end
local function post(path, body, headers)
  return http.get(g.port, path, { method = "POST", body = body or "", headers = headers })
end
local function open_get(path) return http.open(g.port, path) end
local function open_post(path, headers)
  return http.open(g.port, path, { method = "POST", body = "", headers = headers })
end

local function session(service) return service .. "/000/" .. services.unique() end

local function assert_answer(r, status, body)
  assert.equal(status, r.status)
  assert.equal(body, r.body)
end

local function assert_type(r, type)
  assert.equal(type, (r.headers["content-type"]:gsub(" ", "")))
end

local function assert_not_cached(r)
  assert.equal(NOT_CACHED, r.headers["cache-control"])
  assert.is_nil(r.headers["expires"])
  assert.is_nil(r.headers["last-modified"])
end

local function assert_cached(r)
  assert.equal("public, max-age=31536000", r.headers["cache-control"])
  assert.matches("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$", r.headers["expires"])
  assert.is_nil(r.headers["last-modified"])
end

local function assert_cors(r, origin)
  assert.equal(origin or "*", r.headers["access-control-allow-origin"])
  assert.equal(origin and "true", r.headers["access-control-allow-credentials"])
  assert.equal("Origin", r.headers["vary"])
end

local function assert_not_allowed(r)
  assert.equal(405, r.status)
  assert.is_nil(r.headers["content-type"])
  assert.is_string(r.headers["allow"])
  assert.equal("", r.body)
end

local function assert_preflight(path, methods)
  for _, origin in ipairs { "test", "null" } do
    local r = options(path, { Origin = origin, ["Access-Control-Request-Method"] = "POST" })
    assert_answer(r, 204, "")
    assert_cached(r)
    assert.equal("31536000", r.headers["access-control-max-age"])
    assert.equal(methods, r.headers["access-control-allow-methods"])
    assert_cors(r, origin)
  end
end

local function assert_ended(stream)
  local chunk, why = stream:chunk()
  assert.is_nil(chunk)
  assert.equal("end", why)
  stream:close()
end

local function connect(path)
  local w = ws.connect(g.port, path)
  assert.equal(101, w.status)
  return w
end

describe("BaseUrlGreeting", function()
  it("greeting", function()
    for _, path in ipairs { ECHO, ECHO .. "/" } do
      local r = get(path)
      assert_answer(r, 200, "Welcome to SockJS!\n")
      assert_type(r, "text/plain;charset=UTF-8")
      assert.is_nil(r.headers["set-cookie"])
    end
  end)

  it("notFound", function()
    for _, path in ipairs { "/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/" } do
      local r = get(ECHO .. path)
      assert_answer(r, 404, "404 Error: Page not found\n")
      assert_type(r, "text/plain;charset=UTF-8")
    end
  end)
end)

describe("IframePage", function()
  local PAGE = [[
<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="URL"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>]]

  local function assert_iframe(path)
    local r = get(ECHO .. path)
    assert.equal(200, r.status)
    assert_type(r, "text/html;charset=UTF-8")
    assert_cached(r)
    assert.matches('^"%x+"$', r.headers["etag"])
    assert.is_nil(r.headers["set-cookie"])
    local url = r.body:match('<script src="([^"]*)">')
    assert.truthy(url:find("^/") or url:find("^http"))
    assert.equal(PAGE:gsub("URL", function() return url end), r.body)
    return r
  end

  it("simpleUrl", function() assert_iframe("/iframe.html") end)

  it("versionedUrl", function()
    for _, version in ipairs { "-a", "-", "-0.1.2", "-0.1.2abc-dirty.2144" } do
      assert_iframe("/iframe" .. version .. ".html")
    end
  end)

  it("queriedUrl", function()
    for _, path in ipairs { "/iframe-a.html?t=1234", "/iframe-0.1.2.html?t=123414" } do assert_iframe(path) end
  end)

  it("invalidUrl", function()
    for _, path in ipairs { "/iframe.htm", "/iframe", "/IFRAME.HTML", "/IFRAME", "/iframe.HTML", "/iframe.xml",
      "/iframe-/.html" } do
      assert.equal(404, get(ECHO .. path).status)
    end
  end)

  it("cacheability", function()
    local first, second = get(ECHO .. "/iframe.html"), get(ECHO .. "/iframe.html")
    assert.equal(first.headers["etag"], second.headers["etag"])
    local r = get(ECHO .. "/iframe.html", { ["If-None-Match"] = first.headers["etag"] })
    assert_answer(r, 304, "")
    assert.is_nil(r.headers["content-type"])
  end)
end)

describe("InfoTest", function()
  it("basic", function()
    local r = get(ECHO .. "/info", { Origin = "test" })
    assert.equal(200, r.status)
    assert_type(r, "application/json;charset=UTF-8")
    assert.is_nil(r.headers["set-cookie"])
    assert_not_cached(r)
    assert_cors(r, "test")
    local info = json.decode(r.body)
    assert.is_true(info.websocket)
    assert.is_false(info.cookie_needed)
    assert.same({ "*:*" }, info.origins)
    assert.equal("integer", math.type(info.entropy))
  end)

  it("entropy", function()
    local first, second = json.decode(get(ECHO .. "/info").body), json.decode(get(ECHO .. "/info").body)
    assert.not_equal(first.entropy, second.entropy)
  end)

  it("options", function() assert_preflight(ECHO .. "/info", "OPTIONS, GET") end)

  it("options_null_origin", function()
    local r = options(ECHO .. "/info", { Origin = "null", ["Access-Control-Request-Method"] = "POST" })
    assert_answer(r, 204, "")
    assert.equal("null", r.headers["access-control-allow-origin"])
  end)

  it("disabled_websocket", function()
    assert.is_false(json.decode(get(NO_WEBSOCKET .. "/info").body).websocket)
  end)
end)

describe("SessionURLs", function()
  it("anyValue", function()
    local r = services.unique()
    for _, path in ipairs { "/a/a", "/_/_", "/1/", "/abcdefgh_i-j%20/abcdefg_i-j%20" } do
      assert_answer(post(ECHO .. path .. r .. "/xhr"), 200, "o\n")
    end
  end)

  it("invalidPaths", function()
    for _, path in ipairs { "//", "/a./a", "/a/a.", "/./.", "/", "///" } do
      assert.equal(404, get(ECHO .. path .. "/xhr").status)
      assert.equal(404, post(ECHO .. path .. "/xhr").status)
    end
  end)

  it("ignoringServerId", function()
    local id = services.unique()
    assert_answer(post(ECHO .. "/000/" .. id .. "/xhr"), 200, "o\n")
    assert_answer(post(ECHO .. "/000/" .. id .. "/xhr_send", '["a"]'), 204, "")
    assert_answer(post(ECHO .. "/999/" .. id .. "/xhr"), 200, 'a["a"]\n')
  end)
end)

describe("Protocol", function()
  it("simpleSession", function()
    local url = session(ECHO)
    assert_answer(post(url .. "/xhr"), 200, "o\n")
    assert_answer(post(url .. "/xhr_send", '["a"]'), 204, "")
    assert_answer(post(url .. "/xhr"), 200, 'a["a"]\n')
    assert.equal(404, post(ECHO .. "/000/bad_session/xhr_send", '["a"]').status)

    local waiting = http.client(g.port)
    waiting:send { method = "POST", path = url .. "/xhr", body = "" }
    services.await_receiver(g, url)
    assert_answer(post(url .. "/xhr"), 200, 'c[2010,"Another connection still open"]\n')
    waiting:close()
  end)

  it("closeSession", function()
    local url = session(CLOSE)
    assert_answer(post(url .. "/xhr"), 200, "o\n")
    assert_answer(post(url .. "/xhr"), 200, 'c[3000,"Go away!"]\n')
    assert_answer(post(url .. "/xhr"), 200, 'c[3000,"Go away!"]\n')
  end)
end)

describe("WebsocketHttpErrors", function()
  it("httpMethod", function()
    local r = get(ECHO .. "/0/0/websocket")
    assert.equal(400, r.status)
    assert.matches('Can "Upgrade" only to "WebSocket".', r.body, 1, true)
  end)

  it("invalidConnectionHeader", function()
    local r = get(ECHO .. "/0/0/websocket", { Upgrade = "WebSocket", Connection = "close" })
    assert.equal(400, r.status)
    assert.matches("Not a valid websocket request", r.body, 1, true)
    assert.matches('"Connection" must be "Upgrade".', r.body, 1, true)
  end)

  it("invalidMethod", function()
    assert_not_allowed(post(ECHO .. "/0/0/websocket", "", { Upgrade = "WebSocket", Connection = "Upgrade" }))
    assert_not_allowed(post(ECHO .. "/0/0/websocket"))
  end)
end)

describe("Websocket", function()
  it("transport", function()
    local w = connect(session(ECHO) .. "/websocket")
    assert.equal("o", w:receive())
    w:send('["a"]')
    assert.equal('a["a"]', w:receive())
    w:close()
  end)

  it("close", function()
    local w = connect(session(CLOSE) .. "/websocket")
    assert.equal("o", w:receive())
    assert.equal('c[3000,"Go away!"]', w:receive())
    local code, reason = w:wait_close()
    assert.equal(1000, code)
    assert.equal("Normal closure", reason)
  end)

  it("headersSanity", function()
    local r = http.open(g.port, session(ECHO) .. "/websocket", { headers = {
      Upgrade = "websocket", Connection = "Upgrade", ["Sec-WebSocket-Version"] = "13",
      ["Sec-WebSocket-Origin"] = "http://asd", ["Sec-WebSocket-Key"] = "x3JJHMbDL1EzLkh9GBhXDw==",
    } })
    assert.equal(101, r.status)
    assert.equal("HSmrc0sMlYUkAGmm5OPpG2HaGWk=", r.headers["sec-websocket-accept"])
    assert.equal("upgrade", r.headers["connection"]:lower())
    assert.equal("websocket", r.headers["upgrade"]:lower())
    assert.is_nil(r.headers["content-length"])
    r:close()
  end)

  it("empty_frame", function()
    local w = connect(session(ECHO) .. "/websocket")
    assert.equal("o", w:receive())
    w:send("")
    w:send("[]")
    w:send('["a"]')
    assert.equal('a["a"]', w:receive())
    w:close()
  end)

  it("reuseSessionId", function()
    local url = session(ECHO) .. "/websocket"
    local first, second = connect(url), connect(url)
    assert.equal("o", first:receive())
    assert.equal("o", second:receive())
    first:send('["a"]')
    assert.equal('a["a"]', first:receive())
    second:send('["b"]')
    assert.equal('a["b"]', second:receive())
    first:close()
    second:close()
    assert.is_true(first:wait_eof() and second:wait_eof())
    local third = connect(url)
    assert.equal("o", third:receive())
    third:send('["a"]')
    assert.equal('a["a"]', third:receive())
    third:close()
  end)

  it("haproxy: a draft 76 handshake, which no living client makes, is refused", function()
    local r = http.get(g.port, session(ECHO) .. "/websocket", { headers = {
      Upgrade = "WebSocket", Connection = "Upgrade", Origin = "http://localhost",
      ["Sec-WebSocket-Key1"] = "4 @1  46546xW%0l 1 5", ["Sec-WebSocket-Key2"] = "12998 5 Y3 1  .P00",
    } })
    assert.equal(400, r.status)
    assert.matches("Not a valid websocket request", r.body, 1, true)
  end)

  it("broken_json", function()
    local w = connect(session(ECHO) .. "/websocket")
    assert.equal("o", w:receive())
    w:send('["a')
    local code, reason = w:wait_close()
    assert.equal(3000, code)
    assert.equal("Broken framing.", reason)
  end)
end)

describe("XhrPolling", function()
  it("options", function()
    assert_preflight(ECHO .. "/abc/abc/xhr", "OPTIONS, POST")
    assert_preflight(ECHO .. "/abc/abc/xhr_send", "OPTIONS, POST")
  end)

  it("transport", function()
    local url = session(ECHO)
    local r = post(url .. "/xhr", "", { Origin = "test" })
    assert_answer(r, 200, "o\n")
    assert_type(r, "application/javascript;charset=UTF-8")
    assert_cors(r, "test")
    assert_not_cached(r)

    r = post(url .. "/xhr_send", '["x"]', { Origin = "test" })
    assert_answer(r, 204, "")
    assert_type(r, "text/plain;charset=UTF-8")
    assert_cors(r, "test")
    assert_not_cached(r)

    assert_answer(post(url .. "/xhr"), 200, 'a["x"]\n')
  end)

  it("invalid_session", function() assert.equal(404, post(session(ECHO) .. "/xhr_send", '["x"]').status) end)

  it("invalid_json", function()
    local url = session(ECHO)
    assert_answer(post(url .. "/xhr"), 200, "o\n")
    assert_answer(post(url .. "/xhr_send", '["x'), 500, "Broken JSON encoding.")
    assert_answer(post(url .. "/xhr_send", ""), 500, "Payload expected.")
    assert_answer(post(url .. "/xhr_send", '["a"]'), 204, "")
    assert_answer(post(url .. "/xhr"), 200, 'a["a"]\n')
  end)

  it("content_types", function()
    local url = session(ECHO)
    assert_answer(post(url .. "/xhr"), 200, "o\n")
    local types = { "text/plain", "T", "application/json", "application/xml", "", "application/json; charset=utf-8",
      "text/xml; charset=utf-8", "text/xml" }
    for _, type in ipairs(types) do
      assert_answer(post(url .. "/xhr_send", '["a"]', { ["Content-Type"] = type }), 204, "")
    end
    assert_answer(post(url .. "/xhr"), 200, "a[" .. string.rep('"a"', #types, ",") .. "]\n")
  end)

  it("request_headers_cors", function()
    local function ask(wanted)
      local r = options(session(ECHO) .. "/xhr",
        { Origin = "test", ["Access-Control-Request-Method"] = "POST", ["Access-Control-Request-Headers"] = wanted })
      assert_answer(r, 204, "")
      assert_cors(r, "test")
      return r.headers["access-control-allow-headers"]
    end
    assert.equal("a, b, c", ask("a, b, c"))
    assert.is_nil(ask(""))
    assert.is_nil(ask(nil))
  end)

  it("sending_empty_frame", function()
    local url = session(ECHO)
    assert_answer(post(url .. "/xhr"), 200, "o\n")
    assert_answer(post(url .. "/xhr_send", "[]"), 204, "")
    assert_answer(post(url .. "/xhr_send", '["a"]'), 204, "")
    assert_answer(post(url .. "/xhr"), 200, 'a["a"]\n')
  end)
end)

describe("XhrStreaming", function()
  local PRELUDE = string.rep("h", 2048) .. "\n"

  it("options", function() assert_preflight(ECHO .. "/abc/abc/xhr_streaming", "OPTIONS, POST") end)

  it("transport", function()
    local url = session(ECHO)
    local r = open_post(url .. "/xhr_streaming", { Origin = "test" })
    assert.equal(200, r.status)
    assert_type(r, "application/javascript;charset=UTF-8")
    assert_cors(r, "test")
    assert_not_cached(r)
    assert.equal(PRELUDE, r:chunk())
    assert.equal("o\n", r:chunk())
    assert_answer(post(url .. "/xhr_send", '["x"]'), 204, "")
    assert.equal('a["x"]\n', r:chunk())
    r:close()
  end)

  it("response_limit", function()
    local url = session(ECHO)
    local r = open_post(url .. "/xhr_streaming")
    assert.equal(PRELUDE, r:chunk())
    assert.equal("o\n", r:chunk())
    local array = '["' .. string.rep("x", 128) .. '"]'
    for _ = 1, 31 do
      assert_answer(post(url .. "/xhr_send", array), 204, "")
      assert.equal("a" .. array .. "\n", r:chunk())
    end
    assert_ended(r)
  end)
end)

describe("EventSource", function()
  it("transport", function()
    local url = session(ECHO)
    local r = open_get(url .. "/eventsource")
    assert.equal(200, r.status)
    assert_type(r, "text/event-stream")
    assert_not_cached(r)
    assert.equal("\r\n", r:chunk())
    assert.equal("data: o\r\n\r\n", r:chunk())
    assert_answer(post(url .. "/xhr_send", '["x"]'), 204, "")
    assert.equal('data: a["x"]\r\n\r\n', r:chunk())
    assert_answer(post(url .. "/xhr_send", '["  \\u0000\\n\\r "]'), 204, "")
    assert.equal('data: a["  \\u0000\\n\\r "]\r\n\r\n', r:chunk())
    r:close()
  end)

  it("response_limit", function()
    local url = session(ECHO)
    local r = open_get(url .. "/eventsource")
    assert.equal("\r\n", r:chunk())
    assert.equal("data: o\r\n\r\n", r:chunk())
    local array = '["' .. string.rep("x", 4096) .. '"]'
    assert_answer(post(url .. "/xhr_send", array), 204, "")
    assert.equal("data: a" .. array .. "\r\n\r\n", r:chunk())
    assert_ended(r)
  end)
end)

describe("HtmlFile", function()
  local HEAD = [[
<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.callback;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>]]

  it("transport", function()
    local url = session(ECHO)
    local r = open_get(url .. "/htmlfile?c=%63allback")
    assert.equal(200, r.status)
    assert_type(r, "text/html;charset=UTF-8")
    assert_not_cached(r)
    local prelude = r:chunk()
    assert.equal(HEAD, prelude:match("^(.-)%s*$"))
    assert.is_true(#prelude > 1024)
    assert.equal('<script>\np("o");\n</script>\r\n', r:chunk())
    assert_answer(post(url .. "/xhr_send", '["x"]'), 204, "")
    assert.equal('<script>\np("a[\\"x\\"]");\n</script>\r\n', r:chunk())
    r:close()
  end)

  it("no_callback", function()
    assert_answer(get(ECHO .. "/a/a/htmlfile"), 500, '"callback" parameter required')
  end)

  it("invalid_callback", function()
    for _, callback in ipairs { "%20", "*", "abc(", "abc%28" } do
      assert_answer(get(ECHO .. "/a/a/htmlfile?c=" .. callback), 500, 'invalid "callback" parameter')
    end
  end)

  it("response_limit", function()
    local url = session(ECHO)
    local r = open_get(url .. "/htmlfile?c=callback")
    assert.is_string(r:chunk())
    assert.equal('<script>\np("o");\n</script>\r\n', r:chunk())
    local message = string.rep("x", 4096)
    assert_answer(post(url .. "/xhr_send", '["' .. message .. '"]'), 204, "")
    assert.equal('<script>\np("a[\\"' .. message .. '\\"]");\n</script>\r\n', r:chunk())
    assert_ended(r)
  end)
end)

describe("JsonPolling", function()
  it("transport", function()
    local url = session(ECHO)
    local r = get(url .. "/jsonp?c=%63allback")
    assert_answer(r, 200, '/**/callback("o");\r\n')
    assert_type(r, "application/javascript;charset=UTF-8")
    assert.equal("nosniff", r.headers["x-content-type-options"])
    assert_not_cached(r)

    r = post(url .. "/jsonp_send", "d=%5B%22x%22%5D", FORM)
    assert_answer(r, 200, "ok")
    assert_type(r, "text/plain;charset=UTF-8")
    assert_not_cached(r)

    assert_answer(get(url .. "/jsonp?c=%63allback"), 200, '/**/callback("a[\\"x\\"]");\r\n')
  end)

  it("no_callback", function() assert_answer(get(ECHO .. "/a/a/jsonp"), 500, '"callback" parameter required') end)

  it("invalid_callback", function()
    for _, callback in ipairs { "%20", "*", "abc(", "abc%28" } do
      assert_answer(get(ECHO .. "/a/a/jsonp?c=" .. callback), 500, 'invalid "callback" parameter')
    end
  end)

  it("invalid_json", function()
    local url = session(ECHO)
    assert_answer(get(url .. "/jsonp?c=x"), 200, '/**/x("o");\r\n')
    assert_answer(post(url .. "/jsonp_send", "d=%5B%22x", FORM), 500, "Broken JSON encoding.")
    for _, body in ipairs { "", "d=", "p=p" } do
      assert_answer(post(url .. "/jsonp_send", body, FORM), 500, "Payload expected.")
    end
    assert_answer(post(url .. "/jsonp_send", "d=%5B%22b%22%5D", FORM), 200, "ok")
    assert_answer(get(url .. "/jsonp?c=x"), 200, '/**/x("a[\\"b\\"]");\r\n')
  end)

  it("content_types", function()
    local url = session(ECHO)
    assert_answer(get(url .. "/jsonp?c=x"), 200, '/**/x("o");\r\n')
    assert_answer(post(url .. "/jsonp_send", "d=%5B%22abc%22%5D", FORM), 200, "ok")
    assert_answer(post(url .. "/jsonp_send", '["%61bc"]', { ["Content-Type"] = "text/plain" }), 200, "ok")
    assert_answer(get(url .. "/jsonp?c=x"), 200, '/**/x("a[\\"abc\\",\\"%61bc\\"]");\r\n')
  end)

  it("close", function()
    local url = session(CLOSE)
    assert_answer(get(url .. "/jsonp?c=x"), 200, '/**/x("o");\r\n')
    assert_answer(get(url .. "/jsonp?c=x"), 200, '/**/x("c[3000,\\"Go away!\\"]");\r\n')
    assert_answer(get(url .. "/jsonp?c=x"), 200, '/**/x("c[3000,\\"Go away!\\"]");\r\n')
  end)

  it("sending_empty_frame", function()
    local url = session(ECHO)
    assert_answer(get(url .. "/jsonp?c=x"), 200, '/**/x("o");\r\n')
    assert_answer(post(url .. "/jsonp_send", "d=%5B%5D", FORM), 200, "ok")
    assert_answer(post(url .. "/jsonp_send", "d=%5B%22x%22%5D", FORM), 200, "ok")
    assert_answer(get(url .. "/jsonp?c=x"), 200, '/**/x("a[\\"x\\"]");\r\n')
  end)
end)

describe("JsessionidCookie", function()
  local function assert_cookie(r, value)
    assert.equal(200, r.status)
    assert.equal("JSESSIONID=" .. (value or "dummy") .. "; path=/", r.headers["set-cookie"])
  end

  it("basic", function()
    local r = get(COOKIE .. "/info")
    assert.equal(200, r.status)
    assert.is_nil(r.headers["set-cookie"])
    assert.is_true(json.decode(r.body).cookie_needed)
  end)

  it("xhr", function()
    local r = post(session(COOKIE) .. "/xhr")
    assert.equal("o\n", r.body)
    assert_cookie(r)
    r = post(session(COOKIE) .. "/xhr", "", { Cookie = "JSESSIONID=abcdef" })
    assert.equal("o\n", r.body)
    assert_cookie(r, "abcdef")
  end)

  it("xhr_streaming", function()
    local r = open_post(session(COOKIE) .. "/xhr_streaming")
    assert_cookie(r)
    r:close()
  end)

  it("eventsource", function()
    local r = open_get(session(COOKIE) .. "/eventsource")
    assert_cookie(r)
    r:close()
  end)

  it("htmlfile", function()
    local r = open_get(session(COOKIE) .. "/htmlfile?c=%63allback")
    assert_cookie(r)
    r:close()
  end)

  it("jsonp", function()
    local url = session(COOKIE)
    local r = get(url .. "/jsonp?c=%63allback")
    assert_cookie(r)
    assert.equal('/**/callback("o");\r\n', r.body)
    r = post(url .. "/jsonp_send", "d=%5B%22x%22%5D", FORM)
    assert.equal("ok", r.body)
    assert_cookie(r)
  end)
end)

describe("RawWebsocket", function()
  it("transport", function()
    local w = connect(ECHO .. "/websocket")
    w:send("Hello world!\u{ffff}")
    assert.equal("Hello world!\u{ffff}", w:receive())
    w:close()
  end)

  it("close", function()
    local code, reason = connect(CLOSE .. "/websocket"):wait_close()
    assert.equal(3000, code)
    assert.equal("Go away!", reason)
  end)
end)

describe("JSONEncoding", function()
  -- All code points of the ranges, as they are and as JSON escapes.
  local function characters(ranges)
    local plain, escaped = {}, {}
    for _, range in ipairs(ranges) do
      for code = range[1], range[2] do
        plain[#plain + 1] = utf8.char(code)
        escaped[#escaped + 1] = string.format("\\u%04x", code)
      end
    end
    return table.concat(plain), table.concat(escaped)
  end

  it("xhr_server_encodes", function()
    local plain, escaped =
      characters { { 0x200c, 0x200f }, { 0x2028, 0x202f }, { 0x2060, 0x206f }, { 0xfff0, 0xffff } }
    local url = session(ECHO)
    assert_answer(post(url .. "/xhr"), 200, "o\n")
    assert_answer(post(url .. "/xhr_send", '["' .. plain .. '"]'), 204, "")
    assert_answer(post(url .. "/xhr"), 200, 'a["' .. escaped .. '"]\n')
  end)

  it("xhr_server_decodes", function()
    local plain, escaped = characters { { 0, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad }, { 0x300, 0x362 },
      { 0x591, 0x5af }, { 0x600, 0x604 }, { 0x70f, 0x70f }, { 0x17b4, 0x17b5 }, { 0x2000, 0x20ff },
      { 0x2126, 0x212b }, { 0xf900, 0xfad9 }, { 0xfb1d, 0xfb4e }, { 0xfeff, 0xfeff }, { 0xfff0, 0xffff } }
    local url = session(ECHO)
    assert_answer(post(url .. "/xhr"), 200, "o\n")
    assert_answer(post(url .. "/xhr_send", '["\\"\\\\' .. escaped .. '"]'), 204, "")
    local r = post(url .. "/xhr")
    assert.equal(200, r.status)
    assert.equal('"\\' .. plain, json.decode(r.body:sub(2))[1])
  end)
end)

describe("HandlingClose", function()
  local BUSY = 'c[2010,"Another connection still open"]\n'

  it("close_frame", function()
    local url = session(CLOSE)
    local first = open_post(url .. "/xhr_streaming")
    first:chunk()
    assert.equal("o\n", first:chunk())
    assert.equal('c[3000,"Go away!"]\n', first:chunk())
    local second = open_post(url .. "/xhr_streaming")
    second:chunk()
    assert.equal('c[3000,"Go away!"]\n', second:chunk())
    assert_ended(first)
    assert_ended(second)
  end)

  it("close_request", function()
    local url = session(ECHO)
    local first = open_post(url .. "/xhr_streaming")
    first:chunk()
    assert.equal("o\n", first:chunk())
    local second = open_post(url .. "/xhr_streaming")
    second:chunk()
    assert.equal(BUSY, second:chunk())
    assert_ended(second)
    first:close()
  end)

  it("abort_xhr_streaming", function()
    local url = session(ECHO)
    local first = open_post(url .. "/xhr_streaming")
    first:chunk()
    assert.equal("o\n", first:chunk())
    local second = open_post(url .. "/xhr_streaming")
    second:chunk()
    assert.equal(BUSY, second:chunk())
    assert_ended(second)
    first:close()
    local third = open_post(url .. "/xhr_streaming")
    third:chunk()
    assert.equal("o\n", third:chunk())
    third:close()
  end)

  it("abort_xhr_polling", function()
    local url = session(ECHO)
    assert_answer(post(url .. "/xhr"), 200, "o\n")
    local waiting = http.client(g.port)
    waiting:send { method = "POST", path = url .. "/xhr", body = "" }
    services.await_receiver(g, url)
    assert_answer(post(url .. "/xhr"), 200, BUSY)
    waiting:close()
    assert_answer(post(url .. "/xhr"), 200, "o\n")
  end)
end)

describe("Http10", function()
  it("synchronous", function()
    local r = http.get(g.port, ECHO, { version = "1.0", headers = { Connection = "Keep-Alive" } })
    assert_answer(r, 200, "Welcome to SockJS!\n")
    assert.is_nil(r.headers["transfer-encoding"])
    assert.equal("19", r.headers["content-length"])
  end)

  it("streaming", function()
    local r = http.get(g.port, session(CLOSE) .. "/xhr_streaming",
      { method = "POST", body = "", version = "1.0", headers = { Connection = "Keep-Alive" } })
    assert.equal(200, r.status)
    assert.is_nil(r.headers["transfer-encoding"])
    assert.is_nil(r.headers["content-length"])
    assert.is_nil(r.error)
    assert.equal(string.rep("h", 2048) .. '\no\nc[3000,"Go away!"]\n', r.body)
  end)
end)

describe("Http11", function()
  it("synchronous", function()
    local client = http.client(g.port)
    for _ = 1, 2 do
      local r = client:request { path = ECHO, headers = { Connection = "Keep-Alive" } }
      assert_answer(r, 200, "Welcome to SockJS!\n")
      assert.equal("1.1", r.version)
      assert.equal("19", r.headers["content-length"])
      assert.is_nil(r.headers["transfer-encoding"])
    end
    client:close()
  end)

  it("streaming", function()
    local r = open_post(session(CLOSE) .. "/xhr_streaming", { Connection = "Keep-Alive" })
    assert.equal(200, r.status)
    assert.equal("chunked", r.headers["transfer-encoding"])
    assert.is_nil(r.headers["content-length"])
    assert.equal(string.rep("h", 2048) .. "\n", r:chunk())
    assert.equal("o\n", r:chunk())
    assert.equal('c[3000,"Go away!"]\n', r:chunk())
    assert_ended(r)
  end)
end)
