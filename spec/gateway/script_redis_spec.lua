-- SPDX-License-Identifier: MIT
-- moonlatch.redis: what scripts can do in Redis, and what they cannot.

local fleet = require "spec.support.fleet"
local gateway = require "spec.support.gateway"
local redis = require "spec.support.redis"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local SCRIPT = [[
  local json = require "moonlatch.json"
  local redis = require "moonlatch.redis"
  local site = {}
  function site.authentication() return { name = "x" } end
  local function all(...)
    local list = table.pack(...)
    for i = 1, list.n do if list[i] == nil then list[i] = "nil" end end
    list.n = nil
    return list
  end
  site.controllers = {
    call = function(_, words) return all(redis.call(table.unpack(words))) end,
    pipeline = function(_, commands)
      local values, errors = redis.pipeline(commands)
      local list = {}
      for i, text in pairs(values and errors or {}) do list[#list + 1] = { i, text } end
      return { values = values, errors = list, code = not values and errors }
    end,
    eval = function(_, data) return all(redis.eval(data.script, data.keys, data.arguments)) end,
    binary = function() return redis.call("SET", "b", "\0\r\n\xff") == "OK" and redis.call("GET", "b") == "\0\r\n\xff" end,
    misuse = function(_, words)
      local ok, err = pcall(function()
        local value = redis.call(table.unpack(words))
        return value
      end)
      return { ok, ok or err }
    end,
    number = function() return { math.type(redis.call("INCR", "n")), redis.call("SET", "f", 0.1), redis.call("GET", "f") } end,
    many = function(_, n)
      local commands = {}
      for i = 1, n do commands[i] = { "SET", "k" .. i, i } end
      local values, code = redis.pipeline(commands)
      return values and #values or code
    end,
    large = function(_, n) return all(redis.call("SET", "large", ("x"):rep(n))) end,
    null = function() return redis.call("MGET", "nothing")[1] == json.null end,
  }
  return site]]

local LIMITS = { store_timeout = "500ms", redis_connect_timeout = "300ms", redis_backoff = "200ms" }

local function start(r, sites, scripts)
  local g = gateway.start { gateway = { store = r and r:url() or "memory", limits = LIMITS },
    sites = sites or { s = { path = "/" } }, scripts = scripts or { s = SCRIPT } }
  if r then assert.is_true(g:wait_log("connection=moonlatch-script", 3)) end
  return g
end

local function login(g, path)
  return assert(token.login(g.port, { token_path = (path or "") .. "/socket/token", path = (path or "") .. "/sockets" }))
end

describe("moonlatch.redis", function()
  after_each(fleet.stop_all)

  it("calls commands on keys of the site's own", function()
    local r = redis.start()
    local c = login(start(r))
    local function call(...) return c:rpc("call", { ... }) end
    assert.are.same({ "OK" }, call("SET", "a", "1"))
    assert.are.same({ "1" }, call("get", "a"))
    assert.are.same({ 2 }, call("INCR", "a"))
    assert.are.same({ "nil" }, call("GET", "nothing"))
    assert.are.same({ 3 }, call("RPUSH", "l", "x", 2, 3.5))
    assert.are.same({ { "x", "2", "3.5" } }, call("LRANGE", "l", 0, -1))
    assert.are.same({ "OK" }, call("MSET", "m1", "one", "m2", "two"))
    assert.are.same({ { "one", "two" } }, call("MGET", "m1", "m2"))
    assert.is_true(c:rpc("null"))
    assert.are.same({ "OK" }, call("RENAME", "m1", "m3"))
    assert.are.same({ 2 }, call("DEL", "m2", "m3"))
    assert.are.same({ { "integer", "OK", "0.10000000000000001" } }, { (c:rpc("number")) })
    assert.is_true(c:rpc("binary"))
    local keys = r:call("KEYS", "*")
    table.sort(keys)
    assert.are.same({ "moonlatch:{s}:kv:a", "moonlatch:{s}:kv:b", "moonlatch:{s}:kv:f", "moonlatch:{s}:kv:l",
      "moonlatch:{s}:kv:n" }, keys)
  end)

  it("says what Redis refuses, and what is not for scripts", function()
    local r = redis.start()
    local c = login(start(r))
    c:rpc("call", { "SET", "text", "x" })
    local answer = c:rpc("call", { "LPUSH", "text", "y" })
    assert.are.same({ "nil", "refused" }, { answer[1], answer[2] })
    assert.is_truthy(answer[3]:find("^WRONGTYPE"))
    for _, words in ipairs { { "KEYS", "*" }, { "FLUSHALL" }, { "CONFIG", "GET", "*" }, { "SELECT", 1 }, { "SUBSCRIBE", "x" },
      { "EVAL", "return 1", 0 }, { "BLPOP", "l", 0 }, { "SORT", "l", "GET", "other" }, { "MULTI" }, { "SCAN", 0 },
      { "CLIENT", "KILL" }, { "SCRIPT", "FLUSH" }, { "__index" }, { "GET" }, { "RENAME", "a" }, { "GET", true },
      { "GET", {} }, { 5 }, {} } do
      local seen = c:rpc("misuse", words)
      assert.is_false(seen[1])
      assert.is_truthy(seen[2]:find("^scripts/s/init.lua:%d+: "), seen[2])
    end
    assert.are.equal("x", r:call("GET", "moonlatch:{s}:kv:text"))
  end)

  it("sends a pipeline at once, with the errors at their places", function()
    local r = redis.start()
    local c = login(start(r))
    local seen = c:rpc("pipeline", { { "SET", "a", 1 }, { "LPUSH", "a", 2 }, { "INCR", "a" }, { "GET", "no" } })
    assert.are.same({ "OK", require("dkjson").null, 2, require("dkjson").null }, seen.values)
    assert.are.equal(2, seen.errors[1][1])
    assert.is_truthy(seen.errors[1][2]:find("^WRONGTYPE"))
    assert.are.equal(200, c:rpc("many", 200))
    assert.are.equal("limit", c:rpc("many", 300))
    assert.is_nil(r:call("GET", "moonlatch:{s}:kv:k201") or nil) -- all of them, or none
    assert.are.same({ "nil", "too_large" }, c:rpc("large", 1024 * 1024))
    assert.are.same({ "OK" }, c:rpc("large", 1000 * 1000))
  end)

  it("runs scripts in Redis that keep to the site's keys", function()
    local r = redis.start()
    local c = login(start(r))
    local function eval(script, keys, arguments)
      return c:rpc("eval", { script = script, keys = keys, arguments = arguments })
    end
    local add = "local n = redis.call('INCRBY', KEYS[1], ARGV[1]) redis.call('SET', KEYS[1] .. ':copy', n) return n"
    assert.are.same({ 5 }, eval(add, { "sum" }, { 5 }))
    assert.are.same({ 8 }, eval(add, { "sum" }, { 3 }))
    assert.are.equal("8", r:call("GET", "moonlatch:{s}:kv:sum:copy"))
    assert.are.same({ { 1, "two" } }, eval("return { 1, 'two' }"))
    r:call("SET", "other", "secret")
    for _, script in ipairs { "return redis.call('GET', 'other')", "return redis.pcall('GET', 'other')",
      "return _G.redis.call('GET', 'other')", "return getfenv(0).redis.call('GET', 'other')",
      "return loadstring('return redis.call(\"GET\", \"other\")')()", "return redis.call('KEYS', '*')",
      "return redis.call('MGET', KEYS[1], 'other')", "return redis.call('EVAL', 'return 1', 0)",
      "return setfenv(function() return redis.call('GET', 'other') end, {})()",
      "return redis.call('CONFIG', 'GET', '*')", "return redis.call('gEt', 'other')", "return redis.call('GET')" } do
      local answer = eval(script, { "x" })
      assert.are.same({ "nil", "refused" }, { answer[1], answer[2] }, script)
    end
    r:call("SCRIPT", "FLUSH")
    assert.are.same({ 9 }, eval(add, { "sum" }, { 1 }))
    assert.are.equal("refused", eval("this is no Lua")[2])
  end)

  it("keeps sites apart", function()
    local r = redis.start()
    local g = start(r, { a = { path = "/a" }, b = { path = "/b" } }, { a = SCRIPT, b = SCRIPT })
    local a, b = login(g, "/a"), login(g, "/b")
    assert.is_truthy(wait.for_true(function() return a:rpc("call", { "SET", "k", "of a" })[1] == "OK" end, 3))
    assert.is_truthy(wait.for_true(function() return b:rpc("call", { "GET", "k" })[2] == nil end, 3))
    assert.are.same({ "nil" }, b:rpc("call", { "GET", "k" }))
    assert.are.same({ "nil" }, b:rpc("call", { "GET", "moonlatch:{a}:kv:k" }))
    assert.are.same({ "of a" }, a:rpc("call", { "GET", "k" }))
  end)

  it("is unavailable while Redis is away, and with the memory store", function()
    local r = redis.start()
    local c = login(start(r))
    r:freeze()
    local t0 = wait.now()
    assert.are.same({ "nil", "unavailable" }, c:rpc("call", { "GET", "a" }))
    assert.is_true(wait.now() - t0 < 2.2)
    r:thaw()
    assert.is_truthy(wait.for_true(function() return c:rpc("call", { "GET", "a" })[2] == nil end, 3))
    r:kill()
    assert.is_truthy(wait.for_true(function() return c:rpc("call", { "GET", "a" })[2] == "unavailable" end, 3))
    local alone = login(start())
    assert.are.same({ "nil", "unavailable" }, alone:rpc("call", { "GET", "a" }))
    assert.are.equal("unavailable", alone:rpc("pipeline", { { "GET", "a" } }).code)
  end)
end)
