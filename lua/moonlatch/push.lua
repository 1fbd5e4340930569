-- SPDX-License-Identifier: MIT
-- server:send, what POST /send does for a backend. core.send(rooms, event, args, resync) waits until the store
-- has the message; rooms and args are lists.

local push = {}

local function check(value, wanted, name)
  if type(value) ~= wanted then error(("%s: a %s expected, got %s"):format(name, wanted, type(value)), 3) end
  return value
end

local function check_rooms(rooms)
  if type(rooms) == "string" then return { rooms } end
  for i, room in ipairs(check(rooms, "table", "rooms")) do check(room, "string", "rooms[" .. i .. "]") end
  return rooms
end

-- Adds server:send { rooms = , event = , args = , resync = }. rooms: a text or a list; args: a list, none by default.
-- Where the site has users (push.user_room_prefix) it is kept for their devices until they acknowledge it.
function push.start(core)
  local function list(items) return setmetatable(table.move(items, 1, #items, 1, {}), core.json.array_mt) end
  function core.server.send(_, message)
    check(message, "table", "message")
    local rooms = check_rooms(message.rooms)
    local event = check(message.event, "string", "event")
    local args = check(message.args == nil and {} or message.args, "table", "args")
    return core.send(list(rooms), event, list(args), message.resync and true or false)
  end
end

return push
