-- SPDX-License-Identifier: MIT
-- moonlatch.core for specs: what the runtime library asks of C (src/script/lib_core.c, lib_server.c,
-- lib_channel.c, lib_timer.c), over the fake world.

local json = require "moonlatch.spec.json"
local socket = require "moonlatch.spec.socket"

local core = {}

local LIST_MAX = 1000
local LISTENER = { name = "listener", waits = true }

-- ---- tasks side by side --------------------------------------------------------------------------

local function add_tasks(own, world)
  local scheduler = world.scheduler

  function own.inbox() return { items = {}, alive = {}, started = 0 } end

  local function put(inbox, ...)
    inbox.items[#inbox.items + 1] = table.pack(...)
    if inbox.wake then inbox.wake() end
  end

  function own.post(inbox) put(inbox, true) end

  local function take(inbox)
    local item = table.remove(inbox.items, 1)
    if not item then return nil, "timeout" end
    return table.unpack(item, 1, item.n)
  end

  function own.next(inbox, seconds)
    if #inbox.items > 0 then return take(inbox) end
    scheduler:may_wait("a listener", 2)
    local timer
    local function over()
      inbox.wake = nil
      if timer then timer.cancel() end
    end
    scheduler:wait(function(wake)
      inbox.wake = wake
      if seconds then timer = scheduler:after(seconds, wake) end
    end, over)
    over()
    return take(inbox)
  end

  function own.waits(inbox) return inbox.wake ~= nil end

  function own.start(inbox, fn, ...)
    if not inbox then
      world:run(LISTENER, nil, fn, ...)
      return
    end
    inbox.started = inbox.started + 1
    local number, task, over = inbox.started, nil, false
    task = world:run(LISTENER, function(...)
      over = true
      if task then inbox.alive[task] = nil end
      put(inbox, number, ...)
    end, fn, ...)
    if not over then inbox.alive[task] = true end
  end

  function own.cancel(inbox)
    local alive = inbox.alive
    inbox.alive = {}
    for task in pairs(alive) do scheduler:cancel(task) end
  end

  function own.monotonic() return scheduler.now end
end

-- ---- timers --------------------------------------------------------------------------------------

local function new_timer(world, seconds, fn, again)
  local least = again and 0.01 or 0
  if type(seconds) ~= "number" then error("bad argument #1 (number expected, got " .. type(seconds) .. ")", 3) end
  if type(fn) ~= "function" then error("bad argument #2 (function expected, got " .. type(fn) .. ")", 3) end
  if seconds < least or seconds > 2592000 then error(again and "0.01 to 2592000 seconds expected" or "0 to 2592000 seconds expected", 3) end
  if world.timer_count >= world.conf.limits.script_timers then error("too many timers: the limit script_timers is reached", 3) end
  local ticker = { where = world.where_called(), again = again }
  local handle, running = {}, false
  local function unset()
    if not ticker.set then return false end
    ticker.set.cancel()
    ticker.set = nil
    world.timers[ticker] = nil
    world.timer_count = world.timer_count - 1
    return true
  end
  local function set()
    ticker.set = world.scheduler:after(seconds, function()
      if again then set() else unset() end
      if running then return end
      running = true
      world:run({ name = "timer", waits = true }, function() running = false end, fn)
    end)
  end
  set()
  world.timers[ticker] = true
  world.timer_count = world.timer_count + 1
  function handle.cancel() return unset() end
  return handle
end

-- ---- server --------------------------------------------------------------------------------------

local function check_max(max)
  if max ~= nil and (math.type(max) ~= "integer" or max < 1 or max > LIST_MAX) then error("1 to 1000 expected", 3) end
  return max or LIST_MAX
end

local function list_of(values, max, make)
  local list = setmetatable({}, json.array_mt)
  for i, value in ipairs(values) do
    if i > max then return list, true end
    list[i] = make(value)
  end
  return list, false
end

local function handle_of(s) return s:handle() end
local function itself(value) return value end

local function check_text(value)
  if type(value) ~= "string" then error("bad argument (string expected, got " .. type(value) .. ")", 3) end
end

local function body_of(world, value)
  local text = json.encode(value)
  return #text <= world.conf.limits.published_message and text or nil
end

local function add_server(server, world)
  local hub = world.hub
  function server.rpc(_, target, name, args, options)
    local value, code, detail = socket.of(target, 2):call("server:rpc", name, args, options, 2)
    return value, code, detail
  end
  function server.now() return world:time() end
  -- no tail calls: an error counts the functions between it and the script
  function server.delay(_, seconds, fn)
    local handle = new_timer(world, seconds, fn, false)
    return handle
  end
  function server.every(_, seconds, fn)
    local handle = new_timer(world, seconds, fn, true)
    return handle
  end
  function server.enableCleanup() end
  function server.disableCleanup() end
  function server.shutdown()
    for _, s in ipairs { table.unpack(world.opened) } do s:close(1000, "Normal closure") end
  end
  function server.publish(_, channel, value)
    check_text(channel)
    local text = body_of(world, value)
    if not text then return nil, "too_large" end
    if hub:name_error(channel) then return nil, "bad_channel" end
    hub:publish(channel, text)
    return true
  end
  function server.broadcast(_, value)
    local text = body_of(world, value)
    if not text then return nil, "too_large" end
    hub:broadcast(text)
    return true
  end
  function server.subscribe(_, target, channel)
    local s = socket.of(target, 2)
    return hub:subscribe_by_script(s.open and s or nil, channel, 2)
  end
  function server.unsubscribe(_, target, channel)
    local s = socket.of(target, 2)
    return hub:unsubscribe_by_script(s.open and s or nil, channel, 2)
  end
  function server.unsubscribeAll(_, channel)
    check_text(channel)
    if hub:name_error(channel) then return nil, "bad_channel" end
    hub:unsubscribe_all(channel)
    return true
  end
  function server.sockets(_, max)
    local admitted = {}
    for _, s in ipairs(world.opened) do
      if s.admitted then admitted[#admitted + 1] = s end
    end
    return list_of(admitted, check_max(max), handle_of)
  end
  function server.channels(_, max)
    local names = {}
    for name in pairs(hub.channels) do names[#names + 1] = name end
    table.sort(names)
    return list_of(names, check_max(max), itself)
  end
  function server.channelSockets(_, channel, max) return list_of(hub.channels[channel] or {}, check_max(max), handle_of) end
end

-- ---- what waits for the store or for nodes -------------------------------------------------------

local function add_waits(own, world)
  local scheduler = world.scheduler

  -- This node is the only one.
  function own.ask(who, node, question, _)
    scheduler:may_wait(who, 2)
    local text = json.encode(question)
    return scheduler:wait(function(wake)
      if node and node ~= own.node then
        scheduler:defer(function() wake({}, true) end)
        return
      end
      world:run({ name = "ask", waits = true }, function(ok, answer)
        wake({ ok and json.copy(answer) or { error = "unavailable" } }, true)
      end, world.entries.asked, json.decode(text))
    end)
  end

  function own.history(channel, since, limit)
    scheduler:may_wait("server:history", 2)
    if world.hub:name_error(channel) then return nil, "bad_channel" end
    local kept = world.hub:history(channel)
    if not kept then return nil, "no_history" end
    return scheduler:wait(function(wake)
      local messages = {}
      for _, pair in ipairs(kept.messages) do
        if pair[1] > since then messages[#messages + 1] = { pair[1], json.decode(pair[2]) } end
      end
      while #messages > limit do table.remove(messages, since < 0 and 1 or #messages) end
      scheduler:defer(function() wake { epoch = kept.epoch, offset = kept.offset, messages = messages } end)
    end)
  end
end

local function add_send(own, world)
  -- Nothing is kept for who is away.
  function own.send(rooms, event, args)
    world.scheduler:may_wait("server:send", 2)
    socket.check_event(event, 3)
    if #json.encode(args) > world.conf.limits.published_message then return nil, "too_large" end
    if world.conf.push.user_room_prefix then world.hub:send(rooms, event, args)
    elseif #rooms > 0 then world.hub:emit(rooms, {}, event, args) end
    return world.scheduler:wait(function(wake) world.scheduler:defer(function() wake(true) end) end)
  end
end

local function add_emit(own, world)
  function own.emit(rooms, except, _, name, ...)
    socket.check_event(name, 3)
    local args = setmetatable({ ... }, json.array_mt)
    if #json.encode_event(args) > world.conf.limits.published_message then return nil, "too_large" end
    world.hub:emit(rooms, except, name, args)
    return true
  end
end

-- The table that the runtime library gets as moonlatch.core.
function core.new(world)
  local own = { json = json, limits = world.conf.limits, node = world.node, server = {} }
  add_tasks(own, world)
  add_server(own.server, world)
  add_waits(own, world)
  add_emit(own, world)
  add_send(own, world)
  function own.set_hook(name, value) world.hooks[name] = value or nil end
  function own.set_after(name, flag) world.observed[name] = flag or nil end
  function own.warn(text) world:log_line("warn", text) end
  function own.where(fn)
    local info = debug.getinfo(fn, "S")
    return info.linedefined > 0 and info.short_src .. ":" .. info.linedefined or ""
  end
  function own.socket(sid)
    for _, s in ipairs(world.opened) do
      if s.sid == sid and s.admitted then return s:handle() end
    end
  end
  return own
end

return core
