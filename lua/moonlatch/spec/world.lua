-- SPDX-License-Identifier: MIT
-- A site for a spec without a server: its script over the runtime library that ships, and under that a core
-- in plain Lua. It offers specs what lua/moonlatch/spec.lua says.

local cache = require "moonlatch.spec.cache"
local client = require "moonlatch.spec.client"
local conf = require "moonlatch.spec.conf"
local core = require "moonlatch.spec.core"
local crypto = require "moonlatch.spec.crypto"
local hub = require "moonlatch.spec.hub"
local http = require "moonlatch.spec.http"
local json = require "moonlatch.spec.json"
local redis = require "moonlatch.spec.redis"
local request = require "moonlatch.spec.request"
local sandbox = require "moonlatch.spec.sandbox"
local scheduler = require "moonlatch.spec.scheduler"

local world = {}
world.__index = world

local EPOCH = 1700000000 -- when virtual time begins, in seconds since 1970

-- ---- tasks and their errors ----------------------------------------------------------------------

-- "file:line" of the code of a script that is at work, for what may leak.
function world.where_called()
  for i = 2, 14 do
    local info = debug.getinfo(i, "Sl")
    if not info then break end
    if info.short_src:find("^scripts/") then return info.short_src .. ":" .. info.currentline end
  end
  return "?"
end

