-- SPDX-License-Identifier: MIT
-- Reload: a new generation of a site's script beside the old one, while the gateway serves.

local gateway = require "spec.support.gateway"
local http = require "spec.support.http"
local tmp = require "spec.support.tmp"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

local SITE = [[
local site, state = {}, { greeting = "%s", count = 0 }
function site.authentication(req) return { name = req.query.name, of = state.greeting } end
site.controllers = {
  greet = function(auth) return state.greeting .. ", " .. auth.name end,
  count = function() state.count = state.count + 1; return state.count end,
  slow = function(_, seconds) require "moonlatch.time".sleep(seconds); return state.greeting end,
  ask = function(_, _, socket) return (socket:rpc("name", {}) or "nobody") .. " " .. state.greeting end,
  later = function(_, _, socket) site.server:delay(0.05, function() socket:rpc("later", state.greeting) end); return true end,
  mark = function(_, value, socket)
    if value then socket.mark, socket.fn = value, function() end end
    return { mark = socket.mark or false, fn = type(socket.fn) }
  end,
  fail = function() if state.greeting == "bad" then error "broken" end; return true end,
  ticks = function() return state.ticks or 0 end,
  option = function() return site.options.word or false end,
}
function site.setup(server)
  site.server = server
  server:on("subscribe", function(_, data) return data.channel ~= "no-" .. state.greeting, state.greeting end)
  server:every(0.01, function() state.ticks = (state.ticks or 0) + 1 end)
end
return site
]]

local function script(greeting) return (SITE:format(greeting)) end

-- Memory is measured here: a sanitizer must not keep what was freed.
local SANITIZER = (os.getenv("ASAN_OPTIONS") or "") .. ":quarantine_size_mb=1"

local function start(options)
  local o = { sites = { s = { path = "/" } }, scripts = { s = script "one" }, env = { ASAN_OPTIONS = SANITIZER },
    gateway = { admin = { listen = "127.0.0.1:0" }, limits = { script_reload = "5s" } } }
  for key, value in pairs(options or {}) do o[key] = value end
  return gateway.start(o)
end

local function save(g, text) tmp.write(g.dir .. "/scripts/s/init.lua", text) end

-- How often a text stands in the log.
local function times(g, text)
  local _, count = g:log():gsub(text:gsub("%p", "%%%0"), "")
  return count
end

local function reload(g, text, outcome)
  outcome = outcome or 'msg="script reloaded"'
  local before = times(g, outcome)
  if text then save(g, text) end
  g:signal "HUP"
  assert.is_truthy(wait.for_true(function() return times(g, outcome) > before end, 10))
end

local function metric(g, name)
  local port = tonumber(g:output():match("admin on http://[^\n]*:(%d+)"))
  return tonumber(http.get(port, "/metrics").body:match("moonlatch_" .. name:gsub("%p", "%%%0") .. " (%-?%d+)"))
end

-- A call that is answered later.
local function begin(client, name, req)
  local uuid = "begun" .. math.random(1 << 40)
  client:send { rpc = name, req = req, uuid = uuid }
  return uuid
end

local function finish(client, uuid)
  local answer, err = client:wait(function(m) return m.uuid == uuid end)
  if not answer then return nil, err end
  if answer.error ~= nil then return nil, answer.error end
  return answer.resp
end

