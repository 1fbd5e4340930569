-- SPDX-License-Identifier: MIT
-- Reads the conf of a site for specs, with the defaults that a script can see.

local conf = {}

local ENDPOINTS = {
  { path = "/sockets", transport = "sockjs", dialect = "token" },
  { path = "/ws", transport = "websocket", dialect = "token" },
}

local LIMITS = {
  rpc_name = 128, rpc_segments = 8, rpc_timeout = 10000, call_timeout = 10000, rpc_concurrency = 64,
  max_query_params = 32, max_cookie_bytes = 4096, channel_name = 255, subscriptions_per_socket = 128,
  subscribe_rate = 20, subscribe_burst = 128, publish_rate = 20, publish_burst = 40, published_message = 65536,
  script_timers = 256, script_tasks = 1000, script_string = 1048576, script_cache = 16777216, token_data = 8192,
  http_timeout = 5000,
}

local UNITS = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000, K = 1024, M = 1048576, G = 1073741824 }

-- A duration in milliseconds, a size in bytes, or the number that it is.
function conf.number(value)
  if type(value) ~= "string" then return value end
  local digits, unit = value:match("^(%d+)(%a+)$")
  return digits and UNITS[unit] and math.tointeger(tonumber(digits)) * UNITS[unit] or nil
end

local function read_file(path)
  local file = io.open(path)
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

conf.read_file = read_file

-- The folders that may hold sites/NAME.lua, in their order.
local function folders()
  local list = {}
  local given = os.getenv "MOONLATCH_CONF"
  if given then list[1] = given end
  list[#list + 1] = "conf"
  list[#list + 1] = "conf/examples"
  return list
end

-- Where the scripts of sites are.
function conf.scripts() return os.getenv "MOONLATCH_SCRIPTS" or "scripts" end

local function env(name, default)
  local value = os.getenv(name)
  if value == nil and default == nil then error(("env(\"%s\") is not set, and has no default"):format(name), 2) end
  return value == nil and default or value
end

-- The table of the site's conf file as it stands there; {} when there is none.
function conf.source(name)
  for _, folder in ipairs(folders()) do
    local path = folder .. "/sites/" .. name .. ".lua"
    local text = read_file(path)
    if text then return assert(load(text, "@" .. path, "t", { env = env }))() end
  end
  return {}
end

local function copy(value)
  if type(value) ~= "table" then return value end
  local other = {}
  for key, member in pairs(value) do other[key] = copy(member) end
  return other
end

local function merge(into, from)
  for key, value in pairs(from or {}) do into[key] = copy(value) end
  return into
end

-- The source with what a spec says instead: overrides of keys, and of members of options.
function conf.merged(name, overrides, options)
  local merged = merge(copy(conf.source(name)), overrides)
  merged.options = merge(merged.options or {}, options)
  return merged
end

local function limits_of(given)
  local limits = copy(LIMITS)
  for name, value in pairs(given or {}) do limits[name] = conf.number(value) or value end
  return limits
end

local function endpoint_of(given)
  local endpoint = copy(given)
  if not endpoint.auth then endpoint.auth = "token" end
  endpoint.dialect = endpoint.dialect or "token"
  return endpoint
end

local function socketio_of(name, given)
  given = given or {}
  return { namespaces = given.namespaces or { "/" .. name }, auth = given.auth or "request" }
end

-- What the fake core wants of a conf: every key with its default.
function conf.complete(name, merged)
  local done = { name = name, path = merged.path or "/" .. name, options = merged.options, endpoints = {}, channels = {},
    socketio = socketio_of(name, merged.socketio), limits = limits_of(merged.limits),
    push = merged.push or {}, script = merged.script == nil and name or merged.script, token = merged.token or {} }
  for i, given in ipairs(merged.endpoints or ENDPOINTS) do done.endpoints[i] = endpoint_of(given) end
  for pattern, special in pairs(merged.channels or {}) do
    local escaped = pattern:gsub("[^%w*]", "%%%0"):gsub("%*", ".*")
    done.channels[#done.channels + 1] = { pattern = "^" .. escaped .. "$", history = special.history }
  end
  return done
end

-- The endpoint called path, or without one the first that speaks tokens, else the first.
function conf.endpoint(done, path)
  for _, endpoint in ipairs(done.endpoints) do
    if path and endpoint.path == path or not path and endpoint.dialect == "token" then return endpoint end
  end
  if path then error("the site has no endpoint " .. path, 0) end
  return done.endpoints[1]
end

-- A namespace of Socket.IO as an endpoint; true: the first.
function conf.namespace(done, name)
  for _, own in ipairs(done.socketio.namespaces) do
    if name == true or own == name then return { path = own, dialect = "socketio", auth = done.socketio.auth } end
  end
  error("the site has no namespace " .. tostring(name), 0)
end

return conf
