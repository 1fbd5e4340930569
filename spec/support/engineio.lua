-- SPDX-License-Identifier: MIT
-- A gateway with Engine.IO endpoints, and sessions on them close to the bytes: a session polls, posts
-- and opens WebSockets by hand, and reads payloads of both protocols.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local json = require "dkjson"
local mime = require "mime"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local engineio = {}

-- An echo that does some things by name.
local SCRIPT = [[
local site = {}

function site.authentication(req)
  if req.query.key == "slow" then error("no") end
  return req.query.key == "good" and { name = req.query.name or "ada" }
end

function site.setup(server)
  server:on("connect", function(socket)
    if socket.endpoint == "/greeting" then socket:send("hello") end
    if socket.endpoint == "/farewell" then socket:close(3000, "Go away!") end
  end)
  server:on("disconnect", function(socket, code, reason)
    server:publish("gone", { socket.sid, code, reason })
  end)
  server:on("message", function(socket, data, binary)
    if data == "close" then socket:close(3001, "asked")
    elseif data == "protocol" then socket:send(socket.protocol)
    elseif data == "me" then socket:send(socket.auth)
    elseif data == "watch" then socket:subscribe("gone")
    elseif data == "sid" then socket:send(socket.sid)
    elseif data == "separator" then socket:send("a\x1e1")
    elseif data == "large" then socket:send(("x"):rep(60000))
    else socket:send(data, binary) end
  end)
end

return site
]]

local function endpoint(path, more)
  local ep = { path = path .. "/", transport = "engineio", dialect = "raw", auth = "none" }
  for key, value in pairs(more or {}) do ep[key] = value end
  return ep
end

-- Starts a gateway with endpoints of one site: /engine.io and /second with the defaults, /quick with
-- short times, /slow with ones that no spec lives to see, /request, /cookie, /only4, /small,
-- /greeting, /farewell. conf: further keys of the site; gateway: of the gateway's conf; script:
-- instead of the echo.
function engineio.start(options)
  options = options or {}
  local conf = { path = "/", endpoints = {
    endpoint "/engine.io", endpoint "/second", endpoint "/greeting", endpoint "/farewell",
    endpoint("/quick", { ping_interval = "200ms", ping_timeout = "300ms", upgrade_timeout = "200ms" }),
    endpoint("/request", { auth = "request" }), endpoint("/cookie", { cookie = true }),
    endpoint("/only4", { eio3 = false }), endpoint("/small", { max_payload = "1K" }),
  } }
  for key, value in pairs(options.conf or {}) do conf[key] = value end
  return gateway.start {
    gateway = options.gateway, sites = { eio = conf }, scripts = { eio = options.script or SCRIPT },
  }
end

-- ---- payloads --------------------------------------------------------------------------------------

local function decode_packet(packet)
  if packet:sub(1, 1) == "b" then return { binary = mime.unb64((packet:gsub("^b4?", ""))) or "" } end
  return packet
end

-- A payload of protocol 4 as a list: texts with their types, and { binary = bytes }.
function engineio.decode(payload)
  local packets = {}
  for packet in (payload .. "\x1e"):gmatch("([^\x1e]*)\x1e") do
    packets[#packets + 1] = packet:sub(1, 1) == "b" and { binary = mime.unb64(packet:sub(2)) or "" } or packet
  end
  return packets
end

local function utf16_length(text)
  local units = 0
  for _, point in utf8.codes(text) do units = units + (point > 0xffff and 2 or 1) end
  return units
end

-- A text packet as a payload of protocol 3.
function engineio.text3(packet) return utf16_length(packet) .. ":" .. packet end

-- The same in bytes; kind 0 a text, 1 a message of bytes (with its type).
function engineio.bytes3(kind, packet)
  local digits = tostring(#packet):gsub("%d", function(digit) return string.char(tonumber(digit)) end)
  return string.char(kind) .. digits .. "\xff" .. packet
end

-- A payload of protocol 3 in texts, as a list.
function engineio.decode3(payload)
  local packets, at = {}, 1
  while at <= #payload do
    local units, from = payload:match("^(%d+):()", at)
    assert(units, "no length in " .. payload)
    local left = tonumber(units)
    local to = from
    while left > 0 do
      local byte = payload:byte(to)
      left = left - (byte >= 0xf0 and 2 or 1)
      to = utf8.offset(payload, 2, to)
    end
    packets[#packets + 1] = decode_packet(payload:sub(from, to - 1))
    at = to
  end
  return packets
end

-- ---- sessions --------------------------------------------------------------------------------------

local session = {}
session.__index = session

local function query_of(self, transport)
  return ("?EIO=%d&transport=%s&sid=%s%s"):format(self.version, transport or "polling", self.sid, self.query)
end

-- Opens a session that polls. options: version (4), query ("&b64=1"), headers. Its handshake is
-- s.handshake, the sid s.sid.
function engineio.open(g, path, options)
  options = options or {}
  local s = setmetatable({ g = g, path = path, version = options.version or 4, query = options.query or "",
    headers = options.headers }, session)
  s.handshake = http.get(g.port, ("%s/?EIO=%d&transport=polling%s"):format(path, s.version, s.query), { headers = s.headers })
  s.sid = s.handshake.body:match('\\?"sid\\?":\\?"([%w_-]+)')
  assert(s.sid, "no session: " .. s.handshake.status .. " " .. s.handshake.body)
  return s
end

function session:request(method, body, headers)
  return http.get(self.g.port, self.path .. "/" .. query_of(self), { method = method, body = body, headers = headers })
end

function session:get() return self:request("GET") end
function session:post(body, headers) return self:request("POST", body, headers) end

-- The body of the next poll.
function session:poll()
  local r = self:get()
  assert(r.status == 200, "a poll ended with " .. r.status .. " " .. r.body)
  return r.body
end

-- Packets, poll by poll, until there are count.
function session:packets(count)
  local all = {}
  while #all < count do
    local decode = self.version == 4 and engineio.decode or engineio.decode3
    for _, packet in ipairs(decode(self:poll())) do all[#all + 1] = packet end
  end
  return all
end

-- A poll on a connection of its own; c:read() is its answer.
function session:waiting_poll()
  local client = http.client(self.g.port)
  client:send { path = self.path .. "/" .. query_of(self) }
  return client
end

-- Whether the gateway has forgotten it, within so many seconds. Asks by a post that does nothing.
function session:is_gone(seconds)
  return wait.for_true(function()
    local r = self:post(self.version == 4 and "6" or "1:6")
    return r.status == 400 and r.body == '{"code":1,"message":"Session ID unknown"}'
  end, seconds or 5)
end

-- A WebSocket that asks for this session.
function session:websocket(options)
  return ws.connect(self.g.port, self.path .. "/" .. query_of(self, "websocket"), options)
end

-- Moves it to a WebSocket, which is returned.
function session:upgrade()
  local w = self:websocket()
  w:send "2probe"
  assert(w:receive() == "3probe")
  w:send "5"
  return w
end

-- Code and reason with which the socket of this sid ended, as a WebSocket that watches is told.
function engineio.told(watcher, sid)
  while true do
    local message = json.decode((assert(watcher:receive()):sub(2))).message
    if message[1] == sid then return { message[2], message[3] } end
  end
end

-- A session over a WebSocket alone; w.open is its open packet.
function engineio.websocket(g, path, options)
  options = options or {}
  local w = ws.connect(g.port, ("%s/?EIO=%d&transport=websocket%s"):format(path, options.version or 4, options.query or ""),
    { headers = options.headers, origin = options.origin })
  if w.status == 101 then w.open = w:receive() end
  return w
end

return engineio
