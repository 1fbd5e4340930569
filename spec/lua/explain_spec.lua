-- SPDX-License-Identifier: MIT
-- What moonlatch explain and moonlatch console tell, over a core of a few lines.

package.path = "lua/?.lua;" .. package.path

local json = require "dkjson"
local explain = require "moonlatch.explain"
local show = require "moonlatch.show"

local function where(fn)
  local info = debug.getinfo(fn, "S")
  return info.short_src .. ":" .. info.linedefined
end

local function core()
  local now = 0
  return { where = where, clock = function() now = now + 0.001; return now end,
    json = { encode = json.encode, decode = json.decode, array_mt = {} } }
end

local function listeners(before, on)
  local function entries(list)
    local all = {}
    for i, fn in ipairs(list or {}) do all[i] = { fn = fn } end
    return all
  end
  return { before = entries(before), on = entries(on), after = {} }
end

local function answers(rows)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row.stage .. ": " .. row.answer end
  return list
end

describe("explain", function()
  it("tells of every listener where it stands, what it said and how long it took", function()
    local function staff() return false, "staff only" end
    local rows = explain.vote(core(), listeners({}, { staff }), nil, "subscribe", {}, { channel = "staff" })
    assert.same({ stage = "on", at = where(staff), answer = "refused: staff only", ms = 1 }, rows[1])
    assert.same({ "on: refused: staff only", "verdict: refused" }, answers(rows))
  end)

  it("has a word for each way of answering", function()
    local rows = explain.vote(core(), listeners({ function() end, function(_, d) return { data = d.data .. "!" } end },
      { function(_, d) return d.data == "hi!" end, function() end, function() return nil, { code = 5 } end,
        function() error "broken" end, function() return true end }), nil, "publish", {}, { channel = "c", data = "hi" })
    local list = answers(rows)
    assert.truthy(table.remove(list, 6):find("^on: raised: .*explain_spec.lua:%d+: broken$"))
    assert.same({ "before: passed", "before: changed to hi!", "on: allowed",
      "on: returned nothing, which refuses: return true to allow", 'on: refused: {"code":5}', "on: allowed",
      "verdict: refused" }, list)
  end)

  it("stops at a before listener that refuses", function()
    local asked = false
    local rows = explain.vote(core(), listeners({ function() return nil, "no" end }, { function() asked = true; return true end }),
      nil, "subscribe", {}, { channel = "c" })
    assert.same({ "before: refused: no", "verdict: refused" }, answers(rows))
    assert.is_false(asked)
  end)

  it("says when nobody listens, and what the filter would give", function()
    assert.same({ "verdict: allowed: there is no listener" },
      answers(explain.vote(core(), listeners(), nil, "subscribe", {}, { channel = "c" })))
    local function filter(_, _, message) message.secret = nil; return message end
    local data = { channel = "c", data = { text = "x", secret = 1 } }
    assert.same({ 'filter: sent instead: {"text":"x"}', "verdict: allowed" },
      answers(explain.vote(core(), listeners(), filter, "publish", {}, data)))
    assert.equal(1, data.data.secret)
    assert.same({ "filter: not sent to this socket", "verdict: allowed" },
      answers(explain.vote(core(), listeners(), function() end, "publish", {}, data)))
    assert.same({ "filter: sent as it is", "verdict: allowed" },
      answers(explain.vote(core(), listeners(), function() return true end, "publish", {}, data)))
  end)

  it("names the controller of a call", function()
    local function greet(auth) return "hello, " .. auth.name end
    local function run(name, auth) if name == "greet" then return greet(auth) end return nil, "Function not found" end
    local function find(name) if name == "greet" then return greet end end
    local rows = explain.call(core(), find, run, "greet", { auth = { name = "ann" } })
    assert.same({ { stage = "controller", at = where(greet), answer = "hello, ann", ms = 1 } }, { rows[1] })
    rows = explain.call(core(), find, run, "gret", { auth = {} })
    assert.same({ stage = "controller", at = "", answer = "error: Function not found", ms = 1 }, rows[1])
  end)
end)

describe("show", function()
  it("writes values as Lua does, within bounds", function()
    local null = {}
    assert.equal("nil", show.value(nil, null))
    assert.equal('"a\\"b"', show.value('a"b', null))
    assert.equal("json.null", show.value(null, null))
    assert.equal('{ 1, "x", a = { b = {} }, ["c d"] = true }', show.value({ 1, "x", a = { b = {} }, ["c d"] = true }, null))
    local cycle = {}
    cycle.itself = cycle
    assert.equal("{ itself = (the same table) }", show.value(cycle, null))
    assert.is_true(#show.value(("x"):rep(10000), null) < 500)
    local wide = {}
    for i = 1, 1000 do wide[i] = i end
    assert.truthy(show.value(wide, null):find("40, %.%.%. }$"))
    assert.equal("{ { { { {...} } } } }", show.value({ { { { { 1 } } } } }, null))
  end)
end)
