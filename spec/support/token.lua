-- SPDX-License-Identifier: MIT
-- A client of the token dialect as node-token-sockjs's clients are: a token by HTTP, then the auth
-- message on SockJS-websocket framing, over xhr-polling (polling = true), or on a plain WebSocket
-- (plain = true). Messages that a call does not wait for stay in order for the next receive or wait.

local json = require "dkjson"
local http = require "spec.support.http"
local polling = require "spec.support.polling"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local token = {}
local client = {}
client.__index = client

local serial = 0

local function next_uuid()
  serial = serial + 1
  return string.format("u%09d", serial)
end

-- The token and the whole answer; the token is nil when none was issued.
function token.get(port, path, options)
  local answer = http.get(port, path, options)
  local body = answer.status == 200 and json.decode(answer.body)
  return body and body.token, answer
end

-- Connects and, for SockJS, waits for the open frame; does not log in. options: path ("/sockets", plain:
-- "/ws"), plain, polling, session, headers, host.
function token.connect(port, options)
  options = options or {}
  local path = options.path or (options.plain and "/ws" or "/sockets")
  if not options.plain then
    local session = options.session or string.format("s%07x", math.random(0, 0xfffffff))
    path = path .. "/000/" .. session .. (options.polling and "" or "/websocket")
  end
  local w = (options.polling and polling or ws).connect(port, path, options)
  local c = setmetatable({ ws = w, plain = options.plain, port = port, queue = {} }, client)
  if w.status == 101 and not options.plain then
    local frame, err = w:receive(options.timeout)
    if frame ~= "o" then error("no open frame, but " .. tostring(frame or err), 2) end
  end
  return c
end

-- A logged-in client, or nil, the error and the client. options: as connect, and query ("user=ann"),
-- token_path ("/socket/token"), token (one already at hand), token_headers.
function token.login(port, options)
  options = options or {}
  local id = options.token
  if not id then
    local answer
    local path = (options.token_path or "/socket/token") .. "?" .. (options.query or "")
    id, answer = token.get(port, path, { headers = options.token_headers, host = options.host })
    if not id then return nil, answer.body end
  end
  local c = token.connect(port, options)
  local ok, err = c:authenticate(id)
  if not ok then return nil, err, c end
  return c
end

-- A text as one message of the dialect.
function client:send_text(text)
  return self.ws:send(self.plain and text or json.encode { text })
end

function client:send(message)
  return self:send_text(json.encode(message))
end

-- The messages of one frame, in order; a SockJS close frame goes to self.close_frame.
local function unwrap(self, payload)
  if self.plain then return { payload } end
  local kind = payload:sub(1, 1)
  if kind == "a" then return json.decode(payload:sub(2)) end
  if kind == "c" then self.close_frame = json.decode(payload:sub(2)) end
  return {}
end

-- Adds the next frame's messages to the queue: true, or nil, "timeout"|"closed".
local function pump(self, deadline)
  local payload, err = self.ws:receive(math.max(0, deadline - wait.now()))
  if not payload then return nil, err end
  for _, text in ipairs(unwrap(self, payload)) do
    local message, _, failure = json.decode(text, 1, json.null)
    if failure then error("no JSON: " .. text .. ": " .. failure, 2) end
    self.queue[#self.queue + 1] = message
  end
  return true
end

-- The next message, decoded (null is dkjson's json.null), or nil, "timeout"|"closed".
function client:receive(timeout)
  local deadline = wait.now() + (timeout or 5)
  while #self.queue == 0 do
    local ok, err = pump(self, deadline)
    if not ok then return nil, err end
  end
  return table.remove(self.queue, 1)
end

-- The first message, of those kept and those to come, for which fits is true; the others are kept.
function client:wait(fits, timeout)
  local deadline, seen = wait.now() + (timeout or 5), 0
  while true do
    while seen < #self.queue do
      seen = seen + 1
      if fits(self.queue[seen]) then return table.remove(self.queue, seen) end
    end
    local ok, err = pump(self, deadline)
    if not ok then return nil, err end
  end
end

-- Sends a message under a uuid of its own and waits for the answer to it: resp, or nil and the error;
-- the whole answer comes third.
function client:ask(message, timeout)
  message.uuid = message.uuid or next_uuid()
  self:send(message)
  local answer, err = self:wait(function(m) return m.uuid == message.uuid end, timeout)
  if not answer then return nil, err end
  if answer.error ~= nil then return nil, answer.error, answer end
  return answer.resp, nil, answer
end

function client:authenticate(id, timeout)
  return self:ask({ rpc = "auth", token = id }, timeout)
end

function client:rpc(name, req, timeout)
  return self:ask({ rpc = name, req = req }, timeout)
end

-- true after the internal frame for the channel, or nil and the error. command: subscribe or unsubscribe.
local function change(self, command, channel, timeout)
  local uuid = next_uuid()
  self:send { rpc = "_" .. command, req = { channel = channel }, uuid = uuid }
  local answer, err = self:wait(function(m)
    return m.uuid == uuid or (m.internal and m.command == command and m.data.channel == channel)
  end, timeout)
  if not answer then return nil, err end
  if answer.internal then return true, nil, answer end
  return nil, answer.error, answer
end

function client:subscribe(channel, timeout) return change(self, "subscribe", channel, timeout) end
function client:unsubscribe(channel, timeout) return change(self, "unsubscribe", channel, timeout) end

-- These two are answered only when refused; the uuid to look for is returned.
function client:publish(channel, data)
  local uuid = next_uuid()
  self:send { rpc = "_publish", req = { channel = channel, data = data }, uuid = uuid }
  return uuid
end

function client:broadcast(data)
  local uuid = next_uuid()
  self:send { rpc = "_broadcast", req = { data = data }, uuid = uuid }
  return uuid
end

-- The next message on the channel, decoded; nil and why.
function client:message(channel, timeout)
  local m, err = self:wait(function(m) return m.channel == channel and m.message ~= nil end, timeout)
  if not m then return nil, err end
  return m.message
end

-- The next call from the server: its name, args and fid; answer it with c:answer(fid, { data = ... }).
function client:call(timeout)
  local m, err = self:wait(function(m) return m.internal and m.command == "rpc" end, timeout)
  if not m then return nil, err end
  return m.data.command, m.data.args, m.data.fid
end

function client:answer(fid, resp)
  return self:send { rpc = "_rpc", fid = fid, resp = resp }
end

-- How the gateway ended the session: code, reason (of the SockJS close frame, where there was one), or
-- nil, "timeout". What comes before is kept.
function client:wait_close(timeout)
  local deadline = wait.now() + (timeout or 5)
  local ok, err
  repeat ok, err = pump(self, deadline) until not ok
  if err == "timeout" then return nil, err end
  if self.close_frame then return self.close_frame[1], self.close_frame[2] end
  return self.ws.code, self.ws.reason
end

function client:close() self.ws:close(1000) end
function client:drop() self.ws:drop() end

return token
