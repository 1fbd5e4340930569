-- SPDX-License-Identifier: MIT
-- Routes: controllers in the shape of an HTTP handler, function(req, res), called like any other
-- remote function. Their answers take the shape that node-token-sockjs gives them: an object carries
-- _headers and _code, a code from 300 on is an error.

local response = require "moonlatch.response"

local routes = {}

-- Branches of a routes table that are no routes.
routes.skip = { socket = true, public = true }

local function host_name(host)
  if not host then return nil end
  return host:match("^(%[.-%])") or host:match("^[^:]*")
end

local function request(auth, data, socket)
  if data == nil then data = {} end
  return {
    body = data, query = data, params = data,
    method = "post", protocol = "ws", originalUrl = "/",
    headers = { ["content-type"] = "application/json", accepts = "application/json" },
    user = auth, session = auth,
    host = socket.host, hostname = host_name(socket.host), ip = socket.ip, ips = socket.ips,
    socket = socket,
  }
end

-- Whether members can be added to it: a table that is no list.
local function is_object(json, value)
  return type(value) == "table" and getmetatable(value) ~= json.array_mt and rawget(value, 1) == nil
end

local function decorate(value, res)
  local copy = {}
  for key, member in pairs(value) do copy[key] = member end
  if res.headers["content-type"] == nil then res.headers["content-type"] = "application/json" end
  copy._headers, copy._code = res.headers, res.code
  return copy
end

-- The controller's results for what res holds.
function routes.shape(json, res)
  local value, failed = res.value, res.code >= 300
  if value == nil then value = {} end
  if is_object(json, value) then
    local reason = value.error
    value = failed and reason ~= nil and reason ~= json.null and reason or decorate(value, res)
  end
  if failed then return nil, value end
  return value
end

-- Runs a route. When it returns before it has answered, waits for the answer as long as the client
-- does.
function routes.run(core, handler, auth, data, socket)
  local res = response.new()
  handler(request(auth, data, socket), res)
  if not res.answered then
    local inbox = core.inbox()
    res.on_answer = function() core.post(inbox) end
    core.next(inbox, core.limits.rpc_timeout / 1000)
    if not res.answered then return nil, "timeout" end
  end
  return routes.shape(core.json, res)
end

return routes
