-- SPDX-License-Identifier: MIT
-- Access: who may hear and say what. Channels here are public:NAME, team:NAME (for its members) and staff.
--   GET /access/socket/token?name=ann&team=red

local site = {}

function site.authentication(req)
  local name, team = req.query.name, req.query.team
  if type(name) ~= "string" then return nil, "name is missing" end
  local staff = false
  for _, each in ipairs(site.options.staff) do staff = staff or each == name end
  return { name = name, team = team, staff = staff }
end

local function may(auth, channel)
  local kind, name = channel:match("^(%a+):?(.*)$")
  if kind == "public" then return true end
  if kind == "team" then return auth.team == name end
  return kind == "staff" and auth.staff
end

function site.setup(server)
  server:on("subscribe", function(socket, data) return may(socket.auth, data.channel), "members only" end)
  server:on("publish", function(socket, data)
    if data.channel:find("^public:") then return socket.auth.staff, "staff speaks here" end
    return may(socket.auth, data.channel), "members only"
  end)
  server:on("broadcast", function(socket) return socket.auth.staff end)
end

return site
