-- SPDX-License-Identifier: MIT
-- A site on several nodes: the functions of server that are about all of them. A question goes to every
-- node, or to the one that a socket is on (its sid begins with that node's name), and every node answers
-- for its own sockets. A socket of another node is a table that looks like a socket: what it was when it
-- was asked about, and methods that ask its node.
--
-- What it asks of core:
--   node                                  the name of this one
--   ask(who, node, question, seconds)     waits; the answers and whether all came, or nil, "unavailable"
--   socket(sid)                           the socket of this node, or nil
--   limits, json, server                  server: functions about this node, and socket methods by sid

local nodes = {}

local PATIENCE = 2 -- seconds that a node has to answer what it knows by itself
local NODE_LENGTH = 6
local MOST = 1000 -- entries of a list
local LIST_BYTES = 262144 -- of what one node tells about its sockets

-- ---- what this node answers ----------------------------------------------------------------------

local function describe(socket)
  return {
    sid = socket.sid, auth = socket.auth, ip = socket.ip, ips = socket.ips, host = socket.host, protocol = socket.protocol,
    endpoint = socket.endpoint, created = socket.created, channels = socket.channels,
  }
end

local function describe_all(core, sockets, more)
  local list, bytes = {}, 0
  for i, socket in ipairs(sockets) do
    if bytes > LIST_BYTES then return { list = list, more = true } end
    list[i] = describe(socket)
    bytes = bytes + #core.json.encode(list[i])
  end
  return { list = list, more = more }
end

-- Of one socket: the function's results, as a table.
local function results(value, code, detail)
  if value == nil then return { error = code or "closed", detail = detail } end
  return { value = value }
end

local function on_socket(method)
  return function(core, question)
    local socket = core.socket(question.sid)
    if not socket then return { error = "closed" } end
    return results(method(socket, question))
  end
end

local answers = {
  sockets = function(core, q) return describe_all(core, core.server.sockets(nil, q.max)) end,
  channelSockets = function(core, q) return describe_all(core, core.server.channelSockets(nil, q.channel, q.max)) end,
  channels = function(core, q)
    local list, more = core.server.channels(nil, q.max)
    return { list = list, more = more }
  end,
  rpc = on_socket(function(socket, q) return socket:rpc(q.name, q.args, { timeout = q.timeout }) end),
  subscribe = on_socket(function(socket, q) return socket:subscribe(q.channel) end),
  unsubscribe = on_socket(function(socket, q) return socket:unsubscribe(q.channel) end),
  close = on_socket(function(socket, q) return socket:close(q.code, q.reason, q.whole) end),
}

-- ---- what it asks the others ---------------------------------------------------------------------

local function ask_socket(core, who, sid, question, patience)
  local node = sid:sub(1, NODE_LENGTH)
  question.sid = sid
  if node == core.node then return nil, "closed" end -- it was looked for here already
  local all, complete = core.ask(who, node, question, patience or PATIENCE)
  if not all then return nil, complete end
  local answer = all[1]
  if not answer then return nil, complete and "closed" or "timeout" end
  if answer.error then return nil, answer.error, answer.detail end
  return answer.value
end

local function timeout_of(core, options)
  local seconds = type(options) == "table" and options.timeout or core.limits.call_timeout / 1000
  if type(seconds) ~= "number" or seconds <= 0 or seconds > 3600 then error("timeout: 0 to 3600 seconds expected", 3) end
  return seconds
end

local function check_text(value, what)
  if type(value) ~= "string" then error(what .. ": a text expected, got " .. type(value), 3) end
  return value
end

-- The methods of sockets that are on other nodes.
local function methods(core)
  local remote = {}
  function remote.rpc(self, name, args, options)
    local seconds = timeout_of(core, options)
    return ask_socket(core, "socket:rpc", self.sid,
      { what = "rpc", name = check_text(name, "name"), args = args, timeout = seconds }, seconds + PATIENCE)
  end
  function remote.subscribe(self, channel)
    return ask_socket(core, "socket:subscribe", self.sid, { what = "subscribe", channel = check_text(channel, "channel") })
  end
  function remote.unsubscribe(self, channel)
    return ask_socket(core, "socket:unsubscribe", self.sid, { what = "unsubscribe", channel = check_text(channel, "channel") })
  end
  function remote.close(self, code, reason, whole)
    return ask_socket(core, "socket:close", self.sid, { what = "close", code = code, reason = reason, whole = whole })
  end
  function remote.emit(self, name, ...) return core.server:to(self.sid):emit(name, ...) end
  return remote
end

local function remote_socket(remote, entry)
  for name, method in pairs(remote) do entry[name] = method end
  entry.session = entry.auth
  return entry
end

-- The lists of all nodes as one; each entry once.
local function gather(core, who, question, max, key, make)
  max = max or MOST
  if math.type(max) ~= "integer" or max < 1 or max > MOST then error("max: 1 to 1000 expected", 3) end
  question.max = max
  local all, complete = core.ask(who, nil, question, PATIENCE)
  if not all then return nil, complete end
  local list, seen, more = setmetatable({}, core.json.array_mt), {}, not complete
  for _, answer in ipairs(all) do
    more = more or answer.more == true
    for _, entry in ipairs(answer.list or {}) do
      local name = key(entry)
      if not seen[name] then
        seen[name] = true
        if #list == max then more = true else list[#list + 1] = make(entry) end
      end
    end
  end
  return list, more
end

local function itself(name) return name end
local function sid_of(entry) return entry.sid end

-- A socket of this node, or nil and the sid of one that may be elsewhere.
local function locate(core, target)
  if type(target) == "userdata" then return target end
  local sid = type(target) == "table" and target.sid or target
  if type(sid) ~= "string" then error("a socket or a sid expected, got " .. type(target), 3) end
  return core.socket(sid), sid
end

-- Makes the functions of server that reach other nodes out of those that know this one; the function that
-- answers them.
function nodes.start(core)
  local here, server, remote = {}, core.server, methods(core)
  for name, fn in pairs(server) do here[name] = fn end

  local function known(entry) return core.socket(entry.sid) or remote_socket(remote, entry) end
  function server.sockets(_, max)
    return gather(core, "server:sockets", { what = "sockets" }, max, sid_of, known)
  end
  function server.channelSockets(_, channel, max)
    return gather(core, "server:channelSockets", { what = "channelSockets", channel = check_text(channel, "channel") }, max,
      sid_of, known)
  end
  function server.channels(_, max)
    return gather(core, "server:channels", { what = "channels" }, max, itself, itself)
  end
  for _, name in ipairs { "rpc", "subscribe", "unsubscribe" } do
    server[name] = function(self, target, ...)
      local socket, sid = locate(core, target)
      if socket then return here[name](self, socket, ...) end
      return remote[name]({ sid = sid }, ...)
    end
  end

  local asked = { server = here, socket = core.socket, json = core.json }
  return function(question)
    local answer = answers[question.what]
    return answer and answer(asked, question) or { error = "unavailable" }
  end
end

return nodes
