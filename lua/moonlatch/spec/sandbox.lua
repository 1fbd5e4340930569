-- SPDX-License-Identifier: MIT
-- What scripts can reach, for specs: an environment like the gateway's (src/script/sandbox.c), and a require
-- of its own for each site, so that sites do not share modules.

local conf = require "moonlatch.spec.conf"
local scheduler = require "moonlatch.spec.scheduler"

local sandbox = {}

local GLOBALS = { "_VERSION", "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawlen",
  "rawset", "select", "tonumber", "tostring", "type", "xpcall" }
local LIBRARIES = { "math", "string", "table", "utf8" }
local HIDDEN = { dump = true } -- of string

local FORBIDDEN_EVENTS = { "__gc", "__close", "__concat", "__mode" }

local function sealed(real)
  return setmetatable({}, { __index = real, __metatable = false, __pairs = function() return pairs(real) end,
    __newindex = function() error("this table is read-only", 2) end })
end

local function library(name)
  local copy = {}
  for key, value in pairs(_G[name]) do
    if not HIDDEN[key] then copy[key] = value end
  end
  return sealed(copy)
end

local function coroutines(world)
  local own = { isyieldable = coroutine.isyieldable, running = coroutine.running, status = coroutine.status, yield = coroutine.yield,
    resume = scheduler.resume_inner }
  function own.create(fn) return world.scheduler:watch(coroutine.create(fn)) end
  function own.wrap(fn)
    local thread = own.create(fn)
    local function results(ok, ...)
      if not ok then error((...), 0) end
      return ...
    end
    return function(...) return results(own.resume(thread, ...)) end
  end
  return sealed(own)
end

local function set_metatable(value, meta)
  for _, event in ipairs(FORBIDDEN_EVENTS) do
    if type(meta) == "table" and rawget(meta, event) ~= nil then error("a metatable cannot have " .. event, 2) end
  end
  return setmetatable(value, meta)
end

-- Makes the globals; world.log_line gets what print writes.
local function globals(world)
  local real = {}
  for _, name in ipairs(GLOBALS) do real[name] = _G[name] end
  for _, name in ipairs(LIBRARIES) do real[name] = library(name) end
  real.coroutine = coroutines(world)
  real.setmetatable = set_metatable
  real.os = sealed { clock = os.clock, date = os.date, difftime = os.difftime,
    time = function(t) return t and os.time(t) or math.floor(world:time()) end }
  real.debug = sealed { traceback = debug.traceback }
  function real.print(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    world:log_line("info", table.concat(parts, "\t"))
  end
  return real
end

local function environment(real)
  return setmetatable({}, { __index = function(_, key)
    local value = real[key]
    if value == nil then error(("variable '%s' is not declared"):format(tostring(key)), 2) end
    return value
  end, __newindex = function(_, key)
    error(("variable '%s' is not declared: say local"):format(tostring(key)), 2)
  end, __metatable = false })
end

local function library_path(name)
  return package.searchpath(name, package.path) or error("module '" .. name .. "' not found: the runtime library is not in package.path", 0)
end

local function is_name(name)
  return type(name) == "string" and #name <= 128 and not (name .. "."):find("[^%w_%-.]") and not ("." .. name .. "."):find("%.%.")
end

-- house: modules by name that C has in the gateway; internal: those that only the runtime library gets.
-- Gives require for scripts, require for the runtime library, and the environment of scripts.
function sandbox.new(world, house, internal)
  local loaded, real = {}, globals(world)
  local own = {}

  local function load_once(name, path, shown, env)
    if loaded[name] ~= nil then return loaded[name] end
    local text = conf.read_file(path)
    if not text then return nil end
    local chunk, problem = load(text, "@" .. shown, "t", env)
    if not chunk then error(problem, 0) end
    local value = chunk(name)
    loaded[name] = value == nil and true or value
    return loaded[name]
  end

  local trusted
  local function require_house(name)
    if house[name] ~= nil then return house[name] end
    if internal[name] ~= nil then return internal[name] end
    return load_once(name, library_path(name), name:gsub("%.", "/") .. ".lua", trusted)
  end

  local function require_script(name)
    if not is_name(name) then error("bad module name", 2) end
    if name:sub(1, 10) == "moonlatch." then
      local known = house[name] ~= nil or not internal[name] and package.searchpath(name, package.path)
      if not known or name:find("^moonlatch%.spec") then error("module '" .. name .. "' not found", 2) end
      return require_house(name)
    end
    local file = name:gsub("%.", "/") .. ".lua"
    local shown = "scripts/" .. world.name .. "/" .. file
    local value = load_once(name, world.folder .. "/" .. file, shown, own.environment)
    if value == nil then error(("module '%s' not found: no file %s"):format(name, shown), 2) end
    return value
  end

  real.require = require_script
  own.environment = environment(real)
  real._G = own.environment
  function real.load(text, name, _, env)
    if type(text) ~= "string" then error("bad argument #1 to 'load' (string expected, got " .. type(text) .. ")", 2) end
    return load(text, name or "=load", "t", env == nil and own.environment or env)
  end
  trusted = environment(setmetatable({ require = require_house }, { __index = real }))
  own.require, own.require_house = require_script, require_house
  return own
end

return sandbox
