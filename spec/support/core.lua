-- SPDX-License-Identifier: MIT
-- A core for lua/moonlatch/runtime.lua without a server: tasks are plain coroutines, time is a number
-- that core.pass moves on, the server object and the sockets are tables that note what was asked of
-- them. What decides is the shipped code.
--   local core = require("spec.support.core").new { rpc_name = 64 }   limits that differ
--   core.run(f, ...)          runs f as a task; its results are in task.results (true, ... or false, error)
--   core.sleep(seconds)       what a listener that waits does
--   core.pass(seconds)        wakes who waited long enough
--   core.entries = runtime.start(core, ...)   for functions of server that ask all nodes
--   core.hooks, core.observed what the script hears of; core.warnings, core.published

package.path = "lua/?.lua;" .. package.path

local json = require "dkjson"

local fake = {}

local LIMITS = { rpc_name = 128, rpc_segments = 8, rpc_timeout = 10000, call_timeout = 10000,
  max_query_params = 32, max_cookie_bytes = 4096 }

local function resume(task, ...)
  local results = table.pack(coroutine.resume(task.thread, ...))
  if coroutine.status(task.thread) == "dead" then
    task.results = results
    if task.ended then task.ended(results) end
  end
end

local function add_tasks(core)
  local now, sleepers = 0, {}
  local tasks = setmetatable({}, { __mode = "k" }) -- by thread

  local function start(task, f, ...)
    task.thread = coroutine.create(f)
    tasks[task.thread] = task
    resume(task, ...)
    return task
  end

  function core.run(f, ...) return start({}, f, ...) end

  function core.sleep(seconds)
    sleepers[#sleepers + 1] = { due = now + seconds, thread = coroutine.running() }
    coroutine.yield()
  end

  function core.pass(seconds)
    now = now + seconds
    local all = sleepers
    sleepers = {}
    for _, sleeper in ipairs(all) do
      if sleeper.due > now then sleepers[#sleepers + 1] = sleeper
      elseif coroutine.status(sleeper.thread) == "suspended" then resume(tasks[sleeper.thread]) end
    end
  end

  function core.inbox() return { items = {}, number = 0 } end

  function core.waits(inbox) return inbox.waiter ~= nil end

  function core.post(inbox, ...)
    local item = table.pack(...)
    inbox.items[#inbox.items + 1] = item.n > 0 and item or table.pack(true)
    local waiter = inbox.waiter
    inbox.waiter = nil
    if waiter then resume(tasks[waiter]) end
  end

  function core.next(inbox, seconds)
    if #inbox.items == 0 then
      inbox.waiter = coroutine.running()
      if seconds then sleepers[#sleepers + 1] = { due = now + seconds, thread = coroutine.running() } end
      coroutine.yield()
    end
    if #inbox.items == 0 then return nil, "timeout" end
    local item = table.remove(inbox.items, 1)
    return table.unpack(item, 1, item.n)
  end

  function core.start(inbox, f, ...)
    local task = {}
    if inbox then
      inbox.number = inbox.number + 1
      local number = inbox.number
      function task.ended(results)
        if results[1] then core.post(inbox, number, table.unpack(results, 1, results.n))
        else core.post(inbox, number, false, "failed") end
      end
    end
    start(task, f, ...)
  end
end

local function add_server(core)
  core.published = {}
  core.server = {
    publish = function(_, channel, value) core.published[#core.published + 1] = { channel, value }; return true end,
    channelSockets = function(_, channel) return core.members and core.members[channel] or {}, false end,
    now = function() return 1000 end,
    sockets = function() return {}, false end,
    channels = function() return {}, false end,
  }
end

function fake.new(limits)
  local core = { hooks = {}, observed = {}, warnings = {}, limits = setmetatable(limits or {}, { __index = LIMITS }) }
  core.json = { null = json.null, array_mt = {}, encode = json.encode }
  function core.set_hook(name, value) core.hooks[name] = value end
  function core.set_after(name, flag) core.observed[name] = flag end
  core.node = "node-1"
  function core.socket(sid) return core.sockets and core.sockets[sid] end
  function core.ask(_, _, question) return { core.entries.asked(question) }, true end -- the only node
  function core.where(fn)
    local info = debug.getinfo(fn, "S")
    return info.short_src .. ":" .. info.linedefined
  end
  function core.warn(text) core.warnings[#core.warnings + 1] = text end
  add_tasks(core)
  add_server(core)
  return core
end

local serial = 0

-- A socket for controllers and listeners; calls is what its client answers to socket:rpc, by name.
function fake.socket(auth, calls)
  serial = serial + 1
  local socket = { sid = ("node-1%016d"):format(serial), auth = auth, session = auth, asked = {},
    host = "chat.example.com:8080", ip = "192.0.2.1", ips = {} }
  function socket:rpc(name, args)
    self.asked[#self.asked + 1] = { name, args }
    local answer = calls and calls[name]
    if answer == nil then return nil, "timeout" end
    return answer
  end
  return socket
end

return fake
