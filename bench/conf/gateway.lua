-- SPDX-License-Identifier: MIT
-- The gateway under load: what bounds a single client is off, for here one client is all the traffic.

return {
  limits = {
    ws_message_rate = "off",
    publish_rate = "off",
    push_rate = 10000000,
    push_burst = 10000000,
    site_publish_rate = "off",
    subscribe_rate = "off",
    http_requests_per_connection = 100000000,
    rpc_concurrency = 1024,
    drain_timeout = "1s",
    drain_spread = 0,
  },
}
