-- SPDX-License-Identifier: MIT
-- A WebSocket (RFC 6455) for live specs: plain, or as SockJS frames its messages on one.

local digest = require "moonlatch.spec.digest"
local json = require "moonlatch.spec.json"
local reactor = require "moonlatch.spec.reactor"

local websocket = {}
websocket.__index = websocket

local GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
local TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

local function random_bytes(count)
  local bytes = {}
  for i = 1, count do bytes[i] = string.char(math.random(0, 255)) end
  return table.concat(bytes)
end

local function mask(payload, key)
  local bytes = { key:byte(1, 4) }
  local at = 0
  return (payload:gsub(".", function(c)
    at = at + 1
    return string.char(c:byte() ~ bytes[(at - 1) % 4 + 1])
  end))
end

local function frame(opcode, payload)
  local key, length = random_bytes(4), #payload
  local head = length < 126 and string.pack("BB", 0x80 | opcode, 0x80 | length)
    or length < 65536 and string.pack(">BBI2", 0x80 | opcode, 0xFE, length) or string.pack(">BBI8", 0x80 | opcode, 0xFF, length)
  return head .. key .. mask(payload, key)
end

-- One frame at the start of the buffer: opcode, payload, rest; nothing while it is not whole.
local function take_frame(buffer)
  if #buffer < 2 then return nil end
  local first, length = buffer:byte(1, 2)
  local at = 3
  if length >= 126 then
    local form = length == 126 and ">I2" or ">I8"
    if #buffer < 2 + string.packsize(form) then return nil end
    length, at = string.unpack(form, buffer, 3)
  end
  if #buffer < at + length - 1 then return nil end
  return first & 15, buffer:sub(at, at + length - 1), buffer:sub(at + length)
end

-- ---- SockJS --------------------------------------------------------------------------------------

local function unwrap(self, text)
  local kind = text:sub(1, 1)
  if kind == "o" then
    self.up = true
  elseif kind == "a" then
    for _, message in ipairs(json.decode(text:sub(2))) do self.received(message, false) end
  elseif kind == "c" then
    local close = json.decode(text:sub(2))
    self.closed = { code = close[1], reason = close[2] }
  end
end

-- ---- frames --------------------------------------------------------------------------------------

local function take(self, opcode, payload)
  if opcode == PING then self.conn.send(frame(PONG, payload))
  elseif opcode == CLOSE then
    local code = #payload >= 2 and string.unpack(">I2", payload) or 1005
    self.closed = self.closed or { code = code, reason = payload:sub(3) }
    self.conn.send(frame(CLOSE, payload:sub(1, 2)))
  elseif self.sockjs then unwrap(self, payload)
  elseif opcode == TEXT or opcode == BINARY then self.received(payload, opcode == BINARY) end
end

local function on_bytes(self, text)
  self.buffer = self.buffer .. text
  if not self.status then
    local head, rest = self.buffer:match("^(.-)\r\n\r\n(.*)$")
    if not head then return end
    self.status, self.buffer = tonumber(head:match("^HTTP/1%.1 (%d+)")), rest
    self.up = self.status == 101 and not self.sockjs
  end
  while self.status == 101 do
    local opcode, payload, rest = take_frame(self.buffer)
    if not opcode then return end
    self.buffer = rest
    take(self, opcode, payload)
  end
end

-- Opens one and waits: up says whether it is open; else status and body are of the answer. received(data, binary) gets
-- what comes.
function websocket.open(port, path, options)
  local self = setmetatable({ buffer = "", sockjs = options.sockjs, received = options.received }, websocket)
  if self.sockjs then path = ("%s/000/s%08x/websocket"):format(path, math.random(0, 0x7fffffff)) end
  self.conn = reactor.connect(port, function(text) on_bytes(self, text) end, function()
    self.closed = self.closed or { code = 1006, reason = "" }
  end)
  local key = digest.base64(random_bytes(16))
  local lines = { ("GET %s%s HTTP/1.1"):format(path, options.query ~= "" and "?" .. options.query or ""), "host: 127.0.0.1:" .. port,
    "upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13", "sec-websocket-key: " .. key }
  for name, value in pairs(options.headers) do lines[#lines + 1] = name .. ": " .. value end
  self.conn.send(table.concat(lines, "\r\n") .. "\r\n\r\n")
  reactor.run(function() return self.up or self.closed or self.status and self.status ~= 101 end, 15)
  self.body = not self.up and self.buffer or nil
  self.accept = digest.base64(digest.sha1(key .. GUID))
  return self
end

function websocket:send(data, binary)
  if self.sockjs then data, binary = json.encode { data }, false end
  self.conn.send(frame(binary and BINARY or TEXT, data))
end

-- Says goodbye and waits for the answer.
function websocket:close()
  if not self.closed then
    self.conn.send(frame(CLOSE, string.pack(">I2", 1000)))
    reactor.run(function() return self.closed end, 5)
  end
  self.conn.close()
end

return websocket
