-- SPDX-License-Identifier: MIT
-- Starts the real binary for a spec, in a temporary folder and on a free port, and ends it: by its
-- pid, after every spec, also when the spec raised. A spec file says
--     after_each(gateway.stop_all)
-- (or teardown, if its specs share one); should the runner itself die, the kernel kills the gateway.
-- A sanitizer's report in the log makes stop raise. The environment names the binary: MOONLATCH.

local process = require "spec.support.process"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local gateway = {}
local running = {}
local started = 0

local instance = {}
instance.__index = instance

-- ---- configuration -------------------------------------------------------------------------------

local function key_source(key)
  if key:find("^[%a_][%w_]*$") then return key end
  return string.format("[%q]", key)
end

-- A value as Lua source: the list part in its order, then the other keys sorted.
function gateway.source(value)
  if type(value) == "string" then return (string.format("%q", value):gsub("\\\n", "\\n")) end
  if type(value) ~= "table" then return tostring(value) end
  local parts, keys = {}, {}
  for _, item in ipairs(value) do parts[#parts + 1] = gateway.source(item) end
  for key in pairs(value) do
    if type(key) == "string" then keys[#keys + 1] = key end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do parts[#parts + 1] = key_source(key) .. " = " .. gateway.source(value[key]) end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function conf_source(conf)
  if type(conf) == "string" then return conf end
  return "return " .. gateway.source(conf) .. "\n"
end

-- A spec does not wait for sockets to drain, unless it says so.
local function quick_drain(conf)
  local with = { limits = { drain_timeout = "1s", drain_spread = 0 } }
  for key, value in pairs(conf) do
    if key ~= "limits" then with[key] = value end
  end
  for key, value in pairs(conf.limits or {}) do with.limits[key] = value end
  return with
end

local function write_files(dir, options)
  local conf = options.gateway or {}
  if type(conf) == "table" then conf = quick_drain(conf) end
  tmp.write(dir .. "/conf/gateway.lua", conf_source(conf))
  for name, site in pairs(options.sites or {}) do
    tmp.write(dir .. "/conf/sites/" .. name .. ".lua", conf_source(site))
  end
  for name, files in pairs(options.scripts or {}) do
    if type(files) == "string" then files = { ["init.lua"] = files } end
    for path, text in pairs(files) do tmp.write(dir .. "/scripts/" .. name .. "/" .. path, text) end
  end
  tmp.write(dir .. "/scripts/.keep", "")
  tmp.write(dir .. "/conf/sites/.keep", "")
end

-- ---- process -------------------------------------------------------------------------------------

function gateway.binary()
  return os.getenv("MOONLATCH") or "build/moonlatch"
end

-- Starts a gateway and waits until it listens. Raises with the log's text when it does not come up.
--   gateway   conf/gateway.lua: a table or Lua source (a table gets a quick drain)
--   sites     name -> the same for conf/sites/<name>.lua
--   scripts   name -> source of scripts/<name>/init.lua, or a table file -> source
--   args      further words of the command line
--   dir       a folder with conf/ and scripts/, instead of the three above
--   listen    "127.0.0.1:0"; wait: seconds (20); env: name -> value
-- Its admin socket is g.socket, in the temporary folder; --set admin.socket among args overrides that.
function gateway.start(options)
  options = options or {}
  local dir = options.dir or tmp.dir()
  if not options.dir then write_files(dir, options) end
  local words = { "env" }
  for name, value in pairs(options.env or {}) do words[#words + 1] = name .. "=" .. value end
  started = started + 1
  local socket = dir .. "/admin" .. started .. ".sock" -- several gateways may share a folder
  for _, word in ipairs { gateway.binary(), "serve", "--conf", dir .. "/conf", "--scripts", dir .. "/scripts",
    "--listen", options.listen or "127.0.0.1:0", "--set", "admin.socket=" .. socket } do
    words[#words + 1] = word
  end
  for _, word in ipairs(options.args or {}) do words[#words + 1] = word end

  local g = setmetatable({ dir = dir, socket = socket, kept = options.dir ~= nil }, instance)
  g.process = process.start(words, dir .. "/out", dir .. "/log")
  g.pid = g.process.pid
  running[g] = true
  local up = wait.for_true(function()
    return g:output():find("listening on [^\n]+\n") or not g:alive()
  end, options.wait or 20)
  g.port = tonumber(g:output():match("listening on %w+://[^\n]*:(%d+)"))
  if not up or not g.port then
    local log = g:log()
    local ok, status = pcall(g.stop, g)
    error("the gateway did not start (status " .. tostring(ok and status) .. "):\n" .. log, 2)
  end
  return g
end

-- Runs the binary with these words to its end: status, standard output, standard error.
function gateway.run(words, options)
  options = options or {}
  local dir = options.dir or tmp.dir()
  if not options.dir then write_files(dir, options) end
  local all = { gateway.binary() }
  for _, word in ipairs(words) do all[#all + 1] = (word:gsub("^@", dir .. "/")) end
  local run = process.start(all, dir .. "/out", dir .. "/log")
  local status = run:wait_exit(options.wait or 20) or run:stop("KILL")
  local g = setmetatable({ dir = dir }, instance)
  local out, log = g:output(), g:log()
  if not options.dir then tmp.remove(dir) end
  return status, out, log
end

function instance:output() return tmp.read(self.dir .. "/out") or "" end
function instance:log() return self.last_log or tmp.read(self.dir .. "/log") or "" end

-- Whether the plain text appears in the log within so many seconds.
function instance:wait_log(text, seconds)
  return wait.for_true(function() return self:log():find(text, 1, true) ~= nil end, seconds) or false
end

function instance:alive() return self.process:alive() end
function instance:signal(name) self.process:signal(name) end

-- Resident bytes.
function instance:rss()
  local status = tmp.read("/proc/" .. self.pid .. "/status") or ""
  return (tonumber(status:match("VmRSS:%s*(%d+)")) or 0) * 1024
end

-- Open descriptors.
function instance:fds()
  local pipe = assert(io.popen("ls /proc/" .. self.pid .. "/fd | wc -l"))
  local count = tonumber(pipe:read("l"))
  pipe:close()
  return count
end

-- Waits for the end of the process: its exit status (128 + n for a signal), or nil if it did not end.
function instance:wait_exit(seconds)
  self.status = self.process:wait_exit(seconds)
  return self.status
end

local REPORTS = { "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error: ", "Assertion `" }

-- TERM, and KILL if that is not enough. The exit status; raises if a sanitizer or an assertion spoke.
function instance:stop()
  if not running[self] then return self.status end
  running[self] = nil
  local status = self.process:stop()
  self.status = status
  self.last_log = self:log()
  if not self.kept then tmp.remove(self.dir) end
  for _, report in ipairs(REPORTS) do
    local at = self.last_log:find(report, 1, true)
    if at then error("the gateway's log says:\n" .. self.last_log:sub(math.max(1, at - 500), at + 6000), 2) end
  end
  return status
end

-- Ends every gateway that still runs; raises the first complaint afterwards.
function gateway.stop_all()
  local complaint
  for g in pairs(running) do
    local ok, err = pcall(g.stop, g)
    if not ok then complaint = complaint or err end
  end
  if complaint then error(complaint, 0) end
end

return gateway
