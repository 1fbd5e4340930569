-- SPDX-License-Identifier: MIT
-- The site NAME. `moonlatch conf` prints every key that may stand here, with its default.
return {
  path = "/NAME", -- sockets at /NAME/sockets (SockJS) and /NAME/ws (WebSocket), tokens at /NAME/socket/token
  options = { staff = { "ann" } }, -- what the script finds as site.options
}
