-- SPDX-License-Identifier: MIT
-- A chat for Socket.IO clients: rooms, events to all but oneself, an ack that says what became of it.
--   node> const { io } = require("socket.io-client")
--   node> const chat = io("http://127.0.0.1:8000/chat", { auth: { name: "ann" } })
--   node> chat.on("said", console.log)
--   node> chat.emit("join", "kitchen", console.log)
--   node> chat.emit("say", "kitchen", "hello", console.log)

local site, server = {}, nil

function site.authentication(req)
  local name = req.auth and req.auth.name
  if type(name) ~= "string" or name == "" then return nil, { message = "who are you?", data = { want = "name" } } end
  return { name = name }
end

local function is_in(socket, room)
  for _, name in ipairs(socket.channels) do
    if name == room then return true end
  end
end

site.events = {}

function site.events.join(socket, room)
  local ok, code = socket:subscribe("room:" .. room)
  if not ok then return { error = code } end
  server:to("room:" .. room):except(socket):emit("came", room, socket.auth.name)
  return { joined = room }
end

function site.events.say(socket, room, text)
  if not is_in(socket, "room:" .. room) then return { error = "join first" } end
  server:to("room:" .. room):except(socket):emit("said", room, socket.auth.name, text)
  return { said = true }
end

-- Who moves much tells much: nobody minds if one of these is lost.
function site.events.typing(socket, room)
  if is_in(socket, "room:" .. room) then
    server:to("room:" .. room):except(socket):volatile():emit("typing", room, socket.auth.name)
  end
end

function site.setup(of_site)
  server = of_site
end

return site
