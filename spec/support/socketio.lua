-- SPDX-License-Identifier: MIT
-- A client of Socket.IO close to the bytes: packets are what its methods take and give, over a
-- WebSocket of Engine.IO 4 or 3.

local engineio = require "spec.support.engineio"
local json = require "dkjson"

local socketio = {}

local client = {}
client.__index = client

-- Opens a connection, without asking for a namespace. options: version (4), path ("/socket.io"), query,
-- headers.
function socketio.open(gateway, options)
  options = options or {}
  local w = engineio.websocket(gateway, options.path or "/socket.io",
    { version = options.version, query = options.query, headers = options.headers })
  return setmetatable({ ws = w, version = options.version or 4 }, client)
end

-- Sends the text of a packet, without Engine.IO's type before it; bytes are sent behind it.
function client:send(packet, ...)
  self.ws:send("4" .. packet)
  for _, bytes in ipairs { ... } do
    self.ws:send_binary(self.version == 3 and "\4" .. bytes or bytes)
  end
end

-- The next packet, without the type; "bytes" behind it when it is binary. Heartbeats are answered.
function client:receive()
  while true do
    local payload, opcode = self.ws:receive()
    if opcode == 2 then return self.version == 3 and payload:sub(2) or payload, "bytes" end
    if payload == "2" then self.ws:send "3"
    elseif type(payload) == "string" and payload:sub(1, 1) == "4" then return payload:sub(2)
    elseif type(payload) ~= "string" then return payload, opcode end
  end
end

-- Asks for a namespace; the answer.
function client:connect(ns, auth)
  self:send("0" .. (ns and ns .. "," or "") .. (auth and json.encode(auth) or ""))
  return self:receive()
end

-- The same, and it must be let in: its sid.
function client:join(ns, auth)
  local answer = self:connect(ns, auth)
  local prefix = "0" .. (ns and ns .. "," or "")
  assert(answer and answer:sub(1, #prefix) == prefix, "not let in: " .. tostring(answer))
  return json.decode(answer:sub(#prefix + 1)).sid
end

-- The code of the close that comes next.
function client:closed()
  return (self.ws:wait_close())
end

function client:close()
  self.ws:close()
end

return socketio
