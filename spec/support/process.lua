-- SPDX-License-Identifier: MIT
-- A process that a spec starts and ends, by its pid. Should the runner itself die, the kernel kills it.

local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local process = {}
process.__index = process

-- Our own descriptors are closed first, or one process would hold open the connections of another.
local LAUNCH = [[
for fd in /proc/$$/fd/*; do fd=${fd##*/}; if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi; done 2>/dev/null
echo $$
exec setpriv --pdeathsig KILL "$@" >"$OUT" 2>"$LOG" </dev/null
]]

-- Starts a program by its words; what it prints goes to the two files.
function process.start(words, out, log)
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = tmp.quote(word) end
  local command = string.format("exec env OUT=%s LOG=%s bash -c %s launch %s", tmp.quote(out), tmp.quote(log),
    tmp.quote(LAUNCH), table.concat(quoted, " "))
  local pipe = assert(io.popen(command))
  return setmetatable({ pipe = pipe, pid = assert(tonumber(pipe:read("l")), "no pid") }, process)
end

-- Starts a program of spec/support that prints a line when it is ready: the process, its folder (the caller's)
-- and the line.
function process.program(name, ...)
  local dir = tmp.dir()
  local p = process.start({ "lua5.4", "spec/support/" .. name .. ".lua", ... }, dir .. "/out", dir .. "/log")
  local line = wait.for_true(function() return (tmp.read(dir .. "/out") or ""):match("^([^\n]+)\n") end, 5)
  return p, dir, assert(line, name .. " does not start: " .. (tmp.read(dir .. "/log") or ""))
end

function process:alive()
  local stat = self.pipe and tmp.read("/proc/" .. self.pid .. "/stat")
  local state = stat and stat:match("%) (%a)")
  return state ~= nil and state ~= "Z" and state ~= "X"
end

function process:signal(name)
  if self:alive() then os.execute("kill -" .. name .. " " .. self.pid .. " 2>/dev/null") end
end

-- Waits for its end: the exit status (128 + n for a signal), or nil if it did not end.
function process:wait_exit(seconds)
  if self.status then return self.status end
  if not wait.for_true(function() return not self:alive() end, seconds or 10) then return nil end
  local _, how, code = self.pipe:close()
  self.pipe = nil
  self.status = how == "signal" and 128 + code or code
  return self.status
end

-- The signal, and KILL if that is not enough. The exit status.
function process:stop(signal, seconds)
  self:signal(signal or "TERM")
  local status = self:wait_exit(seconds)
  if status then return status end
  self:signal("KILL")
  return self:wait_exit(5)
end

return process
