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

function redis.free_port()
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
    local r = setmetatable({ dir = tmp.dir(), port = redis.free_port(), options = options,
      password = options.requirepass }, instance)
    running[r] = true
    if launch(r) then return r end
    r:stop()
  end
  error("redis-server does not start", 2)
end

-- A replica of another one.
function redis.replica(master)
  return redis.start { replicaof = "127.0.0.1 " .. master.port }
end

-- A sentinel that watches a master and needs nobody's agreement; it has noticed after this many ms.
function redis.sentinel(master, name, ms)
  local r = setmetatable({ dir = tmp.dir(), port = redis.free_port(), options = {} }, instance)
  running[r] = true
  local lines = { "port " .. r.port, "bind 127.0.0.1", "dir " .. r.dir,
    ("sentinel monitor %s 127.0.0.1 %d 1"):format(name, master.port),
    ("sentinel down-after-milliseconds %s %d"):format(name, ms or 300),
    ("sentinel failover-timeout %s 3000"):format(name) }
  tmp.write(r.dir .. "/conf", table.concat(lines, "\n") .. "\n")
  r.process = process.start({ "redis-server", r.dir .. "/conf", "--sentinel" }, r.dir .. "/out", r.dir .. "/log")
  assert(wait.for_true(function() return answers(r) end, 10), "the sentinel does not start")
  return r
end

local CERTIFICATES = [[
cd %s && exec 2>openssl.log
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -new -key ca.key -subj "/CN=spec authority" -days 2 -out ca.pem
openssl ecparam -name prime256v1 -genkey -noout -out key.pem
openssl req -new -key key.pem -subj "/CN=redis" -out csr.pem
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > names
openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem]]

-- One that speaks TLS at r.tls_port, with a certificate for localhost and 127.0.0.1 by the authority r.ca.
function redis.start_tls()
  local dir, port = tmp.dir(), redis.free_port()
  assert(os.execute(CERTIFICATES:format(tmp.quote(dir))), "no certificates")
  local r = redis.start { ["tls-port"] = port, ["tls-cert-file"] = dir .. "/cert.pem", ["tls-key-file"] = dir .. "/key.pem",
    ["tls-ca-cert-file"] = dir .. "/ca.pem", ["tls-auth-clients"] = "no" }
  r.tls_port, r.ca, r.certificates = port, dir .. "/ca.pem", dir
  return r
end

-- "redis://:password@127.0.0.1:port/db"
function instance:url(db)
  local auth = self.password and ":" .. self.password .. "@" or ""
  return ("redis://%s127.0.0.1:%d/%d"):format(auth, self.port, db or 0)
end

function instance:call(...)
  if not self.link or self.link.stream.closed then self.link = redis.connect(self.port, self.password) end
  local reply, err = self.link:call(...)
  if err ~= "closed" then return reply, err end
  self.link = redis.connect(self.port, self.password) -- a sentinel reconfigures by cutting its clients off
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
  if self.certificates then tmp.remove(self.certificates) end
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
