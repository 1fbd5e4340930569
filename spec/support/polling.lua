-- SPDX-License-Identifier: MIT
-- A SockJS session over xhr-polling, with the functions of a WebSocket (spec.support.ws) that the token
-- client uses: what is sent goes out by xhr_send, what is received comes frame by frame.

local http = require "spec.support.http"
local wait = require "spec.support.wait"

local polling = {}
local link = {}
link.__index = link

-- base: "/sockets/000/abc"
function polling.connect(port, base)
  return setmetatable({
    base = base, status = 101, sender = http.client(port), receiver = http.client(port),
  }, link)
end

function link:send(text)
  local answer = assert(self.sender:request { method = "POST", path = self.base .. "/xhr_send", body = text })
  if answer.status ~= 204 then self.refused = answer.status end
  return answer.status == 204
end

-- The next frame but heartbeats, or nil, "timeout" or "closed".
function link:receive(timeout)
  local deadline = wait.now() + (timeout or 5)
  while not self.over do
    if not self.asked then
      self.receiver:send { method = "POST", path = self.base .. "/xhr", body = "" }
      self.asked = true
    end
    local answer, err = self.receiver:read { method = "POST", timeout = math.max(0, deadline - wait.now()) }
    if not answer then return nil, err end
    self.asked = false
    local frame = answer.body:match("^(.*)\n$")
    if not frame then error("no frame, but " .. answer.status .. " " .. answer.body, 2) end
    self.over = frame:sub(1, 1) == "c"
    if frame ~= "h" then return frame end
  end
  return nil, "closed"
end

function link:close()
  self.sender:close()
  self.receiver:close()
end

link.drop = link.close

return polling
