-- SPDX-License-Identifier: MIT
-- Attacks across the layers: on who somebody is (SECURITY.md 2.6), where they come from, which site they
-- belong to, and what they can make the gateway keep. Attacks on one protocol stand in the specs of it.

local figures = require "spec.support.figures"
local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local token = require "spec.support.token"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local SCRIPT = [[
local log = require "moonlatch.log"
local time = require "moonlatch.time"
local site = {}

function site.authentication(req)
  if req.query.bytes then return nil, "\255" end
  return req.query.user and { user = req.query.user, ip = req.ip, ips = req.ips, site = site.options.name }
end

site.controllers = {
  echo = function(_, data) return data end,
  who = function(auth) return auth end,
  log = function(_, data) log.info(data) end,
  kick = function(_, _, socket) socket:close(4000, "kicked") end,
  call = function(_, _, socket) return socket:rpc("\255", 1) end,
}

function site.setup(server)
  server:on("message", function(socket, data) socket:send(site.options.name .. ": " .. data) end)
  server:on("publish", function(_, data)
    if data.channel == "slow" then time.sleep(0.4) end
    return true
  end)
end

return site
]]

local ENDPOINTS = {
  { path = "/sockets", transport = "sockjs", dialect = "token" },
  { path = "/ws", transport = "websocket", dialect = "token" },
  { path = "/raw", transport = "websocket", dialect = "raw", auth = "token" },
}

-- sites: names; each with its path. conf: of gateway.lua.
local function start(sites, conf)
  conf = conf or {}
  conf.admin = { listen = "127.0.0.1:0" }
  conf.limits = conf.limits or {}
  conf.limits.drain_timeout = "200ms"
  local confs, scripts = {}, {}
  for _, name in ipairs(sites) do
    confs[name] = { path = "/" .. name, endpoints = ENDPOINTS, options = { name = name } }
    scripts[name] = SCRIPT
  end
  return gateway.start { gateway = conf, sites = confs, scripts = scripts }
end

local function login(g, site, more)
  local options = { path = "/" .. site .. "/ws", plain = true, token_path = "/" .. site .. "/socket/token", query = "user=ann" }
  for key, value in pairs(more or {}) do options[key] = value end
  return token.login(g.port, options)
end

local function get_token(g, site, query, options)
  return token.get(g.port, "/" .. site .. "/socket/token?" .. (query or "user=ann"), options)
end

local function post(g, path, body) return http.get(g.port, path, { method = "POST", body = body or "" }) end

