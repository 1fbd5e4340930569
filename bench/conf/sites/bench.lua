-- SPDX-License-Identifier: MIT
return {
  path = "/",
  endpoints = {
    { path = "/sockets", transport = "sockjs", dialect = "token" },
    { path = "/ws", transport = "websocket", dialect = "token", auth = "token" },
    { path = "/raw", transport = "websocket", dialect = "raw", auth = "none" },
  },
}
