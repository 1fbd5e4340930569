-- SPDX-License-Identifier: MIT
-- Everything that a handler can get hold of, by fields, metatables and require, is what spec/support/reachable.txt
-- says: who adds to it sees so here. With SPEC_WRITE set the list is written anew, to be read before it is committed.
-- (spec/support/globals.txt is the same of a bare state, for spec/c/sandbox_test.c.)

local gateway = require "spec.support.gateway"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"

local LIST = "spec/support/reachable.txt"

local SITE = [[
local http, task, time = require "moonlatch.http", require "moonlatch.task", require "moonlatch.time"
local seen, lines = {}, {}

local function is_thing(value)
  local kind = type(value)
  return kind == "table" or kind == "function" or kind == "userdata" or kind == "thread"
end

-- What a name stands for, and what is behind it. deep: also those of its fields that are data.
local function walk(value, name, deep)
  if not is_thing(value) and not deep then return end
  lines[#lines + 1] = name .. " " .. type(value)
  if not is_thing(value) or seen[value] then return end
  seen[value] = true
  local ok, err = pcall(function()
    for key, field in pairs(value) do walk(field, name .. "." .. tostring(key)) end
  end)
  if not ok and type(value) == "table" then lines[#lines + 1] = name .. " pairs: " .. tostring(err) end
  local metatable = getmetatable(value)
  if metatable ~= nil then walk(metatable, name .. "(metatable)", true) end
end

local FIELDS = { "sid", "auth", "session", "ip", "ips", "host", "protocol", "endpoint", "handshake", "created",
  "channels", "rpc", "send", "subscribe", "unsubscribe", "close", "emit", "site", "vm", "__index", "__gc", "__metatable" }

local function walk_socket(socket)
  walk(socket, "socket")
  for _, field in ipairs(FIELDS) do
    local value = socket[field]
    lines[#lines + 1] = "socket." .. field .. " " .. type(value)
    if type(value) == "function" then walk(getmetatable(value), "socket." .. field .. "(metatable)", true) end
  end
end

local site = { controllers = {} }

function site.authentication(req)
  walk(req, "req")
  return { name = "ann" }
end

function site.setup(server) site.server = server end

function site.controllers.walk(_, modules, socket)
  walk(_G, "_G")
  for _, name in ipairs(modules) do
    local ok, module = pcall(require, "moonlatch." .. name)
    if ok then walk(module, "moonlatch." .. name) else lines[#lines + 1] = "moonlatch." .. name .. " refused" end
  end
  walk(getmetatable(""), "text(metatable)", true)
  walk(getmetatable(print), "print(metatable)", true)
  walk(site, "site")
  walk_socket(socket)
  local timer = site.server:delay(60, print)
  walk(timer, "timer")
  walk(timer.cancel, "timer.cancel")
  timer:cancel()
  walk(task.spawn(time.sleep, 0), "task")
  local _, err = pcall(error)
  walk(err, "an error of nothing", true)
  walk(select(2, pcall(http.get, 1)), "an error of the house", true)
  walk(coroutine.running(), "coroutine.running()")
  table.sort(lines)
  return lines
end

return site
]]

-- The names of all modules of the house: those in files, and those in C.
local function modules()
  local names = { "core", "http_wire", "redis_wire", "json", "crypto", "log", "time", "cache" }
  for path in io.popen("find lua/moonlatch -name '*.lua'"):lines() do
    names[#names + 1] = path:match("^lua/moonlatch/(.*)%.lua$"):gsub("/", ".")
  end
  table.sort(names)
  return names
end

describe("what a handler reaches", function()
  after_each(gateway.stop_all)

  it("is what the list says", function()
    local g = gateway.start { sites = { s = { path = "/" } }, scripts = { s = SITE } }
    local c = assert(token.login(g.port, { query = "a=b" }))
    local got = table.concat(assert(c:rpc("walk", modules())), "\n") .. "\n"
    if os.getenv("SPEC_WRITE") then tmp.write(LIST, got) end
    assert.are.equal(tmp.read(LIST), got)
  end)
end)
