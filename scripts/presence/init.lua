-- SPDX-License-Identifier: MIT
-- Presence: who is online, over all their tabs and all nodes, and a channel that tells of who comes and goes: how
-- many tabs they have now, 0 when they are gone.
--   client.subscribe("presence", ...); client.rpc("online", null, ...)

local site = {}
local server

function site.authentication(req) return type(req.query.name) == "string" and { name = req.query.name } end

-- The names of all who are online, and how many sockets each has.
local function online()
  local sockets, code = server:sockets()
  if not sockets then return nil, code end -- Redis is away
  local counts = {}
  for _, socket in ipairs(sockets) do
    local name = socket.auth and socket.auth.name
    if name then counts[name] = (counts[name] or 0) + 1 end
  end
  return counts
end

site.controllers = { online = function() return online() end }

function site.setup(the_server)
  server = the_server
  local function tell(socket)
    local counts, name = online(), socket.auth.name
    if counts then server:publish("presence", { name = name, tabs = counts[name] or 0 }) end
  end
  server:on("connect", tell)
  server:on("disconnect", tell)
  server:on("publish", function(_, data) return data.channel ~= "presence" end)
end

return site
