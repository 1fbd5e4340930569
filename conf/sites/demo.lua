-- SPDX-License-Identifier: MIT
-- The demo: a chat at the root of the gateway. Its rules are scripts/demo/init.lua, its page is
-- scripts/demo/public/. The endpoints (/sockets and /ws) and the token route (/socket/token) are the
-- defaults.
return {
  path = "/",
  static = "public",
  options = {
    staff_key = env("DEMO_STAFF_KEY", "moon"), -- who gives it at login is staff
    rooms = { "lobby", "lua", "staff" },
  },
}
