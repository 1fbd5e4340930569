-- SPDX-License-Identifier: MIT
-- A counter that all nodes share, in Redis; each change is told to whoever listens. Without Redis the client reads
-- "unavailable".
--   client.subscribe("counter", ...); client.rpc("add", 1, ...)

local redis = require "moonlatch.redis"

local site = {}
local server

function site.authentication() return {} end

site.controllers = {
  read = function()
    local value, code = redis.call("GET", "counter")
    if code then return nil, code end
    return math.tointeger(value or 0)
  end,
  add = function(_, by)
    if math.type(by) ~= "integer" or math.abs(by) > 100 then return nil, "an integer from -100 to 100" end
    local value, code = redis.call("INCRBY", "counter", by)
    if not value then return nil, code end
    server:publish("counter", value)
    return value
  end,
}

function site.setup(the_server)
  server = the_server
  server:on("publish", function() return false end)
end

return site
