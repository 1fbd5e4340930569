-- SPDX-License-Identifier: MIT
-- Several gateways with the same sites over one Redis:
--     local f = fleet.start { nodes = 2, redis = r, sites = ..., scripts = ... }
--     f[1].port, f[2].port                after_each(function() fleet.stop_all() end)
-- with faults = true each has a fault proxy before its Redis: f.proxies[1].

local fault_proxy = require "spec.support.fault_proxy"
local gateway = require "spec.support.gateway"
local redis = require "spec.support.redis"

local fleet = {}

local function with_store(conf, url)
  local with = { store = url }
  for key, value in pairs(conf or {}) do with[key] = value end
  return with
end

function fleet.start(options)
  local f = { proxies = {}, redis = options.redis or redis.start() }
  for i = 1, options.nodes or 2 do
    local url = f.redis:url()
    if options.faults then
      f.proxies[i] = fault_proxy.start(f.redis.port)
      url = url:gsub(":" .. f.redis.port, ":" .. f.proxies[i].port)
    end
    f[i] = gateway.start { gateway = with_store(options.gateway, url), sites = options.sites, scripts = options.scripts,
      args = options.args }
  end
  for _, node in ipairs(f) do assert(node:wait_log("connection=moonlatch-pushes", 5), "no Redis") end
  return f
end

function fleet.stop_all()
  local ok, err = pcall(gateway.stop_all)
  fault_proxy.stop_all()
  redis.stop_all()
  if not ok then error(err, 0) end
end

return fleet
