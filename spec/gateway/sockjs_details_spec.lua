-- SPDX-License-Identifier: MIT
-- SockJS where the protocol's own tests leave off: hostile requests, limits, time, who may open a
-- session, and what the texts look like on the wire.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local services = require "spec.support.sockjs"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local FORM = { ["Content-Type"] = "application/x-www-form-urlencoded" }
local g

local function request(method, path, body, headers)
  return http.get(g.port, path, { method = method, body = body, headers = headers })
end
local function get(path, headers) return request("GET", path, nil, headers) end
local function post(path, body, headers) return request("POST", path, body or "", headers) end
local function session(service) return (service or "/echo") .. "/000/" .. services.unique() end

local function opened(service)
  local url = session(service)
  assert.equal("o\n", post(url .. "/xhr").body)
  return url
end

local function assert_answer(r, status, body)
  assert.equal(status, r.status)
  assert.equal(body, r.body)
end

-- The body of the next poll; heartbeats do not count.
local function poll(url)
  local body
  repeat body = post(url .. "/xhr").body until body ~= "h\n"
  return body
end

-- A poll that waits, on a connection of its own.
local function waiting_poll(url)
  local client = http.client(g.port)
  client:send { method = "POST", path = url .. "/xhr", body = "" }
  services.await_receiver(g, url)
  return client
end

