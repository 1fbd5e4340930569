-- SPDX-License-Identifier: MIT
-- The rules of NAME: who gets in, what clients may call, who may hear and say what.

local site = {}
local server -- set by setup

local function is_staff(auth)
  for _, name in ipairs(site.options.staff) do
    if name == auth.name then return true end
  end
  return false
end

-- Login: GET /NAME/socket/token?name=ann. What is returned is the client's auth data from then on;
-- nothing refuses. In earnest, ask a session or a backend here instead of believing the name.
function site.authentication(req)
  local name = req.query.name
  if type(name) == "string" and name ~= "" then return { name = name } end
end

-- What clients may call: client.rpc("hello", { room = "lobby" }, callback). What is returned is the
-- answer; nil, "why" is the error.
site.controllers = {
  hello = function(auth, data)
    if type(data) ~= "table" or type(data.room) ~= "string" then return nil, "which room?" end
    server:publish(data.room, { text = auth.name .. " says hello" }) -- to everybody in the room
    return "hello, " .. auth.name
  end,
}

function site.setup(the_server)
  server = the_server

  -- Who may join a channel: everybody, but "staff" is for the staff.
  server:on("subscribe", function(socket, data)
    return data.channel ~= "staff" or is_staff(socket.auth), "staff only"
  end)

  -- Clients do not publish themselves; they call controllers.
  server:on("publish", function() return false end)
  server:on("broadcast", function() return false end)
end

return site
