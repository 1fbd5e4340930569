-- SPDX-License-Identifier: MIT
-- Whose messages are for whoever is there.
return {
  script = false,
  push = { api_key = "bench-bench-bench-bench-bench-bench" },
}
