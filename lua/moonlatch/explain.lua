-- SPDX-License-Identifier: MIT
-- For an operator who asks why: puts an event to the listeners of a site as a client's would be, one after
-- another, and tells of each where it stands, what it answered and how long it took. Nothing takes effect
-- but what the listeners do themselves. A list of rows { stage =, at = "file:line", answer =, ms = }, the
-- last of which is the verdict.
--
-- What it asks of core: where(fn), "file:line"; clock(), seconds with fractions of microseconds; json.

local explain = {}

local function text_of(core, value)
  if type(value) == "string" then return value end
  local ok, json = pcall(core.json.encode, value)
  return ok and json or tostring(value)
end

-- Runs fn and adds its row; the results as pcall gives them.
local function run(core, rows, stage, fn, describe, ...)
  local began = core.clock()
  local results = table.pack(pcall(fn, ...))
  local row = { stage = stage, at = core.where(fn), ms = math.floor((core.clock() - began) * 1e6 + 0.5) / 1e3 }
  if results[1] then row.answer = describe(table.unpack(results, 2, results.n))
  else row.answer = "raised: " .. text_of(core, results[2]) end
  rows[#rows + 1] = row
  return table.unpack(results, 1, results.n)
end

local function refusal(core, err)
  if err == nil then return "refused: Forbidden" end
  return "refused: " .. text_of(core, err)
end

-- The before listeners: whether they let it pass, and the data as they leave it.
local function run_before(core, rows, list, socket, data)
  for _, entry in ipairs(list) do
    local function describe(verdict, err)
      if verdict == false or verdict == nil and err ~= nil then return refusal(core, err) end
      if type(verdict) == "table" and verdict.data ~= nil then return "changed to " .. text_of(core, verdict.data) end
      return "passed"
    end
    local ok, verdict, err = run(core, rows, "before", entry.fn, describe, socket, data)
    if not ok or verdict == false or verdict == nil and err ~= nil then return false end
    if type(verdict) == "table" and verdict.data ~= nil and data.data ~= nil then
      data = { channel = data.channel, data = verdict.data }
    end
  end
  return true, data
end

-- The votes. All are asked, so that each has its row; the first that refuses decides.
local function run_on(core, rows, list, socket, data)
  local allowed = true
  for _, entry in ipairs(list) do
    local function describe(...)
      if select("#", ...) == 0 then return "returned nothing, which refuses: return true to allow" end
      local vote, err = ...
      return vote and "allowed" or refusal(core, err)
    end
    local ok, vote = run(core, rows, "on", entry.fn, describe, socket, data)
    allowed = allowed and ok and vote and true or false
  end
  return allowed
end

-- What the filter would give this socket.
local function run_filter(core, rows, filter, socket, data)
  local function describe(answer)
    if answer == true then return "sent as it is" end
    return answer and "sent instead: " .. text_of(core, answer) or "not sent to this socket"
  end
  local copy = core.json.decode(core.json.encode(data.data))
  run(core, rows, "filter", filter, describe, socket, data.channel, copy)
end

-- One of the events that listeners vote on. lists: of the event, as events.lua keeps them. filter may be nil.
function explain.vote(core, lists, filter, event, socket, data)
  local rows = setmetatable({}, core.json.array_mt)
  local allowed, given = run_before(core, rows, lists.before, socket, data)
  allowed = allowed and run_on(core, rows, lists.on, socket, given)
  if allowed and filter and event == "publish" then run_filter(core, rows, filter, socket, given) end
  local none = #rows == 0
  rows[#rows + 1] = { stage = "verdict", at = "", answer = allowed and (none and "allowed: there is no listener" or "allowed")
    or "refused", ms = 0 }
  return rows
end

-- A call: the controller that find (name -> function, whether it is a route) has, run with data.
function explain.call(core, find, run_call, name, socket, data)
  local rows = setmetatable({}, core.json.array_mt)
  local handler, is_route = find(name)
  local function describe(value, err)
    if value == nil and err ~= nil then return "error: " .. text_of(core, err) end
    return value == nil and "nothing" or text_of(core, value)
  end
  run(core, rows, is_route and "route" or "controller", function() return run_call(name, socket.auth, data, socket) end, describe)
  rows[1].at = handler and core.where(handler) or ""
  return rows
end

return explain
