-- SPDX-License-Identifier: MIT
-- A real gateway for live specs, in a temporary folder, on free ports. It ends with the spec, or with the
-- process that runs the specs.

local conf = require "moonlatch.spec.conf"
local json = require "moonlatch.spec.json"
local reactor = require "moonlatch.spec.reactor"

local socket = require "socket"

local gateway = {}
gateway.__index = gateway

-- Descriptors of ours are closed first, or the program would hold our connections open.
local LAUNCH = [[
for fd in /proc/$$/fd/*; do fd=${fd##*/}; if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi; done 2>/dev/null
echo $$
exec setpriv --pdeathsig KILL "$@" >"$OUT" 2>"$LOG" </dev/null
]]

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function start_process(dir, name, words)
  for i, word in ipairs(words) do words[i] = quote(word) end
  local pipe = assert(io.popen(("exec env OUT=%s LOG=%s bash -c %s launch %s"):format(quote(dir .. "/" .. name .. ".out"),
    quote(dir .. "/" .. name .. ".log"), quote(LAUNCH), table.concat(words, " "))))
  return { pipe = pipe, pid = assert(pipe:read("n"), "no pid") }
end

local function end_process(process)
  os.execute(("kill %d 2>/dev/null"):format(process.pid))
  process.pipe:close()
end

-- ---- conf ----------------------------------------------------------------------------------------

-- A value as Lua source.
local function source(value)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for key, member in pairs(value) do
    parts[#parts + 1] = (type(key) == "string" and ("[%q] = "):format(key) or "[" .. key .. "] = ") .. source(member)
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function write_conf(self, name, merged, store)
  merged.hosts, merged.listen, merged.origins = nil, nil, nil -- it is found by its path
  os.execute(("mkdir -p %s/conf/sites"):format(self.dir))
  write(self.dir .. "/conf/gateway.lua", "return " .. source { admin = { listen = "127.0.0.1:0", key = self.key, socket = "off" },
    log = { format = "json" }, trusted_proxies = { "127.0.0.1" }, store = store,
    limits = { drain_timeout = "100ms", drain_spread = 0, script_log_rate = 10000 } } .. "\n")
  write(self.dir .. "/conf/sites/" .. name .. ".lua", "return " .. source(merged) .. "\n")
end

-- ---- life ----------------------------------------------------------------------------------------

local function read(self, name) return conf.read_file(self.dir .. "/" .. name) or "" end

local function wait_for(fn, what)
  local value
  for _ = 1, 1000 do
    value = fn()
    if value then return value end
    socket.sleep(0.01)
  end
  error(what .. " does not start", 0)
end

local function alive(process)
  local stat = conf.read_file("/proc/" .. process.pid .. "/stat")
  return stat ~= nil and not stat:find("%) [ZX] ")
end

local function start_redis(self)
  local path = self.dir .. "/redis.sock"
  self.redis = start_process(self.dir, "redis", { "redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", self.dir })
  wait_for(function() return read(self, "redis.out"):find("ready to accept connections", 1, true) end, "redis-server")
  return "unix://" .. path
end

-- What the gateway says when it does not come up, without its own name.
local function complaint(self)
  local text = read(self, "gateway.log"):match("([^\n]+)") or "the gateway does not start"
  return (text:gsub("^moonlatch: ", ""))
end

-- Serves one site. Raises with its complaint when it does not want to.
function gateway.start(name, merged, store)
  local self = setmetatable({ name = name }, gateway)
  local pipe = assert(io.popen("mktemp -d"))
  self.dir = pipe:read("l")
  pipe:close()
  self.key = ("%08x"):rep(5):format(math.random(0, 0xffffffff), math.random(0, 0xffffffff), math.random(0, 0xffffffff),
    math.random(0, 0xffffffff), math.random(0, 0xffffffff))
  write_conf(self, name, merged, store == "redis" and start_redis(self) or "memory")
  self.process = start_process(self.dir, "gateway", { os.getenv "MOONLATCH_LIVE", "serve", "--conf", self.dir .. "/conf", "--scripts",
    conf.scripts(), "--listen", "127.0.0.1:0" })
  wait_for(function() return read(self, "gateway.out"):find("listening on [^\n]+\n") or not alive(self.process) end, "the gateway")
  local out = read(self, "gateway.out")
  self.port = tonumber(out:match("listening on http://[^\n]*:(%d+)"))
  self.admin_port = tonumber(out:match("admin on http://[^\n]*:(%d+)"))
  if self.port then return self end
  local problem = complaint(self)
  self:stop()
  error(problem, 0)
end

function gateway:stop()
  end_process(self.process)
  if self.redis then end_process(self.redis) end
  os.execute("rm -rf " .. quote(self.dir))
end

-- Asks the admin interface: the value; or nil and the error.
function gateway:ask(verb, body)
  body.site = self.name
  local status, _, text = reactor.request(self.admin_port, "POST", "/admin/" .. verb,
    { ["content-type"] = "application/json", authorization = "Bearer " .. self.key }, json.encode(body))
  if not status then error("the gateway does not answer: " .. complaint(self), 0) end
  local value = json.decode(text)
  if status == 200 then return value end
  return nil, value.error
end

-- The lines of the log that scripts caused, as site.log has them.
function gateway:log()
  local list = {}
  for line in read(self, "gateway.log"):gmatch("[^\n]+") do
    local ok, entry = pcall(json.decode, line)
    local message = ok and entry.msg
    if message == "script" then list[#list + 1] = { level = entry.level, text = entry.text, fields = entry.fields, at = entry.at }
    elseif message == "script warning" then list[#list + 1] = { level = "warn", text = entry.hint }
    elseif message == "script error" then
      list[#list + 1] = { level = "error", text = entry.error, where = entry["in"], code = entry.code, id = entry.id,
        traceback = entry.traceback }
    end
  end
  return list
end

return gateway
