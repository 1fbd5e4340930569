-- SPDX-License-Identifier: MIT
return {
  push = { api_key = env("API_KEY", "an-example-key-that-everybody-knows"), user_room_prefix = "user_" },
}
