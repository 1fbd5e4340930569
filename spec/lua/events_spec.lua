-- SPDX-License-Identifier: MIT

local fake = require "spec.support.core"
local events = require "moonlatch.events"

describe("listeners", function()
  local core, state, socket

  before_each(function()
    core = fake.new()
    state = events.new(core)
    socket = {}
  end)

  local function permit(name, data)
    local task = core.run(events.permit, state, name, socket, data or {})
    return function()
      if not task.results then return "waiting" end
      return select(2, table.unpack(task.results, 1, task.results.n))
    end
  end

  local function listener(stage, name, fn, options) events.add(state, stage, name, fn, options) end

  it("allow when there are none", function()
    assert.is_true(permit("publish")())
  end)

  it("tell the core what to report, and only that", function()
    local function f() end
    listener("on", "publish", f)
    listener("after", "subscribe", f)
    listener("after", "authentication", f)
    assert.same({ publish = true, subscribe = false, authentication = true }, core.hooks)
    assert.same({ publish = false, subscribe = true }, core.observed)
    events.remove(state, "publish", f)
    events.remove(state, "subscribe", f)
    assert.is_false(core.hooks.publish)
    assert.is_false(core.observed.subscribe)
  end)

  it("give a single message listener to the core as it is, until it needs composing", function()
    local function f() end
    local function g() end
    listener("on", "message", f)
    assert.equal(f, core.hooks.message)
    listener("on", "message", g)
    assert.is_true(core.hooks.message)
    events.remove(state, "message", g)
    assert.equal(f, core.hooks.message)
    listener("before", "message", g)
    assert.is_true(core.hooks.message)
    events.remove_all(state, "message")
    assert.is_false(core.hooks.message)
    listener("on", "message", f, { once = true })
    assert.is_true(core.hooks.message)
  end)

  it("refuse misuse, at the caller", function()
    assert.has_error(function() events.add(state, "on", "nothing", print) end)
    assert.has_error(function() events.add(state, "on", nil, print) end)
    assert.has_error(function() events.add(state, "on", "publish", nil) end)
    assert.has_error(function() events.add(state, "before", "publish", print, { priority = "high" }) end)
    assert.has_error(function() events.remove(state, "nothing", print) end)
  end)

  it("count a truthy answer as allowed, anything else as refused", function()
    for _, answer in ipairs { true, 1, "yes", {} } do
      events.remove_all(state)
      listener("on", "publish", function() return answer end)
      assert.is_true(permit("publish")())
    end
    events.remove_all(state)
    listener("on", "publish", function() return false, "why" end)
    assert.same({ false, "why" }, { permit("publish")() })
    events.remove_all(state)
    listener("on", "publish", function() return nil, { code = 1 } end)
    assert.same({ false, { code = 1 } }, { permit("publish")() })
  end)

  it("refuse when a vote returns nothing, and say so once", function()
    listener("on", "publish", function() end)
    assert.is_false(permit("publish")())
    assert.is_false(permit("publish")())
    assert.equal(1, #core.warnings)
    assert.is_truthy(core.warnings[1]:find("publish", 1, true))
  end)

  it("run before listeners by priority, then in the order they came", function()
    local order = {}
    for _, case in ipairs { { "a", 0 }, { "b", 5 }, { "c", 0 }, { "d", 10 }, { "e", 5 }, { "f", -1 } } do
      listener("before", "publish", function() order[#order + 1] = case[1] end, { priority = case[2] })
    end
    assert.is_true(permit("publish")())
    assert.equal("dbeacf", table.concat(order))
  end)

  it("let before listeners change the data, and stop at the first refusal", function()
    listener("before", "publish", function(_, data) return { data = data.data .. "b" } end)
    listener("before", "publish", function(_, data) return { data = data.data .. "c" } end)
    local seen
    listener("on", "publish", function(_, data) seen = data; return true end)
    local _, _, changed = permit("publish", { channel = "x", data = "a" })()
    assert.equal("abc", changed)
    assert.same({ channel = "x", data = "abc" }, seen)
    seen = nil
    listener("before", "publish", function() return false, "no" end, { priority = 1 })
    assert.same({ false, "no" }, { permit("publish", { channel = "x", data = "a" })() })
    assert.is_nil(seen)
  end)

  it("do not let before listeners change what has no data", function()
    listener("before", "subscribe", function() return { data = "x" } end)
    local allowed, err, changed = permit("subscribe", { channel = "x" })()
    assert.same({ true }, { allowed, err, changed })
  end)

  it("wait side by side", function()
    local started = 0
    for _ = 1, 3 do
      listener("on", "subscribe", function()
        started = started + 1
        core.sleep(1)
        return true
      end)
    end
    local result = permit("subscribe")
    assert.equal(3, started)
    assert.equal("waiting", result())
    core.pass(1)
    assert.is_true(result())
  end)

  it("decide by the first refusal, without waiting for the others", function()
    listener("on", "subscribe", function() core.sleep(10); return true end)
    listener("on", "subscribe", function() core.sleep(1); return false, "early" end)
    listener("on", "subscribe", function() core.sleep(2); return false, "late" end)
    local result = permit("subscribe")
    core.pass(1)
    assert.same({ false, "early" }, { result() })
    core.pass(10)
    assert.same({ false, "early" }, { result() })
  end)

  it("refuse when one of several fails", function()
    listener("on", "subscribe", function() return true end)
    listener("on", "subscribe", function() error("oops") end)
    assert.same({ false, "failed" }, { permit("subscribe")() })
  end)

  it("call a listener once that was added for once, also when it fails", function()
    local calls = 0
    listener("on", "publish", function() calls = calls + 1; error("x") end, { once = true })
    permit("publish")
    assert.is_true(permit("publish")())
    assert.equal(1, calls)
    assert.is_false(core.hooks.publish)
  end)

  it("may be removed while they run", function()
    local calls = 0
    local function second() calls = calls + 1; return true end
    listener("on", "publish", function() events.remove(state, "publish", second); return true end)
    listener("on", "publish", second)
    assert.is_true(permit("publish")())
    assert.equal(1, calls)
    assert.is_true(permit("publish")())
    assert.equal(1, calls)
  end)

  it("remove one of two alike at a time", function()
    local calls = 0
    local function f() calls = calls + 1; return true end
    listener("on", "publish", f)
    listener("on", "publish", f)
    events.remove(state, "publish", f)
    permit("publish")
    assert.equal(1, calls)
    events.remove(state, "publish", f)
    events.remove(state, "publish", f)
    permit("publish")
    assert.equal(1, calls)
  end)

  it("let authentication wait for all of them, whatever they say", function()
    local seen = {}
    listener("on", "authentication", function() core.sleep(1); seen[#seen + 1] = "slow" end)
    listener("on", "authentication", function() seen[#seen + 1] = "no"; return false end)
    listener("on", "authentication", function() error("oops") end)
    listener("after", "authentication", function() seen[#seen + 1] = "after" end)
    local task = core.run(events.authenticated, state, socket, {})
    assert.is_nil(task.results)
    core.pass(1)
    assert.is_true(task.results[1])
    assert.same({ "no", "slow", "after" }, seen)
  end)

  it("observe with after, each on its own", function()
    local seen = {}
    listener("after", "publish", function() error("oops") end)
    listener("after", "publish", function(_, data) seen[#seen + 1] = data.channel end)
    core.run(events.after, state, "publish", socket, { channel = "x" })
    assert.same({ "x" }, seen)
  end)

  it("report what happens with its arguments, unless a before listener refuses", function()
    local seen = {}
    listener("on", "disconnect", function(...) seen[#seen + 1] = table.pack(...) end)
    core.run(events.emit, state, "disconnect", socket, 1000, "bye")
    assert.same({ n = 3, socket, 1000, "bye" }, seen[1])
    listener("on", "message", function(_, data) seen[#seen + 1] = data end)
    listener("before", "message", function(_, data)
      if data == "bad" then return false end
      if data == "old" then return { data = "new" } end
    end)
    for _, data in ipairs { "bad", "old", "good" } do core.run(events.emit, state, "message", socket, data, false) end
    assert.same({ "new", "good" }, { seen[2], seen[3] })
  end)
end)
