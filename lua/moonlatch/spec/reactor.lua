-- SPDX-License-Identifier: MIT
-- Connections of live specs. One thread does everything, so whoever waits looks at all of them: the clients
-- of the spec, and the backends that the script asks meanwhile.

local socket = require "socket"

local reactor = {}

local watched, functions = {}, {} -- a list for select; by socket what is called when it can be read

-- From now on on_readable() is called whenever sock can be read.
function reactor.watch(sock, on_readable)
  watched[#watched + 1] = sock
  functions[sock] = on_readable
end

-- Closes it.
function reactor.drop(sock)
  for i, other in ipairs(watched) do
    if other == sock then table.remove(watched, i) break end
  end
  functions[sock] = nil
  sock:close()
end

-- Waits until done() is true: true, or false when that took longer than so many seconds.
function reactor.run(done, seconds)
  local ends = socket.gettime() + seconds
  while not done() do
    local left = ends - socket.gettime()
    if left <= 0 then return false end
    local readable = socket.select(watched, nil, math.min(left, 0.05))
    for _, sock in ipairs(readable) do
      if functions[sock] then functions[sock]() end
    end
  end
  return true
end

-- A connection to 127.0.0.1:port; on_bytes(text) gets what comes, on_end() once the end. It has send and close.
function reactor.connect(port, on_bytes, on_end)
  local sock = assert(socket.tcp())
  sock:settimeout(5)
  assert(sock:connect("127.0.0.1", port))
  sock:setoption("tcp-nodelay", true)
  return reactor.adopt(sock, on_bytes, on_end)
end

-- The same for a socket that is there.
function reactor.adopt(sock, on_bytes, on_end)
  local conn = { open = true }
  function conn.close()
    if conn.open then reactor.drop(sock) end
    conn.open = false
  end
  function conn.send(text)
    sock:settimeout(5)
    sock:send(text)
    sock:settimeout(0)
  end
  sock:settimeout(0)
  reactor.watch(sock, function()
    local text, err, part = sock:receive(65536)
    text = text or part
    if text and #text > 0 then on_bytes(text) end
    if err == "closed" and conn.open then
      conn.close()
      on_end()
    end
  end)
  return conn
end

-- Listens on a free port: on_connection(sock) for each that comes. The port.
function reactor.listen(on_connection)
  local sock = assert(socket.bind("127.0.0.1", 0))
  sock:settimeout(0)
  reactor.watch(sock, function()
    local peer = sock:accept()
    if peer then on_connection(peer) end
  end)
  return (select(2, sock:getsockname()))
end

-- ---- HTTP ----------------------------------------------------------------------------------------

-- The length of a message's body as its head says.
local function body_length(head)
  return tonumber(head:lower():match("\r\ncontent%-length: *(%d+)")) or 0
end

local function unchunk(text)
  local parts, at = {}, 1
  while true do
    local size, from = text:match("^(%x+)[^\r\n]*\r\n()", at)
    if not size or tonumber(size, 16) == 0 then return table.concat(parts) end
    parts[#parts + 1] = text:sub(from, from + tonumber(size, 16) - 1)
    at = from + tonumber(size, 16) + 2
  end
end

-- Asks the gateway and waits: status, headers (lower-case names), body; or nil, "timeout".
function reactor.request(port, method, target, headers, body)
  local buffer, ended = "", false
  local conn = reactor.connect(port, function(text) buffer = buffer .. text end, function() ended = true end)
  local lines = { method .. " " .. target .. " HTTP/1.1", "host: 127.0.0.1:" .. port, "connection: close" }
  for name, value in pairs(headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  if body then lines[#lines + 1] = "content-length: " .. #body end
  conn.send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or ""))
  if not reactor.run(function() return ended end, 30) then
    conn.close()
    return nil, "timeout"
  end
  local head, rest = buffer:match("^(.-)\r\n\r\n(.*)$")
  if not head then return nil, "closed" end
  local got = {}
  for name, value in head:gmatch("\r\n([^:\r\n]+): *([^\r\n]*)") do got[name:lower()] = value end
  if (got["transfer-encoding"] or ""):find("chunked") then rest = unchunk(rest) end
  return tonumber(head:match("^HTTP/1%.%d (%d+)")), got, rest
end

-- Serves a connection: answer(bytes of a request) gives the bytes of an answer, or nil: never.
function reactor.serve(sock, answer)
  local buffer, conn = "", nil
  conn = reactor.adopt(sock, function(text)
    buffer = buffer .. text
    local head, at = buffer:match("^(.-\r\n)\r\n()")
    if not head or #buffer - at + 1 < body_length(head) then return end
    local bytes = answer(buffer)
    buffer = ""
    if not bytes then return end
    conn.send(bytes)
    conn.close()
  end, function() end)
end

return reactor
