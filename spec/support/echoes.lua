-- SPDX-License-Identifier: MIT
-- A gateway full of WebSocket echoes, and what the specs about WebSockets ask of it again and again.

local assert = require "luassert"
local gateway = require "spec.support.gateway"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local ECHO = [[return { setup = function(server)
  server:on("message", function(socket, data, binary)
    if data == "close me" then return socket:close(4000, "as you wish") end
    socket:send(data, binary)
  end)
end }]]

local ASKED = [[return { authentication = function(req)
  if req.query.user == "slow" then require("moonlatch.time").sleep(30) end
  if req.query.user == "broken" then error("broken") end
  return req.query.user and { name = req.query.user }
end, setup = function(server)
  server:on("message", function(socket, data) socket:send(socket.auth.name .. ": " .. data) end)
end }]]

-- Memory is measured here: a sanitizer must not keep what was freed.
local SANITIZER = (os.getenv("ASAN_OPTIONS") or "") .. ":quarantine_size_mb=1"

local function endpoint(path, more)
  local e = { path = path, transport = "websocket", dialect = "raw", auth = "none" }
  for k, v in pairs(more or {}) do e[k] = v end
  return e
end

local echoes = {}
local g

function echoes.start()
  g = gateway.start {
    env = { ASAN_OPTIONS = SANITIZER },
    gateway = { limits = { ws_message_rate = "off" } },
    sites = {
      echo = {
        path = "/",
        endpoints = {
          endpoint("/ws", { max_message = "16M", max_fragments = 65536, compress = true }),
          endpoint("/takeover", { compress = { min = 16, window_bits = 15, context_takeover = true } }),
          endpoint("/small", { protocols = { "chat.v2", "chat.v1" } }),
          endpoint("/any", { protocols = { "*" } }),
          endpoint("/token", { dialect = "token", auth = "token" }),
        },
      },
      hasty = {
        path = "/hasty",
        limits = { ws_message_time = "300ms", ws_ping_interval = "200ms", ws_pong_timeout = "400ms",
          ws_message_rate = 50, ws_message_burst = 20 },
        endpoints = { endpoint("/ws"), endpoint("/quiet", { ping = false }) },
      },
      brief = { path = "/brief", limits = { max_lifetime = "1s" }, endpoints = { endpoint("/ws") } },
      asked = {
        path = "/asked", origins = { "https://good.example" },
        endpoints = { endpoint("/ws", { auth = "request" }), endpoint("/open") },
      },
    },
    scripts = { echo = ECHO, hasty = ECHO, brief = ECHO, asked = ASKED },
  }
  return g
end

function echoes.connect(path, options)
  local w = ws.connect(g.port, path or "/ws", options)
  assert.are.equal(101, w.status, w.body)
  return w
end

-- Still there, and prompt.
function echoes.alive()
  local before = wait.now()
  local w = echoes.connect()
  w:send("probe")
  assert.are.equal("probe", (w:receive()))
  w:close(1000)
  w:hang_up()
  assert.is_true(wait.now() - before < 1)
end

function echoes.assert_closed(w, code)
  local got, reason = w:wait_close(5)
  assert.are.equal(code, got, reason)
  assert.is_nil((reason or ""):find("[^ -~]"))
  assert.is_true(w:wait_eof(1))
end

-- Bytes as the first of a connection, whole and byte by byte, end with the code.
function echoes.ends_with(code, bytes, path, options)
  local w = echoes.connect(path, options)
  w:write(bytes)
  echoes.assert_closed(w, code)
  w = echoes.connect(path, options)
  for i = 1, math.min(#bytes, 64) do
    if not w:write(bytes:sub(i, i)) then break end
  end
  if #bytes > 64 then w:write(bytes:sub(65)) end
  echoes.assert_closed(w, code)
end

function echoes.returns(w, payload, opcode)
  w:frame(opcode, payload)
  local got, kind = w:receive(20)
  assert.is_true(got == payload, "echo of " .. #payload .. " bytes")
  assert.are.equal(opcode, kind)
end

return echoes
