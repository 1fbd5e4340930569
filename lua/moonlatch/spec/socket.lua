-- SPDX-License-Identifier: MIT
-- A socket of the fake core, and its handle: what scripts see. Its methods fail with the codes of the
-- gateway's (src/script/lib_socket.c, lib_call.c, lib_channel.c).

local json = require "moonlatch.spec.json"

local socket = {}
socket.__index = socket

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

-- 22 letters, the first 6 of which name the node.
local function make_sid(node)
  local letters = {}
  for i = 1, 16 do
    local at = math.random(#ALPHABET)
    letters[i] = ALPHABET:sub(at, at)
  end
  return node .. table.concat(letters)
end

-- world: of world.lua; raw: the request that opened it.
function socket.new(world, endpoint, raw, client)
  local s = setmetatable({ sid = make_sid(world.node), world = world, endpoint = endpoint, raw = raw, client = client, open = true,
    admitted = false, created = math.floor(world:time()), channels = {}, ops = {}, calls = {}, running = 0, buckets = {} }, socket)
  world.opened[#world.opened + 1] = s
  return s
end

function socket:is_raw() return self.endpoint.dialect == "raw" end

-- The place of a channel among those it is a member of, or nil.
function socket:place(channel)
  for i, name in ipairs(self.channels) do
    if name == channel then return i end
  end
end

-- ---- calls to the client -------------------------------------------------------------------------

local function check_timeout(world, options)
  if options == nil then return world.conf.limits.call_timeout / 1000 end
  if type(options) ~= "table" then error("bad argument (table expected, got " .. type(options) .. ")", 4) end
  local seconds = options.timeout
  if seconds == nil then return world.conf.limits.call_timeout / 1000 end
  if type(seconds) ~= "number" or seconds <= 0 or seconds > 3600 then error("timeout: 0 to 3600 seconds expected", 4) end
  return seconds
end

-- Calls the client. It waits: the value (json.null for none), or nil, code and the client's error.
function socket:call(who, name, args, options, level)
  local world = self.world
  if type(name) ~= "string" or name == "" or not utf8.len(name) then error("a name in UTF-8 expected", level + 1) end
  local seconds = check_timeout(world, options)
  world.scheduler:may_wait(who, level + 1)
  if not self.open then return nil, "closed" end
  local sent = args ~= nil and json.encode(args) or nil
  if sent and #sent > world.conf.limits.published_message then return nil, "too_large" end
  if self:is_raw() then return nil, "unavailable" end
  local call = { where = world.where_called(), name = name }
  local function over()
    self.calls[call] = nil
    if call.timer then call.timer.cancel() end
  end
  return world.scheduler:wait(function(wake)
    self.calls[call] = true
    function call.done(...)
      over()
      wake(...)
    end
    call.timer = world.scheduler:after(seconds, function() call.done(nil, "timeout") end)
    self.client:called(name, sent and json.decode(sent), call)
  end, over)
end

-- ---- the handle ----------------------------------------------------------------------------------

local methods = {}

local READ = {
  sid = function(s) return s.sid end,
  auth = function(s) return s.auth end,
  session = function(s) return s.auth end,
  ip = function(s) return s.open and s.raw.ip or nil end,
  ips = function(s) return s.open and { table.unpack(s.raw.ips) } or nil end,
  host = function(s) return s.open and s.raw.host or nil end,
  protocol = function(s) return s.open and "websocket" or nil end,
  endpoint = function(s) return s.open and s.endpoint.path or nil end,
  recovered = function(s) return s.open and false or nil end,
  created = function(s) return s.open and s.created or nil end,
  channels = function(s) return s.open and setmetatable({ table.unpack(s.channels) }, json.array_mt) or nil end,
  handshake = function(s) return s.open and s.world.entries.request(s.world.copy_request(s.raw)) or nil end,
}

local of = setmetatable({}, { __mode = "k" }) -- handle -> socket

-- The socket of a handle; raises when it is none.
function socket.of(handle, level)
  local s = of[handle]
  if not s then error("bad argument (moonlatch.socket expected, got " .. type(handle) .. ")", (level or 1) + 1) end
  return s
end

local function living(handle)
  local s = socket.of(handle, 3)
  return s.open and s or nil, s
end

function methods.rpc(handle, name, args, options)
  local s = socket.of(handle, 2)
  local value, code, detail = s:call("socket:rpc", name, args, options, 2)
  return value, code, detail
end

function methods.send(handle, data, binary)
  local s, any = living(handle)
  if not any:is_raw() then error("socket:send is for raw endpoints: use socket:rpc or server:publish", 2) end
  if not s then return nil, "closed" end
  if type(data) ~= "string" then data, binary = json.encode(data), false
  elseif not binary and not utf8.len(data) then
    error("bad argument #1 to 'send' (text must be UTF-8 (send(data, true) sends bytes))", 2)
  end
  s.client:sent(data, binary and true or false)
  return true
end

-- Names that the protocol has for itself.
local RESERVED = { connect = true, connect_error = true, disconnect = true, disconnecting = true, newListener = true,
  removeListener = true }

-- Raises for what is no name of an event.
function socket.check_event(name, level)
  if type(name) ~= "string" or name == "" or not utf8.len(name) then error("a name in UTF-8 expected", level + 1) end
  if RESERVED[name] then error("this name is the protocol's own", level + 1) end
end

function methods.emit(handle, name, ...)
  local s, any = living(handle)
  socket.check_event(name, 2)
  if not s then return nil, "closed" end
  if any.endpoint.dialect ~= "socketio" then return nil, "unavailable" end
  local args = json.copy_event(setmetatable({ ... }, json.array_mt))
  any.world.scheduler:defer(function()
    if any.open then any.client:heard(name, args) end
  end)
  return true
end

function methods.subscribe(handle, channel)
  local s, any = living(handle)
  return any.world.hub:subscribe_by_script(s, channel, 2)
end

function methods.unsubscribe(handle, channel)
  local s, any = living(handle)
  return any.world.hub:unsubscribe_by_script(s, channel, 2)
end

local function is_close_code(code)
  return code == 1000 or code == 1001 or code == 1008 or code == 1011 or code >= 3000 and code <= 4999
end

function methods.close(handle, code, reason)
  local s = living(handle)
  code = code or 1000
  reason = reason or (code == 1000 and "Normal closure" or "")
  if math.type(code) ~= "integer" or not is_close_code(code) then error("1000, 1001, 1008, 1011 or 3000 to 4999 expected", 2) end
  if #reason > 123 or not utf8.len(reason) then error("at most 123 bytes of UTF-8 expected", 2) end
  if not s then return nil, "closed" end
  s:close(code, reason)
  return true
end

local handle_mt = {
  __index = function(handle, key)
    if methods[key] then return methods[key] end
    local s = of[handle]
    if READ[key] then return READ[key](s) end
    return s.fields and s.fields[key]
  end,
  __newindex = function(handle, key, value)
    if READ[key] or methods[key] then error("socket." .. tostring(key) .. " cannot be set", 2) end
    local s = of[handle]
    s.fields = s.fields or {}
    s.fields[key] = value
  end,
  __tostring = function(handle) return "socket " .. of[handle].sid end,
  __metatable = false,
  __name = "moonlatch.socket",
}

-- The same one for as long as the socket lives.
function socket:handle()
  if not self.own then
    self.own = setmetatable({}, handle_mt)
    of[self.own] = self
  end
  return self.own
end

-- ---- the end -------------------------------------------------------------------------------------

-- Who is closed leaves its channels, its calls end, and the script hears of it.
function socket:close(code, reason)
  if not self.open then return end
  local world = self.world
  self.open = false
  for i, other in ipairs(world.opened) do
    if other == self then table.remove(world.opened, i) break end
  end
  for call in pairs(self.calls) do call.done(nil, "closed") end
  world.hub:leave(self)
  self.ops = {}
  if self.admitted then world:emit("disconnect", self:handle(), code, reason) end
  self.client:ended(code, reason)
end

return socket