-- A line of site.log.
function world:log_line(level, text, more)
  local line = { level = level, text = text }
  for key, value in pairs(more or {}) do line[key] = value end
  self.log[#self.log + 1] = line
end

-- What a client reads of a task that failed; the log has the rest.
local function failure(self, kind, code, err, traceback)
  if code == "cancelled" then return code end
  local id = crypto.random(6):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  local text = type(err) == "string" and err or "(a " .. type(err) .. " value)"
  self:log_line("error", text, { where = kind.name, code = code, id = id, traceback = traceback })
  if code == "script_timeout" then return code end
  return { message = "Internal error", code = "script_error", id = id }
end

-- Runs fn as a task. ended, which may be nil, gets true and the results, or false and what clients read of it.
function world:run(kind, ended, fn, ...)
  return self.scheduler:start(kind, function(ok, ...)
    if ok then
      if ended then ended(true, ...) end
      return
    end
    local problem = failure(self, kind, ...)
    if ended then ended(false, problem) end
  end, fn, ...)
end

-- Something happened to the script's listeners.
function world:emit(name, ...)
  if self.hooks[name] then self:run({ name = name, waits = true }, nil, self.entries.emit, name, ...) end
end

-- A message on a raw endpoint.
function world:message(s, data, binary)
  local hook = self.hooks.message
  local kind = { name = "message", waits = true }
  if type(hook) == "function" then self:run(kind, nil, hook, s:handle(), data, binary)
  elseif hook then self:run(kind, nil, self.entries.emit, "message", s:handle(), data, binary) end
end

-- ---- loading -------------------------------------------------------------------------------------

local function log_module(self)
  local log = {}
  for _, level in ipairs { "debug", "info", "warn", "error" } do
    log[level] = function(text, fields)
      if fields ~= nil and type(fields) ~= "table" then error("bad argument #2 (table expected, got " .. type(fields) .. ")", 2) end
      self:log_line(level, tostring(text), { fields = fields })
    end
  end
  return log
end

local function time_module(self)
  local time = {}
  function time.now() return self:time() end
  function time.monotonic() return self.scheduler.now end
  function time.sleep(seconds)
    if type(seconds) ~= "number" then error("bad argument #1 to 'sleep' (number expected, got " .. type(seconds) .. ")", 2) end
    if not (seconds >= 0 and seconds <= 86400) then error("bad argument #1 to 'sleep' (must be 0 to 86400 seconds)", 2) end
    self.scheduler:may_wait("time.sleep", 2)
    local timer
    self.scheduler:wait(function(wake) timer = self.scheduler:after(seconds, wake) end, function() timer.cancel() end)
  end
  return time
end

local function crypto_module(self)
  local own = {}
  for name, fn in pairs(crypto) do own[name] = fn end
  own.verifier = nil
  own.jwt_verify = crypto.verifier(function() return self:time() end)
  return own
end

local function controllers_of(self)
  local files = {}
  local pipe = io.popen(("ls '%s/controllers' 2>/dev/null"):format(self.folder))
  for file in pipe:lines() do
    local name = file:match("^([%w_-]+)%.lua$")
    if name then
      local value = self.sandbox.require("controllers." .. name)
      if type(value) ~= "table" and type(value) ~= "function" then
        error(("scripts/%s/controllers/%s: must return a function or a table"):format(self.name, file), 0)
      end
      files[name] = value
    end
  end
  pipe:close()
  return files
end

local function load_site(self)
  local shown = ("scripts/%s/init.lua"):format(self.name)
  local text = conf.read_file(self.folder .. "/init.lua") or error(shown .. ": No such file or directory", 0)
  local chunk, problem = load(text, "@" .. shown, "t", self.sandbox.environment)
  if not chunk then error(problem, 0) end
  local site = chunk()
  if type(site) ~= "table" then error(shown .. ": must return a table", 0) end
  site.options = json.copy(self.conf.options)
  return site, shown
end

local function start(self)
  local house = { ["moonlatch.json"] = json, ["moonlatch.log"] = log_module(self), ["moonlatch.time"] = time_module(self),
    ["moonlatch.crypto"] = crypto_module(self), ["moonlatch.cache"] = cache(function() return self.scheduler.now end,
      self.conf.limits.script_cache) }
  local own = core.new(self)
  local internal = { ["moonlatch.core"] = own, ["moonlatch.http_wire"] = http.wire(self),
    ["moonlatch.redis_wire"] = redis.wire(self, self.db) }
  self.sandbox = sandbox.new(self, house, internal)
  own.environment = self.sandbox.environment
  local site, shown = load_site(self)
  self.entries = self.sandbox.require_house("moonlatch.runtime").start(own, site, controllers_of(self), shown)
  self.server = own.server
end

-- The site called name. options: see lua/moonlatch/spec.lua.
function world.new(name, options)
  local complete = conf.complete(name, conf.merged(name, options.conf, options.options))
  local self = setmetatable({ name = name, conf = complete, folder = conf.scripts() .. "/" .. complete.script, node = "node-1",
    scheduler = scheduler.new(), hooks = {}, observed = {}, opened = {}, clients = {}, timers = {}, timer_count = 0, log = {},
    tokens = {} }, world)
  self.hub = hub.new(self)
  if options.store == "redis" then self.db = redis.new(function() return self.scheduler.now end) end
  start(self)
  self:settle()
  return self
end

-- ---- time ----------------------------------------------------------------------------------------

function world:time() return EPOCH + self.scheduler.now end
function world:now() return self:time() end

function world:settle() self.scheduler:settle() end
world.check = world.settle

function world:wait(done, what, seconds) return self.scheduler:run(done, what, seconds) end
function world:pass(seconds) self.scheduler:pass(seconds) end

-- ---- logging in ----------------------------------------------------------------------------------

-- A request of its own for each that looks at it.
function world.copy_request(raw)
  local copy = {}
  for key, value in pairs(raw) do copy[key] = value end
  copy.headers = {}
  for name, value in pairs(raw.headers) do copy.headers[name] = value end
  return copy
end

-- What authentication makes of a request: outcome and more, as lua/moonlatch/login.lua gives it.
local function judge(self, raw, token_route)
  local results
  self:run({ name = "authentication", waits = true }, function(...) results = table.pack(...) end, self.entries.login,
    self.copy_request(raw), token_route)
  self:wait(function() return results end, "authentication")
  if results[1] then return table.unpack(results, 2, results.n) end
  local problem = results[2]
  return "failed", type(problem) == "table" and problem.message or problem
end

local function decode_body(headers, body)
  if not (headers["content-type"] or ""):find("json", 1, true) or body == "" then return body end
  return json.decode(body)
end

local function token_for(self, auth)
  local token = crypto.uuid()
  self.tokens[token] = json.encode(auth)
  return token
end

-- Asks the token route: the token; or nil, the status and the body (decoded, if it is JSON).
function world:token(options)
  local path = (self.conf.path == "/" and "" or self.conf.path) .. (self.conf.token.path or "/socket/token")
  local outcome, a, b, c = judge(self, request.raw(options or {}, path), true)
  if outcome == "admitted" then
    if #json.encode(a) > self.conf.limits.token_data then return nil, 413, { error = "too_large" } end
    return token_for(self, a)
  end
  if outcome == "answered" then return nil, a, decode_body(b, c) end
  if outcome == "failed" then return nil, 500, { error = a } end
  return nil, 403, { error = "Forbidden" }
end

local function admit(self, c, auth)
  local s = c.socket
  s.auth = auth
  c.auth = json.copy(auth)
  s.admitted = true
  local push = self.conf.push
  for _, room in ipairs((push.user_room_prefix or push.auth_url) and auth and auth.rooms or {}) do self.hub:join(s, room) end
  self:emit("connect", s:handle())
end

-- The reply to the login waits for the listeners.
local function authenticated(self, c)
  if not self.hooks.authentication then return end
  local over = false
  self:run({ name = "authentication", waits = true }, function() over = true end, self.entries.authenticated, c.socket:handle(),
    c.socket.auth)
  self:wait(function() return over end, "the listeners of authentication")
end

local function refused(status, body)
  local text = type(body) == "table" and (body.error or json.encode(body)) or body
  return nil, ("%d %s"):format(status, tostring(text))
end

-- A client that is connected and logged in, or nil and why not.
function world:connect(options)
  options = options or {}
  local namespace = options.namespace and conf.namespace(self.conf, options.namespace)
  local endpoint = namespace or conf.endpoint(self.conf, options.endpoint)
  local raw = request.raw(options, namespace and "/socket.io/" or (self.conf.path == "/" and "" or self.conf.path) .. endpoint.path)
  raw.auth = namespace and json.copy(options.credentials) or nil
  local auth = options.auth
  if auth == nil and endpoint.auth == "token" then
    local token, status, body = self:token(options)
    if not token then return refused(status, body) end
    auth, self.tokens[token] = json.decode(self.tokens[token]), nil
  elseif auth == nil and endpoint.auth == "request" then
    local outcome, given = judge(self, raw, false)
    if outcome ~= "admitted" and namespace then return nil, outcome == "failed" and given or "Forbidden" end
    if outcome ~= "admitted" then return refused(outcome == "failed" and 500 or 403, outcome == "failed" and given or "Forbidden") end
    auth = given
  end
  local c = client.new(self, endpoint, raw)
  self.clients[#self.clients + 1] = c
  admit(self, c, json.copy(auth))
  if auth ~= nil then authenticated(self, c) end
  self:settle()
  if c.closed then return nil, ("%d %s"):format(c.closed.code, c.closed.reason) end
  return c
end

-- ---- from outside --------------------------------------------------------------------------------

function world:publish(channel, value)
  self.hub:publish(channel, json.encode(value))
  self:settle()
end

function world:broadcast(value)
  self.hub:broadcast(json.encode(value))
  self:settle()
end

function world:sockets()
  local list = {}
  for i, s in ipairs(self.opened) do list[i] = s.sid end
  return list
end

function world:channels()
  local names = {}
  for name in pairs(self.hub.channels) do names[#names + 1] = name end
  table.sort(names)
  return names
end

function world:members(channel)
  local list = {}
  for i, s in ipairs(self.hub.channels[channel] or {}) do list[i] = s.sid end
  return list
end

-- ---- the end -------------------------------------------------------------------------------------

-- Where a task that waits stands in the script.
local function where_waiting(task)
  return debug.traceback(task.thread):match("(scripts/[^:]+:%d+)") or "?"
end

-- What the script began and did not bring to an end: texts.
function world:leaks()
  local list = {}
  for task in pairs(self.scheduler.tasks) do list[#list + 1] = ("a task of %s waits at %s"):format(task.kind.name, where_waiting(task)) end
  for ticker in pairs(self.timers) do
    if not ticker.again then list[#list + 1] = "a delay is set at " .. ticker.where end
  end
  for _, s in ipairs(self.opened) do
    for pending in pairs(s.calls) do
      list[#list + 1] = ("a call of \"%s\" is not answered, made at %s"):format(pending.name, pending.where)
    end
  end
  table.sort(list)
  return list
end

-- Ends the site. Raises when something leaked; options.leaks = true lets it.
function world:close(options)
  if self.ended then return end
  self:settle()
  local leaks = self:leaks()
  for _, c in ipairs(self.clients) do c.socket:close(1000, "Normal closure") end
  self:settle()
  for task in pairs(self.scheduler.tasks) do self.scheduler:cancel(task) end
  self.ended = true
  if #leaks > 0 and not (options and options.leaks) then
    error("the site left something behind:\n  " .. table.concat(leaks, "\n  "), 2)
  end
end

return world
