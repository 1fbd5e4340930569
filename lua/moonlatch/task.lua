-- SPDX-License-Identifier: MIT
-- moonlatch.task: several things at once in straight-line code. Each function runs as a task of its own;
-- whoever asks for its results waits. What a function gives as nil, code has failed, and so has one that
-- raises (nil, "script_error", and the log has the rest).

local core = require "moonlatch.core"

local task = {}

local function check_function(fn, level)
  if type(fn) ~= "function" then error("a function expected, got " .. type(fn), level + 1) end
end

local function check_seconds(seconds, level)
  if seconds ~= nil and (type(seconds) ~= "number" or seconds ~= seconds or seconds <= 0 or seconds > 86400) then
    error("seconds above 0 expected", level + 1)
  end
end

local function code_of(err)
  return type(err) == "table" and err.code or err
end

-- The results of a child that ended, as core.next gives them.
local function results(number, ok, ...)
  if ok then return ... end
  if number == nil then return nil, ok end -- "timeout"
  return nil, code_of((...))
end

-- spawn(fn, ...): runs fn now, and beside what comes next. handle:wait(seconds) gives its results, again at
-- each call, or nil, "timeout"; handle:cancel() ends it: it is then nil, "cancelled".
function task.spawn(fn, ...)
  check_function(fn, 2)
  local inbox, packed = core.inbox(), nil
  local handle = {}
  function handle.wait(_, seconds)
    check_seconds(seconds, 2)
    if core.waits(inbox) then error("somebody waits for this task already", 2) end
    if not packed then
      local got = table.pack(core.next(inbox, seconds))
      if got[1] == nil then return nil, "timeout" end
      packed = table.pack(results(table.unpack(got, 1, got.n)))
    end
    return table.unpack(packed, 1, packed.n)
  end
  function handle.cancel() core.cancel(inbox) end
  core.start(inbox, fn, ...)
  return handle
end

local function start_all(functions, level)
  if type(functions) ~= "table" then error("a list of functions expected, got " .. type(functions), level + 1) end
  for _, fn in ipairs(functions) do check_function(fn, level + 1) end
  local inbox = core.inbox()
  for _, fn in ipairs(functions) do core.start(inbox, fn) end
  return inbox, #functions
end

-- Waits for the next of them; what is left of the time.
local function next_of(inbox, until_seconds)
  local left
  if until_seconds then
    left = until_seconds - core.monotonic()
    if left <= 0 then return nil, "timeout" end
  end
  return core.next(inbox, left)
end

-- all({ fn, ... }, seconds): runs them side by side; the list of their first results, in the order of the
-- functions. As soon as one fails, nil, code, and the others are ended.
function task.all(functions, seconds)
  check_seconds(seconds, 2)
  local ends = seconds and core.monotonic() + seconds
  local inbox, count = start_all(functions, 2)
  local list = {}
  for _ = 1, count do
    local number, ok, value, code = next_of(inbox, ends)
    if number == nil or not ok or (value == nil and code ~= nil) then
      core.cancel(inbox)
      if number == nil then return nil, ok end
      return nil, ok and code or code_of(value)
    end
    list[number] = value
  end
  return list
end

-- any({ fn, ... }, seconds): runs them side by side; the first result that is no failure, and the number of its
-- function; the others are ended. nil, code of the last when all fail.
function task.any(functions, seconds)
  check_seconds(seconds, 2)
  local ends = seconds and core.monotonic() + seconds
  local inbox, count = start_all(functions, 2)
  local last = "cancelled"
  for _ = 1, count do
    local number, ok, value, code = next_of(inbox, ends)
    if number == nil then
      core.cancel(inbox)
      return nil, ok
    end
    if ok and not (value == nil and code ~= nil) then
      core.cancel(inbox)
      return value, number
    end
    last = ok and code or code_of(value)
  end
  return nil, last
end

-- deadline(seconds, fn, ...): the results of fn, or when it takes longer nil, "timeout": then it is ended.
function task.deadline(seconds, fn, ...)
  check_seconds(seconds, 2)
  if seconds == nil then error("seconds above 0 expected", 2) end
  check_function(fn, 2)
  local inbox = core.inbox()
  core.start(inbox, fn, ...)
  local got = table.pack(core.next(inbox, seconds))
  if got[1] == nil then
    core.cancel(inbox)
    return nil, "timeout"
  end
  return results(table.unpack(got, 1, got.n))
end

return task
