-- SPDX-License-Identifier: MIT
-- Presence: who is online, over all their tabs and all nodes, and a channel that tells of who comes and goes.

local site = {}
local server

function site.authentication(req) return req.query.name and { name = req.query.name } end

-- The names of all who are online, and how many sockets each has.
local function online()
  local counts = {}
  for _, socket in ipairs(server:sockets() or {}) do
    local name = socket.auth and socket.auth.name
    if name then counts[name] = (counts[name] or 0) + 1 end
  end
  return counts
end

site.controllers = { online = function() return online() end }

function site.setup(the_server)
  server = the_server
  server:on("connect", function(socket)
    local name = socket.auth.name
    if online()[name] == 1 then server:publish("presence", { name = name, online = true }) end
  end)
  server:on("disconnect", function(socket)
    local name = socket.auth.name
    if not online()[name] then server:publish("presence", { name = name, online = false }) end
  end)
  server:on("publish", function(_, data) return data.channel ~= "presence" end)
end

return site
