-- SPDX-License-Identifier: MIT
return {
  endpoints = {
    { path = "/ws", transport = "websocket", dialect = "raw", auth = "none" }, -- every message goes to the script
    { path = "/sockets", transport = "sockjs", dialect = "token" },
  },
}
