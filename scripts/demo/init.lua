-- SPDX-License-Identifier: MIT
-- A chat: a login by name, rooms that may turn you away, whispers that only some can read, and calls
-- in both directions. scripts/README.md explains every function used here.

local crypto = require "moonlatch.crypto"

local site = {}
local server -- set by setup

local function may_enter(auth, room)
  for _, known in ipairs(site.options.rooms) do
    if room == known then return room ~= "staff" or auth.role == "staff" end
  end
  return false
end

-- The token route. What is returned becomes socket.auth.
function site.authentication(req)
  local name, key = req.query.name, req.query.key
  if type(name) ~= "string" or not name:find("^%C+$") or #name > 20 then return nil, "a name has 1 to 20 letters" end
  local is_staff = type(key) == "string" and crypto.equal(key, site.options.staff_key)
  return { name = name, role = is_staff and "staff" or "guest" }
end

-- What the browser can call: "rooms", "whoami", "ask.colour".
site.controllers = {
  whoami = function(auth) return auth end,
  rooms = function()
    local list = {}
    for i, room in ipairs(site.options.rooms) do list[i] = { name = room, people = #server:channelSockets(room) } end
    return list
  end,
  ask = { colour = function(auth, room, socket) -- asks the browser back, then tells the room
    if not may_enter(auth, room) then return nil, "not your room" end
    local colour, code = socket:rpc("prompt", { question = "Your favourite colour?" }, { timeout = 8 })
    if type(colour) ~= "string" then return nil, code or "no answer" end
    server:publish(room, { from = auth.name, text = "likes " .. colour, notice = true })
    return "told everybody in " .. room
  end },
}

-- Once for each receiver: true sends the message as it is, nil does not send it.
function site.filter(socket, _, message)
  if not message.whisper or socket.auth.role == "staff" or socket.auth.name == message.from then return true end
end

function site.setup(the_server)
  server = the_server
  local function vote(socket, data) return may_enter(socket.auth, data.channel), "not your room" end
  server:on("subscribe", vote)
  server:on("publish", vote)
  server:on("broadcast", function() return false end)
  server:before("publish", function(socket, data) -- nobody writes in another's name
    local text = type(data.data) == "table" and data.data.text
    if type(text) ~= "string" or #text < 1 or #text > 500 then return false, "1 to 500 letters" end
    return { data = { from = socket.auth.name, text = text, whisper = data.data.whisper == true, at = server:now() } }
  end)
end

return site
