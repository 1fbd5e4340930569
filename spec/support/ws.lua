-- SPDX-License-Identifier: MIT
-- A WebSocket client that can also misbehave: every frame field may be given. Pings are answered and
-- the gateway's close frame is echoed by itself, unless auto_pong or auto_close is set to false.

local mime = require "mime"
local digest = require "moonlatch.spec.digest"
local http = require "spec.support.http"
local stream = require "spec.support.stream"
local wait = require "spec.support.wait"

local ws = {}
ws.__index = ws

local GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

local function random_bytes(count)
  local bytes = {}
  for i = 1, count do bytes[i] = string.char(math.random(0, 255)) end
  return table.concat(bytes)
end

-- XOR with a repeated key of four bytes, eight at a time.
local function mask(payload, key)
  local word = string.unpack("<I8", key .. key)
  local out, whole = {}, #payload - #payload % 8
  for at = 1, whole, 8 do
    out[#out + 1] = string.pack("<I8", string.unpack("<I8", payload, at) ~ word)
  end
  for at = whole + 1, #payload do
    local k = key:byte((at - 1) % 4 + 1)
    out[#out + 1] = string.char(payload:byte(at) ~ k)
  end
  return table.concat(out)
end

-- Opens a WebSocket. w.status and w.headers are the answer to the handshake; unless the status is
-- 101 there is no WebSocket, and w.body is the answer's body. options: headers, host, protocols and
-- extensions (header values), origin, method, version ("13"), raw_first_bytes (sent in one piece with the
-- handshake), timeout, auto_pong, auto_close.
function ws.connect(port, path, options)
  options = options or {}
  local key = mime.b64(random_bytes(16))
  local headers = {
    ["Upgrade"] = "websocket", ["Connection"] = "Upgrade",
    ["Sec-WebSocket-Version"] = options.version or "13", ["Sec-WebSocket-Key"] = key,
    ["Sec-WebSocket-Protocol"] = options.protocols, ["Sec-WebSocket-Extensions"] = options.extensions,
    ["Origin"] = options.origin,
  }
  for name, value in pairs(options.headers or {}) do headers[name] = value or nil end
  local lines = {
    (options.method or "GET") .. " " .. path .. " HTTP/1.1",
    "Host: " .. (options.host or "127.0.0.1:" .. port),
  }
  for name, value in pairs(headers) do lines[#lines + 1] = name .. ": " .. value end

  local st = stream.connect(port)
  local deadline = wait.now() + (options.timeout or 5)
  st:write(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (options.raw_first_bytes or ""))
  local answer, err = http.read_head(st, deadline)
  if not answer then
    st:close()
    error("no answer to the handshake at " .. path .. ": " .. tostring(err), 2)
  end
  local w = setmetatable({
    stream = st, status = answer.status, headers = answer.headers, raw_headers = answer.raw_headers,
    auto_pong = options.auto_pong ~= false, auto_close = options.auto_close ~= false,
  }, ws)
  if answer.status == 101 then
    assert(answer.headers["sec-websocket-accept"] == mime.b64(digest.sha1(key .. GUID)), "wrong Sec-WebSocket-Accept")
  else
    local length = tonumber(answer.headers["content-length"])
    w.body = length and st:take(length, deadline) or st.buffer
  end
  return w
end

-- Bytes as they are.
function ws:write(bytes)
  return self.stream:write(bytes)
end

-- One frame's bytes. options: fin (true), mask (true; a string of four bytes is the key), rsv (0 to
-- 7), length (what the header says instead of the truth), wide (length in 16 or 64 bits though less would do).
function ws.frame_bytes(opcode, payload, options)
  options = options or {}
  payload = payload or ""
  local length = options.length or #payload
  local first = (options.fin == false and 0 or 0x80) | ((options.rsv or 0) << 4) | opcode
  local masked = options.mask ~= false
  local bit = masked and 0x80 or 0
  local head
  if options.wide == 64 or length > 65535 then
    head = string.pack(">BBI8", first, bit | 127, length)
  elseif options.wide == 16 or length > 125 then
    head = string.pack(">BBI2", first, bit | 126, length)
  else
    head = string.pack("BB", first, bit | length)
  end
  if not masked then return head .. payload end
  local key = type(options.mask) == "string" and options.mask or random_bytes(4)
  return head .. key .. mask(payload, key)
end

function ws:frame(opcode, payload, options)
  return self:write(ws.frame_bytes(opcode, payload, options))
end

function ws:send(text) return self:frame(1, text) end
function ws:send_binary(data) return self:frame(2, data) end
function ws:ping(payload) return self:frame(9, payload) end

-- The next frame as it came: { fin, rsv, opcode, payload, masked }, or nil, "timeout"|"closed".
function ws:receive_frame(timeout)
  local st, deadline = self.stream, wait.now() + (timeout or 5)
  local header, err = st:take(2, deadline)
  if not header then return nil, err end
  local first, second = header:byte(1, 2)
  local length, extra = second & 0x7f, ""
  if length >= 126 then
    local bytes, failure = st:take(length == 126 and 2 or 8, deadline)
    if not bytes then
      st.buffer = header .. st.buffer
      return nil, failure
    end
    extra = bytes
    length = string.unpack(length == 126 and ">I2" or ">I8", bytes)
  end
  local payload, failure = st:take(length, deadline)
  if not payload then
    st.buffer = header .. extra .. st.buffer
    return nil, failure
  end
  return {
    fin = first & 0x80 ~= 0, rsv = (first >> 4) & 7, opcode = first & 15, payload = payload,
    masked = second & 0x80 ~= 0,
  }
end

local function closed_by_peer(self, frame)
  self.closing = true
  if #frame.payload >= 2 then
    self.code, self.reason = string.unpack(">I2", frame.payload), frame.payload:sub(3)
  end
  if self.auto_close and not self.close_sent then
    self.close_sent = true
    self:frame(8, frame.payload:sub(1, 2))
  end
end

-- The next whole message: payload, opcode (1 text, 2 binary, 10 pong; 9 ping only without auto_pong).
-- nil, "timeout", or nil, "closed" after a close frame or the end of the connection.
function ws:receive(timeout)
  local deadline = wait.now() + (timeout or 5)
  while true do
    if self.closing then return nil, "closed" end
    local frame, err = self:receive_frame(math.max(0, deadline - wait.now()))
    if not frame then return nil, err end
    assert(not frame.masked, "the gateway masked a frame")
    if frame.opcode == 8 then
      closed_by_peer(self, frame)
    elseif frame.opcode == 9 and self.auto_pong then
      self:frame(10, frame.payload)
    elseif frame.opcode >= 8 then
      return frame.payload, frame.opcode
    else
      self.parts = self.parts or {}
      self.parts.opcode = self.parts.opcode or frame.opcode
      self.parts[#self.parts + 1] = frame.payload
      if frame.fin then
        local message = self.parts
        self.parts = nil
        return table.concat(message), message.opcode
      end
    end
  end
end

-- The code of the gateway's close frame; nil if there was none or it was empty.
function ws:close_code() return self.code end

-- Reads on until the gateway's close frame or the end of the connection: code, reason; both nil if it
-- ended without a frame; nil, "timeout" if neither came.
function ws:wait_close(timeout)
  local deadline = wait.now() + (timeout or 5)
  while true do
    local payload, err = self:receive(math.max(0, deadline - wait.now()))
    if not payload and err == "closed" then return self.code, self.reason end
    if not payload then return nil, err end
  end
end

-- Whether the gateway ends the TCP connection within so many seconds.
function ws:wait_eof(timeout)
  local _, closed = self.stream:take_all(wait.now() + (timeout or 5))
  return closed
end

-- Starts the closing handshake; without a code the frame is empty.
function ws:close(code, reason)
  self.close_sent = true
  self:frame(8, code and (string.pack(">I2", code) .. (reason or "")) or "")
end

-- The connection, without a close frame: with RST, or with FIN.
function ws:drop() self.stream:drop() end
function ws:hang_up() self.stream:close() end

return ws