describe("a SockJS endpoint", function()
  setup(function() g = services.start() end)
  teardown(gateway.stop_all)

  it("answers upgrades of URLs that are no WebSocket's as if there were none", function()
    local headers = {
      Upgrade = "websocket", Connection = "Upgrade", ["Sec-WebSocket-Version"] = "13",
      ["Sec-WebSocket-Key"] = "x3JJHMbDL1EzLkh9GBhXDw==",
    }
    local paths = { "", "/", "/info", "/iframe.html", "/x", "/0/x/nothing" }
    for _, what in ipairs { "xhr", "xhr_streaming", "xhr_send", "eventsource", "htmlfile", "jsonp", "jsonp_send" } do
      paths[#paths + 1] = "/000/" .. services.unique() .. "/" .. what .. "?c=cb"
    end
    for _, path in ipairs(paths) do
      for _, method in ipairs { "GET", "POST", "OPTIONS" } do
        local r = http.open(g.port, "/echo" .. path, { method = method, headers = headers, body = method == "POST" and "" })
        assert.not_equal(101, r.status)
        assert.is_true(r.status < 500 or r.status == 500 and path:find("send"))
        r:close()
      end
    end
    assert.is_true(g:alive())
  end)

  it("says 405 and what it takes to other methods", function()
    local table_of = {
      [""] = "GET", ["/info"] = "OPTIONS, GET", ["/iframe.html"] = "GET", ["/websocket"] = "GET",
      ["/0/x/websocket"] = "GET", ["/0/x/xhr"] = "POST, OPTIONS", ["/0/x/xhr_streaming"] = "POST, OPTIONS",
      ["/0/x/xhr_send"] = "POST, OPTIONS", ["/0/x/eventsource"] = "GET", ["/0/x/htmlfile"] = "GET",
      ["/0/x/jsonp"] = "GET", ["/0/x/jsonp_send"] = "POST",
    }
    for path, allow in pairs(table_of) do
      for _, method in ipairs { "HEAD", "PUT", "DELETE", "GET", "POST", "OPTIONS" } do
        if not allow:find(method) then
          local r = request(method, "/echo" .. path, method ~= "GET" and method ~= "HEAD" and "" or nil)
          assert_answer(r, 405, "")
          assert.equal(allow, r.headers["allow"])
          assert.is_nil(r.headers["content-type"])
        end
      end
    end
  end)

  it("takes one more slash at the end of every path", function()
    for _, path in ipairs { "/info/", "/iframe.html/" } do assert.equal(200, get("/echo" .. path).status) end
    local url = session()
    assert_answer(post(url .. "/xhr/"), 200, "o\n")
    assert_answer(post(url .. "/xhr_send/", '["x"]'), 204, "")
    assert_answer(post(url .. "/xhr/"), 200, 'a["x"]\n')
  end)

  it("refuses callbacks that are no short names", function()
    local bad = { "<script>", "%3Cscript%3E", "alert(1)//", string.rep("a", 33), "%C3%A9", "", "a%00", "a%0d%0ab",
      "a;b", "a[0]", "a$", "a+b", "%2", "%zz", "ok&c=ok", "ok&callback=ok", "'", "%22", "a%25", string.rep("%61", 33) }
    for _, what in ipairs { "jsonp", "htmlfile" } do
      for _, name in ipairs { "c", "callback" } do
        for _, value in ipairs(bad) do
          local r = get(session() .. "/" .. what .. "?" .. name .. "=" .. value)
          assert_answer(r, 500, 'invalid "callback" parameter')
          assert.equal("text/plain; charset=UTF-8", r.headers["content-type"])
          assert.equal("nosniff", r.headers["x-content-type-options"])
        end
      end
    end
    local name = string.rep("a", 32)
    assert_answer(get(session() .. "/jsonp?t=1&callback=" .. name), 200, "/**/" .. name .. '("o");\r\n')
  end)

  it("begins what a callback gets with a comment, and forbids guessing its type", function()
    local r = get(session() .. "/jsonp?c=CWSMIKI0hCD0Up0IZUnnnnnnnn")
    assert.equal("/**/CWS", r.body:sub(1, 7))
    assert.equal("nosniff", r.headers["x-content-type-options"])
    r = http.open(g.port, session() .. "/htmlfile?c=x")
    assert.equal("nosniff", r.headers["x-content-type-options"])
    r:close()
  end)

  it("refuses bodies that are no array of strings, and the session stays", function()
    local url = opened()
    local rows = {
      { "null", "Payload expected." }, { "{}", "Payload expected." }, { "[1]", "Payload expected." },
      { "[[]]", "Payload expected." }, { '"x"', "Payload expected." }, { '["x",null]', "Payload expected." },
      { '["x"', "Broken JSON encoding." }, { '["x"]]', "Broken JSON encoding." }, { "\0", "Broken JSON encoding." },
      { '["\xff"]', "Broken JSON encoding." }, { string.rep("[", 1000), "Broken JSON encoding." },
    }
    for _, row in ipairs(rows) do assert_answer(post(url .. "/xhr_send", row[1]), 500, row[2]) end
    assert.equal(500, post(url .. "/xhr_send", "[" .. string.rep('"m"', 65, ",") .. "]").status)
    for _, type in ipairs { "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png" } do
      assert_answer(post(url .. "/xhr_send", '["x"]', { ["Content-Type"] = type }), 500, "Payload expected.")
    end
    assert.equal(413, post(url .. "/xhr_send", '["' .. string.rep("x", 65536) .. '"]').status)
    assert_answer(post(url .. "/xhr_send", "[" .. string.rep('"m"', 64, ",") .. "]"), 204, "")
    assert.equal("a[" .. string.rep('"m"', 64, ",") .. "]\n", poll(url))
  end)

  it("decodes a form once", function()
    local url = opened()
    local rows = {
      { "d=%255B%2522x%2522%255D", "Broken JSON encoding." }, { "d=%zz", "Broken JSON encoding." },
      { "d=[%22x%2", "Broken JSON encoding." }, { "d=+", "Broken JSON encoding." }, { "d", "Payload expected." },
      { "e=%5B%5D", "Payload expected." },
    }
    for _, row in ipairs(rows) do assert_answer(post(url .. "/jsonp_send", row[1], FORM), 500, row[2]) end
    assert_answer(post(url .. "/jsonp_send?i=a1", "x=1&d=%5B%22a+b%2Bc%22%5D&d=2", FORM), 200, "ok")
    assert.equal('a["a b+c"]\n', poll(url))
  end)

  it("wants ids of 1 to 64 bytes without dots and slashes, however they are written", function()
    for _, id in ipairs { "a.b", "a%2fb", "a%2Fb", "%2e%2e", "a%2E", "", string.rep("x", 65), string.rep("x", 1024) } do
      assert.equal(404, post("/echo/000/" .. id .. "/xhr").status)
      assert.equal(404, post("/echo/" .. id .. "/s/xhr").status)
    end
    assert.equal("o\n", post("/echo/000/" .. services.unique() .. string.rep("%20", 10) .. "/xhr").body)
  end)

  it("keeps sessions of its endpoints apart", function()
    local id = services.unique()
    assert.equal("o\n", post("/echo/000/" .. id .. "/xhr").body)
    assert.equal(404, post("/cookie_needed_echo/000/" .. id .. "/xhr_send", '["x"]').status)
    assert.equal("o\n", post("/cookie_needed_echo/000/" .. id .. "/xhr").body)
  end)

  it("lets no message out of its frame", function()
    local hostile = '</script><!-- "%0d%0a" \\u0000\\r\\ndata: x\\u2028'
    local url = opened()
    local events = http.open(g.port, url .. "/eventsource")
    assert.equal("\r\n", events:chunk())
    post(url .. "/xhr_send", '["' .. hostile:gsub('"', '\\"') .. '"]')
    assert.equal('data: a["</script><!-- \\"%250d%250a\\" \\u0000\\r\\ndata: x\\u2028"]\r\n\r\n', events:chunk())
    events:close()

    url = session()
    local page = http.open(g.port, url .. "/htmlfile?c=x")
    page:chunk()
    assert.equal('<script>\np("o");\n</script>\r\n', page:chunk())
    post(url .. "/xhr_send", '["' .. hostile:gsub('"', '\\"') .. '"]')
    local script = page:chunk():match("^<script>\np%((.*)%);\n</script>\r\n$")
    assert.is_nil(script:find("<", 1, true))
    local frame = json.decode(script)
    assert.equal('</script><!-- "%0d%0a" \0\r\ndata: x\u{2028}', json.decode(frame:sub(2))[1])
    page:close()
  end)

  it("sends surrogates as escapes, and gives back lone ones", function()
    local url = opened()
    assert_answer(post(url .. "/xhr_send", '["\u{1f600}","\\ud83d\\ude00","\\ud800","x\\udfffx"]'), 204, "")
    assert.equal('a["\\ud83d\\ude00","\\ud83d\\ude00","\\ud800","x\\udfffx"]\n', poll(url))
    local w = ws.connect(g.port, session() .. "/websocket")
    assert.equal("o", w:receive())
    w:send('["\u{1f600}","\\ud800"]')
    assert.equal('a["\\ud83d\\ude00"]', w:receive())
    assert.equal('a["\\ud800"]', w:receive())
    w:close()
  end)

  it("names origins with credentials where any may come in", function()
    local url = opened()
    for _, origin in ipairs { "http://a.example", "null", "file://" } do
      for _, r in ipairs { get("/echo/info", { Origin = origin }), post(url .. "/xhr_send", "[]", { Origin = origin }),
        post(url .. "/xhr_send", "x", { Origin = origin }), post(session() .. "/xhr_send", "[]", { Origin = origin }) } do
        assert.equal(origin, r.headers["access-control-allow-origin"])
        assert.equal("true", r.headers["access-control-allow-credentials"])
        assert.equal("Origin", r.headers["vary"])
      end
    end
    local events = http.open(g.port, session() .. "/eventsource", { headers = { Origin = "null" } })
    assert.equal("*", events.headers["access-control-allow-origin"])
    assert.is_nil(events.headers["access-control-allow-credentials"])
    events:close()
  end)

  it("gives a thousand different entropies", function()
    local client, seen, count = http.client(g.port), {}, 0
    for i = 1, 1000 do
      if i % 500 == 0 then client = http.client(g.port) end
      local entropy = json.decode(client:request({ path = "/echo/info" }).body).entropy
      assert.is_true(entropy >= 0 and entropy <= 0xffffffff)
      if not seen[entropy] then count = count + 1 end
      seen[entropy] = true
    end
    assert.is_true(count >= 999)
  end)

  it("echoes no cookie that could be more than one", function()
    for _, value in ipairs { "a b", 'a"b', "a,b", "a=b", string.rep("x", 65), "%0d%0aSet-Cookie:x", "" } do
      local r = post(session("/cookie_needed_echo") .. "/xhr", "", { Cookie = "x=1; JSESSIONID=" .. value })
      assert.equal("JSESSIONID=dummy; path=/", r.headers["set-cookie"])
    end
    local r = post(session("/cookie_needed_echo") .. "/xhr", "", { Cookie = "JSESSIONID=aB3_.-; x=1" })
    assert.equal("JSESSIONID=aB3_.-; path=/", r.headers["set-cookie"])
  end)

  it("negotiates neither extensions nor subprotocols", function()
    local w = ws.connect(g.port, session() .. "/websocket",
      { extensions = "permessage-deflate; client_max_window_bits", protocols = "a, b", version = "8" })
    assert.equal(101, w.status)
    assert.is_nil(w.headers["sec-websocket-extensions"])
    assert.is_nil(w.headers["sec-websocket-protocol"])
    assert.equal("o", w:receive())
    w:close()
    for _, version in ipairs { "7", "0", "14", "x", "" } do
      assert.equal(400, ws.connect(g.port, session() .. "/websocket", { version = version }).status)
      assert.equal(400, ws.connect(g.port, "/echo/websocket", { version = version }).status)
    end
  end)

  it("has no WebSocket where that is off", function()
    for _, path in ipairs { "/000/x/websocket", "/websocket" } do
      assert.equal(404, ws.connect(g.port, "/disabled_websocket_echo" .. path).status)
      assert.equal(404, get("/disabled_websocket_echo" .. path).status)
    end
  end)

  it("takes a bare string, several messages and binary frames over a WebSocket", function()
    local w = ws.connect(g.port, session() .. "/websocket")
    assert.equal("o", w:receive())
    w:send('"bare"')
    assert.equal('a["bare"]', w:receive())
    w:send(' [ "a" , "b" ] ')
    assert.equal('a["a"]', w:receive())
    assert.equal('a["b"]', w:receive())
    w:send_binary('["c"]')
    assert.equal('a["c"]', w:receive())
    w:send('["close"]')
    assert.equal('c[3001,"asked"]', w:receive())
    assert.equal(1000, (w:wait_close()))
    for _, text in ipairs { "{}", "1", "null", "[1]", "x", "\xff", '["a"', '"a' } do
      local one = ws.connect(g.port, session() .. "/websocket")
      assert.equal("o", one:receive())
      one:send_binary(text)
      local code, reason = one:wait_close()
      assert.equal(3000, code)
      assert.equal("Broken framing.", reason)
    end
  end)

  it("carries bytes over the raw WebSocket", function()
    local w = ws.connect(g.port, "/echo/websocket")
    w:send_binary("\0\xff")
    local data, opcode = w:receive()
    assert.equal("\0\xff", data)
    assert.equal(2, opcode)
    w:send('["x"]')
    assert.equal('["x"]', w:receive())
    w:send("close")
    local code, reason = w:wait_close()
    assert.equal(3001, code)
    assert.equal("asked", reason)
  end)

  it("hands what was queued to the next receiver as one frame, also to a stream", function()
    local url = opened()
    for i = 1, 3 do post(url .. "/xhr_send", '["' .. i .. '"]') end
    local stream = http.open(g.port, url .. "/xhr_streaming", { method = "POST", body = "" })
    stream:chunk()
    assert.equal('a["1","2","3"]\n', stream:chunk())
    post(url .. "/xhr_send", '["4","5"]')
    assert.equal('a["4"]\n', stream:chunk())
    assert.equal('a["5"]\n', stream:chunk())
    stream:close()
  end)

  it("gives what was queued before the close frame, and drops what comes after it", function()
    local url = opened()
    assert_answer(post(url .. "/xhr_send", '["a","close","b"]'), 204, "")
    assert_answer(post(url .. "/xhr_send", '["c"]'), 204, "")
    assert.equal('a["a"]\n', post(url .. "/xhr").body)
    for _ = 1, 2 do assert.equal('c[3001,"asked"]\n', post(url .. "/xhr").body) end
  end)

  it("gives the close frame to all who ask in the turn of the close", function()
    local url = opened()
    local client = waiting_poll(url)
    local body = '["close"]'
    local head = " HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    local got = http.raw(g.port, "POST " .. url .. "/xhr_send" .. head:format(#body) .. body
      .. "POST " .. url .. "/xhr" .. head:format(0), { stop = "]\n" })
    assert.matches('c[3001,"asked"]\n', got, 1, true)
    assert.equal('c[3001,"asked"]\n', client:read().body)
    client:close()
  end)

  it("notices at once that a waiting poll is gone, by FIN and by RST", function()
    for _, how in ipairs { "close", "drop" } do
      local url = opened()
      local client = waiting_poll(url)
      client.stream[how](client.stream)
      assert.is_truthy(wait.for_true(function()
        return post(url .. "/xhr_send", "[]").status == 404
      end, 1))
      assert.equal("o\n", post(url .. "/xhr").body)
    end
  end)

  it("closes a session that is sent more than fits while nobody receives", function()
    local url = opened()
    local array = '["' .. string.rep("x", 30000) .. '"]'
    for _ = 1, 3 do assert_answer(post(url .. "/xhr_send", array), 204, "") end
    assert.equal(2 * 30002 + 5, #post(url .. "/xhr").body)
    assert.equal('c[1013,"Try again later"]\n', post(url .. "/xhr").body)
  end)
end)

describe("time, on a SockJS endpoint", function()
  setup(function()
    g = services.start {
      endpoints = { heartbeat = "150ms", disconnect_delay = "200ms" },
      gateway = { limits = { ws_pong_timeout = "150ms" } },
    }
  end)
  teardown(gateway.stop_all)

  it("beats on whatever waits", function()
    local url = opened()
    assert_answer(post(url .. "/xhr"), 200, "h\n")
    assert_answer(get(url .. "/jsonp?c=x"), 200, '/**/x("h");\r\n')
    local stream = http.open(g.port, url .. "/eventsource")
    stream:chunk()
    for _ = 1, 2 do assert.equal("data: h\r\n\r\n", stream:chunk()) end
    stream:close()
  end)

  it("beats with pings on a WebSocket, and drops one that is silent", function()
    local w = ws.connect(g.port, session() .. "/websocket", { auto_pong = false })
    assert.equal("o", w:receive())
    local _, opcode = w:receive(2)
    assert.equal(9, opcode)
    assert.is_true(w:wait_eof(2))
    w = ws.connect(g.port, session() .. "/websocket")
    assert.equal("o", w:receive())
    assert.same({ nil, "timeout" }, { w:receive(0.8) })
    w:send('["x"]')
    assert.equal('a["x"]', w:receive())
    w:close()
  end)

  it("forgets a session that nobody polls", function()
    local url = opened()
    assert.is_truthy(wait.for_true(function() return post(url .. "/xhr_send", "[]").status == 404 end, 2))
    assert.equal("o\n", post(url .. "/xhr").body)
  end)

  it("frees the id of a closed session when nobody asked for the close frame any more", function()
    local url = opened("/close")
    for _ = 1, 4 do
      assert.equal('c[3000,"Go away!"]\n', post(url .. "/xhr").body)
      wait.pass(0.1)
    end
    wait.pass(0.3)
    assert.equal("o\n", post(url .. "/xhr").body)
  end)
end)

describe("a SockJS endpoint of a careful site", function()
  local SCRIPT = [[
    local site = {}
    function site.authentication(req)
      if req.query.fail then error("cannot say") end
      return req.cookies.user and { name = req.cookies.user }
    end
    function site.setup(server)
      server:on("message", function(socket, data)
        if data == "who" then
          socket:send(socket.auth.name .. " " .. socket.protocol .. " " .. tostring(socket.handshake.headers.cookie))
        else
          socket:send(data)
        end
      end)
    end
    return site
  ]]
  local OWN, LISTED = "http://127.0.0.1", "https://chat.example"

  setup(function()
    g = services.start {
      script = SCRIPT, endpoints = { auth = "request" }, conf = { origins = { LISTED } },
    }
  end)
  teardown(gateway.stop_all)

  local ANN = { Cookie = "user=ann" }
  local function ann(headers)
    headers.Cookie = ANN.Cookie
    return headers
  end

  it("lets the script judge every way in, and keeps cookies to the login", function()
    local url = session()
    assert.equal(403, post(url .. "/xhr").status)
    assert.equal(404, post(url .. "/xhr_send", "[]").status)
    assert.equal("o\n", post(url .. "/xhr", "", ANN).body)
    post(url .. "/xhr_send", '["who"]')
    assert.equal('a["ann xhr-polling nil"]\n', poll(url))
    for what, method in pairs { xhr_streaming = "POST", eventsource = "GET", ["htmlfile?c=x"] = "GET" } do
      local r = http.open(g.port, session() .. "/" .. what, { method = method, body = method == "POST" and "" or nil })
      assert.equal(403, r.status)
      r:close()
      r = http.open(g.port, session() .. "/" .. what,
        { method = method, body = method == "POST" and "" or nil, headers = ANN })
      assert.equal(200, r.status)
      r:close()
    end
    for _, path in ipairs { session() .. "/websocket", "/echo/websocket" } do
      assert.equal(403, ws.connect(g.port, path).status)
      assert.equal(101, ws.connect(g.port, path, { headers = ANN }).status)
    end
    assert.equal(503, post(session() .. "/xhr?fail=1", "", ANN).status)
    assert.equal(503, ws.connect(g.port, "/echo/websocket?fail=1", { headers = ANN }).status)
  end)

  it("lets pages of the origins that may come in read a refusal, and nobody keep it", function()
    local refused = { post(session() .. "/xhr", "", { Origin = LISTED }),
      post(session() .. "/xhr?fail=1", "", ann { Origin = LISTED }),
      post(session() .. "/xhr_streaming", "", { Origin = LISTED }),
      get(session() .. "/eventsource", { Origin = LISTED }) }
    for i, r in ipairs(refused) do
      assert.equal(i == 2 and 503 or 403, r.status)
      assert.equal(LISTED, r.headers["access-control-allow-origin"])
      assert.equal("true", r.headers["access-control-allow-credentials"])
      assert.equal("Origin", r.headers["vary"])
      assert.equal("no-store, no-cache, no-transform, must-revalidate, max-age=0", r.headers["cache-control"])
    end
  end)

  it("knows the origins that may come in", function()
    for origin, fits in pairs { [LISTED] = true, [OWN .. ":" .. g.port] = true, ["https://evil.example"] = false,
      ["null"] = false, ["https://chat.example.evil"] = false } do
      local r = get("/echo/info", { Origin = origin })
      assert.equal(fits and 200 or 403, r.status)
      assert.equal(fits and origin or nil, r.headers["access-control-allow-origin"])
      assert.equal(fits and "true" or nil, r.headers["access-control-allow-credentials"])
      assert.equal(fits and 204 or 403, request("OPTIONS", session() .. "/xhr", nil, { Origin = origin }).status)
      assert.equal(fits and 200 or 403, post(session() .. "/xhr", "", ann { Origin = origin }).status)
      assert.equal(fits and 404 or 403, post(session() .. "/xhr_send", "[]", { Origin = origin }).status)
      local w = ws.connect(g.port, session() .. "/websocket", { origin = origin, headers = ANN })
      assert.equal(fits and 101 or 403, w.status)
    end
  end)

  it("answers a script element only on pages that it knows", function()
    local function ask(referer) return get(session() .. "/jsonp?c=x", ann { Referer = referer }).status end
    assert.equal(403, ask(nil))
    assert.equal(403, ask("https://evil.example/chat.example"))
    assert.equal(403, ask("nonsense"))
    assert.equal(200, ask(LISTED .. "/page?x=1"))
    assert.equal(200, ask("http://127.0.0.1:" .. g.port .. "/"))
  end)
end)

describe("sessions that nobody polls", function()
  setup(function()
    g = services.start {
      endpoints = { disconnect_delay = "500ms" },
      gateway = { limits = { count_private = true, sockjs_sessions_per_ip = 5 } },
    }
  end)
  teardown(gateway.stop_all)

  it("keep their address from opening more, until some are gone", function()
    local urls = {}
    for i = 1, 5 do urls[i] = opened() end
    for _ = 1, 50 do assert.equal(503, post(session() .. "/xhr").status) end
    assert_answer(post(urls[1] .. "/xhr_send", '["x"]'), 204, "")
    assert.is_truthy(wait.for_true(function() return post(session() .. "/xhr").status == 200 end, 3))
  end)
end)

describe("a drain", function()
  after_each(gateway.stop_all)

  it("closes sessions with 1012, polling or not", function()
    g = services.start { gateway = { limits = { drain_timeout = "3s", drain_spread = 0 } } }
    local url = opened()
    local client = waiting_poll(url)
    local w = ws.connect(g.port, session() .. "/websocket")
    assert.equal("o", w:receive())
    g:signal("TERM")
    assert.equal('c[1012,"restart"]\n', client:read().body)
    assert.equal('c[1012,"restart"]', w:receive())
    assert.equal(1000, (w:wait_close()))
    client:close()
    w:hang_up()
    assert.equal(0, g:wait_exit(6))
  end)
end)
