-- SPDX-License-Identifier: MIT
-- moonlatch.task: several things at once.

local gateway = require "spec.support.gateway"
local token = require "spec.support.token"
local gettime = require("socket").gettime

local SCRIPT = [[
  local task = require "moonlatch.task"
  local time = require "moonlatch.time"
  local site = {}
  function site.authentication() return { name = "x" } end
  local ended = {}
  local function after(seconds, ...)
    local values = table.pack(...)
    return function()
      time.sleep(seconds)
      ended[#ended + 1] = values[1] or "nil"
      return table.unpack(values, 1, values.n)
    end
  end
  local function raises() error("oh no") end
  local function all(...)
    local list = table.pack(...)
    for i = 1, list.n do if list[i] == nil then list[i] = "nil" end end
    list.n = nil
    return list
  end
  site.controllers = {
    spawn = function()
      local a, b = task.spawn(after(0.05, "a", 2)), task.spawn(after(0.02, "b"))
      return { all(a:wait()), all(b:wait()), all(a:wait()) }
    end,
    arguments = function() return all(task.spawn(function(...) return ... end, 1, nil, 3):wait()) end,
    impatient = function()
      local a = task.spawn(after(0.1, "late"))
      local first = all(a:wait(0.02))
      return { first, all(a:wait()) }
    end,
    cancel = function()
      local a = task.spawn(after(5, "never"))
      a:cancel()
      return all(a:wait())
    end,
    raise = function()
      return { all(task.spawn(raises):wait()), all(task.all { raises, after(5, "x") }), all(task.any { raises, raises }) }
    end,
    all = function() return task.all { after(0.03, 1), after(0.01, 2), after(0.02, 3) } end,
    all_fail = function() return all(task.all { after(5, "never 1"), after(0.01, nil, "broken") }) end,
    all_late = function() return all(task.all({ after(5, "never 2"), after(0.01, 1) }, 0.05)) end,
    none = function() return { #task.all {}, all(task.any {}) } end,
    any = function()
      return all(task.any { after(5, "never 3"), after(0.03, "slow"), after(0.01, nil, "down"), after(0.02, "quick") })
    end,
    any_fail = function() return all(task.any { after(0.01, nil, "one"), after(0.02, nil, "two") }) end,
    deadline = function()
      return { all(task.deadline(0.02, after(5, "never 4"))), all(task.deadline(1, after(0.01, "in time", 2))) }
    end,
    ended = function() return ended end,
    misuse = function(_, name)
      local ok, err = pcall(function()
        if name == "spawn" then task.spawn(5) elseif name == "all" then task.all { 5 } elseif name == "any" then task.any(5)
        elseif name == "deadline" then task.deadline(0, after(1)) elseif name == "time" then task.all({}, -1) end
        return nil
      end)
      return { ok, err }
    end,
    two = function()
      local a = task.spawn(after(0.05, "x"))
      local b = task.spawn(function() return (a:wait()) end)
      local ok, err = pcall(function() return (a:wait()) end)
      return { ok, err, b:wait() }
    end,
    -- Who waited for it is ended: then another may.
    inherit = function()
      local a = task.spawn(after(0.05, "x"))
      local late, code = task.deadline(0.01, function() return (a:wait()) end)
      return { late == nil, code, (a:wait()) }
    end,
    many = function(_, count)
      local list = {}
      for i = 1, count do list[i] = after(0.02, i) end
      local values, code = task.all(list)
      return values and #values or code
    end,
  }
  return site]]

describe("moonlatch.task", function()
  local g, c

  setup(function()
    g = gateway.start { sites = { s = { path = "/" } }, scripts = { s = SCRIPT } }
    c = assert(token.login(g.port, {}))
  end)
  teardown(gateway.stop_all)

  local function quickly(name, expected)
    local t0 = gettime()
    assert.are.same(expected, (c:rpc(name)))
    assert.is_true(gettime() - t0 < 1, name)
  end

  it("runs functions beside each other, and gives their results", function()
    quickly("spawn", { { "a", 2 }, { "b" }, { "a", 2 } })
    quickly("arguments", { 1, "nil", 3 })
    quickly("impatient", { { "nil", "timeout" }, { "late" } })
    quickly("cancel", { "nil", "cancelled" })
    quickly("inherit", { true, "timeout", "x" })
    quickly("raise", { { "nil", "script_error" }, { "nil", "script_error" }, { "nil", "script_error" } })
  end)

  it("waits for all, or for the first that works", function()
    quickly("all", { 1, 2, 3 })
    quickly("all_fail", { "nil", "broken" })
    quickly("all_late", { "nil", "timeout" })
    quickly("none", { 0, { "nil", "cancelled" } })
    quickly("any", { "quick", 4 })
    quickly("any_fail", { "nil", "two" })
    quickly("deadline", { { "nil", "timeout" }, { "in time", 2 } })
  end)

  it("ends what nobody waits for any more", function()
    for _, value in ipairs((c:rpc("ended"))) do assert.is_nil(tostring(value):find("never")) end
    assert.are.equal(500, c:rpc("many", 500))
    assert.are.equal("overload", c:rpc("many", 1500)) -- script_tasks
    assert.are.equal(500, c:rpc("many", 500))
  end)

  it("says what it does not take", function()
    for _, name in ipairs { "spawn", "all", "any", "deadline", "time" } do
      local seen = c:rpc("misuse", name)
      assert.is_false(seen[1], name)
      assert.is_truthy(seen[2]:find("^scripts/s/init.lua:%d+: "), seen[2])
    end
    local seen = c:rpc("two")
    assert.is_false(seen[1])
    assert.is_truthy(seen[2]:find("somebody waits for this task already"))
    assert.are.equal("x", seen[3])
  end)
end)
