-- SPDX-License-Identifier: MIT
return { channels = { ["room:*"] = { history = { size = 50, ttl = "1h" } } } }
