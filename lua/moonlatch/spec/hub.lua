-- SPDX-License-Identifier: MIT
-- Channels of the fake core: members, publishing, filters, histories. As src/core/hub.c: what is published
-- is delivered at the end of what happens now, in order, and each receiver is asked for by the filter.

local json = require "moonlatch.spec.json"

local hub = {}
hub.__index = hub

function hub.new(world)
  return setmetatable({ world = world, channels = {}, histories = {} }, hub)
end

-- What is wrong with the name, as clients read it; nil: nothing.
function hub:name_error(name)
  if type(name) ~= "string" or name == "" or #name > self.world.conf.limits.channel_name then return "bad_channel" end
  if name:find("[^!-~]") or name:find("[*?%[%]\\]") then return "bad_channel" end
  if name:sub(1, 1) == "$" or name:sub(1, 10) == "moonlatch:" then return "Forbidden" end
end

-- ---- histories -----------------------------------------------------------------------------------

local function conf_of(self, name)
  for _, special in ipairs(self.world.conf.channels) do
    if name:find(special.pattern) then return special.history end
  end
end

-- The history of a channel, or nil where its conf wants none.
function hub:history(name)
  local wanted = conf_of(self, name)
  if not wanted then return nil end
  local kept = self.histories[name]
  if not kept then
    kept = { epoch = ("e%07d"):format(math.random(9999999)), offset = 0, messages = {}, size = wanted.size or 100 }
    self.histories[name] = kept
  end
  return kept
end

local function keep(kept, text)
  kept.offset = kept.offset + 1
  kept.messages[#kept.messages + 1] = { kept.offset, text }
  if #kept.messages > kept.size then table.remove(kept.messages, 1) end
  return { offset = kept.offset, epoch = kept.epoch }
end

-- ---- members -------------------------------------------------------------------------------------

-- Makes the socket a member: nil, or "channel_limit".
function hub:join(socket, name)
  if socket:place(name) then return nil end
  if #socket.channels >= self.world.conf.limits.subscriptions_per_socket then return "channel_limit" end
  local members = self.channels[name]
  if not members then
    members = {}
    self.channels[name] = members
  end
  members[#members + 1] = socket
  table.insert(socket.channels, 1, name)
  if #members == 1 then self.world:emit("occupied", name) end
end

-- Whether it was one.
function hub:part(socket, name)
  local at = socket:place(name)
  if not at then return false end
  table.remove(socket.channels, at)
  local members = self.channels[name]
  for i, other in ipairs(members) do
    if other == socket then table.remove(members, i) break end
  end
  if #members == 0 then
    self.channels[name] = nil
    self.world:emit("vacated", name)
  end
  return true
end

function hub:leave(socket)
  while socket.channels[1] do self:part(socket, socket.channels[1]) end
end

-- ---- publishing ----------------------------------------------------------------------------------

local function passes(self, socket, name, text)
  local filter = self.world.hooks.filter
  if not filter then return text end
  local result
  self.world:run({ name = "filter" }, function(ok, value)
    if ok and value then result = value == true and text or json.encode(value) end
  end, filter, socket:handle(), name, json.decode(text))
  return result
end

local function deliver(self, name, text, at)
  local members = { table.unpack(self.channels[name] or {}) }
  for _, socket in ipairs(members) do
    local own = socket.open and socket:place(name) and passes(self, socket, name, text)
    if own and socket.open then socket.client:got(name, json.decode(own), at) end
  end
end

-- Publishes JSON; done, which may be nil, is called when it is delivered.
function hub:publish(name, text, done)
  local kept = self:history(name)
  local at = kept and keep(kept, text)
  self.world.scheduler:defer(function()
    deliver(self, name, text, at)
    if done then done() end
  end)
end

-- To every socket, once for each of its channels.
function hub:broadcast(text, done)
  self.world.scheduler:defer(function()
    local names = {}
    for name in pairs(self.channels) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do deliver(self, name, text) end
    if done then done() end
  end)
end

-- Those in the rooms of a list, each once, but for those in seen: a room is a channel, or a socket's own.
local function each_in(self, rooms, seen, visit)
  local function see(room, socket)
    if seen[socket] then return end
    seen[socket] = true
    visit(room, socket)
  end
  for _, room in ipairs(rooms) do
    for _, socket in ipairs { table.unpack(self.world.opened) } do
      if socket.sid == room then see(nil, socket) end
    end
    for _, socket in ipairs { table.unpack(self.channels[room] or {}) } do see(room, socket) end
  end
end

local function hand_over(self, room, socket, name, args)
  local knows = socket.endpoint.dialect == "socketio"
  if not room then
    if knows then socket.client:heard(name, json.copy_event(args)) end
    return
  end
  local text, bytes = json.encode_event { event = name, args = args }
  local own = socket.open and passes(self, socket, room, text)
  if not own or not socket.open then return end
  if not knows then return socket.client:got(room, json.decode(own)) end
  local event = json.decode_event(own, bytes)
  socket.client:heard(event.event or room, event.args or { event })
end

-- What is sent to users, for those who are there.
function hub:send(rooms, name, args)
  self.world.scheduler:defer(function()
    each_in(self, rooms, {}, function(_, socket)
      if socket.open then socket.client:delivered(name, json.copy_event(args)) end
    end)
  end)
end

-- An event for the sockets in some rooms; without any, for all that know events.
function hub:emit(rooms, except, name, args)
  self.world.scheduler:defer(function()
    local seen = {}
    local function visit(room, socket) hand_over(self, room, socket, name, args) end
    each_in(self, except, seen, function() end)
    each_in(self, rooms, seen, visit)
    for _, socket in ipairs(#rooms == 0 and { table.unpack(self.world.opened) } or {}) do
      if not seen[socket] and socket.open then visit(nil, socket) end
    end
  end)
end

-- ---- for scripts ---------------------------------------------------------------------------------

local function check_text(value, level)
  if type(value) ~= "string" then error("bad argument (string expected, got " .. type(value) .. ")", level + 1) end
end

function hub:subscribe_by_script(socket, name, level)
  check_text(name, level + 1)
  if self:name_error(name) then return nil, "bad_channel" end
  if not socket then return nil, "closed" end
  if self:join(socket, name) then return nil, "limit" end
  self.world.scheduler:defer(function()
    if socket.open then socket.client:joined(name) end
  end)
  return true
end

function hub:unsubscribe_by_script(socket, name, level)
  check_text(name, level + 1)
  if not socket then return nil, "closed" end
  local was_member = self:part(socket, name)
  if was_member then socket.client:left(name) end
  return was_member
end

function hub:unsubscribe_all(name)
  self.world.scheduler:defer(function()
    while self.channels[name] do
      local socket = self.channels[name][1]
      self:part(socket, name)
      if socket.open then socket.client:left(name) end
    end
  end)
end

return hub
