-- SPDX-License-Identifier: MIT
-- The services that the SockJS protocol's own tests want, as endpoints of one site.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local wait = require "spec.support.wait"

local services = {}

local SCRIPT = [[
local site = {}

function site.setup(server)
  server:on("connect", function(socket)
    if socket.endpoint == "/close" then socket:close(3000, "Go away!") end
  end)
  server:on("message", function(socket, data, binary)
    if data == "close" then socket:close(3001, "asked") else socket:send(data, binary) end
  end)
end

return site
]]

local function endpoint(path, more)
  local ep = { path = path, transport = "sockjs", dialect = "raw", auth = "none", response_limit = "4K" }
  for key, value in pairs(more or {}) do ep[key] = value end
  return ep
end

-- Starts a gateway with them. conf: further keys of the site; endpoints: further keys of each endpoint;
-- script: instead of the echo; gateway: of the gateway's conf.
function services.start(options)
  options = options or {}
  local conf = { path = "/", endpoints = {
    endpoint("/echo", options.endpoints),
    endpoint("/close", options.endpoints),
    endpoint("/disabled_websocket_echo", { websocket = false }),
    endpoint("/cookie_needed_echo", { jsessionid = true }),
  } }
  for key, value in pairs(options.conf or {}) do conf[key] = value end
  return gateway.start {
    gateway = options.gateway, sites = { services = conf }, scripts = { services = options.script or SCRIPT },
  }
end

local count = 0

-- Part of a session id that no other test has.
function services.unique()
  count = count + 1
  return string.format("s%d_%d", os.time(), count)
end

-- Waits until a request receives for the session at url: then sends get through, and another
-- receiver is told so.
function services.await_receiver(g, url)
  assert(wait.for_true(function()
    local r = http.get(g.port, url .. "/xhr", { method = "POST", body = "" })
    return r.body:find("c[2010", 1, true)
  end, 5), "nobody receives at " .. url)
end

return services
