-- SPDX-License-Identifier: MIT
-- The figures of a gateway whose conf has admin = { listen = "127.0.0.1:0" }.

local http = require "spec.support.http"
local wait = require "spec.support.wait"

local figures = {}

function figures.text(g)
  local port = assert(tonumber(g:output():match("admin on %w+://[^\n]*:(%d+)")), "no admin address")
  return http.get(port, "/metrics").body
end

-- One of them, as it is printed but for the prefix: 'sockets{site="main"}', "connections". 0 where there is none.
function figures.get(g, name)
  for line in figures.text(g):gmatch("[^\n]+") do
    local series, value = line:match("^moonlatch_(.*) (%-?%d+)$")
    if series == name then return tonumber(value) end
  end
  return 0
end

function figures.limit(g, limit, site)
  return figures.get(g, ('limit_hits_total{limit="%s"%s}'):format(limit, site and (',site="%s"'):format(site) or ""))
end

-- Waits until nobody is there but who asks; what is still there otherwise.
function figures.await_nobody(g, sites, seconds)
  local left
  local function gone()
    left = {}
    local function check(name, expected)
      local value = figures.get(g, name)
      if value ~= expected then left[#left + 1] = name .. " " .. value end
    end
    check("connections", 1)
    for _, site in ipairs(sites) do
      for _, name in ipairs { "sockets", "channels", "calls_running" } do check(('%s{site="%s"}'):format(name, site), 0) end
    end
    return #left == 0
  end
  if wait.for_true(gone, seconds or 10) then return "nobody" end
  return table.concat(left, ", ")
end

return figures