describe("an attack on who somebody is", function()
  local g

  setup(function() g = start({ "one", "two" }, { log = { level = "debug" } }) end)
  teardown(gateway.stop_all)

  it("A1: with one token on eight sockets lets one of them in", function()
    for _ = 1, 20 do
      local id, sockets, admitted = get_token(g, "one"), {}, 0
      for i = 1, 8 do sockets[i] = token.connect(g.port, { path = "/one/ws", plain = true }) end
      for _, c in ipairs(sockets) do c:send { rpc = "auth", token = id } end
      for _, c in ipairs(sockets) do
        if c:receive().resp == "success" then admitted = admitted + 1 end
        c:close()
      end
      assert.equal(1, admitted)
    end
  end)

  it("A3: with a token of another site is refused, and the token is good where it belongs", function()
    local id = get_token(g, "one")
    local c, err = login(g, "two", { token = id })
    assert.is_nil(c)
    assert.equal("Token not found", err)
    assert.is_truthy(login(g, "one", { token = id }))
  end)

  it("A4: with a token that was used is refused", function()
    local id = get_token(g, "one")
    login(g, "one", { token = id }):close()
    assert.is_nil((login(g, "one", { token = id })))
  end)

  it("A7: with a second login behind the first, in one write, stays who it was", function()
    local function auth(user)
      return ws.frame_bytes(1, json.encode { rpc = "auth", token = get_token(g, "one", "user=" .. user), uuid = user })
    end
    local c = token.connect(g.port, { path = "/one/ws", plain = true })
    c.ws:write(auth "ann" .. auth "eve")
    local answers = {}
    for _ = 1, 2 do
      local m = c:receive()
      answers[m.uuid] = m.resp or m.error
    end
    assert.same({ ann = "success", eve = "Forbidden" }, answers)
    assert.equal("ann", c:rpc("who").user)
    c:close()
  end)

  it("finds no gap behind the token of a raw endpoint", function()
    local id, other = get_token(g, "one"), get_token(g, "one", "user=eve")
    local w = ws.connect(g.port, "/one/raw", { raw_first_bytes = ws.frame_bytes(1, id) .. ws.frame_bytes(1, other) })
    assert.equal("one: " .. other, w:receive())
    w:close()
  end)

  it("A5: finds no token in the log", function()
    local secrets = {}
    for i = 1, 20 do
      secrets[i] = get_token(g, "one", "user=u" .. i .. "&callback=f", { headers = { Referer = "http://127.0.0.1:" .. g.port } })
        or get_token(g, "one")
      http.get(g.port, "/one/nowhere/" .. secrets[i])
      login(g, i % 2 == 0 and "one" or "two", { token = secrets[i] })
    end
    for _, secret in ipairs(secrets) do assert.is_nil(g:log():find(secret, 1, true)) end
  end)

  it("P7: writes no line of its own into the log", function()
    local c = login(g, "one")
    c:rpc("log", "x\nlevel=error msg=forged\r\27[2J\u{85}")
    http.get(g.port, "/one/ws", { headers = { Origin = "http://x\tlevel=error" } })
    assert.is_true(g:wait_log("forged", 2))
    for line in g:log():gmatch("[^\n]+") do
      assert.is_truthy(line:find("^time="), line)
      assert.is_nil(line:find("[%c]"), line)
    end
    c:close()
  end)

  it("D8: is not helped by a script that sends bytes for text", function()
    assert.same({ error = "Internal error" }, json.decode(http.get(g.port, "/one/socket/token?bytes=1").body))
    local c = login(g, "one")
    local _, err = c:rpc("call")
    assert.equal("script_error", err.code)
    assert.is_true(c:rpc("echo", true))
    c:close()
  end)

  it("A14, A19: meets nobody of another site under the same names", function()
    local one, two = login(g, "one"), login(g, "two")
    assert.same({ "one", "two" }, { one:rpc("who").site, two:rpc("who").site })
    for _, c in ipairs { one, two } do assert.is_true(c:subscribe("same:{one}")) end
    one:publish("same:{one}", "published")
    one:broadcast("broadcast")
    assert.equal("published", one:message("same:{one}"))
    assert.equal("broadcast", one:message("same:{one}"))
    assert.is_true(two:rpc("echo", true))
    assert.same({}, two.queue)
    assert.equal("o\n", post(g, "/one/sockets/0/same/xhr").body)
    assert.equal(404, post(g, "/two/sockets/0/same/xhr_send", "[]").status)
    assert.equal("o\n", post(g, "/two/sockets/0/same/xhr").body)
    one:close()
    two:close()
  end)

  it("A12: is not another address by the PROXY protocol", function()
    local got, closed = http.raw(g.port, "PROXY TCP4 203.0.113.1 1.2.3.4 1 2\r\nGET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
    assert.is_truthy(got:find("^HTTP/1.1 400 "))
    assert.is_true(closed)
  end)
end)

describe("an address", function()
  after_each(gateway.stop_all)

  local function ip_seen(g, chain)
    local c = assert(login(g, "one", { token_headers = { ["X-Forwarded-For"] = chain } }))
    local auth = c:rpc("who")
    c:close()
    return auth.ip, table.concat(auth.ips, " ")
  end

  it("A11: is what the last untrusted hop says, if the peer is a trusted proxy", function()
    local g = start({ "one" }, { trusted_proxies = { "127.0.0.1", "10.0.0.0/8" } })
    for _, case in ipairs {
      { nil, "127.0.0.1", "" },
      { "203.0.113.1", "203.0.113.1", "203.0.113.1" },
      { "198.51.100.9, 203.0.113.1", "203.0.113.1", "198.51.100.9 203.0.113.1" },
      { "198.51.100.9, 203.0.113.1, 10.1.2.3", "203.0.113.1", "198.51.100.9 203.0.113.1 10.1.2.3" },
      { "10.1.2.3", "10.1.2.3", "10.1.2.3" },
      { "198.51.100.9, unknown, 10.1.2.3", "10.1.2.3", "198.51.100.9 unknown 10.1.2.3" },
      { { "198.51.100.9", "203.0.113.1" }, "203.0.113.1", "198.51.100.9 203.0.113.1" },
      { { "198.51.100.9", "203.0.113.1, 10.1.2.3" }, "203.0.113.1", "198.51.100.9 203.0.113.1 10.1.2.3" },
      { { "198.51.100.9", "unknown" }, "127.0.0.1", "198.51.100.9 unknown" },
      { "2001:db8::1", "2001:db8::1", "2001:db8::1" },
    } do
      assert.same({ case[2], case[3] }, { ip_seen(g, case[1]) })
    end
  end)

  it("A11: is the peer's, if that is nobody's proxy", function()
    local g = start({ "one" })
    assert.same({ "127.0.0.1", "" }, { ip_seen(g, "203.0.113.1") })
  end)

  it("A6: must wait after ten failed logins, on every way in, and no other with it", function()
    local g = start({ "one", "two" }, { trusted_proxies = { "127.0.0.1" } })
    local function from(last) return { ["X-Forwarded-For"] = "203.0.113." .. last } end
    for i = 1, 10 do
      local c = token.connect(g.port, { path = "/one/ws", plain = true, headers = from(1) })
      c:send { rpc = "auth", token = i % 2 == 0 and "x" or "00000000-0000-4000-8000-000000000000" }
      assert.equal(1000, (c:wait_close()))
    end
    local _, answer = get_token(g, "one", nil, { headers = from(1) })
    assert.equal(429, answer.status)
    assert.equal(429, ws.connect(g.port, "/one/ws", { headers = from(1) }).status)
    assert.equal(429, ws.connect(g.port, "/one/sockets/0/a/websocket", { headers = from(1) }).status)
    assert.equal(429, http.get(g.port, "/one/sockets/0/a/xhr", { method = "POST", body = "", headers = from(1) }).status)
    assert.equal(4, figures.limit(g, "failed_auth_per_ip", "one"))
    assert.is_truthy(get_token(g, "one", nil, { headers = from(2) }))
    assert.is_truthy(get_token(g, "two", nil, { headers = from(1) }))
  end)

  it("gets so many tokens, connections and sessions", function()
    local g = start({ "one" }, { limits = {
      count_private = true, tokens_per_ip = 1, tokens_per_ip_burst = 5, max_connections_per_ip = 20, sockjs_sessions_per_ip = 3,
    } })
    local function statuses(count, ask)
      local seen = {}
      for i = 1, count do
        local status = ask(i)
        seen[status] = (seen[status] or 0) + 1
      end
      return seen
    end
    assert.same({ [200] = 5, [429] = 2 }, statuses(7, function() return select(2, get_token(g, "one")).status end))
    assert.same({ [200] = 3, [503] = 2 }, statuses(5, function(i) return post(g, "/one/sockets/0/s" .. i .. "/xhr").status end))
    wait.for_true(function() return figures.get(g, "connections") == 1 end)
    local open = {}
    for i = 1, 20 do open[i] = http.client(g.port) end
    assert.is_truthy(http.raw(g.port, ""):find("^HTTP/1.1 429 .*Retry%-After: 5\r\n"))
    for _, c in ipairs(open) do c:close() end
    assert.is_true(wait.for_true(function() return (http.raw(g.port, "GET /health/live HTTP/1.0\r\n\r\n"):find(" 200 ")) ~= nil end))
  end)
end)

describe("the whole gateway", function()
  after_each(gateway.stop_all)

  it("P1: has so many connections, and serves again when some are gone", function()
    local g = start({ "one" }, { limits = { max_connections = 10 } })
    local open = {}
    for i = 1, 10 do open[i] = http.client(g.port) end
    for _ = 1, 5 do
      assert.is_truthy(http.raw(g.port, ""):find("^HTTP/1.1 503 .*Retry%-After: 5\r\n"))
    end
    for _, c in ipairs(open) do c:close() end
    local refused = 5
    assert.is_true(wait.for_true(function()
      local answer = http.raw(g.port, "GET /health/live HTTP/1.0\r\n\r\n")
      if answer:find(" 503 ") then refused = refused + 1 end
      return answer:find(" 200 ") ~= nil
    end))
    assert.equal(refused, figures.limit(g, "max_connections"))
  end)

  it("answers what is piped through one connection, the WebSocket at the end included", function()
    local g = start({ "one" })
    local request = "GET /one/sockets/info HTTP/1.1\r\nHost: a\r\n\r\n"
    local upgrade = "GET /one/raw HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" ..
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    for _, cut in ipairs { 0, 100, 200, 400 } do
      local bytes = request:rep(3) .. upgrade .. ws.frame_bytes(1, get_token(g, "one")) .. ws.frame_bytes(1, "hi")
      local got = http.raw(g.port, { bytes:sub(1, cut), bytes:sub(cut + 1) }, { stop = "one: hi" })
      local order = {}
      for status in got:gmatch("HTTP/1.1 (%d+) ") do order[#order + 1] = status end
      assert.equal("200 200 200 101", table.concat(order, " "))
      assert.is_truthy(got:find("one: hi", 1, true))
    end
  end)

  it("keeps only so much of what waits for a listener", function()
    local g = start({ "one" }, { limits = { publish_burst = 1000, op_queue_bytes = "64K" } })
    local c, big = login(g, "one"), ("x"):rep(20000)
    c:publish("slow", 1)
    local asked = {}
    for i = 1, 10 do asked[c:publish("c", big .. i)] = true end
    local refused = 0
    while refused < 7 do
      local m = assert(c:receive(2))
      assert.is_true(asked[m.uuid])
      assert.equal("overload", m.error)
      refused = refused + 1
    end
    assert.equal(7, figures.limit(g, "op_queue_bytes", "one"))
    c:close()
  end)

  it("forgets what a socket asked for when the socket is closed", function()
    local g = start({ "one" })
    local c, witness = login(g, "one"), login(g, "one")
    witness:subscribe("slow")
    witness:subscribe("c")
    c:publish("slow", "asked in time")
    c:publish("c", "never")
    c.ws.auto_close = false
    c:rpc("kick")
    assert.equal("asked in time", witness:message("slow"))
    assert.is_nil((witness:message("c", 0.1)))
  end)

  it("counts the messages of a frame, and of a polling client", function()
    local g = start({ "one" }, { limits = { ws_message_rate = 10, ws_message_burst = 40 } })
    local ping = json.encode { rpc = "_ping" }
    local function pings(count)
      local list = {}
      for i = 1, count do list[i] = ping end
      return json.encode(list)
    end
    local c = login(g, "one", { path = "/one/sockets", plain = false })
    c.ws:send(pings(60))
    for _ = 1, 60 do assert.equal("pong", c:receive().resp.message) end
    local before = wait.now()
    c.ws:send(pings(1))
    c.ws:send(pings(1))
    assert.is_truthy(c:receive())
    assert.is_truthy(c:receive())
    assert.is_true(wait.now() - before > 0.08)
    assert.equal(1, figures.limit(g, "ws_message_rate", "one"))
    c:close()

    local base = "/one/sockets/0/poll"
    post(g, base .. "/xhr")
    post(g, base .. "/xhr_send", json.encode { json.encode { rpc = "auth", token = get_token(g, "one") } })
    assert.equal(204, post(g, base .. "/xhr_send", pings(60)).status)
    assert.is_truthy(post(g, base .. "/xhr").body:find("pong", 1, true))
    assert.equal('c[4429,"rate"]\n', post(g, base .. "/xhr").body)
  end)
end)
