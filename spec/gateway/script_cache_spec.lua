-- SPDX-License-Identifier: MIT
-- moonlatch.cache: values that a site's scripts keep.

local gateway = require "spec.support.gateway"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local SCRIPT = [[
  local cache = require "moonlatch.cache"
  local json = require "moonlatch.json"
  local site = {}
  function site.authentication() return { name = "x" } end
  local function all(...)
    local list = table.pack(...)
    for i = 1, list.n do if list[i] == nil then list[i] = "nil" end end
    list.n = nil
    return setmetatable(list, json.array_mt)
  end
  site.controllers = {
    call = function(_, data) return all(cache[data[1] ] (table.unpack(data, 2))) end,
    copy = function()
      local value = { list = {}, n = 1 }
      cache.set("t", value)
      value.n = 2
      local seen = cache.get("t")
      seen.n = 3
      return { cache.get("t").n, math.type(cache.get("t").n) }
    end,
    fill = function(_, count)
      for i = 1, count do cache.set("k" .. i, ("x"):rep(1000)) end
      return { cache.get("k1") == nil, cache.get("k" .. count) ~= nil }
    end,
    large = function(_, size) return all(cache.set("large", ("x"):rep(size))) end,
    misuse = function(_, data)
      local ok, err = pcall(cache[data[1] ], table.unpack(data, 2))
      return { ok, tostring(err) }
    end,
  }
  return site]]

describe("moonlatch.cache", function()
  after_each(gateway.stop_all)

  local function start(limits)
    local g = gateway.start { gateway = { limits = limits }, sites = { a = { path = "/a" }, b = { path = "/b" } },
      scripts = { a = SCRIPT, b = SCRIPT } }
    local function login(path)
      return assert(token.login(g.port, { path = path .. "/sockets", token_path = path .. "/socket/token" }))
    end
    return login("/a"), login("/b")
  end

  it("keeps values for each site, as long as they live", function()
    local a, b = start()
    local function call(...) return a:rpc("call", { ... }) end
    assert.are.same({}, call("get", "k"))
    assert.are.same({ true }, call("set", "k", { x = { 1, 2.5, "ü" } }))
    assert.are.same({ { x = { 1, 2.5, "ü" } } }, call("get", "k"))
    assert.are.same({}, b:rpc("call", { "get", "k" }))
    assert.are.same({ false }, call("add", "k", 1))
    assert.are.same({ true }, call("add", "other", false, 0.1))
    assert.are.same({ false }, call("get", "other"))
    assert.are.same({ true }, call("delete", "k"))
    assert.are.same({ false }, call("delete", "k"))
    assert.is_truthy(wait.for_true(function() return #call("get", "other") == 0 end, 2))
    call("set", "k", 1)
    call("clear")
    assert.are.same({}, call("get", "k"))
    assert.are.same({ 1, "integer" }, (a:rpc("copy")))
  end)

  it("counts", function()
    local a = start()
    local function call(...) return a:rpc("call", { ... }) end
    assert.are.same({ 1 }, call("incr", "n"))
    assert.are.same({ 6 }, call("incr", "n", 5))
    assert.are.same({ 5.5 }, call("incr", "n", -0.5))
    call("set", "text", "x")
    assert.are.same({ "nil", "not_a_number" }, call("incr", "text"))
    assert.are.same({ 1 }, call("incr", "short", 1, 0.15))
    assert.are.same({ 2 }, call("incr", "short", 1, 100)) -- its time stays
    assert.is_truthy(wait.for_true(function() return #call("get", "short") == 0 end, 2))
  end)

  it("counts to the last integer, and not beyond", function()
    local a = start()
    local function call(...) return a:rpc("call", { ... }) end
    for _, case in ipairs { { math.maxinteger, 1 }, { math.mininteger, -1 }, { 1, math.maxinteger } } do
      call("set", "n", case[1])
      assert.are.same({ "nil", "limit" }, call("incr", "n", case[2]))
      assert.are.same({ case[1] }, call("get", "n"))
    end
    call("set", "n", math.maxinteger - 1)
    assert.are.same({ math.maxinteger }, call("incr", "n"))
  end)

  it("keeps nothing for ever that is to be kept for less than a millisecond", function()
    local a = start()
    a:rpc("call", { "set", "brief", 1, 0.0001 })
    assert.is_truthy(wait.for_true(function() return #a:rpc("call", { "get", "brief" }) == 0 end, 2))
  end)

  it("is bounded, and the longest unused goes first", function()
    local a = start { script_cache = "64K" }
    assert.are.same({ true, true }, a:rpc("fill", 200))
    assert.are.same({ "nil", "too_large" }, a:rpc("large", 66000))
    a:rpc("call", { "set", "used", 1 })
    for _ = 1, 5 do
      a:rpc("fill", 20)
      assert.are.same({ 1 }, a:rpc("call", { "get", "used" }))
    end
  end)

  it("says what it does not take", function()
    local a = start()
    for _, words in ipairs { { "get" }, { "get", "" }, { "get", ("k"):rep(1025) }, { "set", "k" }, { "set", "k", 1, 0 },
      { "set", "k", 1, -1 },
      { "set", "k", 1, "x" }, { "incr", "k", "x" }, { "set", {}, 1 } } do
      assert.is_false(a:rpc("misuse", words)[1])
    end
  end)
end)
