-- SPDX-License-Identifier: MIT
-- A site whose handlers take much of the worker's time: it keeps to its share, and other sites do not notice.

local figures = require "spec.support.figures"
local gateway = require "spec.support.gateway"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local GREEDY = [[
local time = require "moonlatch.time"
local burnt = 0
local function burn(seconds)
  local start = time.monotonic()
  while time.monotonic() - start < seconds do end
  burnt = burnt + (time.monotonic() - start)
  return "burnt"
end
local site
site = {
  authentication = function() return { name = "ann" } end,
  controllers = {
    burn = function() return burn(0.045) end,
    burnt = function() return burnt end,
    echo = function(_, data) return data end,
    publish = function(_, n)
      for i = 1, n do
        local ok, code = site.server:publish("c", ("x"):rep(50000))
        if not ok then return { i, code } end
      end
      return { n }
    end,
    sleepless = function()
      for _ = 1, 1000 do
        burn(0.045)
        time.sleep(0)
      end
    end,
  },
  filter = function(_, _, message) return message end,
  setup = function(server)
    site.server = server
    server:on("subscribe", function(_, data)
      if data.channel:find("slow") then burn(0.045) end
      return true
    end)
  end,
}
return site
]]

local PEACEFUL = [[
return {
  authentication = function() return { name = "bob" } end,
  controllers = { echo = function(_, data) return data end },
  setup = function(server) server:every(0.05, function() end) end, -- it has something to do
}
]]

local IDLE = "return { authentication = function() return {} end }"

local function start(limits, good)
  return gateway.start {
    gateway = { admin = { listen = "127.0.0.1:0" }, limits = { script_violations = 1000000, max = { script_share = "1s" } } },
    sites = { greedy = { path = "/", limits = limits or {} }, good = { path = "/good" } },
    scripts = { greedy = GREEDY, good = good or PEACEFUL },
  }
end

local function login(g, site)
  local prefix = site and "/" .. site or ""
  return assert(token.login(g.port, { path = prefix .. "/ws", plain = true, token_path = prefix .. "/socket/token" }))
end

local function call(c, name, uuid) c:send { rpc = name, req = 1, uuid = uuid } end