describe("reload", function()
  after_each(gateway.stop_all)

  it("runs the new script for the sockets that are there", function()
    local g = start()
    local ann = token.login(g.port, { query = "name=ann" })
    assert.equal("one, ann", ann:rpc("greet"))
    assert.is_true(ann:subscribe("room"))
    reload(g, script "two")
    assert.equal("two, ann", ann:rpc("greet"))
    assert.is_truthy(g:log():find('msg="script reloaded" site=s@2', 1, true))
    local ok, err = ann:subscribe("no-two")
    assert.same({ nil, "two" }, { ok, err })
    ann:publish("room", "still a member")
    assert.equal("still a member", ann:message("room"))
    assert.equal("two, bob", token.login(g.port, { query = "name=bob" }):rpc("greet"))
    assert.equal(2, metric(g, 'script_generation{site="s"}'))
  end)

  it("lets running calls, questions to clients and delays end on the old one", function()
    local g = start()
    local ann = token.login(g.port, { query = "name=ann" })
    local slow, ask = begin(ann, "slow", 0.4), begin(ann, "ask")
    local _, _, question = ann:call()
    assert.is_true(ann:rpc("later"))
    reload(g, script "two")
    assert.equal("two, ann", ann:rpc("greet"))
    local name, greeting = ann:call()
    assert.same({ "later", "one" }, { name, greeting })
    ann:answer(question, { data = "ann" })
    assert.equal("ann one", finish(ann, ask))
    assert.equal("one", finish(ann, slow))
  end)

  it("keeps what the script noted on sockets, as far as JSON can hold it", function()
    local g = start { gateway = { limits = { script_reload = "5s", script_grace = 0 } } }
    local ann = token.login(g.port, { query = "name=ann" })
    local bob = token.login(g.port, { query = "name=bob" })
    local mark = { n = 1, list = { "x", { deep = true } } }
    assert.same({ mark = mark, fn = "function" }, ann:rpc("mark", mark))
    ann:rpc("mark", mark)
    bob:rpc("mark", "bob's")
    reload(g, script "two")
    assert.same({ mark = mark, fn = "nil" }, ann:rpc "mark")
    ann:rpc("mark", "newer")
    for i = 1, 12 do reload(g, script("later" .. i)) end -- bob is not touched, and the one that knew him is gone
    assert.is_true(g:wait_log('msg="script reloaded" site=s@14'))
    assert.same({ mark = "bob's", fn = "nil" }, bob:rpc "mark")
    assert.same({ mark = "newer", fn = "nil" }, ann:rpc "mark")
  end)

  it("changes nothing when the new script is wrong, and says why", function()
    local g = start()
    local ann = token.login(g.port, { query = "name=ann" })
    local failed = 'msg="reload failed"'
    reload(g, "return {\n  controllers = 5,\n}", failed)
    assert.is_truthy(g:log():find("scripts/s/init.lua: site.controllers is a number, but must be a table", 1, true))
    reload(g, "local x =\n", failed)
    assert.is_truthy(g:log():find("scripts/s/init.lua:2: unexpected symbol near <eof>", 1, true))
    reload(g, "while true do end", failed)
    assert.is_truthy(g:log():find("scripts/s/init.lua:1: budget: ran longer than", 1, true))
    reload(g, "return { setup = function() error('no') end }", failed)
    assert.is_truthy(g:log():find("scripts/s/init.lua:1: no", 1, true))
    tmp.write(g.dir .. "/conf/sites/s.lua", "return { pat = 5 }")
    reload(g, script "two", failed)
    assert.is_truthy(g:log():find("sites/s.lua:1: unknown key 'pat'; did you mean 'path'?", 1, true))
    assert.equal("one, ann", ann:rpc("greet"))
    assert.equal(1, ann:rpc("count"))
    assert.equal(1, metric(g, 'script_generation{site="s"}'))
  end)

  it("takes in the options of the conf, and says what needs a restart", function()
    local g = start()
    local ann = token.login(g.port, { query = "name=ann" })
    assert.is_false(ann:rpc("option"))
    tmp.write(g.dir .. "/conf/sites/s.lua", 'return { path = "/", options = { word = "new" } }')
    reload(g)
    assert.equal("new", ann:rpc("option"))
    assert.is_nil(g:log():find("needs a restart", 1, true))
    tmp.write(g.dir .. "/conf/sites/s.lua", 'return { path = "/other", options = { word = "newer" } }')
    reload(g)
    assert.equal("newer", ann:rpc("option"))
    assert.is_truthy(g:log():find("its conf has changed in more than options: that needs a restart", 1, true))
  end)

  it("opens sites that are new", function()
    local g = start()
    tmp.write(g.dir .. "/conf/sites/shop.lua", "return {}")
    tmp.write(g.dir .. "/scripts/shop/init.lua", script "shop")
    g:signal "HUP"
    assert.is_true(g:wait_log('msg="site opened" site=shop'))
    local bob = token.login(g.port, { query = "name=bob", token_path = "/shop/socket/token", path = "/shop/sockets" })
    assert.equal("shop, bob", bob:rpc("greet"))
    tmp.write(g.dir .. "/conf/sites/bad.lua", "return {}")
    tmp.write(g.dir .. "/scripts/bad/init.lua", "return 5")
    g:signal "HUP"
    assert.is_true(g:wait_log("scripts/bad/init.lua: must return a table"))
    assert.equal(404, http.get(g.port, "/bad/socket/token").status)
    assert.equal("shop, bob", bob:rpc("greet"))
  end)

  it("takes one site in a turn, so that others wait for no more than one", function()
    local sites, scripts = { s = { path = "/" } }, { s = script "one" }
    for i = 1, 8 do sites["loop" .. i], scripts["loop" .. i] = {}, "return {}" end
    local g = gateway.start { sites = sites, scripts = scripts }
    local ann = token.login(g.port, { query = "name=ann" })
    for i = 1, 8 do tmp.write(g.dir .. "/scripts/loop" .. i .. "/init.lua", "while true do end") end
    g:signal "HUP"
    local longest, ends = 0, wait.now() + 10
    repeat
      local before = wait.now()
      assert.is_truthy(ann:rpc "greet")
      longest = math.max(longest, wait.now() - before)
    until times(g, "budget: ran longer than 80 ms") == 8 or wait.now() > ends
    assert.equal(8, times(g, "budget: ran longer than 80 ms"))
    assert.is_true(longest < 0.35, longest) -- of seven tenths of a second in all
  end)

  it("stops the ticking of the old one", function()
    local g = start()
    local ann = token.login(g.port, { query = "name=ann" })
    assert.is_truthy(wait.for_true(function() return ann:rpc("ticks") > 2 end, 5))
    save(g, script "two")
    reload(g)
    assert.is_truthy(wait.for_true(function() return ann:rpc("ticks") > 2 end, 5))
  end)

  it("goes back when the new one raises again and again", function()
    local g = start { gateway = { admin = { listen = "127.0.0.1:0" }, limits = { script_reload = "5s" } } }
    local ann = token.login(g.port, { query = "name=ann" })
    ann:rpc("count")
    reload(g, script "bad")
    for _ = 1, 9 do assert.is_truthy(select(2, ann:rpc("fail"))) end
    assert.equal(2, metric(g, 'script_generation{site="s"}'))
    ann:rpc("fail")
    assert.is_true(g:wait_log('msg="script rolled back" site=s@2 to=s@1'))
    assert.is_true(ann:rpc("fail"))
    assert.equal(2, ann:rpc("count")) -- as it was
    assert.is_truthy(wait.for_true(function() return ann:rpc("ticks") > 2 end, 5))
    local ticks = ann:rpc("ticks")
    assert.is_truthy(wait.for_true(function() return ann:rpc("ticks") > ticks end, 5))
    reload(g, script "three")
    assert.equal("three, ann", ann:rpc("greet"))
    assert.is_truthy(g:log():find('msg="script reloaded" site=s@3', 1, true))
  end)

  it("does not go back for a site that was no better before", function()
    local g = start { scripts = { s = script "bad" } }
    local ann = token.login(g.port, { query = "name=ann" })
    for _ = 1, 12 do ann:rpc("fail") end
    reload(g)
    for _ = 1, 30 do ann:rpc("fail") end
    assert.equal(2, metric(g, 'script_generation{site="s"}'))
    assert.is_nil(g:log():find("script rolled back", 1, true))
  end)

  it("watches the files with --dev", function()
    local g = start { args = { "--dev" } }
    local ann = token.login(g.port, { query = "name=ann" })
    save(g, script "two")
    assert.is_true(g:wait_log('msg="script reloaded" site=s@2'))
    assert.equal("two, ann", ann:rpc("greet"))
    save(g, "return {")
    assert.is_true(g:wait_log("scripts/s/init.lua:1: unexpected symbol near <eof>"))
    tmp.write(g.dir .. "/scripts/s/controllers/extra.lua", "return function() return 'extra' end")
    assert.is_truthy(wait.for_true(function() return times(g, 'msg="reload failed"') >= 1 end, 5))
    save(g, script "three")
    assert.is_truthy(wait.for_true(function() return ann:rpc("greet") == "three, ann" end, 5))
    assert.equal("extra", ann:rpc("extra"))
    local reloads = times(g, 'msg="script reloaded"')
    tmp.write(g.dir .. "/scripts/s/controllers/extra.lua", "return function() return 'more' end")
    assert.is_truthy(wait.for_true(function() return times(g, 'msg="script reloaded"') > reloads end, 5))
    assert.equal("more", ann:rpc("extra"))
    tmp.write(g.dir .. "/conf/sites/s.lua", 'return { path = "/", options = { word = "seen" } }')
    assert.is_truthy(wait.for_true(function() return ann:rpc("option") == "seen" end, 5))
  end)

  it("cancels what an older one began when script_grace is over", function()
    local g = start { gateway = { limits = { script_reload = "5s", script_grace = "200ms" } } }
    local ann = token.login(g.port, { query = "name=ann" })
    local slow = begin(ann, "slow", 60)
    reload(g, script "two")
    reload(g, script "three")
    assert.is_true(g:wait_log('msg="old script ended" site=s@1 tasks=1'))
    assert.same({ nil, "cancelled" }, { finish(ann, slow) })
    assert.equal("three, ann", ann:rpc("greet"))
  end)

  it("drops no socket and grows no memory, however often, under load", function()
    local g = start()
    local all = {}
    for i = 1, 10 do all[i] = assert(token.login(g.port, { query = "name=c" .. i })) end
    local function round(n)
      local texts = { script "one", script "two" }
      for i = 1, n do
        local c = all[i % #all + 1]
        local slow = begin(c, "slow", 0.01)
        reload(g, texts[i % 2 + 1])
        c:rpc("mark", i)
        assert.is_truthy(assert(c:rpc("greet")):find("^%a+, c"))
        assert(finish(c, slow))
      end
    end
    round(50)
    local before = g:rss()
    round(tonumber(os.getenv "RELOADS" or 150))
    assert.is_true(g:rss() - before < 8 * 1048576, ("%d more"):format(g:rss() - before))
    for _, c in ipairs(all) do assert.is_truthy(c:rpc("greet")) end
    assert.is_nil(g:log():find("reload failed", 1, true))
  end)
end)

describe("a script that runs out of memory again and again", function()
  after_each(gateway.stop_all)

  local HOARD = [[
    local site, kept = {}, {}
    function site.authentication() return { name = "x" } end
    site.controllers = {
      keep = function() while true do kept[#kept + 1] = ("x"):rep(50000) .. #kept end end,
      kept = function() return #kept end,
      slow = function() require "moonlatch.time".sleep(0.3); return #kept > 0 end,
      mark = function(_, value, socket) socket.mark = value or socket.mark; return socket.mark end,
    }
    return site]]

  local function start_hoard()
    local g = start { scripts = { s = HOARD }, sites = { s = { path = "/", limits = { script_memory = "2M" } } },
      gateway = { admin = { listen = "127.0.0.1:0" }, limits = { script_reload = "5s", script_time = "5s" } } }
    return g, assert(token.login(g.port))
  end

  local function starve(c, count)
    for _ = 1, count do assert.are.equal("script_memory", select(2, c:rpc "keep")) end
  end

  it("is made anew, and its sockets and what it had begun stay", function()
    local g, c = start_hoard()
    c:rpc("mark", "mine")
    starve(c, 2)
    assert.is_true(c:rpc "kept" > 10)
    local slow = begin(c, "slow")
    starve(c, 1)
    assert.is_true(g:wait_log('msg="script recreated" site=s@2', 2))
    assert.are.same({ 0, "mine" }, { (c:rpc "kept"), (c:rpc "mark") })
    assert.is_true(finish(c, slow))
    starve(c, 4) -- and not time and again
    assert.is_true(c:rpc "kept" > 10)
    assert.are.equal(1, times(g, "script recreated"))
    assert.are.equal(1, metric(g, 'script_reloads_total{result="recreated",site="s"}'))
  end)

  it("stays as it is when its files are broken", function()
    local g, c = start_hoard()
    save(g, "return {")
    starve(c, 3)
    assert.is_true(g:wait_log('msg="script not recreated" site=s', 2))
    assert.is_true(c:rpc "kept" > 10)
  end)
end)
