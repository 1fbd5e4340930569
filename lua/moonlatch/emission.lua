-- SPDX-License-Identifier: MIT
-- Who gets an event: server:to("a"):to("b"):except("c"):emit("news", ...). Each step gives a new table, so
-- that one may be kept and gone on from in several ways.
--
-- What it asks of core:
--   emit(rooms, except, volatile, name, ...)   sends the event to all nodes
--   server                                     to, except, volatile and emit are added here

local emission = {}

-- A channel, a sid, or a socket, which stands for its sid.
local function name_of(target, who)
  if type(target) == "string" then return target end
  local sid = (type(target) == "userdata" or type(target) == "table") and target.sid
  if type(sid) ~= "string" then error(who .. ": a channel, a socket or a sid expected, got " .. type(target), 3) end
  return sid
end

local function with(list, name)
  local longer = table.move(list, 1, #list, 1, {})
  longer[#longer + 1] = name
  return longer
end

local function methods_of(core)
  local methods = {}
  methods.__index = methods
  methods.__metatable = false

  -- list gives JSON's [] also where it is empty.
  local function list(items) return setmetatable(items, core.json.array_mt) end

  function methods:to(room)
    return setmetatable({ rooms = list(with(self.rooms, name_of(room, "to"))), left = self.left, drops = self.drops }, methods)
  end
  function methods:except(room)
    return setmetatable({ rooms = self.rooms, left = list(with(self.left, name_of(room, "except"))), drops = self.drops }, methods)
  end
  function methods:volatile()
    return setmetatable({ rooms = self.rooms, left = self.left, drops = true }, methods)
  end
  function methods:emit(name, ...)
    return core.emit(self.rooms, self.left, self.drops, name, ...)
  end
  return setmetatable({ rooms = list {}, left = list {}, drops = false }, methods)
end

-- Adds server:to, :except, :volatile and :emit.
function emission.start(core)
  local everybody, server = methods_of(core), core.server
  function server.to(_, room) return everybody:to(room) end
  function server.except(_, room) return everybody:except(room) end
  function server.volatile() return everybody:volatile() end
  function server.emit(_, name, ...) return everybody:emit(name, ...) end
end

return emission