-- Calls echo for so long, and feed() before each; how long the calls took in seconds, sorted.
local function echo(c, seconds, feed)
  local took, ends = {}, wait.now() + seconds
  while wait.now() < ends do
    feed()
    local before = wait.now()
    assert(c:rpc("echo", 1) == 1)
    took[#took + 1] = wait.now() - before
  end
  table.sort(took)
  return took
end

local function quantile(took, q) return took[math.ceil(#took * q)] end

-- What the client was answered since the last time: how often each.
local function answers(c, counts)
  while true do
    local m = c:receive(0)
    if not m then return counts end
    local what = m.error or m.resp
    counts[what] = (counts[what] or 0) + 1
  end
end

describe("a site that takes much time", function()
  after_each(gateway.stop_all)

  it("keeps to its share, and another one is served all the while", function()
    local g = start()
    local greedy, good, other = {}, login(g, "good"), login(g)
    for i = 1, 4 do greedy[i] = login(g) end
    local counts, sent, next_at = {}, 0, 0
    local took = echo(good, 4, function()
      if wait.now() < next_at then return end
      next_at = wait.now() + 0.1
      for _, c in ipairs(greedy) do
        for _ = 1, 3 do call(c, "burn", "b") end
        sent = sent + 3
        answers(c, counts)
      end
    end)
    assert.is_true(quantile(took, 0.99) < 0.1, "p99 " .. quantile(took, 0.99))
    assert.is_truthy(g:log():find('msg="scripts take too much time" site=greedy script_share=300', 1, true))
    assert.is_true(figures.limit(g, "script_share", "greedy") > 0)

    -- all that was asked is answered within the second that it may wait, and then it is as before
    local function all_answered()
      local n = 0
      for _, c in ipairs(greedy) do answers(c, counts) end
      for _, count in pairs(counts) do n = n + count end
      return n == sent
    end
    assert.is_true(wait.for_true(all_answered, 3))
    assert.is_true(counts.burnt > 10 and counts.overload > 20, counts.burnt .. " " .. counts.overload)
    local burnt = other:rpc("burnt")
    assert.is_true(burnt > 0.9 and burnt < 2.4, "burnt " .. burnt) -- of 5 s at most, and the bucket
    assert.is_true(wait.for_true(function()
      local before = wait.now()
      return other:rpc("echo", 1) == 1 and wait.now() - before < 0.05
    end, 3))
    assert.are.equal("burnt", (other:rpc("burn")))
  end)

  it("is not served before its turn by waiting in small steps", function()
    local g = start()
    local good, other = login(g, "good"), login(g)
    call(other, "sleepless", "s")
    local took = echo(good, 2, function() end)
    assert.is_true(quantile(took, 0.99) < 0.1, "p99 " .. quantile(took, 0.99))
    local burnt = login(g):rpc("burnt")
    assert.is_true(burnt > 0.5 and burnt < 1.4, "burnt " .. burnt)
  end)

  it("has its subscribes wait in order, and refused when that is too long", function()
    local g = start { script_share = "100ms", script_share_wait = "300ms" }
    local c = login(g)
    for i = 1, 8 do c:send { rpc = "_subscribe", req = { channel = "slow" .. i }, uuid = i } end
    local refused = 0
    for i = 1, 8 do
      local m = assert(c:receive(5))
      assert.are.equal(i, m.uuid or m.data.uuid)
      if m.error == "overload" then refused = refused + 1 end
    end
    assert.is_true(refused > 0 and refused < 8)
  end)

  it("is told no at once when too many wait", function()
    local g = start { script_share = "10ms", script_waiting = 3 }
    login(g, "good") -- so that there is somebody else
    local c = login(g)
    for i = 1, 10 do call(c, "burn", "b" .. i) end
    local first = assert(c:wait(function(m) return m.error end, 2))
    assert.are.equal("overload", first.error)
    assert.are.equal("b5", first.uuid)
    assert.is_true(figures.limit(g, "script_waiting", "greedy") > 0)
  end)

  it("has the worker for itself while other sites have nothing to do", function()
    local g = start({}, IDLE)
    local c = login(g)
    local before = wait.now()
    for i = 1, 20 do call(c, "burn", "b" .. i) end
    for _ = 1, 20 do assert.are.equal("burnt", assert(c:receive(5)).resp) end
    assert.is_true(wait.now() - before < 2)
    assert.are.equal(0, figures.limit(g, "script_share", "greedy"))
  end)

  it("has the whole worker where its conf says so", function()
    local g = start { script_share = "1s" }
    local c = login(g)
    local before = wait.now()
    for i = 1, 20 do call(c, "burn", "b" .. i) end
    for _ = 1, 20 do assert.are.equal("burnt", assert(c:receive(5)).resp) end
    assert.is_true(wait.now() - before < 2)
    assert.are.equal(0, figures.limit(g, "script_share", "greedy"))
  end)

  it("publishes so much in a turn, and then is told so", function()
    local g = start { script_publish_bytes = "1M", script_publish_copies = 100 }
    local a = login(g)
    local bytes = a:rpc("publish", 100) -- each is 50,002 long as JSON: what goes over 1 MiB still goes
    assert.are.same({ 22, "limit" }, bytes)
    assert.are.same({ 21 }, (a:rpc("publish", 21))) -- another turn
    assert.are.same({ 22, "limit" }, (a:rpc("publish", 100)))
    assert.are.equal(2, figures.limit(g, "script_publish_bytes", "greedy"))
    gateway.stop_all()

    g = start { script_publish_copies = 100 }
    local clients = {}
    for i = 1, 60 do
      clients[i] = login(g)
      assert(clients[i]:subscribe("c"))
    end
    a = login(g)
    assert.are.same({ 3, "limit" }, (a:rpc("publish", 100)))
    assert.are.same({ 2 }, (a:rpc("publish", 2)))
    assert.are.equal(1, figures.limit(g, "script_publish_copies", "greedy"))
  end)
end)
