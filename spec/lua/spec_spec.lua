-- SPDX-License-Identifier: MIT
-- moonlatch.spec itself: each example must hold without a server, and with MOONLATCH_LIVE against a real gateway.

local spec = require "moonlatch.spec"
local tmp = require "spec.support.tmp"

local SITE = [[
local site, state = {}, { log = {} }
local log, time, json = require "moonlatch.log", require "moonlatch.time", require "moonlatch.json"
local http, cache, task, redis = require "moonlatch.http", require "moonlatch.cache", require "moonlatch.task", require "moonlatch.redis"
local crypto = require "moonlatch.crypto"

function site.customMiddleware(req, res)
  if req.query.teapot then res:status(418):json { short = true } end
end

function site.authentication(req)
  if req.query.fail then return nil, "no luck" end
  if req.query.raise then error "raised" end
  if req.query.name then return { name = req.query.name, ip = req.ip, cookie = req.cookies.c, header = req.headers["x-h"] } end
end

local function note(...) state.log[#state.log + 1] = table.concat({ ... }, " ") end

site.controllers = {
  echo = function(_, data) return data end,
  nothing = function() end,
  null = function() return json.null end,
  refuse = function() return nil, { code = 7 } end,
  raise = function() error "broken" end,
  spin = function() while true do end end,
  loop = function() while true do pcall(function() while true do end end) end end,
  undeclared = function() return undeclared_name end,
  slow = function(_, seconds) time.sleep(seconds); return "slept" end,
  ask = function(_, name, socket)
    local value, code, detail = socket:rpc(name, { n = 1 }, { timeout = 0.2 })
    return { value = value, code = code, detail = detail }
  end,
  join = function(_, channel, socket) return { socket:subscribe(channel) } end,
  kick = function(_, code, socket) return socket:close(code, "kicked") end,
  noted = function() local all = state.log; state.log = {}; return all end,
  fetch = function(_, q)
    local res, code = http.get(site.options.api .. "/users/{id}", { params = { id = q.id }, query = { full = 1 }, timeout = q.timeout })
    if not res then return nil, code end
    return { res.status, res:json(), res.headers["x-served"] }
  end,
  post = function(_, q) return (http.post(site.options.api .. "/in", { json = q })).status end,
  count = function(_, key) return cache.incr(key, 1, 0.3) end,
  both = function()
    return task.all { function() time.sleep(0.05); return 1 end, function() return 2 end }
  end,
  visits = function() local n, code = redis.call("INCR", "visits"); if not n then return nil, code end; return n end,
  pipeline = function() return (redis.pipeline { { "SET", "a", 1 }, { "GET", "a" }, { "GET", "b" } }) end,
  script = function() return redis.eval("return {KEYS[1] ~= 'a', ARGV[1], redis.call('INCRBY', KEYS[1], 5)}", { "a" }, { "x" }) end,
  history = function(_, channel) return { require "moonlatch.core" } and channel end,
  kept = function(_, channel) return { (site.server:history(channel)) } end,
  say = function() log.info("said", { n = 1 }); print("printed", 5); return true end,
  field = function(_, value, socket) local old = socket.note; socket.note = value; return old end,
  who = function(_, channel) return #site.server:channelSockets(channel) end,
  digest = function(_, text)
    return { crypto.sha256(text), crypto.sha1(text), crypto.hmac_sha256("key", text), crypto.base64_encode(text) }
  end,
  numbers = function() return { 1, 1.5, 1700000000000000, "1", 1 // 1, 10 / 2 } end,
  later = function(_, seconds, socket) site.server:delay(seconds, function() socket:rpc("later", {}) end); return true end,
  deep = { er = { name = function() return "found" end } },
}
site.events = {
  echo = function(_, ...) return ... end,
  nothing = function() end,
  bytes = function(_, b) return json.bytes(b.bytes:reverse()), { deep = b } end,
  join = function(socket, room) return socket:subscribe(room) end,
  say = function(socket, room, ...) return site.server:to(room):except(socket):emit("said", ...) end,
  all = function(_, ...) return site.server:emit("said", ...) end,
  me = function(socket) return socket.auth.name, socket.handshake.auth or json.null, socket.endpoint end,
  hello = function(socket, ...) return socket:emit("hello", ...) end,
  quit = function(socket) socket:close(4000, "bye") end,
  raise = function() error "in an event" end,
}
site.routes = { user = { read = function(req, res) res:status(req.query.code or 200):json { id = req.params.id } end } }

function site.filter(socket, channel, message)
  if channel ~= "filtered" then return true end
  if socket.auth.name == "bob" then return nil end
  message.secret = nil
  return message
end

function site.setup(server)
  site.server = server
  server:on("connect", function(socket) note("connect", socket.auth and socket.auth.name or "?") end)
  server:on("disconnect", function(_, code) note("disconnect", code) end)
  server:on("occupied", function(channel) note("occupied", channel) end)
  server:on("vacated", function(channel) note("vacated", channel) end)
  server:on("subscribe", function(socket, data)
    if data.channel == "slow" then time.sleep(0.1) end
    if data.channel == "silent" then return end
    return data.channel ~= "closed" or socket.auth.name == "ann", "members only"
  end)
  server:before("publish", function(_, data)
    if data.data == "bad" then return false, "bad word" end
    if data.data == "shout" then return { data = "SHOUT" } end
  end)
  server:on("message", function(socket, data, binary) socket:send("> " .. data, binary) end)
end

return site
]]

local live = spec.live

describe("moonlatch.spec " .. (live and "against a gateway" or "without a server"), function()
  local dir, site, ann, api_seen

  local function start(options)
    options = options or {}
    options.conf = { path = "/s", endpoints = { { path = "/sockets", transport = "sockjs", dialect = "token" },
      { path = "/ws", transport = "websocket", dialect = "token" },
      { path = "/raw", transport = "websocket", dialect = "raw", auth = "none" },
      { path = "/asked", transport = "websocket", dialect = "raw", auth = "request" } },
      socketio = { namespaces = { "/s", "/t" } },
      channels = { ["kept*"] = { history = { size = 2, ttl = "5m" } } } }
    options.options = { api = spec.backend(function(req)
      api_seen = req
      if req.path == "/users/never" then return nil end
      return { status = 201, headers = { ["X-Served"] = "yes" }, json = { id = req.path, full = req.query.full } }
    end) }
    site = spec.site("s", options)
    return site
  end

  setup(function()
    dir = tmp.dir()
    tmp.write(dir .. "/s/init.lua", SITE)
    tmp.write(dir .. "/s/controllers/extra.lua", "return { one = function() return 'from a file' end }")
  end)
  teardown(function() tmp.remove(dir) end)

  -- busted reads the environment of the process; so do we, once for all.
  local getenv = os.getenv
  before_each(function()
    os.getenv = function(name) -- luacheck: ignore 122
      if name == "MOONLATCH_SCRIPTS" then return dir end
      return getenv(name)
    end
    start()
    ann = assert(site:connect { query = { name = "ann" } })
  end)
  after_each(function()
    os.getenv = getenv -- luacheck: ignore 122
    site:close { leaks = true }
  end)

  local function enter(name, more)
    local options = { query = { name = name } }
    for key, value in pairs(more or {}) do options[key] = value end
    return assert(site:connect(options))
  end

  it("calls controllers", function()
    assert.same({ a = { 1, 2, { b = "x" } } }, ann:rpc("echo", { a = { 1, 2, { b = "x" } } }))
    assert.same({ nil, nil }, { ann:rpc "nothing" })
    assert.equal(spec.json.null, (ann:rpc "null"))
    assert.same({ nil, { code = 7 } }, { ann:rpc "refuse" })
    assert.equal("found", ann:rpc "deep.er.name")
    assert.equal("from a file", ann:rpc "extra.one")
    assert.same({ nil, "Function not found" }, { ann:rpc "deep.er" })
    assert.equal(7, ann:rpc("user.read", { id = 7 }).id)
    assert.same({ nil, { id = 7, _code = 404, _headers = { ["content-type"] = "application/json" } } },
      { ann:rpc("user.read", { id = 7, code = 404 }) })
    local numbers = ann:rpc "numbers"
    assert.same({ "integer", "float", "integer" }, { math.type(numbers[1]), math.type(numbers[2]), math.type(numbers[3]) })
  end)

  it("shows errors of the script, with file and line", function()
    local value, err = ann:rpc "raise"
    assert.is_nil(value)
    assert.same({ "Internal error", "script_error" }, { err.message, err.code })
    ann:rpc "undeclared"
    assert.same({ nil, "script_timeout" }, { ann:rpc "loop" })
    assert.same({ nil, "script_timeout" }, { ann:rpc "spin" })
    local seen = {}
    for _, line in ipairs(site.log) do
      if line.level == "error" then seen[#seen + 1] = line.text end
    end
    assert.truthy(seen[1]:find("^scripts/s/init.lua:%d+: broken$"))
    assert.truthy(seen[2]:find("^scripts/s/init.lua:%d+: variable 'undeclared_name' is not declared$"))
    for i = 3, 4 do assert.truthy(seen[i]:find("^scripts/s/init.lua:%d+: budget: ran longer than 50 ms$"), seen[i]) end
    assert.equal(err.id, site.log[#site.log - 3].id)
  end)

  it("logs in", function()
    assert.same({ nil, 403, { error = "Forbidden" } }, { site:token {} })
    assert.same({ nil, 500, { error = "no luck" } }, { site:token { query = { fail = 1 } } })
    assert.same({ nil, 500, { error = "Internal error" } }, { site:token { query = { raise = 1 } } })
    assert.same({ nil, 418, { short = true } }, { site:token { query = { teapot = 1 } } })
    assert.same({ nil, "403 Forbidden" }, { site:connect {} })
    local c = enter("bob", { cookies = { c = "v" }, headers = { ["X-H"] = "w" }, ip = "192.0.2.7" })
    assert.same({ name = "bob", ip = "192.0.2.7", cookie = "v", header = "w" }, c.auth)
    assert.same({ any = { "thing" } }, assert(site:connect { auth = { any = { "thing" } } }).auth)
  end)

  it("keeps channels", function()
    local bob = enter("bob", { endpoint = "/ws" })
    assert.is_true(ann:subscribe "room")
    assert.is_true(bob:subscribe "room")
    assert.same({ "room" }, site:channels())
    assert.same(2, #site:members "room")
    assert.equal(2, #site:sockets())
    assert.is_true(bob:publish("room", { n = 1 }))
    assert.same({ channel = "room", data = { n = 1 } }, ann:receive(5))
    assert.same({ channel = "room", data = { n = 1 } }, bob:receive(5))
    assert.same({ nil, "bad word" }, { bob:publish("room", "bad") })
    bob:publish("room", "shout")
    assert.equal("SHOUT", ann:receive(5).data)
    bob:messages()
    assert.is_true(bob:unsubscribe "room")
    site:publish("room", "outside")
    assert.equal("outside", ann:receive(5).data)
    ann:broadcast "all"
    assert.equal("all", ann:receive(5).data)
    assert.same({}, bob:messages())
    assert.same({ nil, "members only" }, { bob:subscribe "closed" })
    assert.is_true(ann:subscribe "closed")
    assert.same({ nil, "bad_channel" }, { ann:subscribe "a b" })
    assert.same({ nil, "Forbidden" }, { ann:subscribe "$x" })
    assert.same({ nil, "Forbidden" }, { ann:subscribe "silent" })
    assert.truthy(site.log[1].text:find('a listener of "subscribe", scripts/s/init.lua:%d+, returned nothing, which refuses'))
  end)

  it("filters for each receiver", function()
    local bob, eve = enter "bob", enter "eve"
    for _, c in ipairs { ann, bob, eve } do c:subscribe "filtered" end
    ann:publish("filtered", { text = "x", secret = 1 })
    assert.same({ text = "x" }, ann:receive(5).data)
    assert.same({ text = "x" }, eve:receive(5).data)
    assert.same({}, bob:messages())
  end)

  it("keeps the order of what a socket asks, while a listener waits", function()
    local slow = ann:start("slow", 0.2)
    ann:subscribe "slow"
    ann:publish("slow", 1)
    assert.equal(1, ann:receive(5).data)
    assert.equal("slept", slow:result())
    assert.is_true(slow.done)
  end)

  it("answers calls of the script", function()
    ann:on("name", function(args) return { args.n, "ann" } end)
    ann:on("deny", function() return nil, "no" end)
    assert.same({ value = { 1, "ann" } }, ann:rpc("ask", "name"))
    assert.same({ code = "refused", detail = "no" }, ann:rpc("ask", "deny"))
    assert.same({ code = "timeout" }, ann:rpc("ask", "nobody"))
    assert.same({ true }, ann:rpc("join", "room"))
    assert.equal(1, #site:members "room")
  end)

  it("tells the script of sockets and channels", function()
    ann:rpc "noted"
    local bob = enter "bob"
    bob:subscribe "r"
    bob:close()
    site:pass(0.05)
    local noted = ann:rpc "noted"
    assert.same({ "connect bob", "occupied r" }, { noted[1], noted[2] })
    table.sort(noted)
    assert.truthy(table.concat(noted, ","):find("disconnect 1000", 1, true))
    assert.truthy(table.concat(noted, ","):find("vacated r", 1, true))
    assert.equal(5, (ann:rpc("field", 5) == nil and ann:rpc("field", 6)))
    ann:rpc("kick", 4001)
    assert.same({ nil, "closed" }, { ann:receive(5) })
    assert.same({ code = 4001, reason = "kicked" }, ann.closed)
  end)

  it("speaks raw endpoints", function()
    local raw = assert(site:connect { endpoint = "/raw" })
    raw:send "hello"
    assert.same({ "> hello", false }, { raw:receive(5) })
    raw:send("\1\2", true)
    assert.same({ "> \1\2", true }, { raw:receive(5) })
    assert.same({ nil, "timeout" }, { raw:receive(0.05) })
    assert.equal("eve", assert(site:connect { endpoint = "/asked", query = { name = "eve" } }).auth.name)
    assert.truthy((select(2, site:connect { endpoint = "/asked" })):find "^403")
  end)

  it("speaks Socket.IO", function()
    local bob = enter("bob", { namespace = true, credentials = { key = 1 } })
    local eve = enter("eve", { namespace = "/t" })
    assert.same({ 1, "zwei", { three = { 3 } } }, { bob:emitWithAck("echo", 1, "zwei", { three = { 3 } }) })
    assert.same({ n = 0 }, table.pack(bob:emitWithAck "nothing"))
    assert.same({ "bob", { key = 1 }, "/s" }, { bob:emitWithAck "me" })
    assert.same({ "eve", spec.json.null, "/t" }, { eve:emitWithAck "me" })
    local turned, nested = bob:emitWithAck("bytes", spec.json.bytes "\0ab")
    assert.same({ "ba\0", "\0ab" }, { turned.bytes, nested.deep.bytes })
    assert.same({ nil, "Function not found" }, { bob:rpc "nowhere" })
    assert.equal("from a file", bob:rpc "extra.one")
    assert.equal("script_error", (bob:emitWithAck "raise").code)
    for _, c in ipairs { bob, eve } do assert.is_true((c:emitWithAck("join", "room"))) end
    assert.is_true(ann:subscribe "room")
    assert.is_true((bob:emitWithAck("say", "room", "hi", { 1 })))
    assert.same({ event = "said", args = { "hi", { 1 } } }, eve:receive(5))
    assert.same({ channel = "room", data = { event = "said", args = { "hi", { 1 } } } }, ann:receive(5))
    assert.same({}, bob:messages())
    bob:emit("all", 5)
    assert.same({ event = "said", args = { 5 } }, bob:receive(5))
    assert.same({ event = "said", args = { 5 } }, eve:receive(5))
    site:publish("room", "news")
    assert.same({ event = "room", args = { "news" } }, bob:receive(5))
    bob:emit("hello", spec.json.bytes "x")
    assert.equal("x", bob:receive(5).args[1].bytes)
    bob:on("name", function(args) return { args.n, "bob" } end)
    assert.same({ value = { 1, "bob" } }, bob:rpc("ask", "name"))
    bob:emit "quit"
    assert.same({ nil, "closed" }, { bob:receive(5) })
    assert.same({ code = 1000, reason = "io server disconnect" }, bob.closed)
    assert.same({ nil, "Forbidden" }, { site:connect { namespace = true } })
    assert.same({ nil, "no luck" }, { site:connect { namespace = true, query = { fail = 1 } } })
  end)

  it("gives scripts backends", function()
    assert.same({ 201, { id = "/users/a%2Fb", full = "1" }, "yes" }, ann:rpc("fetch", { id = "a/b" }))
    assert.same({ "GET", "/users/a%2Fb" }, { api_seen.method, api_seen.path })
    assert.equal(201, ann:rpc("post", { x = { 1 } }))
    assert.same({ "POST", { x = { 1 } } }, { api_seen.method, api_seen.json })
    assert.same({ nil, "timeout" }, { ann:rpc("fetch", { id = "never", timeout = 0.1 }) })
  end)

  it("gives scripts the cache, tasks and digests", function()
    assert.equal(1, ann:rpc("count", "k"))
    assert.equal(2, ann:rpc("count", "k"))
    site:pass(0.4)
    assert.equal(1, ann:rpc("count", "k"))
    assert.same({ 1, 2 }, ann:rpc "both")
    assert.same({ "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "a9993e364706816aba3e25717850c26c9cd0d89d",
      "9c196e32dc0175f86f4b1cb89289d6619de6bee699e4c378e68309ed97a1a6ab", "YWJj" }, ann:rpc("digest", "abc"))
    ann:rpc "say"
    local n = #site.log
    local said, printed = site.log[n - 1], site.log[n]
    assert.same({ "info", "said", "info", "printed\t5" }, { said.level, said.text, printed.level, printed.text })
  end)

  it("keeps histories", function()
    ann:subscribe "kept1"
    for i = 1, 3 do site:publish("kept1", i) end
    local first = ann:receive(5)
    assert.same({ 1, 1 }, { first.data, first.offset })
    assert.same({ { { offset = 2, message = 2 }, { offset = 3, message = 3 } } }, ann:rpc("kept", "kept1"))
  end)

  it("says that there is no Redis, or gives one", function()
    assert.same({ nil, "unavailable" }, { ann:rpc "visits" })
    site:close()
    start { store = "redis" }
    ann = enter "ann"
    assert.same({ 1, 2 }, { ann:rpc "visits", (ann:rpc "visits") })
    assert.same({ "OK", "1", spec.json.null }, ann:rpc "pipeline")
    assert.same({ 1, "x", 6 }, ann:rpc "script")
  end)

  it("tells of a task that is left behind", function()
    local c = enter "bob"
    c:start("slow", 60)
    site:settle()
    local ok, err = pcall(site.close, site)
    assert.is_false(ok)
    assert.truthy(err:find("the site left something behind", 1, true))
    start()
    enter("bob"):rpc("later", 60)
    ok, err = pcall(site.close, site)
    assert.is_false(ok)
    assert.truthy(err:find("delay", 1, true))
  end)

  it("does not load what the gateway would not", function()
    for source, problem in pairs { ["return 5"] = "scripts/s2/init.lua: must return a table",
      ["return { filter = 5 }"] = "scripts/s2/init.lua: site.filter is a number, but must be a function",
      ["local x ="] = "scripts/s2/init.lua:1: unexpected symbol near <eof>",
      ["require 'moonlatch.time'.sleep(1) return {}"] = "scripts/s2/init.lua:1: time.sleep may not wait while the script is loaded",
      ["x = 5 return {}"] = "scripts/s2/init.lua:1: variable 'x' is not declared: say local" } do
      tmp.write(dir .. "/s2/init.lua", source)
      local ok, err = pcall(spec.site, "s2")
      assert.is_false(ok)
      assert.truthy(err:find(problem, 1, true), err)
    end
  end)

  if live then return end

  it("takes no time for ten minutes", function()
    local began, seen = os.clock(), false
    ann:on("later", function() seen = true end)
    ann:rpc("later", 600)
    site:pass(599)
    assert.is_false(seen)
    site:pass(2)
    assert.is_true(seen)
    assert.is_true(os.clock() - began < 0.05)
  end)

  it("raises deadlock where nothing can end a wait", function()
    local ok, err = pcall(ann.receive, ann)
    assert.is_false(ok)
    assert.truthy(err:find("deadlock: nothing can end this wait for a message", 1, true))
  end)

  it("names what is left behind, and where it was made", function()
    ann:rpc("later", 60)
    ann:start("slow", 60)
    ann:start("ask", "nobody")
    local ok, err = pcall(site.close, site)
    assert.is_false(ok)
    assert.truthy(err:find("a delay is set at scripts/s/init.lua:%d+"))
    assert.truthy(err:find("a task of rpc waits at scripts/s/init.lua:%d+"))
    assert.truthy(err:find('a call of "nobody" is not answered, made at scripts/s/init.lua:%d+'))
  end)
end)
