-- SPDX-License-Identifier: MIT
-- What must hold when much happens at once: slow readers, sockets that come and go over every transport,
-- and a drain in the middle of it. Under the sanitizers a leak makes g:stop() raise.

local figures = require "spec.support.figures"
local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local token = require "spec.support.token"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local SCRIPT = [[
local time = require "moonlatch.time"
local site = {}

function site.authentication(req)
  if req.query.wait then time.sleep(30) end
  return { user = req.query.user }
end

site.controllers = {
  echo = function(_, data) return data end,
  ask = function(_, _, socket) return socket:rpc("prompt", 1, { timeout = 30 }) end,
  slow = function() time.sleep(30) end,
  boom = function() error("boom") end,
  kick = function(_, _, socket) socket:close(4000, "kicked") end,
}

function site.setup(server)
  server:on("publish", function(_, data)
    if data.channel == "slow" then time.sleep(0.2) end
    return true
  end)
  server:on("disconnect", function() time.sleep(0.05) server:publish("c1", "left") end)
end

return site
]]

local function start(limits, site, files)
  limits = limits or {}
  limits.drain_timeout = limits.drain_timeout or "200ms"
  local conf = { path = "/" }
  for key, value in pairs(site or {}) do conf[key] = value end
  files = files or {}
  files["init.lua"] = SCRIPT
  return gateway.start {
    gateway = { admin = { listen = "127.0.0.1:0" }, limits = limits }, sites = { main = conf }, scripts = { main = files },
  }
end

-- Publishes more than the buffers of a connection hold, while somebody reads it all.
local FLOOD = 130

local function flood(g, channel)
  local publisher, reader = token.login(g.port, { plain = true }), token.login(g.port, { plain = true })
  local data = ("x"):rep(60000)
  reader:subscribe(channel)
  for _ = 1, FLOOD do
    publisher:publish(channel, data)
    assert.equal(data, reader:message(channel))
  end
  reader:close()
  return publisher
end

local RATES = { publish_rate = 100000, publish_burst = 100000, ws_message_rate = 100000, ws_message_burst = 100000 }

local function rates(more)
  local limits = {}
  for key, value in pairs(RATES) do limits[key] = value end
  for key, value in pairs(more or {}) do limits[key] = value end
  return limits
end

