-- SPDX-License-Identifier: MIT
-- What an operator may ask of a site that runs (moonlatch sockets, call, explain, console, ...). Each verb
-- is a function of the request's body; it gives a value, or nil, a code and a text. May wait.
--
-- What it asks of core, besides what runtime.lua and explain.lua do: environment, the globals of scripts;
-- token(auth), which waits and gives a login token.

local explain = require "moonlatch.explain"
local show = require "moonlatch.show"

local admin = {}

local PRINT_BYTES = 65536

-- What a verb wants of its body, and of what type.
local NEEDS = {
  channel = { channel = "string" }, publish = { channel = "string" }, call = { name = "string" }, explain = { event = "string" },
  token = { auth = "table" }, eval = { code = "string" },
}

-- What is missing, as a text; nil: nothing.
local function lacks(verb, body)
  for name, kind in pairs(NEEDS[verb] or {}) do
    if type(body[name]) ~= kind then return ("%s: a %s expected, got %s"):format(name, kind, type(body[name])) end
  end
  if body.socket ~= nil and type(body.socket) ~= "string" then return "socket: a string expected, got " .. type(body.socket) end
end

-- ---- sockets and channels ------------------------------------------------------------------------

local function row(socket)
  return { sid = socket.sid, protocol = socket.protocol, ip = socket.ip, auth = socket.auth, channels = socket.channels,
    created = socket.created }
end

local function rows(core, sockets)
  local list = setmetatable({}, core.json.array_mt)
  for i, socket in ipairs(sockets) do list[i] = row(socket) end
  return list
end

local verbs = {}

function verbs.sockets(site, body)
  local list, code = site.core.server:sockets(body.max)
  if not list then return nil, code end
  return rows(site.core, list)
end

function verbs.channel(site, body)
  local list, code = site.core.server:channelSockets(body.channel, body.max)
  if not list then return nil, code end
  return rows(site.core, list)
end

function verbs.channels(site, body)
  local server = site.core.server
  local names, code = server:channels(body.max)
  if not names then return nil, code end
  local list = setmetatable({}, site.core.json.array_mt)
  for i, name in ipairs(names) do list[i] = { channel = name } end
  return list
end

function verbs.publish(site, body)
  if body.data == nil then return nil, "bad_request", "data: a value expected" end
  local ok, code = site.core.server:publish(body.channel, body.data)
  if not ok then return nil, code end
  return { published = true }
end

-- ---- calls ---------------------------------------------------------------------------------------

local function closed() return nil, "closed" end

-- What stands for a socket where there is none.
local function nobody(auth)
  return { sid = "console", auth = auth, session = auth, ip = "", ips = {}, channels = {}, protocol = "console",
    rpc = closed, send = closed, subscribe = closed, unsubscribe = closed, close = closed }
end

-- The socket that is meant; nil, code and a text when there is none.
local function socket_of(site, body)
  if body.socket == nil then return nobody(body.auth) end
  local socket = site.core.socket(body.socket)
  if not socket then return nil, "no_socket", "there is no socket " .. body.socket .. " on this node" end
  return socket
end

function verbs.call(site, body)
  local socket, code, message = socket_of(site, body)
  if not socket then return nil, code, message end
  local value, err = site.call(body.name, socket.auth, body.data, socket)
  if value == nil and err ~= nil then
    return nil, "refused", type(err) == "string" and err or site.core.json.encode(err)
  end
  return { result = value }
end

local VOTED = { subscribe = true, unsubscribe = true, publish = true, broadcast = true }

function verbs.explain(site, body)
  local event, channel = body.event, body.channel
  local socket, code, message = socket_of(site, body)
  if not socket then return nil, code, message end
  if event ~= "call" and not VOTED[event] then
    return nil, "bad_request", "event: subscribe, unsubscribe, publish, broadcast or call"
  end
  if event ~= "broadcast" and type(channel) ~= "string" then
    return nil, "bad_request", "channel: a string expected, got " .. type(channel)
  end
  if event == "call" then return explain.call(site.core, site.find, site.call, channel, socket, body.data) end
  local data = { channel = event ~= "broadcast" and channel or nil }
  if event == "publish" or event == "broadcast" then data.data = body.data == nil and site.core.json.null or body.data end
  return explain.vote(site.core, site.state.lists[event], site.state.filter, event, socket, data)
end

function verbs.token(site, body)
  local token, code = site.core.token(body.auth)
  if not token then return nil, code end
  return { token = token }
end

-- ---- the console ---------------------------------------------------------------------------------

-- Variables that are set in the console stay, for as long as the generation lives.
local function console_environment(site)
  local own = { site = site.site, server = site.core.server, json = site.core.json, socket = site.core.socket }
  return setmetatable(own, { __index = site.core.environment })
end

-- Collects what is printed.
local function printer()
  local lines, bytes = {}, 0
  return lines, function(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    local line = table.concat(parts, "\t")
    bytes = bytes + #line
    if bytes <= PRINT_BYTES then lines[#lines + 1] = line end
  end
end

local function compile(code, environment)
  local chunk = load("return " .. code, "=console", "t", environment)
  if chunk then return chunk end
  return load(code, "=console", "t", environment)
end

function verbs.eval(site, body)
  site.environment = site.environment or console_environment(site)
  local chunk, problem = compile(body.code, site.environment)
  if not chunk then
    if problem:find("<eof>$") then return { incomplete = true, text = problem } end
    return { failed = true, text = problem }
  end
  local lines
  lines, site.environment.print = printer()
  local results = table.pack(pcall(chunk))
  if not results[1] then lines[#lines + 1] = type(results[2]) == "string" and results[2] or show.value(results[2]) end
  for i = 2, results[1] and results.n or 1 do lines[#lines + 1] = show.value(results[i], site.core.json.null) end
  return { failed = not results[1] or nil, text = table.concat(lines, "\n") }
end

-- ---- the whole -----------------------------------------------------------------------------------

local STATUS = { bad_request = 400, no_socket = 404, unknown_verb = 404, unavailable = 503 }

-- site: core, site (what init.lua returned), state (of events.lua, with the filter in force), find(name) and
-- call(name, auth, data, socket). Gives the function that answers: (verb, body) -> HTTP status, value.
function admin.start(site)
  local function refuse(code, message)
    return STATUS[code] or 422, { error = code, message = message or code }
  end
  return function(verb, body)
    local answer = verbs[verb]
    if not answer then return refuse("unknown_verb", "there is no " .. verb) end
    local problem = lacks(verb, body)
    if problem then return refuse("bad_request", problem) end
    local value, code, message = answer(site, body) -- what raises is the script's, and the log's
    if value == nil then return refuse(code or "script_error", message) end
    return 200, value
  end
end

return admin
