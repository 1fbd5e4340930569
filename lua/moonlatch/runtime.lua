-- SPDX-License-Identifier: MIT
-- Puts a site's script together: takes the table that init.lua returned and the functions of the C
-- core, makes the server object, and gives back the functions that the core calls when something
-- happens. Nothing here touches a connection or a clock, so specs run it over a core of their own.
--
-- What it asks of core:
--   set_hook(name, value)       whether the script hears of this; a function is called as it is
--   set_after(name, flag)       whether an op of this kind has observers
--   start(inbox, fn, ...)       runs fn as a task of its own, at once; its end goes to the inbox (or
--                               nil) as: number, true, results... or number, false, error
--   inbox(), post(inbox, ...), next(inbox, seconds)   next waits; nil, "timeout" when it was in vain
--   warn(text), limits, json    the log, the site's limits, moonlatch.json
--   emit, send                  what emission.lua and push.lua want to know
--   node, ask, socket           what nodes.lua wants to know
--   history                     the same for history.lua
--   where(fn)                   "file:line" of what a script wrote, for the log
--   environment, token, clock   what admin.lua and explain.lua want to know
--   server                      the table of server functions; the listeners' are added here

local emission = require "moonlatch.emission"
local events = require "moonlatch.events"
local history = require "moonlatch.history"
local login = require "moonlatch.login"
local lookup = require "moonlatch.lookup"
local nodes = require "moonlatch.nodes"
local push = require "moonlatch.push"
local request = require "moonlatch.request"
local routes = require "moonlatch.routes"

local runtime = {}

local function check(where, site, name, ...)
  local found = type(site[name])
  for _, wanted in ipairs { "nil", ... } do
    if found == wanted then return end
  end
  error(("%s: site.%s is a %s, but must be a %s"):format(where, name, found, table.concat({ ... }, " or a ")), 0)
end

local function check_site(where, site)
  check(where, site, "authentication", "function", "string")
  check(where, site, "customMiddleware", "function")
  check(where, site, "controllers", "table")
  check(where, site, "events", "table")
  check(where, site, "routes", "table")
  check(where, site, "filter", "function")
  check(where, site, "setup", "function")
  check(where, site, "ping", "boolean")
end

local function add_listening(server, state)
  for _, stage in ipairs { "before", "on", "after" } do
    server[stage] = function(_, name, fn, options) events.add(state, stage, name, fn, options) end
  end
  function server.once(_, name, fn) events.add(state, "on", name, fn, { once = true }) end
  function server.removeListener(_, name, fn) events.remove(state, name, fn) end
  function server.removeAllListeners(_, name) events.remove_all(state, name) end
end

local function set_filter(core, state, fn)
  if fn ~= nil and type(fn) ~= "function" then error("a filter must be a function or nil", 3) end
  state.filter = fn
  core.set_hook("filter", fn or false)
end

local WARNED_MAX = 100

-- Tells the log, once for each name, what was called and is not there.
local function unknown(core, site, files, where, max_parts)
  local warned, count = {}, 0
  return function(name)
    if #name > core.limits.rpc_name or warned[name] or count >= WARNED_MAX then return nil, "Function not found" end
    warned[name], count = true, count + 1
    local near = lookup.nearest({ site.routes or {}, site.controllers or {}, files }, name, max_parts, routes.skip)
    core.warn(("a client called \"%s\", and there is no such controller%s"):format(name,
      near and "; there is \"" .. near .. "\"" or " in " .. where))
    return nil, "Function not found"
  end
end

-- The function that finds what answers a call: by its name the handler, and whether it is a route.
local function finder(core, site, files)
  local max_bytes, max_parts = core.limits.rpc_name, core.limits.rpc_segments
  local find, skip = lookup.find, routes.skip
  return function(name)
    if #name > max_bytes then return nil end
    local handler = site.routes and find(site.routes, name, max_parts, skip)
    if handler then return handler, true end
    return find(site.controllers, name, max_parts) or find(files, name, max_parts)
  end
end

-- The function that answers remote calls.
local function caller(core, find, not_found)
  return function(name, auth, data, socket)
    local handler, is_route = find(name)
    if is_route then return routes.run(core, handler, auth, data, socket) end
    if handler then return handler(auth, data, socket) end
    return not_found(name)
  end
end

-- The function that takes events of Socket.IO. One that has no handler of its own is a call where the client
-- asks for an ack: function(err, result).
local function listener(core, site, call)
  local warned, count = {}, 0
  local function unheard(name)
    if #name > core.limits.rpc_name or warned[name] or count >= WARNED_MAX then return end
    warned[name], count = true, count + 1
    core.warn(("a client sent the event \"%s\", and there is no such handler in site.events"):format(name))
  end
  return function(name, wants_ack, auth, socket, ...)
    local handler = site.events and site.events[name]
    if handler then return handler(socket, ...) end
    if not wants_ack then return unheard(name) end
    local result, err = call(name, auth, (...), socket)
    if result == nil and err ~= nil then return err end
    return core.json.null, result
  end
end

-- The function that answers an operator; what it takes is loaded when somebody asks.
local function operator(parts)
  local answer
  return function(verb, body)
    answer = answer or require("moonlatch.admin").start(parts)
    return answer(verb, body)
  end
end

-- Starts a site. files: what controllers/*.lua returned, by file name; where: the name of init.lua.
-- Raises when the script is wrong. Returns the functions that the core calls: call, event, permit, authenticated, after, emit,
-- login, request, asked, admin.
function runtime.start(core, site, files, where)
  check_site(where, site)
  local state, server = events.new(core), core.server
  add_listening(server, state)
  history.start(core)
  emission.start(core)
  push.start(core)
  function server.publishFilter(_, fn) set_filter(core, state, fn) end
  set_filter(core, state, site.filter)
  local find = finder(core, site, files)
  local call = caller(core, find, unknown(core, site, files, where, core.limits.rpc_segments))
  local entries = {
    call = call,
    event = listener(core, site, call),
    permit = function(...) return events.permit(state, ...) end,
    authenticated = function(...) return events.authenticated(state, ...) end,
    after = function(...) return events.after(state, ...) end,
    emit = function(...) return events.emit(state, ...) end,
    login = function(raw, token_route) return login.judge(core, site, raw, token_route) end,
    request = function(raw) return request.describe(raw, core.limits) end,
    asked = nodes.start(core),
    admin = operator { core = core, site = site, state = state, find = find, call = call },
  }
  if site.setup then site.setup(server) end
  return entries
end

return runtime
