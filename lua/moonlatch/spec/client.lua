-- SPDX-License-Identifier: MIT
-- A client in a spec, on the fake core. Each call that has to wait runs the world until its result is there.

local json = require "moonlatch.spec.json"
local ops = require "moonlatch.spec.ops"
local socket = require "moonlatch.spec.socket"

local client = {}
client.__index = client

-- Connects; login (auth data, or nil) is done by world.lua.
function client.new(world, endpoint, raw)
  local c = setmetatable({ world = world, inbox = {}, answers = {}, speaks_events = endpoint.dialect == "socketio" }, client)
  c.socket = socket.new(world, endpoint, raw, c)
  c.sid = c.socket.sid
  return c
end

-- ---- what the core tells it ----------------------------------------------------------------------

-- An event; args are its own.
function client:heard(name, args)
  self.inbox[#self.inbox + 1] = { event = name, args = args }
end

function client:got(channel, data, at)
  if self.speaks_events then return self:heard(channel, { data }) end
  self.inbox[#self.inbox + 1] = { channel = channel, data = data, offset = at and at.offset, epoch = at and at.epoch }
end

function client:sent(data, binary) self.inbox[#self.inbox + 1] = { raw = data, binary = binary } end
function client.joined() end
function client.left() end

function client:ended(code, reason)
  if self.speaks_events then code, reason = 1000, "io server disconnect" end
  self.closed = self.closed or { code = code, reason = reason }
end

-- What is sent to users: the function of on() takes it, which acknowledges it.
function client:delivered(name, args)
  if not self.answers[name] then return self.speaks_events and self:heard(name, args) end
  self:called(name, self.speaks_events and args[1] or args, { done = function() end })
end

-- The script calls: the function of on() answers, or nobody does.
function client:called(name, args, call)
  local answer = self.answers[name]
  if not answer then
    if self.speaks_events then self:heard(name, { args }) end
    return
  end
  self.world.scheduler:defer(function()
    local value, err = answer(args)
    if err ~= nil and value == nil then call.done(nil, "refused", json.copy(err))
    else call.done(value == nil and json.null or json.copy(value)) end
  end)
end

-- ---- what specs do -------------------------------------------------------------------------------

local function check_open(self)
  if self.closed then error(("the client is closed (%s %s)"):format(self.closed.code, self.closed.reason), 3) end
end

-- What the client answers to socket:rpc(name): fn(args) gives a value, or nil and an error.
function client:on(name, fn)
  self.answers[name] = fn
end

local call = {}
call.__index = call

-- The value, or nil and the error.
function call:result()
  self.client.world:wait(function() return self.done end, "the answer of " .. self.name)
  return table.unpack(self.results, 1, self.results.n)
end

-- Calls a controller, without waiting for it.
function client:start(name, data)
  check_open(self)
  local started = setmetatable({ client = self, name = name, done = false }, call)
  ops.call(self.socket, name, json.copy(data), function(...)
    started.done, started.results = true, table.pack(...)
  end)
  self.world:check()
  return started
end

function client:rpc(name, data)
  if not self.speaks_events then return self:start(name, data):result() end
  local err, value = self:emitWithAck(name, data)
  if err ~= json.null then return nil, err end
  return value
end

local function check_events(self)
  if not self.speaks_events then error("events are for clients of a namespace", 3) end
end

-- Sends an event, without waiting for anything.
function client:emit(name, ...)
  check_open(self)
  check_events(self)
  ops.event(self.socket, name, json.copy_event { ... }, false, function() end)
  self.world:settle()
end

-- The arguments of its ack; nil and "closed".
function client:emitWithAck(name, ...)
  check_open(self)
  check_events(self)
  local results
  ops.event(self.socket, name, json.copy_event { ... }, true, function(args) results = args end)
  self.world:wait(function() return results or self.closed end, "the ack of " .. name)
  self.world:settle()
  if not results then return nil, "closed" end
  return table.unpack(results)
end

local function ask(self, kind, channel, data)
  check_open(self)
  local over, err, position = false, nil, nil
  ops.start(self.socket, kind, channel, json.copy(data), function(problem, at)
    over, err, position = true, problem, at
  end)
  self.world:wait(function() return over end, "the answer of " .. kind)
  self.world:settle()
  if err ~= nil then return nil, err end
  return true, position
end

function client:subscribe(channel) return ask(self, "subscribe", channel) end
function client:unsubscribe(channel) return ask(self, "unsubscribe", channel) end

function client:publish(channel, data) return ask(self, "publish", channel, data == nil and json.null or data) end
function client:broadcast(data) return ask(self, "broadcast", nil, data == nil and json.null or data) end

-- The next message: { channel =, data = }, of a namespace { event =, args = }; of a raw endpoint the data, and whether
-- it is binary. nil and "timeout" or "closed".
function client:receive(seconds)
  local got = self.world:wait(function() return #self.inbox > 0 or self.closed end, "a message", seconds)
  local message = table.remove(self.inbox, 1)
  if not message then return nil, got and "closed" or "timeout" end
  if message.raw then return message.raw, message.binary end
  return message
end

-- All messages that have come and were not received.
function client:messages()
  self.world:settle()
  local all = self.inbox
  self.inbox = {}
  return all
end

-- Sends a message on a raw endpoint.
function client:send(data, binary)
  check_open(self)
  self.world:message(self.socket, type(data) == "string" and data or json.encode(data), binary and true or false)
  self.world:settle()
end

function client:close()
  self.socket:close(1000, "Normal closure")
  self.world:settle()
end

return client
