-- SPDX-License-Identifier: MIT
-- Filter: the same message, for each who gets it. A price is for members, `cost` for the staff, and what somebody
-- muted does not reach them.
--   GET /filter/socket/token?name=ann&role=staff

local site = {}

function site.authentication(req)
  local name, role = req.query.name, req.query.role -- in earnest the role is not for the visitor to say
  if type(name) ~= "string" then return nil, "name is missing" end
  return { name = name, role = role == "staff" and "staff" or role == "member" and "member" or "guest" }
end

site.controllers = {
  mute = function(_, name, socket)
    if type(name) ~= "string" then return nil, "whom?" end
    socket.muted = socket.muted or {} -- fields of our own live as long as the socket
    socket.muted[name] = true
    return true
  end,
}

-- Runs once for every receiver, with a copy of the message. true is cheapest: nothing is encoded again.
function site.filter(socket, _, message)
  if type(message) ~= "table" then return true end
  if socket.muted and socket.muted[message.from] then return nil end
  local role = socket.auth.role
  if role == "staff" then return true end
  message.cost = nil
  if role ~= "member" then message.price = nil end
  return message
end

function site.setup(server)
  server:before("publish", function(socket, data)
    if type(data.data) ~= "table" then return false, "an object expected" end
    data.data.from = socket.auth.name
    return { data = data.data }
  end)
end

return site
