-- SPDX-License-Identifier: MIT
-- Backends of specs, and what lua/moonlatch/http.lua sends through (src/script/lib_http.c): a request to
-- http://backend-1.test is answered by the function of that backend.

local json = require "moonlatch.spec.json"

local http = {}

local backends = {} -- host -> function
local count = 0

-- A backend: its URL. answer(req) gives { status =, headers =, json = | body = }, or nil: it never answers.
function http.backend(answer)
  count = count + 1
  local host = ("backend-%d.test"):format(count)
  backends[host] = answer
  return "http://" .. host
end

local function decode_part(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- "a=1&b=2" as a table.
function http.read_query(text)
  local query = {}
  for pair in (text or ""):gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=?(.*)$")
    query[decode_part(name)] = decode_part(value)
  end
  return query
end

-- A request's bytes as the backend's function gets it.
function http.read_request(bytes)
  local head, body = bytes:match("^(.-)\r\n\r\n(.*)$")
  local method, target = head:match("^(%S+) (%S+)")
  local req = { method = method, path = target:match("^[^?]*"), query = http.read_query(target:match("%?(.*)$")), headers = {},
    body = body }
  for name, value in head:gmatch("\r\n([^:\r\n]+): ?([^\r\n]*)") do req.headers[name:lower()] = value end
  local ok, value = pcall(json.decode, body)
  if ok then req.json = value end
  return req
end

-- What a backend's function gave: status, headers, body.
function http.read_answer(answer)
  local headers = {}
  for name, value in pairs(answer.headers or {}) do headers[name:lower()] = tostring(value) end
  local body = answer.body or ""
  if answer.json ~= nil then
    body = json.encode(answer.json)
    headers["content-type"] = headers["content-type"] or "application/json"
  end
  headers["content-length"] = headers["content-length"] or tostring(#body)
  return answer.status or 200, headers, body
end

-- moonlatch.http_wire for a world.
function http.wire(world)
  local wire = { timeout = world.conf.limits.http_timeout / 1000 }
  function wire.send(who, host, _, _, method, bytes, seconds)
    local scheduler = world.scheduler
    scheduler:may_wait(who, 4)
    local answer = backends[host]
    return scheduler:wait(function(wake)
      if not answer then
        scheduler:defer(function() wake(nil, "unavailable", "no such backend in this spec: " .. host) end)
        return
      end
      local timer = scheduler:after(seconds, function() wake(nil, "timeout", "no answer") end)
      scheduler:defer(function()
        local given = answer(http.read_request(bytes))
        if not given then return end
        timer.cancel()
        local status, headers, body = http.read_answer(given)
        wake(status, headers, method == "HEAD" and "" or body)
      end)
    end)
  end
  return wire
end

return http
