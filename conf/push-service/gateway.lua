-- SPDX-License-Identifier: MIT
-- The SocketIO Web Service's place with one site, configured from the environment as that was:
--     SITE_NAME=shop API_KEY=... AUTH_URL=https://... moonlatch serve --conf conf/push-service
-- PORT (1337), REDIS_URL (without: one node, nothing survives a restart), DEVICE_TTL (3600 seconds; 0: for
-- ever), AUTH_SCHEME (Bearer), USER_ROOM_PREFIX, PUBLIC_CHANNEL and UPDATE_USER_URL may be set besides.
-- Several sites stand in files of their own, sites/NAME.lua beside this one.
-- A variable that is set to nothing says nothing.
local function said(name, otherwise)
  local value = env(name, "")
  return value ~= "" and value or otherwise
end

return {
  listen = { "0.0.0.0:" .. said("PORT", "1337") },
  store = said("REDIS_URL", "memory"),
  sites = {
    [said("SITE_NAME", "site")] = {
      script = false,
      endpoints = {},
      token = false,
      push = {
        auth_url = said("AUTH_URL", "off"),
        auth_scheme = said("AUTH_SCHEME", "Bearer"),
        api_key = { said "API_KEY" },
        weak_api_key = true, -- as long as it was
        user_room_prefix = said("USER_ROOM_PREFIX", "off"),
        public_channel = said("PUBLIC_CHANNEL", "off"),
        update_user_url = said("UPDATE_USER_URL", "off"),
        device_ttl = said("DEVICE_TTL", "3600") .. "s",
      },
    },
  },
}