describe("a slow reader", function()
  after_each(gateway.stop_all)

  for title, plain in pairs { WebSocket = true, SockJS = false } do
    it("is closed with 4503, and nobody else, over " .. title, function()
      local g = start(rates())
      local slow = token.login(g.port, { plain = plain })
      slow:subscribe("c")
      local publisher = flood(g, "c")
      assert.equal(1, figures.limit(g, "send_buffer_hard", "main"))
      assert.equal(4503, (slow:wait_close()))
      assert.is_true(publisher:rpc("echo", true))
    end)

    it("misses messages and is told so where the site says drop, over " .. title, function()
      local g = start(rates { send_buffer_time = "100ms" }, { slow = "drop" })
      local slow = token.login(g.port, { plain = plain })
      slow:subscribe("c")
      local publisher = flood(g, "c")
      wait.pass(0.3)
      assert.is_true(figures.limit(g, "send_buffer_soft", "main") > 0)
      local read = 0
      while slow:message("c", 0.3) do read = read + 1 end
      assert.is_true(read < FLOOD)
      publisher:publish("c", "after")
      assert.equal("gap", slow:wait(function(m) return m.internal and m.command == "gap" end).command)
      assert.equal("after", slow:message("c"))
    end)
  end

  it("of a stream is closed when its queue is full", function()
    local g = start(rates { sockjs_response_limit = "16M" })
    local base = "/sockets/0/slow"
    local stream = http.open(g.port, base .. "/xhr_streaming", { method = "POST", body = "" })
    local messages = { { rpc = "auth", token = token.get(g.port, "/socket/token?") }, { rpc = "_subscribe", req = { channel = "c" } } }
    for _, message in ipairs(messages) do
      local body = json.encode { json.encode(message) }
      assert.equal(204, http.get(g.port, base .. "/xhr_send", { method = "POST", body = body }).status)
    end
    flood(g, "c")
    assert.equal(1, figures.get(g, 'sockets{site="main"}') - 1)
    stream:close()
  end)

  it("of a file gets all of it, however long that takes", function()
    local file = ("0123456789abcdef"):rep(256 * 1024)
    local g = start({ http_keepalive_timeout = "200ms" }, { static = "public" }, { ["public/a.bin"] = file })
    local client = http.client(g.port)
    for _ = 1, 4 do client:send { path = "/a.bin" } end
    wait.pass(0.6)
    for _ = 1, 4 do assert.equal(#file, #client:read({ timeout = 10 }).body) end
    assert.is_true(client:wait_close(2))
  end)
end)

-- ---- those who come and go ----

local function post(port, path, body) return http.get(port, path, { method = "POST", body = body or "" }) end

local function texts(...)
  local list = {}
  for i, message in ipairs { ... } do list[i] = json.encode(message) end
  return json.encode(list)
end

local ENDS = {
  function(st) st:drop() end,
  function(st) st:close() end,
  function(st) st:finish() st:take_all(wait.now() + 0.05) st:close() end,
}

local function some_messages(i)
  local channel = "c" .. i % 5
  return { rpc = "_subscribe", req = { channel = channel }, uuid = 1 }, { rpc = "_publish", req = { channel = "slow", data = i } },
    { rpc = "_publish", req = { channel = channel, data = i } }, { rpc = "ask", uuid = 2 }, { rpc = "boom", uuid = 3 },
    { rpc = i % 7 == 0 and "kick" or "echo", req = i, uuid = 4 }
end

local function visit_by_websocket(g, i)
  local c = token.login(g.port, { plain = i % 2 == 0 })
  for at, message in ipairs { some_messages(i) } do
    if at <= i % 8 then c:send(message) end
  end
  if i % 3 == 0 then c:receive(0.05) end
  if i % 5 == 0 then c:close() end
  ENDS[i % #ENDS + 1](c.ws.stream)
end

local WAYS = {
  { "xhr", "POST" }, { "jsonp", "GET", "?c=f" }, { "xhr_streaming", "POST" }, { "eventsource", "GET" }, { "htmlfile", "GET", "?c=f" },
}

local function visit_by_http(g, i)
  local way, base = WAYS[i % #WAYS + 1], "/sockets/0/visitor" .. i
  local path, request = base .. "/" .. way[1] .. (way[3] or ""), { method = way[2], body = way[2] == "POST" and "" or nil }
  local polling = way[1] == "xhr" or way[1] == "jsonp"
  if polling then http.get(g.port, path, request) end
  local stream = not polling and http.open(g.port, path, request)
  post(g.port, base .. "/xhr_send", texts { rpc = "auth", token = token.get(g.port, "/socket/token?") })
  if i % 4 > 0 then post(g.port, base .. "/xhr_send", texts(some_messages(i))) end
  local client = http.client(g.port)
  client:send { path = path, method = way[2], body = request.body }
  if i % 2 == 0 then client:read { method = way[2], timeout = 0.02 } end
  ENDS[i % #ENDS + 1](client.stream)
  if stream then ENDS[(i + 1) % #ENDS + 1](stream.stream) end
end

local function visits(g, count)
  for i = 1, count do (i % 2 == 0 and visit_by_websocket or visit_by_http)(g, i // 2 + i) end
end

describe("the gateway", function()
  after_each(gateway.stop_all)

  it("has nothing left of whoever came and went", function()
    local g = start { sockjs_disconnect_delay = "200ms", ws_close_wait = "200ms" }
    visits(g, 100)
    assert.equal("nobody", figures.await_nobody(g, { "main" }))
    local fds = g:fds()
    visits(g, 300)
    assert.equal("nobody", figures.await_nobody(g, { "main" }))
    assert.equal(fds, g:fds())
    assert.equal(0, g:stop())
  end)

  it("drains in time whatever is under way, and leaves nothing behind", function()
    local g = start { drain_timeout = "1s", drain_spread = "200ms" }
    local watched, open = {}, {}
    for i = 1, 10 do
      local c = token.login(g.port, { plain = i % 2 == 0 })
      c:subscribe("c1")
      for _, message in ipairs { { rpc = "slow" }, { rpc = "ask" }, { some_messages(i) }, { rpc = "nothing" } } do c:send(message) end
      watched[i] = c
      for _, request in ipairs {
        { path = "/socket/token?wait=1" }, { path = "/sockets/0/s" .. i .. "/xhr_streaming", method = "POST", body = "" },
        { path = "/sockets/0/p" .. i .. "/xhr", method = "POST", body = "" },
        { path = "/sockets/0/p" .. i .. "/xhr_send", method = "POST", headers = { ["Content-Length"] = 10 }, body = "[" },
      } do
        local client = http.client(g.port)
        client:send(request)
        open[#open + 1] = client
      end
      local w = ws.connect(g.port, "/ws")
      w:write("\x81")
      open[#open + 1] = w
    end
    local before = wait.now()
    g:signal("TERM")
    for _, c in ipairs(watched) do assert.equal(1012, (c:wait_close())) end
    assert.equal(0, g:wait_exit(5))
    assert.is_true(wait.now() - before < 2.5)
    g:stop()
    for _, c in ipairs(open) do c.stream:close() end
  end)
end)
