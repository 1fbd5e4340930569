-- SPDX-License-Identifier: MIT
-- A site for a spec on a real gateway: the calls of world.lua and client.lua over real connections. What
-- only the inside knows comes through the admin interface.

local conf = require "moonlatch.spec.conf"
local gateway = require "moonlatch.spec.gateway"
local http = require "moonlatch.spec.http"
local json = require "moonlatch.spec.json"
local packet = require "moonlatch.spec.packet"
local reactor = require "moonlatch.spec.reactor"
local request = require "moonlatch.spec.request"
local websocket = require "moonlatch.spec.websocket"

local socket = require "socket"

local live = {}

local PATIENCE = 15 -- seconds for an answer
local PASS_MAX = 5 -- seconds that a spec may let pass

-- ---- backends ------------------------------------------------------------------------------------

function live.backend(answer)
  local port = reactor.listen(function(sock)
    reactor.serve(sock, function(bytes)
      local given = answer(http.read_request(bytes))
      if not given then return nil end
      local status, headers, body = http.read_answer(given)
      local lines = { ("HTTP/1.1 %d Answer"):format(status), "connection: close" }
      for name, value in pairs(headers) do lines[#lines + 1] = name .. ": " .. value end
      return table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
    end)
  end)
  return "http://127.0.0.1:" .. port
end

-- ---- clients -------------------------------------------------------------------------------------

local client = {}

local FENCE = "moonlatch-spec-fence-" -- channels that nobody joins

local function answer_call(self, message)
  local name, fid = message.data.command, message.data.fid
  local answer = self.answers[name]
  if not answer then return end
  local value, err = answer(message.data.args)
  local resp = err ~= nil and value == nil and { error = err } or { data = value }
  self.ws:send(json.encode { rpc = "_rpc", fid = fid, resp = resp })
end

local function on_message(self, message)
  if message.uuid then self.replies[message.uuid] = message
  elseif message.internal and message.command == "rpc" then answer_call(self, message)
  elseif message.internal and message.command == "subscribe" and message.data.uuid then self.replies[message.data.uuid] = message
  elseif message.internal and message.command == "unsubscribe" then self.left[message.data.channel] = true
  elseif message.channel and message.gap == nil then
    self.inbox[#self.inbox + 1] = { channel = message.channel, data = message.message, offset = message.offset, epoch = message.epoch }
  end
end

-- ---- packets of Socket.IO ----

local function send_packet(self, kind, id, value)
  local text, bytes = packet.write(kind, self.namespace, id, value)
  self.ws:send("4" .. text)
  for _, each in ipairs(bytes) do self.ws:send(each, true) end
end

-- An event of the script: answered where it asks for an ack and there is an answer, else noted.
local function on_event(self, id, args)
  local name = table.remove(args, 1)
  local answer = id ~= "" and self.answers[name]
  if answer then send_packet(self, packet.ACK, id, setmetatable({ (answer(args[1])) }, json.array_mt))
  elseif name:sub(1, 1) ~= "_" then self.inbox[#self.inbox + 1] = { event = name, args = args } end
end

local function on_packet(self, p, bytes)
  local value = packet.value(p, bytes)
  if p.kind == packet.CONNECT then self.joined = true
  elseif p.kind == packet.CONNECT_ERROR then self.refusal = value.message
  elseif p.kind == packet.DISCONNECT then self.left_namespace = { code = 1000, reason = "io server disconnect" }
  elseif p.kind == packet.EVENT then on_event(self, p.id, value)
  elseif p.kind == packet.ACK then self.replies[tonumber(p.id)] = value end
end

-- A message of Engine.IO.
local function on_engine(self, data, binary)
  if binary then self.bytes[#self.bytes + 1] = data
  elseif data == "2" then self.ws:send "3"
  elseif data:sub(1, 1) == "0" then self.opened = true
  elseif data:sub(1, 1) == "4" then self.header, self.bytes = packet.read(data:sub(2)), {} end
  if self.header and #self.bytes == self.header.wanted then
    local header = self.header
    self.header = nil
    on_packet(self, header, self.bytes)
  end
end

local function new_client(site, endpoint)
  local self = setmetatable({ site = site, raw = endpoint.dialect == "raw", inbox = {}, replies = {}, left = {}, answers = {},
    serial = 0 }, {
    __index = function(self, key)
      if key == "closed" then return rawget(self, "left_namespace") or self.ws and self.ws.closed end
      return client[key]
    end,
  })
  self.namespace = endpoint.dialect == "socketio" and endpoint.path or nil
  function self.received(data, binary)
    if self.namespace then return on_engine(self, data, binary) end
    if not self.raw then return on_message(self, json.decode(data)) end
    self.inbox[#self.inbox + 1] = { raw = data, binary = binary }
  end
  return self
end

local function check_open(self)
  if self.closed then error(("the client is closed (%s %s)"):format(self.closed.code, self.closed.reason), 3) end
end

local function wait(done, what, seconds)
  if reactor.run(done, seconds or PATIENCE) then return true end
  if seconds then return false end
  error("deadlock: nothing ended this wait for " .. what, 0)
end

local function ask(self, message)
  self.serial = self.serial + 1
  message.uuid = "spec-" .. self.serial
  self.ws:send(json.encode(message))
  return message.uuid
end

local function reply(self, uuid, what)
  wait(function() return self.replies[uuid] or self.closed end, what)
  local message = self.replies[uuid]
  if not message then return nil, "closed" end
  if message.error ~= nil then return nil, message.error end
  return true, message
end

function client:on(name, fn) self.answers[name] = fn end

local call = {}

function call:result()
  local ok, message = reply(self.client, self.uuid, "the answer of " .. self.name)
  if not ok then return nil, message end
  return message.resp
end

function client:start(name, data)
  check_open(self)
  local uuid = ask(self, { rpc = name, req = data })
  return setmetatable({ client = self, name = name, uuid = uuid }, { __index = function(started, key)
    if key ~= "done" then return call[key] end
    reactor.run(function() return true end, 0)
    return started.client.replies[uuid] ~= nil
  end })
end

function client:rpc(name, data)
  if not self.namespace then return self:start(name, data):result() end
  local err, value = self:emitWithAck(name, data)
  if err ~= json.null then return nil, err end
  return value
end

local function check_events(self)
  if not self.namespace then error("events are for clients of a namespace", 3) end
end

function client:emit(name, ...)
  check_open(self)
  check_events(self)
  send_packet(self, packet.EVENT, nil, { name, ... })
  self.site:settle()
end

function client:emitWithAck(name, ...)
  check_open(self)
  check_events(self)
  self.serial = self.serial + 1
  local id = self.serial
  send_packet(self, packet.EVENT, id, { name, ... })
  wait(function() return self.replies[id] or self.closed end, "the ack of " .. name)
  if not self.replies[id] then return nil, "closed" end
  return table.unpack(self.replies[id])
end

function client:subscribe(channel)
  check_open(self)
  local ok, message = reply(self, ask(self, { rpc = "_subscribe", req = { channel = channel } }), "the answer of subscribe")
  if not ok then return nil, message end
  return true, message.data.offset and { offset = message.data.offset, epoch = message.data.epoch } or nil
end

-- Waits until the client has left channel, or the op was refused.
local function left_or_refused(self, uuid, channel)
  wait(function() return self.left[channel] or self.replies[uuid] or self.closed end, "an answer")
  local problem = self.replies[uuid]
  if problem and problem.error ~= nil then return nil, problem.error end
  return true
end

function client:unsubscribe(channel)
  check_open(self)
  self.left[channel] = nil
  return left_or_refused(self, ask(self, { rpc = "_unsubscribe", req = { channel = channel } }), channel)
end

-- What takes effect in order is through when what was asked after it is: to leave a channel of its own each time, since
-- nobody waits for the answer of one that came after a refusal.
local function through(self, uuid)
  local fence = FENCE .. self.serial
  local asked = ask(self, { rpc = "_unsubscribe", req = { channel = fence } })
  wait(function() return self.left[fence] or self.replies[asked] or self.replies[uuid] or self.closed end, "an answer")
  local problem = self.replies[uuid]
  if problem and problem.error ~= nil then return nil, problem.error end
  return true
end

function client:publish(channel, data)
  check_open(self)
  if data == nil then data = json.null end
  return through(self, ask(self, { rpc = "_publish", req = { channel = channel, data = data } }))
end

function client:broadcast(data)
  check_open(self)
  if data == nil then data = json.null end
  return through(self, ask(self, { rpc = "_broadcast", req = { data = data } }))
end

function client:receive(seconds)
  wait(function() return #self.inbox > 0 or self.closed end, "a message", seconds)
  local message = table.remove(self.inbox, 1)
  if not message then return nil, self.closed and "closed" or "timeout" end
  if message.raw then return message.raw, message.binary end
  return message
end

-- Messages that are on their way come within a moment.
function client:messages()
  self.site:settle()
  local all = self.inbox
  self.inbox = {}
  return all
end

function client:send(data, binary)
  check_open(self)
  self.ws:send(type(data) == "string" and data or json.encode(data), binary)
end

function client:close() self.ws:close() end

-- ---- the site ------------------------------------------------------------------------------------

local site = {}
local site_mt = { __index = function(self, key)
  if key == "log" then return self.gateway:log() end
  return site[key]
end }

function live.new(name, options)
  local merged = conf.merged(name, options.conf, options.options)
  local self = setmetatable({ name = name, conf = conf.complete(name, merged), clients = {}, known = {} }, site_mt)
  self.gateway = gateway.start(name, merged, options.store)
  return self
end

-- Has the gateway answer once, after all that was sent before.
function site:settle()
  self.gateway:ask("stat", {})
  reactor.run(function() return false end, 0.02)
end

function site.now() return socket.gettime() end

function site:pass(seconds)
  if seconds > PASS_MAX then require("busted").pending(("%g seconds would really pass"):format(seconds)) end
  reactor.run(function() return false end, seconds)
  self:settle()
end

local function headers_of(options)
  local headers = request.headers(options)
  if options.ip then headers["x-forwarded-for"] = options.ip end
  return headers
end

local function prefix(self) return self.conf.path == "/" and "" or self.conf.path end

local function decode_body(headers, body)
  if not (headers["content-type"] or ""):find("json", 1, true) or body == "" then return body end
  return json.decode(body)
end

function site:token(options)
  options = options or {}
  local query = request.query(options.query)
  local target = prefix(self) .. (self.conf.token.path or "/socket/token") .. (query ~= "" and "?" .. query or "")
  local status, headers, body = reactor.request(self.gateway.port, options.method or "GET", target, headers_of(options), options.body)
  if not status then return nil, headers end
  local value = decode_body(headers, body)
  if status == 200 and type(value) == "table" and type(value.token) == "string" then return value.token end
  return nil, status, value
end

-- The socket that is new to us: what the gateway knows of it.
local function newcomer(self)
  for _, row in ipairs(self.gateway:ask("sockets", {}) or {}) do
    if not self.known[row.sid] then
      self.known[row.sid] = true
      return row
    end
  end
end

local function refused(status, body)
  local text = type(body) == "table" and (body.error or json.encode(body)) or body
  return nil, ("%s %s"):format(status, tostring(text))
end

-- The token that opens the endpoint: false where none is wanted; nil, reason.
local function token_for(self, endpoint, options)
  if endpoint.auth ~= "token" then
    if options.auth ~= nil then error("auth is for endpoints with tokens", 0) end
    return false
  end
  if options.auth ~= nil then
    local given, code = self.gateway:ask("token", { auth = options.auth })
    return given and given.token, code
  end
  local token, status, body = self:token(options)
  if token then return token end
  return refused(status, body)
end

local function log_in(c, token)
  if not token then return true end
  if c.raw then
    c.ws:send(token)
    return true
  end
  local ok, err = reply(c, ask(c, { rpc = "auth", token = token }), "the login")
  if ok then return true end
  return nil, tostring(err)
end

-- Gets into the namespace: true, or nil and why not.
local function join(c, credentials)
  wait(function() return c.opened or c.closed end, "the connection")
  if c.closed then return nil, "closed" end
  send_packet(c, packet.CONNECT, nil, credentials)
  wait(function() return c.joined or c.refusal or c.closed end, "the namespace")
  if c.joined then return true end
  return nil, c.refusal or "closed"
end

-- The client once it is let in; problem: why it is not.
local function admitted(self, c, ok, problem)
  if not ok then return nil, problem end
  local row
  wait(function() row = row or newcomer(self); return row or c.closed end, "the socket")
  if not row then return nil, ("%d %s"):format(c.closed.code, c.closed.reason) end
  c.sid, c.auth = row.sid, row.auth
  self.clients[#self.clients + 1] = c
  return c
end

local function connect_namespace(self, options)
  local endpoint = conf.namespace(self.conf, options.namespace)
  local credentials = options.credentials
  local token, reason = token_for(self, endpoint, options)
  if token == nil then return nil, reason end
  if token then credentials = { token = token } end
  local c = new_client(self, endpoint)
  local query = request.query(options.query)
  c.ws = websocket.open(self.gateway.port, "/socket.io/", { query = "EIO=4&transport=websocket" .. (query ~= "" and "&" .. query or ""),
    headers = headers_of(options), received = c.received })
  if not c.ws.up then return refused(c.ws.status, c.ws.body:match("[^\r\n]*")) end
  return admitted(self, c, join(c, credentials))
end

function site:connect(options)
  options = options or {}
  if options.namespace then return connect_namespace(self, options) end
  local endpoint = conf.endpoint(self.conf, options.endpoint)
  local token, reason = token_for(self, endpoint, options)
  if token == nil then return nil, reason end
  local c = new_client(self, endpoint)
  c.ws = websocket.open(self.gateway.port, prefix(self) .. endpoint.path, { sockjs = endpoint.transport == "sockjs",
    query = request.query(options.query), headers = headers_of(options), received = c.received })
  if not c.ws.up then return refused(c.ws.status, c.ws.body:match("[^\r\n]*")) end
  return admitted(self, c, log_in(c, token))
end

function site:publish(channel, value)
  assert(self.gateway:ask("publish", { channel = channel, data = value == nil and json.null or value }))
  self:settle()
end

function site:broadcast(value)
  assert(self.gateway:ask("eval", { code = ("server:broadcast(json.decode(%q))"):format(json.encode(value)) }))
  self:settle()
end

local function column(rows, name)
  local list = {}
  for i, row in ipairs(rows or {}) do list[i] = row[name] end
  return list
end

function site:sockets() return column(self.gateway:ask("sockets", {}), "sid") end
function site:members(channel) return column(self.gateway:ask("channel", { channel = channel }), "sid") end

function site:channels()
  local names = column(self.gateway:ask("channels", {}), "channel")
  table.sort(names)
  return names
end

-- What the script began and did not bring to an end: texts.
local function leaks(self)
  local list, stat = {}, self.gateway:ask("stat", {})
  for _, row in ipairs(stat and stat.sites or {}) do
    if row.name == self.name and row.tasks > 0 then list[#list + 1] = row.tasks .. " tasks wait" end
    if row.name == self.name and row.delays > 0 then list[#list + 1] = row.delays .. " delays are set" end
  end
  return list
end

function site:close(options)
  if self.ended then return end
  self.ended = true
  local left = leaks(self)
  for _, c in ipairs(self.clients) do c:close() end
  self.gateway:stop()
  if #left > 0 and not (options and options.leaks) then
    error("the site left something behind:\n  " .. table.concat(left, "\n  "), 2)
  end
end

return live
