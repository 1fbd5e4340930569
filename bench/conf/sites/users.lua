-- SPDX-License-Identifier: MIT
-- Whose messages are kept for one device, which never acknowledges them: the queue is emptied when it is full.
return {
  script = "users",
  push = { api_key = "bench-bench-bench-bench-bench-bench", user_room_prefix = "user_" },
  socketio = { auth = "request" },
}
