-- SPDX-License-Identifier: MIT
-- Echo: what comes goes back, as a raw message and as the answer of a call.
--   new WebSocket("ws://127.0.0.1:8000/echo/ws").send("hello")

local site = {}

-- Everybody gets a token; raw sockets of this site need none.
function site.authentication() return {} end

site.controllers = { echo = function(_, data) return data end }

function site.setup(server)
  server:on("message", function(socket, data, binary) socket:send(data, binary) end)
end

return site
