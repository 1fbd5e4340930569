-- SPDX-License-Identifier: MIT
-- Rooms: join, leave, who is there, and what was said before somebody came. The only way in is a call.
--   client.rpc("rooms.join", "lua", ...); client.publish("room:lua", "hello"); client.rpc("rooms.who", "lua", ...)

local site, server = {}, nil

function site.authentication(req) return type(req.query.name) == "string" and { name = req.query.name } end

-- A controller about one room: fn(channel, auth, socket), for a name that a room may have.
local function in_room(fn)
  return function(auth, room, socket)
    if type(room) ~= "string" or not room:find("^[%w_-]+$") then return nil, "no such room" end
    return fn("room:" .. room, auth, socket)
  end
end

site.controllers = { rooms = {
  join = in_room(function(channel, auth, socket)
    local ok, code = socket:subscribe(channel)
    if not ok then return nil, code end
    server:publish(channel, { joined = auth.name })
    return { before = server:history(channel, { limit = 50 }) }
  end),
  leave = in_room(function(channel, auth, socket)
    local was_there = socket:unsubscribe(channel)
    if was_there then server:publish(channel, { left = auth.name }) end
    return was_there
  end),
  who = in_room(function(channel)
    local members, code = server:channelSockets(channel)
    if not members then return nil, code end -- Redis is away
    for i, socket in ipairs(members) do members[i] = socket.auth.name end
    return members
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
