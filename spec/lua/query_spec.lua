-- SPDX-License-Identifier: MIT

require "spec.support.core"
local query = require "moonlatch.query"

describe("query strings", function()
  local cases = {
    [""] = {},
    ["a=1"] = { a = "1" },
    ["a=1&b="] = { a = "1", b = "" },
    ["a"] = { a = "" },
    ["=x&&a=1&"] = { a = "1" },
    ["a=b=c"] = { a = "b=c" },
    ["a=1&a=2&a=3"] = { a = { "1", "2", "3" } },
    ["email=a%40b.c&n=J%C3%BCrgen+X%2BY"] = { email = "a@b.c", n = "Jürgen X+Y" },
    ["nested%5Bx%5D=1&nested%5By%5D%5B0%5D=p&nested%5By%5D%5B1%5D=q&empty="] =
      { nested = { x = "1", y = { "p", "q" } }, empty = "" },
    ["l[]=x&l[]=y"] = { l = { "x", "y" } },
    ["l[1]=y&l[0]=x"] = { l = { "x", "y" } },
    ["l[5]=x"] = { l = { "x" } },
    ["l[20]=y&l[3]=x"] = { l = { "x", "y" } },
    ["l[21]=x"] = { l = { ["21"] = "x" } },
    ["l[9]=x&l[]=y"] = { l = { "x", "y" } },
    ["l[0]=x&l=y"] = { l = { "x", "y" } },
    ["l[99999999999999999999]=x"] = { l = { ["99999999999999999999"] = "x" } },
    ["l[0]=x&l[a]=y"] = { l = { ["0"] = "x", a = "y" } },
    ["l[01]=x"] = { l = { ["01"] = "x" } },
    ["l[][a]=1&l[][a]=2"] = { l = { { a = "1" }, { a = "2" } } },
    ["0=a&1=b"] = { ["0"] = "a", ["1"] = "b" },
    ["a[b=1&c]=2&[d]=3&[]=4"] = { ["a[b"] = "1", ["c]"] = "2", d = "3", ["0"] = "4" },
    ["a[b]c=1&d[e]f[g]=2"] = { a = { b = "1" }, d = { e = { g = "2" } } },
    ["a=1&a[b]=2"] = { a = "1" },
    ["a[b]=2&a=1"] = { a = { b = "2" } },
    ["__proto__=1&constructor[prototype]=2"] = { __proto__ = "1", constructor = { prototype = "2" } },
    ["a=%zz%4"] = { a = "%zz%4" },
    ["a=%ff"] = { a = "%ff" },
    ["a[b][c][d][e][f][g][h]=x"] = { a = { b = { c = { d = { e = { f = { ["[g][h]"] = "x" } } } } } } },
  }
  for text, expected in pairs(cases) do
    it("reads " .. (text == "" and "nothing" or text), function()
      assert.same(expected, query.parse(text, 32))
    end)
  end

  it("refuses more parameters than it may have", function()
    assert.is_truthy(query.parse("a=1&b=2", 2))
    assert.same({ nil, "too many parameters" }, { query.parse("a=1&b=2&c=3", 2) })
  end)
end)

describe("cookies", function()
  it("are read, the first of two with one name", function()
    assert.same({ a = "1", b = "2", c = "x y", d = "", e = "=" },
      query.cookies("a=1; b=\"2\";c=x%20y; a=3; d=; e==; broken", 4096))
    assert.same({}, query.cookies("", 4096))
  end)

  it("are refused when there is too much of them", function()
    assert.same({ nil, "cookies too large" }, { query.cookies(("a"):rep(11), 10) })
  end)
end)
