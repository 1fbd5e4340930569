-- SPDX-License-Identifier: MIT
-- The SocketIO Web Service's place with one site, configured from the environment as that was:
--     SITE_NAME=shop API_KEY=... AUTH_URL=https://... moonlatch serve --conf conf/push-service
-- PORT (1337), REDIS_URL (without: one node, nothing survives a restart), DEVICE_TTL (3600 seconds; 0: for
-- ever), AUTH_SCHEME (Bearer), USER_ROOM_PREFIX, PUBLIC_CHANNEL and UPDATE_USER_URL may be set besides.
-- Several sites stand in files of their own, sites/NAME.lua beside this one.
return {
  listen = { "0.0.0.0:" .. env("PORT", "1337") },
  store = env("REDIS_URL", "memory"),
  sites = {
    [env("SITE_NAME", "site")] = {
      script = false,
      endpoints = {},
      token = false,
      push = {
        auth_url = env("AUTH_URL", "off"),
        auth_scheme = env("AUTH_SCHEME", "Bearer"),
        api_key = env("API_KEY", "") ~= "" and { env("API_KEY", "") } or {},
        weak_api_key = true, -- as long as it was
        user_room_prefix = env("USER_ROOM_PREFIX", "off"),
        public_channel = env("PUBLIC_CHANNEL", "off"),
        update_user_url = env("UPDATE_USER_URL", "off"),
        device_ttl = env("DEVICE_TTL", "3600") .. "s",
      },
    },
  },
}
