-- SPDX-License-Identifier: MIT

require "spec.support.core"
local lookup = require "moonlatch.lookup"

describe("the lookup of controllers", function()
  local function f() end
  local function g() end
  local tree = {
    a = f, b = { c = { d = f } }, ["x.y"] = g, [1] = f, x = { y = f },
    magic = setmetatable({}, { __index = function() return f end }),
    callable = setmetatable({}, { __call = f }),
  }

  it("descends own keys to a function at the end", function()
    assert.equal(f, lookup.find(tree, "a", 8))
    assert.equal(f, lookup.find(tree, "b.c.d", 8))
  end)

  it("takes a key that is the whole name first", function()
    assert.equal(g, lookup.find(tree, "x.y", 8))
  end)

  it("finds nothing else", function()
    for _, name in ipairs { "", ".", "..", "b", "b.c", "b.c.d.e", "a.b", "a.", ".a", "b..c", "b.c.d.", "1", "magic.any",
      "magic", "callable", "__index", "b.__index", "nothing", "a\0" } do
      assert.is_nil(lookup.find(tree, name, 8), name)
    end
    assert.is_nil(lookup.find(nil, "a", 8))
    assert.is_nil(lookup.find("text", "len", 8))
  end)

  it("stops at the limit of parts, also where tables go in circles", function()
    assert.equal(f, lookup.find(tree, "b.c.d", 3))
    assert.is_nil(lookup.find(tree, "b.c.d", 2))
    local circle = { f = f }
    circle.t = circle
    assert.equal(f, lookup.find(circle, "t.t.t.f", 4))
    assert.is_nil(lookup.find(circle, "t.t.t.t.f", 4))
  end)

  it("skips keys at every level", function()
    local skip = { socket = true, public = true }
    local site = { socket = f, user = { public = { x = f }, read = f }, public = { x = f } }
    assert.equal(f, lookup.find(site, "user.read", 8, skip))
    for _, name in ipairs { "socket", "public.x", "user.public.x" } do
      assert.is_nil(lookup.find(site, name, 8, skip), name)
    end
  end)

  it("knows what a wrong name may have meant", function()
    local trees = { { user = { read = f, public = f } }, { echo = f, ask = { name = f } } }
    for wrong, right in pairs { ehco = "echo", ["ask.nmae"] = "ask.name", ["user.raed"] = "user.read", Echo = "echo" } do
      assert.equal(right, lookup.nearest(trees, wrong, 8))
    end
    assert.is_nil(lookup.nearest(trees, "quite another", 8))
    assert.is_nil(lookup.nearest({}, "echo", 8))
    assert.is_nil(lookup.nearest(trees, "user.publik", 8, { public = true }))
    local circle = {}
    for i = 1, 20 do circle["k" .. i] = circle end
    assert.is_nil(lookup.nearest({ circle }, "k1.k2", 8))
  end)
end)
