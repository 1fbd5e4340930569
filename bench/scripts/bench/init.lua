-- SPDX-License-Identifier: MIT
-- Everybody may come in; calls and raw messages are given back.

local site = {}

function site.authentication(req)
  return { name = req.query.user }
end

site.controllers = {
  echo = function(_, data) return data end,
}

function site.setup(server)
  server:on("message", function(socket, data, binary) socket:send(data, binary) end)
end

return site
