-- SPDX-License-Identifier: MIT
-- Rooms: join, leave, who is there, what was said before, and an owner who may put somebody out.
--   client.rpc("rooms.join", "lua", ...)

local site = {}
local server

function site.authentication(req) return req.query.name and { name = req.query.name } end

local function channel_of(room)
  if type(room) ~= "string" or not room:find("^[%w_-]+$") then return nil, "no such room" end
  return "room:" .. room
end

-- Calls fn(channel, auth, data, socket) for a room that there may be.
local function in_room(fn)
  return function(auth, data, socket)
    local channel, err = channel_of(type(data) == "table" and data.room or data)
    if not channel then return nil, err end
    return fn(channel, auth, data, socket)
  end
end

site.controllers = { rooms = {
  join = in_room(function(channel, auth, _, socket)
    local members = server:channelSockets(channel)
    if #members == 0 then socket.owns = channel end -- who comes first owns it
    local ok, code = socket:subscribe(channel)
    if not ok then return nil, code end
    server:publish(channel, { joined = auth.name })
    return { owner = socket.owns == channel, before = server:history(channel, { limit = 50 }) }
  end),
  leave = in_room(function(channel, auth, _, socket)
    server:publish(channel, { left = auth.name })
    return socket:unsubscribe(channel)
  end),
  who = in_room(function(channel)
    local names = {}
    for i, socket in ipairs(server:channelSockets(channel)) do names[i] = socket.auth.name end
    table.sort(names)
    return names
  end),
  kick = in_room(function(channel, _, data, socket)
    if socket.owns ~= channel then return nil, "not your room" end
    for _, member in ipairs(server:channelSockets(channel)) do
      if member.auth.name == data.name then member:unsubscribe(channel) end
    end
    return true
  end),
} }

function site.setup(the_server)
  server = the_server
  server:on("subscribe", function() return false, "call rooms.join" end)
  server:on("publish", function(socket, data)
    for _, channel in ipairs(socket.channels) do
      if channel == data.channel then return true end
    end
    return false, "join first"
  end)
end

return site
