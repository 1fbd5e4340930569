-- SPDX-License-Identifier: MIT
-- Time for specs: what cannot be awaited as an event on a socket (a line in a log file, the end of a
-- process, a figure under /proc) is asked for again every few milliseconds until a deadline.

local socket = require "socket"

local wait = {}

wait.now = socket.gettime

-- What ask returns, as soon as that is true; nil after so many seconds.
function wait.for_true(ask, seconds)
  local deadline = wait.now() + (seconds or 5)
  while true do
    local answer = ask()
    if answer then return answer end
    if wait.now() >= deadline then return nil end
    socket.sleep(0.003)
  end
end

-- The time itself is the event: heartbeats, expiry.
function wait.pass(seconds)
  socket.sleep(seconds)
end

return wait
