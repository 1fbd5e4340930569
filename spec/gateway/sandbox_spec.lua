-- SPDX-License-Identifier: MIT
-- Scripts against the gateway and against each other: what they do to themselves stays with them.
-- spec/c/sandbox_test.c has the whole battery; here it is the real binary, from outside.

local gateway = require "spec.support.gateway"
local token = require "spec.support.token"
local gettime = require("socket").gettime

-- Controllers that run a text that the client sends: no site should have one.
local HOSTILE = [[
local site = {}
local kept = { coroutine.create(function() while true do end end) }

function site.authentication() return { name = "ann" } end

site.controllers = {
  run = function(_, data)
    local result = assert(load(data))()
    return result
  end,
  kept = function() return coroutine.resume(kept[1]) end,
  echo = function(_, data) return data end,
}

return site
]]

local PEACEFUL = [[
local site = {}
function site.authentication() return { name = "bob" } end
site.controllers = {
  echo = function(_, data) return data end,
  look = function() return { rawget(_G, "stolen") == nil, ("x"):upper(), tostring(string.evil), #"x" } end,
}
return site
]]

-- Memory is measured here: a sanitizer must not keep what was freed.
local SANITIZER = (os.getenv("ASAN_OPTIONS") or "") .. ":quarantine_size_mb=1"

-- In "hungry" a script has the time to reach its memory limit, however slow the machine.
local function start()
  return gateway.start {
    env = { ASAN_OPTIONS = SANITIZER },
    gateway = { limits = { script_violations = 1000000, max = { script_time = "10s" } } },
    sites = {
      bad = { path = "/", limits = { script_memory = "8M" } },
      hungry = { path = "/hungry", limits = { script_memory = "8M", script_time = "10s" } },
      good = { path = "/good" },
    },
    scripts = { bad = HOSTILE, hungry = HOSTILE, good = PEACEFUL },
  }
end

local function login_hungry(g)
  return assert(token.login(g.port, { path = "/hungry/sockets", token_path = "/hungry/socket/token" }))
end

local STOPPED = {
  ["a loop"] = "while true do end",
  ["pcall around a loop"] = "while true do pcall(function() while true do end end) end",
  ["xpcall with a looping handler"] = "local function f() while true do end end xpcall(f, f)",
  ["an exponential pattern"] = "return ('a'):rep(28):find(('a?'):rep(28) .. ('a'):rep(28))",
  ["a cubic pattern"] = "return ('a'):rep(3000):find('.-.-.-b')",
  ["a loop of big strings"] = "while true do local s = ('x'):rep(1e6) end",
  ["a sort"] = "local t = {} for i = 1, 1e5 do t[i] = -i end while true do table.sort(t, function(a, b) return a < b end) end",
  ["a coroutine"] = "while true do coroutine.wrap(function() while true do end end)() end",
  ["a metamethod"] = "return setmetatable({}, { __index = function() while true do end end }).x",
  ["load in a loop"] = "local s = ('local x = 1 '):rep(20000) while true do load(s) end",
}

local REFUSED = {
  ["bytecode"] = "return assert(load('\\27Lua', 'x', 'b'))",
  ["files"] = "return io.open('/etc/passwd')",
  ["processes"] = "return os.execute('true')",
  ["the environment"] = "return os.getenv('HOME')",
  ["the debug library"] = "return debug.getregistry()",
  ["packages"] = "return package.loadlib('x', 'y')",
  ["parent folders"] = "return require '../../conf/gateway'",
  ["internal modules"] = "return require 'moonlatch.core'",
  ["the string library"] = "string.evil = 1",
  ["the globals"] = "stolen = 1",
  ["the globals by rawset"] = "rawset(_G, 'stolen', 1)",
  ["the metatable of strings"] = "getmetatable('').__index = nil",
  ["__concat"] = "return 'a' .. setmetatable({}, { __concat = function() return 'x' end }) .. 'b'",
  ["a huge string"] = "return string.rep('x', 1 << 40)",
  ["endless memory"] = "local t = {} for i = 1, 1e9 do t[i] = { i } end",
  ["endless recursion"] = "local function f() return 1 + f() end return f()",
  ["a waiting sort"] = "table.sort({ 1, 2 }, function() require('moonlatch.time').sleep(1) end)",
  ["an error that loops"] = "error(setmetatable({}, { __tostring = function() while true do end end }))",
  ["a parser bomb"] = "return assert(load(('('):rep(200000)))",
}

local MEMORY = { ["endless memory"] = true, ["endless recursion"] = true }

describe("the sandbox", function()
  local g, c

  setup(function()
    g = start()
    c = assert(token.login(g.port))
  end)
  teardown(gateway.stop_all)

  local function answers_as_before()
    assert.equal("still here", (c:rpc("echo", "still here")))
    assert.is_true(g:alive())
  end

  it("has no harness for specs", function()
    for _, name in ipairs { "moonlatch.spec", "moonlatch.spec.world" } do
      local status, _, err = gateway.run({ "check", "--conf", "@conf", "--scripts", "@scripts" },
        { sites = { s = {} }, scripts = { s = "require '" .. name .. "'; return {}" } })
      assert.equal(2, status)
      assert.is_truthy(err:find("module '" .. name .. "' is for specs, not for scripts", 1, true), err)
    end
  end)

  for name, source in pairs(STOPPED) do
    it("stops " .. name .. ", and only that call", function()
      local before = gettime()
      local answer, err = c:rpc("run", source)
      assert.is_nil(answer)
      assert.equal("script_timeout", err)
      assert.is_true(gettime() - before < 1)
      answers_as_before()
    end)
  end

  it("stops a coroutine that was made when the script was loaded", function()
    local before = gettime()
    local answer, err = c:rpc("kept")
    assert.is_nil(answer)
    assert.equal("script_timeout", err)
    assert.is_true(gettime() - before < 1)
    answers_as_before()
  end)

  for name, source in pairs(REFUSED) do
    it("refuses " .. name, function()
      local answer, err = (MEMORY[name] and login_hungry(g) or c):rpc("run", source)
      assert.is_nil(answer)
      assert.equal(MEMORY[name] and "script_memory" or "Internal error", err.message or err)
      answers_as_before()
    end)
  end

  it("keeps what a script does to itself from the other sites", function()
    local other = assert(token.login(g.port, { path = "/good/sockets", token_path = "/good/socket/token" }))
    for _, source in pairs(REFUSED) do c:rpc("run", source) end
    assert.same({ true, "X", "nil", 1 }, (other:rpc("look")))
    assert.equal("hello", (other:rpc("echo", "hello")))
  end)

  it("gives its memory back", function()
    local before, hungry = g:rss(), login_hungry(g)
    for _ = 1, 20 do hungry:rpc("run", REFUSED["endless memory"]) end
    assert.is_true(g:rss() - before < 64 * 1024 * 1024)
    answers_as_before()
  end)
end)

describe("an error of a script", function()
  after_each(gateway.stop_all)

  it("stands in the log with its place and the id that the client got", function()
    local g = start()
    local c = assert(token.login(g.port))
    local _, err = c:rpc("run", "local function deep() error('on purpose') end deep()")
    g:wait_log("id=" .. err.id, 2)
    local line = g:log():match("[^\n]*id=" .. err.id .. "[^\n]*")
    assert.is_truthy(line:find('msg="script error" site=bad', 1, true))
    assert.is_truthy(line:find("on purpose", 1, true))
    assert.is_truthy(line:find("traceback=", 1, true))
    assert.is_truthy(line:find("scripts/bad/init.lua:8: in", 1, true))
  end)
end)

describe("a script that cannot be loaded", function()
  after_each(gateway.stop_all)

  for name, source in pairs {
    ["loops"] = "while true do end",
    ["waits"] = "require('moonlatch.time').sleep(1) return {}",
    ["has a global"] = "\nanswer = 42\nreturn {}",
    ["is broken"] = "return {",
    ["is a loop of pcalls"] = "while true do pcall(function() while true do end end) end",
  } do
    it("is refused with its file and line when it " .. name, function()
      local before = gettime()
      local ok, err = pcall(gateway.start, {
        gateway = { limits = { script_start = "200ms" } }, sites = { bad = { path = "/" } }, scripts = { bad = source },
      })
      assert.is_false(ok)
      assert.is_truthy(tostring(err):find("init%.lua:%d+:"))
      assert.is_true(gettime() - before < 10)
    end)
  end
end)

describe("a handler that is stopped again and again", function()
  after_each(gateway.stop_all)

  local SLOW = [[
    local site = {}
    function site.authentication() return { name = "x" } end
    site.controllers = {
      loop = { forever = function() while true do end end },
      echo = function(_, data) return data end,
      sometimes = function(_, data) while data do end return "fine" end,
    }
    function site.setup(server)
      server:on("subscribe", function(_, data) while data.channel == "slow" do end return true end)
    end
    return site]]

  it("is suspended for a while, and says so", function()
    local g = gateway.start { gateway = { limits = { script_time = "10ms", script_suspend = "400ms" } },
      sites = { s = { path = "/" } }, scripts = { s = SLOW } }
    local c = assert(token.login(g.port, {}))
    for _ = 1, 5 do assert.equal("script_timeout", select(2, c:rpc("loop.forever"))) end
    local t0 = gettime()
    for _ = 1, 50 do assert.equal("suspended", select(2, c:rpc("loop.forever"))) end
    assert.is_true(gettime() - t0 < 0.3)
    assert.equal("x", c:rpc("echo", "x"))
    assert.equal("fine", c:rpc("sometimes"))
    assert.is_truthy(g:log():find('msg="handler suspended" site=s@1 handler="rpc loop.forever"', 1, true))
    assert.is_truthy(require("spec.support.wait").for_true(function()
      return select(2, c:rpc("loop.forever")) == "script_timeout"
    end, 2))
  end)

  it("is one listener's business, and refuses while it lasts", function()
    local g = gateway.start { gateway = { limits = { script_time = "10ms" } }, sites = { s = { path = "/" } }, scripts = { s = SLOW } }
    local c = assert(token.login(g.port, {}))
    for _ = 1, 5 do assert.equal("script_timeout", select(2, c:subscribe("slow"))) end
    assert.equal("suspended", select(2, c:subscribe("fast")))
    assert.equal("fine", c:rpc("sometimes"))
  end)
end)
