-- SPDX-License-Identifier: MIT
-- The listeners of a site, and how their answers become one. Three stages for every event:
--   before  one after another, the highest priority first; may change the data or refuse
--   on      all start, wait side by side; for what clients ask (subscribe, unsubscribe, publish,
--           broadcast) each has a vote, and the first refusal decides
--   after   observes what has taken effect
-- This is not where events come from: the C core calls permit, authenticated, emit and after, and it
-- calls them only for events that have listeners, as core.set_hook and core.set_after were told.
--
-- A list of listeners is never changed, only replaced, so it may be walked while a listener adds or
-- removes others.

local events = {}

-- What clients ask: a listener's answer decides.
local VOTED = { subscribe = true, unsubscribe = true, publish = true, broadcast = true }

-- Whose data a before listener may change.
local CHANGEABLE = { publish = true, broadcast = true }

-- Events that the C core must be told to report; of the others it reports all.
local HOOKED = {
  authentication = true, subscribe = true, unsubscribe = true, publish = true, broadcast = true,
  connect = true, disconnect = true, message = true, occupied = true, vacated = true, gap = true,
}

local NAMES = {
  "authentication", "subscribe", "unsubscribe", "publish", "broadcast", "connect", "disconnect",
  "occupied", "vacated", "gap", "message", "backendMessage", "shutdown",
}

-- A site's listeners: none.
function events.new(core)
  local state = { core = core, lists = {} }
  for _, name in ipairs(NAMES) do
    state.lists[name] = { before = {}, on = {}, after = {} }
  end
  return state
end

local function lists_of(state, name, level)
  local lists = type(name) == "string" and state.lists[name]
  if not lists then error("unknown event " .. tostring(name), level + 1) end
  return lists
end

-- Tells the core which hooks of this event do something.
local function refresh(state, name)
  local lists, core = state.lists[name], state.core
  if VOTED[name] then
    core.set_hook(name, #lists.before + #lists.on > 0)
    core.set_after(name, #lists.after > 0)
  elseif name == "message" and #lists.on == 1 and #lists.before + #lists.after == 0
    and not lists.on[1].once then
    core.set_hook(name, lists.on[1].fn) -- nothing to compose: called as it is
  elseif HOOKED[name] then
    core.set_hook(name, #lists.before + #lists.on + #lists.after > 0)
  end
end

-- options: priority (a number, before only), once.
function events.add(state, stage, name, fn, options)
  local lists = lists_of(state, name, 3)
  if type(fn) ~= "function" then error("a listener must be a function", 3) end
  local priority = options and options.priority or 0
  if type(priority) ~= "number" then error("priority must be a number", 3) end
  local entry = { fn = fn, priority = priority, once = options and options.once }
  local old, new, placed = lists[stage], {}, false
  for _, other in ipairs(old) do
    if not placed and stage == "before" and other.priority < priority then
      new[#new + 1], placed = entry, true
    end
    new[#new + 1] = other
  end
  if not placed then new[#new + 1] = entry end
  lists[stage] = new
  refresh(state, name)
end

local function drop(lists, stage, at)
  local new = {}
  for i, entry in ipairs(lists[stage]) do
    if i ~= at then new[#new + 1] = entry end
  end
  lists[stage] = new
end

-- Takes out the one that was added last with this function.
function events.remove(state, name, fn)
  local lists = lists_of(state, name, 3)
  for _, stage in ipairs { "on", "before", "after" } do
    local list = lists[stage]
    for i = #list, 1, -1 do
      if list[i].fn == fn then
        drop(lists, stage, i)
        refresh(state, name)
        return
      end
    end
  end
end

-- Of one event, or of all.
function events.remove_all(state, name)
  if name ~= nil then lists_of(state, name, 3) end
  for _, each in ipairs(NAMES) do
    if name == nil or each == name then
      state.lists[each] = { before = {}, on = {}, after = {} }
      refresh(state, each)
    end
  end
end

-- The listener's function; one that is to be called once is out before it is called.
local function take(state, name, stage, entry)
  if entry.once then
    local lists = state.lists[name]
    for i, other in ipairs(lists[stage]) do
      if other == entry then
        drop(lists, stage, i)
        refresh(state, name)
        break
      end
    end
  end
  return entry.fn
end

-- Runs the before listeners. True and the data as they left it, or false and the error. A listener
-- that returns nothing lets the event pass.
local function run_before(state, name, socket, data, ...)
  local changed
  for _, entry in ipairs(state.lists[name].before) do
    local verdict, err = take(state, name, "before", entry)(socket, data, ...)
    if verdict == false or verdict == nil and err ~= nil then return false, err end
    if type(verdict) == "table" and verdict.data ~= nil then
      if CHANGEABLE[name] then
        changed = verdict.data
        data = { channel = data.channel, data = changed }
      elseif name == "message" then
        data = verdict.data
      end
    end
  end
  return true, data, changed
end

local function vote(state, name, entry, ...)
  if select("#", ...) > 0 then return ... end
  if not entry.hinted then
    entry.hinted = true
    state.core.warn(("a listener of \"%s\", %s, returned nothing, which refuses: return true to allow"):format(name,
      state.core.where(entry.fn)))
  end
  return false
end

local function start_all(state, name, inbox, ...)
  local list = state.lists[name].on
  for i = 1, #list do
    state.core.start(inbox, take(state, name, "on", list[i]), ...)
  end
  return list
end

-- All votes at once; returns as soon as one refuses.
local function poll(state, name, socket, data)
  local core = state.core
  local inbox = core.inbox()
  local list = start_all(state, name, inbox, socket, data)
  local function count(number, ok, ...)
    if not ok then return false, (...) end
    return vote(state, name, list[number], ...)
  end
  for _ = 1, #list do
    local allowed, err = count(core.next(inbox))
    if not allowed then return false, err end
  end
  return true
end

-- May the client do this? true, or false and the error (nil: the usual one). A third result is what
-- is to be published instead.
function events.permit(state, name, socket, data)
  local passed, given, changed = run_before(state, name, socket, data)
  if not passed then return false, given end
  local on = state.lists[name].on
  local allowed, err = true, nil
  if #on == 1 then
    local entry = on[1]
    allowed, err = vote(state, name, entry, take(state, name, "on", entry)(socket, given))
  elseif #on > 1 then
    allowed, err = poll(state, name, socket, given)
  end
  if allowed then return true, nil, changed end
  return false, err
end

-- An op took effect: nobody waits for these.
function events.after(state, name, ...)
  for _, entry in ipairs(state.lists[name].after) do
    state.core.start(nil, take(state, name, "after", entry), ...)
  end
end

-- A socket has authenticated: returns when all listeners are through, whatever they say.
function events.authenticated(state, socket, auth)
  if not run_before(state, "authentication", socket, auth) then return end
  local on = state.lists.authentication.on
  if #on == 1 then
    take(state, "authentication", "on", on[1])(socket, auth)
  elseif #on > 1 then
    local inbox = state.core.inbox()
    for _ = 1, #start_all(state, "authentication", inbox, socket, auth) do
      state.core.next(inbox)
    end
  end
  events.after(state, "authentication", socket, auth)
end

-- Something happened. A before listener that refuses keeps it from the others.
function events.emit(state, name, subject, data, ...)
  local lists = state.lists[name]
  local passed, given = run_before(state, name, subject, data, ...)
  if not passed then return end
  if #lists.on == 1 and #lists.after == 0 then
    take(state, name, "on", lists.on[1])(subject, given, ...)
    return
  end
  start_all(state, name, nil, subject, given, ...)
  events.after(state, name, subject, given, ...)
end

return events
