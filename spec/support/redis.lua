-- SPDX-License-Identifier: MIT
-- The real redis-server on a free port, for specs:
--     local r = redis.start()             after_each(redis.stop_all)
--     r:url()  r:call("GET", "key")  r:freeze()  r:thaw()  r:kill()  r:restart()
-- Nothing is kept on disk unless the options say so.

local socket = require "socket"
local process = require "spec.support.process"
local stream = require "spec.support.stream"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local redis = {}
local running = {}

local instance = {}
instance.__index = instance

-- ---- RESP ----------------------------------------------------------------------------------------

local function encode(words)
  local parts = { "*" .. #words .. "\r\n" }
  for _, word in ipairs(words) do
    word = tostring(word)
    parts[#parts + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
  end
  return table.concat(parts)
end

-- A reply: a text, an integer, a table, false for nil. nil and a reason for an error and for silence.
local function decode(s, deadline)
  local line, err = s:take_until("\r\n", deadline)
  if not line then return nil, err end
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "+" then return rest end
  if kind == "-" then return nil, rest end
  if kind == ":" then return math.tointeger(tonumber(rest)) end
  local count = tonumber(rest)
  if count < 0 then return false end
  if kind == "$" then
    local text = s:take(count + 2, deadline)
    return text and text:sub(1, -3)
  end
  local list = {}
  for i = 1, count do list[i] = decode(s, deadline) end
  return list
end

local link = {}
link.__index = link

-- Another connection: link:call(...), link:send(...), link:receive(seconds).
function redis.connect(port, password)
  local l = setmetatable({ stream = stream.connect(port) }, link)
  if password then assert(l:call("AUTH", password)) end
  return l
end

function link:send(...) return self.stream:write(encode { ... }) end
function link:receive(seconds) return decode(self.stream, wait.now() + (seconds or 5)) end
function link:close() self.stream:close() end

function link:call(...)
  assert(self:send(...))
  return self:receive()
end

-- ---- the server ----------------------------------------------------------------------------------

local function free_port()
  local s = assert(socket.bind("127.0.0.1", 0))
  local _, port = s:getsockname()
  s:close()
  return port
end

local function answers(r)
  local ok, reply, err = pcall(function()
    local l = redis.connect(r.port, r.password)
    local reply, err = l:call("PING")
    l:close()
    return reply, err
  end)
  return ok and (reply == "PONG" or (err or ""):find("NOAUTH", 1, true) ~= nil)
end

local function launch(r)
  local words = { "redis-server", "--port", tostring(r.port), "--bind", "127.0.0.1", "--dir", r.dir, "--save", "",
    "--appendonly", "no", "--unixsocket", r.dir .. "/socket", "--daemonize", "no" }
  for name, value in pairs(r.options) do
    words[#words + 1] = "--" .. name
    words[#words + 1] = tostring(value)
  end
  r.process = process.start(words, r.dir .. "/out", r.dir .. "/log")
  r.pid = r.process.pid
  return wait.for_true(function() return answers(r) or not r.process:alive() end, 10) and r.process:alive()
end

-- options: lines of redis.conf by name, as { requirepass = "x" }.
function redis.start(options)
  options = options or {}
  for _ = 1, 5 do
    local r = setmetatable({ dir = tmp.dir(), port = free_port(), options = options,
      password = options.requirepass }, instance)
    running[r] = true
    if launch(r) then return r end
    r:stop()
  end
  error("redis-server does not start", 2)
end

-- "redis://:password@127.0.0.1:port/db"
function instance:url(db)
  local auth = self.password and ":" .. self.password .. "@" or ""
  return ("redis://%s127.0.0.1:%d/%d"):format(auth, self.port, db or 0)
end

function instance:call(...)
  if not self.link or self.link.stream.closed then self.link = redis.connect(self.port, self.password) end
  return self.link:call(...)
end

local function hang_up(r)
  if r.link then r.link:close() end
  r.link = nil
end

-- As a crash.
function instance:kill()
  hang_up(self)
  self.process:stop("KILL")
end

-- It answers nothing, and closes nothing.
function instance:freeze() self.process:signal("STOP") end
function instance:thaw() self.process:signal("CONT") end

-- On the same port, after kill.
function instance:restart()
  assert(wait.for_true(function() return launch(self) end, 10), "redis-server does not come back")
end

function instance:stop()
  running[self] = nil
  hang_up(self)
  self:thaw()
  self.process:stop("KILL")
  tmp.remove(self.dir)
end

-- The commands that clients other than this one send while fn runs, one text each.
function instance:monitor(fn)
  local l = redis.connect(self.port, self.password)
  l:call("MONITOR")
  fn()
  self:call("ECHO", "the end of it")
  local seen = {}
  while true do
    local line = assert(l:receive())
    if line:find("the end of it", 1, true) then break end
    seen[#seen + 1] = line
  end
  l:close()
  return seen
end

function redis.stop_all()
  for r in pairs(running) do r:stop() end
end

return redis
