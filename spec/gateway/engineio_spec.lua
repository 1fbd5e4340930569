-- SPDX-License-Identifier: MIT
-- Engine.IO over raw sockets: polling of both protocols, errors, heartbeats, who may read an answer.
-- What concerns WebSockets is in engineio_ws_spec.

local engineio = require "spec.support.engineio"
local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local wait = require "spec.support.wait"

local g
local BYTES = { ["Content-Type"] = "application/octet-stream" }
local FORM = { ["Content-Type"] = "application/x-www-form-urlencoded" }

local function get(path, headers, method) return http.get(g.port, path, { headers = headers, method = method }) end
local function open(path, options) return engineio.open(g, path or "/engine.io", options) end
local function open3(options)
  options = options or {}
  options.version = 3
  return open(options.path, options)
end

local function assert_answer(r, status, body)
  assert.equal(body, r.body)
  assert.equal(status, r.status)
end

local function assert_error(r, code, message, status)
  assert_answer(r, status or 400, ('{"code":%d,"message":"%s"}'):format(code, message))
  assert.equal("application/json", r.headers["content-type"])
end

describe("Engine.IO polling", function()
  setup(function() g = engineio.start() end)
  teardown(gateway.stop_all)

  it("opens a session", function()
    local r = get "/engine.io/?EIO=4&transport=polling&t=x&mine=1"
    assert.equal(200, r.status)
    assert.equal("text/plain; charset=UTF-8", r.headers["content-type"])
    assert.equal("no-store", r.headers["cache-control"])
    assert.equal("0", r.body:sub(1, 1))
    local open_packet = json.decode(r.body:sub(2))
    assert.truthy(open_packet.sid:find("^[%w_-]+$"))
    open_packet.sid = nil
    assert.same({ upgrades = { "websocket" }, pingInterval = 25000, pingTimeout = 20000, maxPayload = 65536 },
      open_packet)
    assert.truthy(get "/engine.io/default/?EIO=3&transport=polling".body:find('^123:0{"sid":"'))
    assert.equal(404, get "/engine.io?EIO=4&transport=polling".status)
    assert.truthy(get "/small/?EIO=4&transport=polling".body:find('"maxPayload":1024', 1, true))
  end)

  it("carries texts, bytes and several of them, in order", function()
    local s = open()
    local r = s:post "4a\x1e4\xe2\x82\xac\x1ebAAEC+g==\x1e4"
    assert_answer(r, 200, "ok")
    assert.equal("text/html", r.headers["content-type"])
    assert.equal("4a\x1e4\xe2\x82\xac\x1ebAAEC+g==\x1e4", s:poll())
    assert_answer(s:post "4protocol", 200, "ok")
    assert.equal("4polling", s:poll())
  end)

  it("holds a poll until there is something", function()
    local s = open()
    local poll = s:waiting_poll()
    s:post "4late"
    assert_answer(poll:read(), 200, "4late")
    poll:send { path = "/engine.io/?EIO=4&transport=polling&sid=" .. s.sid } -- on the same connection
    s:post "4again"
    assert_answer(poll:read(), 200, "4again")
    poll:close()
  end)

  it("keeps the order of a hundred bodies", function()
    local s = open()
    local expected, got = {}, {}
    for i = 1, 100 do
      expected[i] = "4" .. i
      s:post("4" .. i)
      if i % 7 == 0 then for _, packet in ipairs(engineio.decode(s:poll())) do got[#got + 1] = packet end end
    end
    for _, packet in ipairs(s:packets(100 - #got)) do got[#got + 1] = packet end
    assert.same(expected, got)
  end)

  it("sends what a script says at once behind the open packet", function()
    local packets = engineio.decode(open "/greeting".handshake.body)
    assert.equal("4hello", packets[2])
  end)

  it("has no separator in a text, whatever a script sends", function()
    local s = open3()
    s:post(engineio.text3 "4a\x1e1")
    assert.equal("4:4a\x1e1", s:poll())
    s = open()
    s:post "4separator" -- to a client that polls with protocol 4 it goes as bytes: no packet gets in
    assert.equal("bYR4x", s:poll())
  end)

  it("ends a session with two polls at once", function()
    local s = open()
    local first, second = s:waiting_poll(), s:waiting_poll()
    local bodies = {}
    for _, poll in ipairs { first, second } do
      local r = poll:read()
      bodies[r.status] = r.body
      poll:close()
    end
    assert.same({ [200] = "1", [400] = "" }, bodies)
    assert.truthy(s:is_gone())
  end)

  it("ends a session whose poll is cut off", function()
    local s = open()
    local poll = s:waiting_poll()
    poll:close()
    assert.truthy(s:is_gone())
  end)

  it("takes nothing from a body that is too long, and keeps the session", function()
    local s = open()
    assert.equal(413, s:post("4" .. ("x"):rep(65536)).status)
    assert.equal(413, s:post("4" .. ("x"):rep(1024 * 1024)).status)
    local small = open "/small"
    assert.equal(413, small:post("4" .. ("x"):rep(1024)).status)
    for _, session in ipairs { s, small } do
      session:post "4still"
      assert.equal("4still", session:poll())
    end
  end)

  it("does not wait for bodies that lie about their length", function()
    local s = open()
    local path = ("POST /engine.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\n"):format(s.sid)
    for _, rest in ipairs {
      "Content-Length: 99999999\r\n\r\n4x", "Content-Length: -1\r\n\r\n4x", "Content-Length: 2\r\nContent-Length: 3\r\n\r\n4xy",
      "Transfer-Encoding: chunked\r\n\r\n" .. ("ffff\r\n" .. ("x"):rep(65535) .. "\r\n"):rep(2),
    } do
      local got, closed = http.raw(g.port, path .. rest)
      assert.truthy(got:find("^HTTP/1.1 4%d%d "), got)
      assert.is_true(closed)
    end
    s:post "4still"
    assert.equal("4still", s:poll())
  end)

  it("ends a session whose client sends no payload", function()
    -- "2": a ping is ours to send
    for _, body in ipairs { "", "abc", "7", "\x1e", "b%%%", "4\xff", "2", "2probe", "99999999:4" } do
      local s = open()
      assert_answer(s:post(body), 200, "ok")
      assert.truthy(s:is_gone(), "a session lives on after " .. body)
    end
    for _, body in ipairs { "", "4", "0:", "-1:4", "99999999:4", "x:4", "5:4", "2:4\xf0\x9f\x98\x80", "1:3", "1:9", "\0\1\xff4" } do
      local s = open3()
      assert_answer(s:post(body), 200, "ok")
      assert.truthy(s:is_gone(), "a session of protocol 3 lives on after " .. body)
    end
    assert.is_true(g:alive())
  end)

  it("takes what came before a packet that is none", function()
    local s = open()
    local poll = s:waiting_poll()
    assert_answer(s:post "4good\x1e9bad", 200, "ok")
    local r = poll:read()
    assert_answer(r, 200, "4good\x1e1")
    poll:close()
  end)

  it("takes 64 packets in a body, and no more", function()
    local s = open()
    assert_answer(s:post(("4m\x1e"):rep(63) .. "4m"), 200, "ok")
    assert.equal(64, #s:packets(64))
    local began = wait.now()
    assert_answer(s:post(("6\x1e"):rep(30000) .. "6"), 400, "")
    assert.is_true(wait.now() - began < 0.5)
    assert.truthy(s:is_gone())
    s = open3()
    assert_answer(s:post(("1:6"):rep(20000)), 400, "")
    assert.truthy(s:is_gone())
  end)

  it("has no use for bytes in bodies of protocol 4, nor for other methods", function()
    local s = open()
    for _, method in ipairs { "PUT", "DELETE", "PATCH" } do assert_answer(s:request(method, "4x"), 500, "") end
    assert_answer(s:request "HEAD", 500, "")
    assert_answer(s:post("4x", BYTES), 400, "")
    assert.truthy(s:is_gone())
  end)

  it("says what is wrong with a request", function()
    local polling = "/engine.io/?EIO=4&transport=polling"
    for _, transport in ipairs { "constructor", "__proto__", "toString", "", "tobi", "polling2", "webtransport", "%70olling" } do
      assert_error(get("/engine.io/?EIO=4&transport=" .. transport), 0, "Transport unknown")
    end
    assert_error(get "/engine.io/", 0, "Transport unknown")
    assert_error(get(polling .. "&transport=polling"), 0, "Transport unknown")
    assert_error(get(polling .. "&sid=nobody"), 1, "Session ID unknown")
    assert_error(get(polling .. "&sid="), 1, "Session ID unknown")
    local s = open "/second"
    assert_error(get(polling .. "&sid=" .. s.sid), 1, "Session ID unknown") -- another endpoint's
    assert_error(get(polling .. "&sid=" .. s.sid .. "&sid=" .. s.sid), 1, "Session ID unknown")
    for _, method in ipairs { "POST", "PUT", "HEAD" } do
      local r = http.get(g.port, polling, { method = method, body = method ~= "HEAD" and "4x" or nil })
      assert.equal(400, r.status)
      if method ~= "HEAD" then assert_error(r, 2, "Bad handshake method") end
    end
    assert_error(get "/engine.io/?EIO=4&transport=websocket", 3, "Bad request")
    assert_error(get("/second/?EIO=4&transport=websocket&sid=" .. s.sid), 3, "Bad request")
    for _, version in ipairs { "5", "abc", "", "44", "3.0", "4&EIO=4" } do
      assert_error(get("/engine.io/?transport=polling&EIO=" .. version), 5, "Unsupported protocol version")
    end
    assert_error(get "/only4/?EIO=3&transport=polling", 5, "Unsupported protocol version")
    assert_error(get "/only4/?transport=polling", 5, "Unsupported protocol version")
    assert.truthy(open "/only4")
    assert.truthy(get "/engine.io/?transport=polling".body:find "^123:0{")
  end)

  it("closes in good order from both sides", function()
    local s = open()
    local poll = s:waiting_poll()
    s:post "4close"
    assert_answer(poll:read(), 200, "1")
    assert.truthy(s:is_gone())
    s = open()
    s:post "4last\x1e4close"
    assert.equal("4last", s:poll()) -- without a poll it waits for one
    assert.equal("1", s:poll()) -- which clients heed before what stands beside it
    assert.truthy(s:is_gone())
    s = open()
    local held = s:waiting_poll()
    assert_answer(s:post "1", 200, "ok")
    assert_answer(held:read(), 200, "6")
    assert.truthy(s:is_gone())
    assert.equal("1", open "/farewell":poll())
    held:close()
    poll:close()
  end)

  it("tells the script how a session ended", function()
    local watcher = engineio.websocket(g, "/engine.io")
    watcher:send "4watch"
    watcher:send "4ready"
    assert.equal("4ready", watcher:receive())
    local function ended(act)
      local s = open()
      s:post "4sid"
      local sid = s:poll():sub(2)
      act(s)
      return engineio.told(watcher, sid)
    end
    assert.same({ 1000, "" }, ended(function(s) s:post "1" end))
    assert.same({ 1002, "parse error" }, ended(function(s) s:post "x" end))
    assert.same({ 1006, "connection interrupted" }, ended(function(s) s:waiting_poll():close() end))
    assert.same({ 3001, "asked" }, ended(function(s) s:post "4close" end))
    watcher:close()
  end)

  it("gives out session ids that nobody can guess", function()
    local seen, counts, n = {}, {}, 1000
    local client = http.client(g.port)
    for _ = 1, n do
      local sid = client:request { path = "/engine.io/?EIO=4&transport=polling" }.body:match '"sid":"([%w_-]+)"'
      assert.equal(27, #sid)
      assert.is_nil(seen[sid])
      seen[sid] = true
      for c in sid:gmatch "." do counts[c] = (counts[c] or 0) + 1 end
    end
    client:close()
    -- chi-square over the 64 letters: 63 degrees of freedom, above 140 once in ten million
    local expected, chi = n * 27 / 64, 0
    local letters = 0
    for _, count in pairs(counts) do
      letters = letters + 1
      chi = chi + (count - expected) ^ 2 / expected
    end
    assert.equal(64, letters)
    assert.is_true(chi < 140, "chi-square " .. chi)
  end)
end)

describe("Engine.IO protocol 3", function()
  setup(function() g = engineio.start() end)
  teardown(gateway.stop_all)

  it("reads both forms of a payload", function()
    local s = open3 { query = "&b64=1" }
    assert_answer(s:post "6:4hello10:b4AAEC+g==3:4\xe2\x82\xacx", 200, "ok")
    assert.same({ "4hello", { binary = "\0\1\2\xfa" }, "4\xe2\x82\xacx" }, s:packets(3))
    assert_answer(s:post(engineio.bytes3(0, "4hello") .. engineio.bytes3(1, "\4\0\1\2\xfa"), BYTES), 200, "ok")
    assert.same({ "4hello", { binary = "\0\1\2\xfa" } }, s:packets(2))
  end)

  it("answers bytes as bytes to clients that read them", function()
    local s = open3()
    s:post "4:4one10:b4AAEC+g=="
    local r = s:get()
    assert.equal("application/octet-stream", r.headers["content-type"])
    assert.equal(engineio.bytes3(0, "4one") .. engineio.bytes3(1, "\4\0\1\2\xfa"), r.body)
    s:post "4:4two"
    r = s:get()
    assert.equal("text/plain; charset=UTF-8", r.headers["content-type"])
    assert.equal("4:4two", r.body)
  end)

  it("writes JSON in ASCII", function()
    local s = open3 { query = "&b64=1" }
    s:post(engineio.text3 '4["\xc3\xa9\xf0\x9f\x98\x80"]')
    assert.equal('23:4["\\u00e9\\ud83d\\ude00"]', s:poll())
  end)

  it("writes other texts in bytes, which all clients read alike", function()
    local s = open3()
    s:post(engineio.text3 "4\xe2\x82\xac")
    local r = s:get()
    assert.equal("application/octet-stream", r.headers["content-type"])
    assert.equal(engineio.bytes3(0, "4\xe2\x82\xac"), r.body)
  end)

  it("speaks to clients that encode texts twice as they do", function()
    local s = open3 { query = "&b64=1" }
    s:post "3:4\xc3\x83\xc2\xa9"
    assert.equal("3:4\xc3\x83\xc2\xa9", s:poll())
    s:post "2:4\xc3\xa9" -- no client of 1.x, then: it stands as it is, and the answer is encoded twice
    assert.equal("3:4\xc3\x83\xc2\xa9", s:poll())
    s = open3 { query = "&b64=1" }
    s:post "2:4\xc3\xa9"
    assert.equal("2:4\xc3\xa9", s:poll())
    s:post "3:4\xc3\x83\xc2\xa9"
    assert.equal("3:4\xc3\x83\xc2\xa9", s:poll())
  end)

  it("speaks JSONP", function()
    local r = get "/engine.io/?EIO=3&transport=polling&b64=1&j=0"
    assert.equal("text/javascript; charset=UTF-8", r.headers["content-type"])
    assert.equal("nosniff", r.headers["x-content-type-options"])
    assert.truthy(r.body:find('^___eio%[0%]%("123:0{\\"sid\\":\\"[%w_-]+\\",'))
    assert.equal('");', r.body:sub(-3))
    local s = open3 { query = "&b64=1&j=17" }
    assert_answer(s:post("d=" .. "6:4hello10:b4AAEC%2Bg%3D%3D", FORM), 200, "ok")
    assert.equal('___eio[17]("6:4hello10:b4AAEC+g==");', s:poll())
    assert_answer(s:post("d=4%3A4a%5Cnb", FORM), 200, "ok") -- 4a\nb
    assert.equal('___eio[17]("4:4a\\nb");', s:poll())
    assert_answer(s:post("d=5%3A4a%5C%5Cnb", FORM), 200, "ok")
    assert.equal('___eio[17]("5:4a\\\\nb");', s:poll())
    assert_answer(s:post("d=5%3A4%22%E2%80%A8%22%3C", FORM), 200, "ok") -- U+2028 could end a line
    assert.equal('___eio[17]("5:4\\"\\u2028\\"<");', s:poll())
    assert_answer(s:post("e=1", FORM), 200, "ok")
    assert.truthy(s:is_gone())
  end)

  it("calls nothing but a number", function()
    for _, name in ipairs { "alert(1)", "", "0x1", "-1", "1e3", "%31", "1;alert(1)", "12345678901", "0&j=0" } do
      assert_error(get("/engine.io/?EIO=3&transport=polling&j=" .. name), 3, "Bad request")
    end
    -- with protocol 4 it is the application's own
    assert.equal("0", get "/engine.io/?EIO=4&transport=polling&j=alert(1)".body:sub(1, 1))
  end)

  it("answers pings, and takes no pongs", function()
    local s = open3()
    s:post "1:2"
    assert.equal("1:3", s:poll())
    s:post "1:3"
    assert.truthy(s:is_gone())
  end)
end)

describe("Engine.IO heartbeats", function()
  setup(function() g = engineio.start() end)
  teardown(gateway.stop_all)

  it("ping the clients of protocol 4", function()
    local s = open "/quick"
    for _ = 1, 3 do
      assert.equal("2", s:poll())
      assert_answer(s:post "3", 200, "ok")
    end
    s:post "4here"
    assert.equal("4here", s:packets(1)[1])
  end)

  it("end a session that does not answer", function()
    local s = open "/quick"
    local began = wait.now()
    assert.equal("2", s:poll())
    assert.equal("1", s:poll())
    assert.is_true(wait.now() - began >= 0.49)
    assert.truthy(s:is_gone())
  end)

  it("are not put off by other packets", function()
    local s = open "/quick"
    assert.equal("2", s:poll())
    s:post "6"
    assert.equal("1", s:poll())
  end)

  it("end a session of protocol 3 that does not ping", function()
    local s = open3 { path = "/quick" }
    local began = wait.now()
    for _ = 1, 3 do
      wait.pass(0.2)
      s:post "1:2"
      assert.equal("1:3", s:poll())
    end
    assert.equal("1:1", s:poll())
    assert.is_true(wait.now() - began >= 0.6 + 0.49)
  end)
end)

describe("pages that use Engine.IO", function()
  local ORIGIN = { Origin = "https://page.example" }
  setup(function() g = engineio.start() end)
  teardown(gateway.stop_all)

  local function cors(r)
    return r.headers["access-control-allow-origin"], r.headers["access-control-allow-credentials"]
  end

  it("are named in answers, errors included", function()
    for _, path in ipairs { "/engine.io/?EIO=3&transport=polling", "/engine.io/?EIO=4&transport=polling",
      "/engine.io/?EIO=3&transport=x", "/engine.io/?EIO=4&transport=polling&sid=x" } do
      local r = get(path, ORIGIN)
      assert.same({ "https://page.example", "true" }, { cors(r) })
      assert.equal("Origin", r.headers.vary)
    end
    assert.same({ "*" }, { cors(get "/engine.io/?EIO=3&transport=polling") })
    assert.same({}, { cors(get "/engine.io/?EIO=4&transport=polling") })
  end)

  it("may ask before they send", function()
    local ask = { Origin = "https://page.example", ["Access-Control-Request-Method"] = "POST",
      ["Access-Control-Request-Headers"] = "x-mine" }
    local r = get("/engine.io/?EIO=4&transport=polling", ask, "OPTIONS")
    assert_answer(r, 204, "")
    assert.equal("GET,HEAD,PUT,PATCH,POST,DELETE", r.headers["access-control-allow-methods"])
    assert.equal("x-mine", r.headers["access-control-allow-headers"])
    assert.same({ "https://page.example", "true" }, { cors(r) })
    for _, sid in ipairs { "", "&sid=x" } do
      r = get("/engine.io/?EIO=3&transport=polling" .. sid, ask, "OPTIONS")
      assert_answer(r, 200, "")
      assert.equal("Content-Type", r.headers["access-control-allow-headers"])
      assert.same({ "https://page.example", "true" }, { cors(r) })
    end
  end)

  it("get a cookie where the endpoint says so", function()
    local s = open "/cookie"
    assert.equal("io=" .. s.sid .. "; Path=/; HttpOnly; SameSite=Lax", s.handshake.headers["set-cookie"])
    assert.is_nil(s:post "4x".headers["set-cookie"])
    local s3 = open3 { path = "/cookie" }
    for _, r in ipairs { s3.handshake, s3:post "2:4x", s3:get() } do
      assert.equal("io=" .. s3.sid .. "; Path=/; HttpOnly", r.headers["set-cookie"])
    end
    assert.is_nil(open().handshake.headers["set-cookie"])
  end)

  it("are refused where a cookie could log in, unless they are the site's own", function()
    local path = "/request/?EIO=%d&transport=polling&key=good"
    for _, version in ipairs { 3, 4 } do
      assert_error(get(path:format(version), ORIGIN), 4, "Forbidden", 403)
      local own = "http://127.0.0.1:" .. g.port
      assert.equal(200, get(path:format(version), { Origin = own }).status)
    end
    assert.equal(403, engineio.websocket(g, "/request", { query = "&key=good", origin = "https://page.example" }).status)
    assert_error(get(path:format(3) .. "&j=0"), 4, "Forbidden", 403)
    assert_error(get(path:format(3) .. "&j=0", { Referer = "https://page.example/x" }), 4, "Forbidden", 403)
    assert.equal(200, get(path:format(3) .. "&j=0", { Referer = "http://127.0.0.1:" .. g.port .. "/x" }).status)
  end)
end)

describe("an Engine.IO endpoint whose script judges", function()
  setup(function() g = engineio.start() end)
  teardown(gateway.stop_all)

  it("lets in whom the script lets in", function()
    local s = open("/request", { query = "&key=good&name=bob" })
    s:post "4me"
    assert.equal('4{"name":"bob"}', s:poll())
    local w = engineio.websocket(g, "/request", { query = "&key=good&name=eve" })
    w:send "4me"
    assert.equal('4{"name":"eve"}', w:receive())
    w:close()
  end)

  it("refuses others, whatever they speak", function()
    assert_error(get "/request/?EIO=4&transport=polling&key=bad", 4, "Forbidden", 403)
    assert_error(get "/request/?EIO=3&transport=polling", 4, "Forbidden", 403)
    local w = engineio.websocket(g, "/request", { query = "&key=bad" })
    assert_answer(w, 403, "Forbidden")
    assert.equal("text/html", w.headers["content-type"])
    assert.equal("close", w.headers.connection)
  end)

  it("forgets who did not wait", function()
    for _ = 1, 5 do
      local client = http.client(g.port)
      client:send { path = "/request/?EIO=4&transport=polling&key=good" }
      client:drop()
    end
    assert.equal(200, get "/request/?EIO=4&transport=polling&key=good".status)
    assert.is_true(g:alive())
  end)
end)

describe("the limits of Engine.IO", function()
  teardown(gateway.stop_all)

  it("close a session that lets messages pile up", function()
    g = engineio.start { conf = { limits = { eio_queue_messages = 10 } } }
    local s = open()
    s:post(("4m\x1e"):rep(10) .. "4m")
    assert.equal(("4m\x1e"):rep(9) .. "4m", s:poll())
    assert.equal("1", s:poll())
    assert.truthy(s:is_gone())
    g:stop()
    g = engineio.start { conf = { limits = { eio_queue_bytes = "100K" } } }
    s = open()
    s:post "4large\x1e4large"
    assert.equal(60001, #s:poll())
    assert.equal("1", s:poll())
    assert.truthy(s:is_gone())
    g:stop()
  end)

  it("let an address have so many sessions that do not poll", function()
    g = engineio.start { gateway = { limits = { count_private = true } }, conf = { limits = { eio_sessions_per_ip = 3 } } }
    local sessions = { open(), open(), open() }
    assert.equal(503, get "/engine.io/?EIO=4&transport=polling".status)
    local poll = sessions[1]:waiting_poll()
    assert.truthy(wait.for_true(function() return get "/engine.io/?EIO=4&transport=polling".status == 200 end))
    poll:close()
    g:stop()
  end)

  it("close a session that sends too fast", function()
    g = engineio.start { conf = { limits = { ws_message_rate = 1, ws_message_burst = 5 } } }
    local s = open()
    s:post(("4m\x1e"):rep(9) .. "4m")
    assert.equal(("4m\x1e"):rep(4) .. "4m", s:poll())
    assert.equal("1", s:poll())
    g:stop()
  end)
end)
