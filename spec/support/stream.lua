-- SPDX-License-Identifier: MIT
-- A connection to the gateway, TCP or (where the port is a path) a unix socket, with a read buffer and
-- deadlines: what http and ws read from. Deadlines are points of wait.now(); a read that meets one
-- returns nil, "timeout", and what came so far stays in the buffer.

local socket = require "socket"
local unix = require "socket.unix"
local wait = require "spec.support.wait"

local stream = {}
stream.__index = stream

local function connect_path(path)
  local sock = assert(unix.stream())
  sock:settimeout(5)
  assert(sock:connect(path))
  return setmetatable({ sock = sock, buffer = "", closed = false }, stream)
end

function stream.connect(port, host)
  if type(port) == "string" and port:find("^/") then return connect_path(port) end
  local sock = assert(socket.tcp())
  sock:settimeout(5)
  assert(sock:connect(host or "127.0.0.1", port))
  sock:setoption("tcp-nodelay", true)
  return setmetatable({ sock = sock, buffer = "", closed = false }, stream)
end

-- Waits for at least one more byte. true, or nil and "timeout" or "closed".
function stream:fill(deadline)
  if self.closed then return nil, "closed" end
  self.sock:settimeout(math.max(0, deadline - wait.now()))
  local first, err = self.sock:receive(1)
  if not first then
    if err == "timeout" then return nil, "timeout" end
    self.closed = true
    self.reset = err ~= "closed"
    return nil, "closed"
  end
  self.sock:settimeout(0)
  local more, failure, partial = self.sock:receive(65536)
  self.buffer = self.buffer .. first .. (more or partial or "")
  if failure and failure ~= "timeout" then self.closed = true end
  return true
end

-- Exactly so many bytes.
function stream:take(count, deadline)
  if #self.buffer < count then
    local pieces, size = { self.buffer }, #self.buffer
    while size < count do
      self.buffer = ""
      local ok, err = self:fill(deadline)
      if not ok then
        self.buffer = table.concat(pieces)
        return nil, err
      end
      pieces[#pieces + 1] = self.buffer
      size = size + #self.buffer
    end
    self.buffer = table.concat(pieces)
  end
  local bytes = self.buffer:sub(1, count)
  self.buffer = self.buffer:sub(count + 1)
  return bytes
end

-- Everything up to and without the mark.
function stream:take_until(mark, deadline)
  local from = 1
  while true do
    local first, last = self.buffer:find(mark, from, true)
    if first then
      local bytes = self.buffer:sub(1, first - 1)
      self.buffer = self.buffer:sub(last + 1)
      return bytes
    end
    from = math.max(1, #self.buffer - #mark + 2)
    local ok, err = self:fill(deadline)
    if not ok then return nil, err end
  end
end

-- Whatever there is, at least one byte.
function stream:take_some(deadline)
  if self.buffer == "" then
    local ok, err = self:fill(deadline)
    if not ok then return nil, err end
  end
  local bytes = self.buffer
  self.buffer = ""
  return bytes
end

-- Everything until the peer closes. The bytes, and whether it did close.
function stream:take_all(deadline)
  local pieces = {}
  while true do
    local bytes, err = self:take_some(deadline)
    if not bytes then return table.concat(pieces), err == "closed" end
    pieces[#pieces + 1] = bytes
  end
end

-- true, or nil and why not.
function stream:write(bytes, seconds)
  self.sock:settimeout(seconds or 10)
  local sent, err = self.sock:send(bytes)
  return sent and true, err
end

-- No more from us; the peer may still answer.
function stream:finish()
  self.sock:shutdown("send")
end

function stream:close()
  self.closed = true
  self.sock:close()
end

-- Ends the connection with RST.
function stream:drop()
  self.sock:setoption("linger", { on = true, timeout = 0 })
  self:close()
end

return stream
