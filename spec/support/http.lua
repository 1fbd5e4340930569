-- SPDX-License-Identifier: MIT
-- HTTP/1.1 from the client's side, close to the bytes: raw exchanges, whole answers, streams read
-- chunk by chunk, and keep-alive connections.
--
-- What a request may say: method, path, host, version ("1.1"), headers (name -> value or list of
-- values; false leaves out a header that would be added), body, timeout (seconds for each wait).

local stream = require "spec.support.stream"
local wait = require "spec.support.wait"

local http = {}

local function deadline_of(options)
  return wait.now() + (options.timeout or 5)
end

local function request_text(port, path, options)
  local lines = { string.format("%s %s HTTP/%s", options.method or "GET", path, options.version or "1.1") }
  local given = {}
  for name in pairs(options.headers or {}) do given[name:lower()] = true end
  local function add(name, value)
    lines[#lines + 1] = name .. ": " .. tostring(value)
  end
  if not given.host then add("Host", options.host or ("127.0.0.1:" .. port)) end
  if options.body and not given["content-length"] and not given["transfer-encoding"] then
    add("Content-Length", #options.body)
  end
  for name, value in pairs(options.headers or {}) do
    if type(value) == "table" then
      for _, one in ipairs(value) do add(name, one) end
    elseif value ~= false then
      add(name, value)
    end
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (options.body or "")
end

-- Status line and headers. An answer, or nil, reason.
function http.read_head(st, deadline)
  local head, err = st:take_until("\r\n\r\n", deadline)
  if not head then return nil, err end
  local status_line, raw_headers = head:match("^([^\r]*)\r?\n?(.*)$")
  local version, status, reason = status_line:match("^HTTP/(%d%.%d) (%d%d%d) ?(.*)$")
  if not status then return nil, "no status line: " .. status_line end
  local headers = {}
  for line in (raw_headers .. "\r\n"):gmatch("([^\r\n]+)\r\n") do
    local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
    if not name then return nil, "no header line: " .. line end
    name = name:lower()
    headers[name] = headers[name] and (headers[name] .. ", " .. value) or value
  end
  return { version = version, status = tonumber(status), reason = reason, headers = headers, raw_headers = raw_headers }
end

local function is_chunked(answer)
  return (answer.headers["transfer-encoding"] or ""):lower():find("chunked", 1, true) ~= nil
end

local function has_no_body(answer, method)
  local status = answer.status
  return method == "HEAD" or status == 204 or status == 304 or status < 200
end

-- One chunk; nil and "end" after the last, or nil and "timeout", "closed" or what is wrong.
local function read_chunk(st, deadline)
  local line, err = st:take_until("\r\n", deadline)
  if not line then return nil, err end
  local size = tonumber(line:match("^%x+"), 16)
  if not size then return nil, "no chunk size: " .. line end
  local bytes, failure = st:take(size + 2, deadline)
  if not bytes then
    st.buffer = line .. "\r\n" .. st.buffer
    return nil, failure
  end
  if bytes:sub(-2) ~= "\r\n" then return nil, "no end of chunk" end
  if size == 0 then return nil, "end" end
  return bytes:sub(1, -3)
end

local function read_body(st, answer, method, deadline)
  if has_no_body(answer, method) then
    answer.body = ""
  elseif is_chunked(answer) then
    answer.chunks = {}
    local chunk, err = read_chunk(st, deadline)
    while chunk do
      answer.chunks[#answer.chunks + 1] = chunk
      chunk, err = read_chunk(st, deadline)
    end
    answer.body = table.concat(answer.chunks)
    answer.error = err ~= "end" and err or nil
  elseif answer.headers["content-length"] then
    local body, err = st:take(tonumber(answer.headers["content-length"]), deadline)
    answer.body, answer.error = body or st.buffer, err
  else
    local ended
    answer.body, ended = st:take_all(deadline)
    answer.error = not ended and "timeout" or nil
  end
  return answer
end

-- Sends bytes (a list: as separate writes) and gives everything that came until the peer closed or
-- options.timeout (2 s) passed, and whether it closed. options.stop: a plain text that ends the
-- reading as soon as it was received; options.finish: shuts down our half after the last byte;
-- options.pause: seconds between writes.
function http.raw(port, bytes, options)
  options = options or {}
  local st = stream.connect(port)
  local deadline = wait.now() + (options.timeout or 2)
  for i, piece in ipairs(type(bytes) == "table" and bytes or { bytes }) do
    if i > 1 then wait.pass(options.pause or 0.002) end
    if not st:write(piece) then break end
  end
  if options.finish then st:finish() end
  local got, closed
  if options.stop then
    got = st:take_until(options.stop, deadline)
    got = got and got .. options.stop or st.buffer
    closed = st.closed
  else
    got, closed = st:take_all(deadline)
  end
  st:close()
  return got, closed
end

-- One request on a connection of its own. The answer: status, headers (lower-case names),
-- raw_headers, body, chunks if it was chunked, error if it ended early.
function http.get(port, path, options)
  options = options or {}
  local st = stream.connect(port)
  local deadline = deadline_of(options)
  st:write(request_text(port, path, options))
  local answer, err = http.read_head(st, deadline)
  if not answer then
    st:close()
    error("no answer to " .. path .. ": " .. tostring(err), 2)
  end
  read_body(st, answer, options.method, deadline)
  st:close()
  return answer
end

local open_answer = {}
open_answer.__index = open_answer

-- One HTTP chunk (without chunking: whatever comes), or nil and "end", "timeout" or "closed".
function open_answer:chunk(timeout)
  local deadline = wait.now() + (timeout or 2)
  if is_chunked(self) then return read_chunk(self.stream, deadline) end
  return self.stream:take_some(deadline)
end

-- All chunks to the end of the answer, as one string, and how it ended.
function open_answer:rest(timeout)
  local pieces = {}
  while true do
    local chunk, why = self:chunk(timeout)
    if not chunk then return table.concat(pieces), why end
    pieces[#pieces + 1] = chunk
  end
end

function open_answer:close() self.stream:close() end
function open_answer:drop() self.stream:drop() end

-- Like get, but returns after the headers.
function http.open(port, path, options)
  options = options or {}
  local st = stream.connect(port)
  st:write(request_text(port, path, options))
  local answer, err = http.read_head(st, deadline_of(options))
  if not answer then
    st:close()
    error("no answer to " .. path .. ": " .. tostring(err), 2)
  end
  answer.stream = st
  return setmetatable(answer, open_answer)
end

local client = {}
client.__index = client

-- A connection that is kept: c:send(request), c:read(request) and both in one c:request{ path = ... }.
function http.client(port)
  return setmetatable({ port = port, stream = stream.connect(port) }, client)
end

function client:send(request)
  return self.stream:write(request_text(self.port, request.path or "/", request))
end

-- The next answer, or nil and "timeout" or "closed".
function client:read(request)
  request = request or {}
  local deadline = deadline_of(request)
  local answer, err = http.read_head(self.stream, deadline)
  if not answer then return nil, err end
  return read_body(self.stream, answer, request.method, deadline)
end

function client:request(request)
  self:send(request)
  return self:read(request)
end

-- Whether the gateway closed within so many seconds.
function client:wait_close(timeout)
  local _, closed = self.stream:take_all(wait.now() + (timeout or 2))
  return closed
end

function client:close() self.stream:close() end
function client:drop() self.stream:drop() end

return http
