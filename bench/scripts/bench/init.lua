-- SPDX-License-Identifier: MIT
-- Everybody may come in; calls and raw messages are given back.

local site = {}

function site.authentication(req)
  return { name = req.query.user }
end

site.controllers = {
  echo = function(_, data) return data end,
}

local server

site.events = {
  echo = function(_, data) return data end,
  join = function(socket, room) return socket:subscribe(room) end,
  say = function(_, text) return server:to("bench"):emit("said", text) end,
}

function site.setup(of_site)
  server = of_site
  server:on("message", function(socket, data, binary) socket:send(data, binary) end)
end

return site
