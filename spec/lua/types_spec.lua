-- SPDX-License-Identifier: MIT
-- The definitions for editors name every function that scripts and specs have, and none that there is not.

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

-- The names that types.lua defines in the table called local_name, sorted.
local function defined(local_name)
  local names = {}
  for name in read("lua/moonlatch/types.lua"):gmatch("\nfunction " .. local_name .. "[.:]([%w_]+)%(") do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- The names in the tables of functions (luaL_Reg) of C files.
local function registered(...)
  local names = {}
  for _, file in ipairs { ... } do
    for name, value in read("src/script/" .. file .. ".c"):gmatch('[%{%s]{"([%w_]+)", *([%w_]+)}') do
      if not value:find("^FIELD_") then names[#names + 1] = name end
    end
  end
  table.sort(names)
  return names
end

-- The names of functions that a Lua file gives its table called local_name.
local function written(file, local_name)
  local names, seen = {}, {}
  for name in read("lua/moonlatch/" .. file .. ".lua"):gmatch("\n *function " .. local_name .. "[.:]([%w_]+)%(") do
    if not seen[name] then names[#names + 1] = name end
    seen[name] = true
  end
  table.sort(names)
  return names
end

-- The texts that a pattern finds in a part of a file, sorted.
local function quoted(part, pattern)
  local names = {}
  for name in assert(part):gmatch(pattern) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- The fields of a class of types.lua.
local function fields(class)
  local part = read("lua/moonlatch/types.lua"):match("%-%-%-@class moonlatch%." .. class .. "%f[^%w_.][^\n]*\n(.-)\n[^-]")
  return quoted("\n" .. part, "\n%-%-%-@field ([%w_]+)")
end

local function union(...)
  local names, seen = {}, {}
  for _, list in ipairs { ... } do
    for _, name in ipairs(list) do
      if not seen[name] then names[#names + 1] = name end
      seen[name] = true
    end
  end
  table.sort(names)
  return names
end

local function without(list, ...)
  local dropped, rest = {}, {}
  for _, name in ipairs { ... } do dropped[name] = true end
  for _, name in ipairs(list) do
    if not dropped[name] then rest[#rest + 1] = name end
  end
  return rest
end

describe("the definitions for editors", function()
  it("are Lua that does nothing", function()
    assert.is_nil((assert(load(read "lua/moonlatch/types.lua", "=types", "t", {})))())
  end)

  it("have server and socket", function()
    assert.same(union(registered("lib_server", "lib_channel"), written("runtime", "server"), written("history", "core.server"),
      written("emission", "server"), written("push", "core.server"), { "before", "on", "after" }), defined "server")
    assert.same(registered "lib_socket", defined "socket")
    assert.same(written("emission", "methods"), defined "emission")
    assert.same(quoted(read "src/script/lib_socket.c", '{"(%w+)", FIELD_'), fields "socket")
    assert.same({ "json", "send", "set", "status", "type" }, defined "response")
  end)

  it("have the members of a site, and the events", function()
    local checked = quoted(read "lua/moonlatch/runtime.lua", 'check%(where, site, "([%w_]+)"')
    assert.same(union(checked, { "options" }), fields "site") -- options are the gateway's to set
    assert.same(quoted(read("lua/moonlatch/events.lua"):match "local NAMES = (%b{})", '"([%w_]+)"'),
      quoted(read("lua/moonlatch/types.lua"):match "@alias moonlatch%.event ([^\n]+)", '"([%w_]+)"'))
  end)

  it("have every module that is in C", function()
    for _, name in ipairs { "crypto", "time", "cache" } do assert.same(registered("lib_" .. name), defined(name), name) end
    assert.same(without(registered "lib_log", "print"), defined "log")
    local json = quoted(read "src/script/lib_json.c", '\n    lua_setfield%(L, %-2, "(%l[%w_]+)"%)')
    assert.same(union(json), union(defined "json", fields "json"))
  end)

  it("have every module that is in Lua", function()
    for _, name in ipairs { "http", "redis", "task", "spec" } do assert.same(written(name, name), defined(name), name) end
    assert.same({ "cancel", "wait" }, defined "handle")
  end)

  it("have what specs use", function()
    local client = without(written("spec/client", "client"),
      "new", "got", "heard", "delivered", "sent", "joined", "left", "ended", "called")
    assert.same(client, defined "spec_client")
    assert.same(without(written("spec/live", "client")), defined "spec_client")
    local site = without(written("spec/world", "world"), "new", "where_called", "log_line", "run", "emit", "message", "time", "wait",
      "copy_request", "leaks")
    assert.same(site, defined "spec_site")
    assert.same(site, union(written("spec/live", "site")))
  end)
end)
