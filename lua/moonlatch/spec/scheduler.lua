-- SPDX-License-Identifier: MIT
-- Tasks and time for specs. A task is a coroutine at work for something that happened; between two waits
-- it has a budget of instructions. Time is virtual: when nothing can run, the clock jumps to the next timer.
-- A wait that nothing can end raises "deadlock".

local scheduler = {}
scheduler.__index = scheduler

local WAIT = {} -- what a coroutine yields when its task waits

local STEP = 100000 -- instructions between two looks
local STEPS_MAX = 300 -- of a slice: some tenths of a second of pure Lua
local TICKS_MAX = 1000 -- timers that fire again and again while somebody waits in vain
local TICKS_SECONDS = 600 -- and for so long

function scheduler.new()
  return setmetatable({ now = 0, ready = {}, timers = {}, tasks = {}, serial = 0 }, scheduler)
end

-- ---- the budget ----------------------------------------------------------------------------------

-- "file:line: " of the script's innermost code that the hook interrupted.
local function interrupted()
  local level, info = 3, debug.getinfo(3, "Sl")
  while info do
    if info.short_src:find "^scripts/" then return ("%s:%d: "):format(info.short_src, info.currentline) end
    level = level + 1
    info = debug.getinfo(level, "Sl")
  end
  return ""
end

local function stop()
  error(interrupted() .. "budget: ran longer than 50 ms", 0)
end

local function on_steps(self)
  return function()
    local task = self.current
    if not task then return end
    task.steps = task.steps + 1
    if task.steps < STEPS_MAX then return end
    task.killed = true
    debug.sethook(stop, "lcr", 1) -- no pcall holds it
    stop()
  end
end

-- Puts a coroutine under the budget of whoever runs it.
function scheduler:watch(thread)
  debug.sethook(thread, on_steps(self), "", STEP)
  return thread
end

-- ---- tasks ---------------------------------------------------------------------------------------

local function finish(self, task, ok, ...)
  self.tasks[task] = nil
  task.ended_at = self.now
  local ended = task.ended
  if ended then ended(ok, ...) end
end

local function settle(self, task, ok, first, ...)
  if coroutine.status(task.thread) ~= "dead" then return end -- it waits
  if ok then return finish(self, task, true, first, ...) end
  local code = task.killed and "script_timeout" or "script_error"
  finish(self, task, false, code, first, debug.traceback(task.thread))
end

local function resume(self, task, ...)
  if task.cancelled then return end
  local outer = self.current
  self.current, task.steps = task, 0
  local results = table.pack(coroutine.resume(task.thread, ...))
  self.current = outer
  settle(self, task, table.unpack(results, 1, results.n))
end

-- Runs fn(...) as a task, until it ends or waits. kind: { name =, waits = may it wait, handler = text }. ended is called
-- once, with true and the results, or false, code, error and traceback.
function scheduler:start(kind, ended, fn, ...)
  local task = { kind = kind, ended = ended, steps = 0 }
  task.thread = self:watch(coroutine.create(fn))
  self.tasks[task] = true
  resume(self, task, ...)
  return task
end

-- Ends a task that waits: ended gets false, "cancelled".
function scheduler:cancel(task)
  if not self.tasks[task] or task == self.current then return end
  task.cancelled = true
  if task.wait and task.wait.over then task.wait.over() end
  finish(self, task, false, "cancelled")
end

-- Raises, as the gateway does, where who ("time.sleep") may not wait. level: whom to blame.
function scheduler:may_wait(who, level)
  local task = self.current
  if not task then error(who .. " may not wait while the script is loaded", level + 1) end
  if not task.kind.waits then error(("%s may not wait in %s"):format(who, task.kind.name), level + 1) end
end

-- The task that runs waits. begin(wake) starts what it waits for; wake(...) gives the results. over() is called when
-- the task is cancelled instead.
function scheduler:wait(begin, over)
  local task = self.current
  local wait = { over = over }
  task.wait = wait
  local results
  begin(function(...)
    if wait.woken then return end
    wait.woken, results = true, table.pack(...)
    self:defer(function() if not task.cancelled then resume(self, task) end end)
  end)
  coroutine.yield(WAIT)
  task.wait = nil
  return table.unpack(results, 1, results.n)
end

-- coroutine.resume for coroutines of a script: a wait within goes through to the task.
function scheduler.resume_inner(thread, ...)
  local results = table.pack(coroutine.resume(thread, ...))
  while results[1] and results[2] == WAIT do
    coroutine.yield(WAIT)
    results = table.pack(coroutine.resume(thread))
  end
  return table.unpack(results, 1, results.n)
end

-- ---- the loop ------------------------------------------------------------------------------------

-- Runs fn at the end of what happens now.
function scheduler:defer(fn)
  self.ready[#self.ready + 1] = fn
end

-- Calls fn after so many virtual seconds. The timer; it has cancel().
function scheduler:after(seconds, fn)
  self.serial = self.serial + 1
  local timer = { due = self.now + seconds, fn = fn, serial = self.serial }
  function timer.cancel() timer.fn = nil end
  local timers, at = self.timers, #self.timers + 1
  while at > 1 and timers[at - 1].due > timer.due do at = at - 1 end
  table.insert(timers, at, timer)
  return timer
end

local function run_ready(self)
  local fn = table.remove(self.ready, 1)
  if not fn then return false end
  fn()
  return true
end

-- The next timer that was not cancelled, at until at the latest.
local function next_timer(self, latest)
  while self.timers[1] and not self.timers[1].fn do table.remove(self.timers, 1) end
  local timer = self.timers[1]
  return timer and timer.due <= latest and timer or nil
end

local function fire(self, timer)
  table.remove(self.timers, 1)
  self.now = math.max(self.now, timer.due)
  local fn = timer.fn
  timer.fn = nil
  fn()
end

-- Runs what can run now.
function scheduler:settle()
  while run_ready(self) do end -- luacheck: ignore 542
end

-- Lets so many virtual seconds pass.
function scheduler:pass(seconds)
  local latest = self.now + seconds
  repeat
    self:settle()
    local timer = next_timer(self, latest)
    if timer then fire(self, timer) end
  until not timer
  self.now = latest
end

-- Runs until done() is true: true; false when so many seconds went by before it. Without seconds it waits as long as
-- something can happen; then it raises "deadlock", with what was waited for.
function scheduler:run(done, what, seconds)
  local began, ticks = self.now, 0
  local latest = seconds and began + seconds or math.huge
  while not done() do
    if not run_ready(self) then
      local timer = next_timer(self, latest)
      ticks = ticks + 1
      local in_vain = not seconds and ticks > TICKS_MAX and self.now - began > TICKS_SECONDS
      if not timer and seconds then
        self.now = latest
        return false
      end
      if not timer or in_vain then error("deadlock: nothing can end this wait for " .. what, 0) end
      fire(self, timer)
    end
  end
  return true
end

return scheduler
