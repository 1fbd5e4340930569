-- SPDX-License-Identifier: MIT
-- Scripts that mean harm, each run by the real binary while another site is asked again and again: nothing they do
-- holds the loop for long, ends the process, or takes more memory than the site has. What sandbox_test.c and
-- sandbox_spec.lua have is not here again: these go through the modules, the sockets and the tasks.
--
-- luacheck: no max line length
-- With SPEC_VERBOSE set each row says how long the other site waited at most, and how it ended.

local gateway = require "spec.support.gateway"
local token = require "spec.support.token"
local wait = require "spec.support.wait"

-- What the rows of the tables below may use: server, socket, json, task, cache, crypto, http, time, log.
local HOSTILE = [[
local site, shared = {}, {}
local modules = { json = "json", task = "task", cache = "cache", crypto = "crypto", http = "http", time = "time", log = "log" }
for name, module in pairs(modules) do shared[name] = require("moonlatch." .. module) end
function site.authentication() return { name = "ann" } end
site.controllers = {
  run = function(_, data, socket)
    local env = setmetatable({ server = site.server, socket = socket, shared = shared }, { __index = function(_, key)
      return shared[key] or rawget(_G, key)
    end })
    return assert(load(data, "=hostile", "t", env))()
  end,
  echo = function(_, data) return data end,
  tidy = function() shared.cache.clear() shared.kept = nil return true end,
}
function site.setup(server) site.server = server end
return site
]]

local PEACEFUL = [[
return {
  authentication = function() return { name = "bob" } end,
  controllers = { echo = function(_, data) return data end },
}
]]

local ASAN = gateway.binary():find("asan", 1, true)
-- A turn of the loop may hold a stopped handler (50 ms, in ticks of 10) and what is made of its error.
local LONGEST = ASAN and 0.4 or 0.1
-- A state of 32 MiB and a cache of 16, and what sanitizers put around each piece of them.
local MEMORY = (ASAN and 192 or 64) * 1024 * 1024
-- Memory is measured here: a sanitizer must not keep what was freed.
local SANITIZER = (os.getenv("ASAN_OPTIONS") or "") .. ":quarantine_size_mb=1"

-- What a row may do is bounded, so it may also end by itself: what counts is what it did to others.
local ROWS = {
  -- json
  { "json.encode of a deep table", "local t = {} for _ = 1, 1e6 do t = { t } end return json.encode(t)" },
  { "json.encode of a wide table in a loop", "local t = {} for i = 1, 3e5 do t[i] = i end while true do pcall(json.encode, t) end" },
  { "json.encode of one text a million times", "local s, t = ('\\1'):rep(1e5), {} for i = 1, 1e4 do t[i] = s end return #json.encode(t)" },
  { "json.encode of shared subtables", "local t = 'x' for _ = 1, 40 do t = { t, t } end return json.encode(t)" },
  { "json.encode with keys that grow", "local t = {} for i = 1, 2e5 do t[('k'):rep(i % 100) .. i] = i end while true do pcall(json.encode, t) end" },
  { "json.encode with __pairs and __index that loop", "return json.encode(setmetatable({}, { __pairs = function() while true do end end, __index = function() while true do end end, __len = function() return 1 << 60 end }))" },
  { "json.decode of a deep text", "return json.decode(('['):rep(1e6))" },
  { "json.decode of many empty lists", "while true do pcall(json.decode, '[' .. ('[],'):rep(3e5) .. '[]]') end" },
  { "json.decode of one long number", "while true do pcall(json.decode, '[' .. ('1'):rep(1e6) .. ']') end" },
  { "json.decode of escapes", "local s = '\"' .. ('\\\\u00e9'):rep(1.5e5) .. '\"' while true do json.decode(s) end" },
  { "an answer that is a cycle", "local t = {} t.t = t return t" },
  { "an answer of functions", "return { print, f = function() end }" },
  { "an answer of a million entries", "local t = {} for i = 1, 1e6 do t[i] = i end return t" },
  { "an answer with a __tostring that loops", "return setmetatable({ 1 }, { __tostring = function() while true do end end, __name = ('x'):rep(1e6) })" },

  -- strings
  { "utf8.char of many", "while true do utf8.char(table.unpack({ 65, 66 }, 1, 2)) local t = {} for i = 1, 9e4 do t[i] = 0x7fffffff end pcall(utf8.char, table.unpack(t)) end" },
  { "utf8.codepoint of a long text", "local s = ('x'):rep(1e6) while true do pcall(utf8.codepoint, s, 1, -1) end" },
  { "utf8.offset back and forth", "local s = ('\\u{20ac}'):rep(3e5) while true do utf8.offset(s, 2e5) utf8.offset(s, -2e5) end" },
  { "utf8.len of broken text", "local s = ('\\xe2\\x82'):rep(4e5) while true do utf8.len(s, 1, -1, true) end" },
  { "string.byte of all", "local s = ('x'):rep(1e6) while true do pcall(string.byte, s, 1, 2 ^ 31) end" },
  { "string.byte far off", "while true do pcall(string.byte, 'x', math.mininteger, math.maxinteger) end" },
  { "string.char of many", "local t = {} for i = 1, 9e4 do t[i] = 65 end while true do pcall(string.char, table.unpack(t)) end" },
  { "string.format of wide numbers", "local f = ('%99.99f'):rep(1000) local t = {} for i = 1, 1000 do t[i] = 1e308 end while true do f:format(table.unpack(t)) end" },
  { "string.format %q of long texts", "local s = ('\\0\"\\n'):rep(1e5) while true do pcall(string.format, '%q', s) end" },
  { "string.format %a and %g", "while true do ('%a %g %e %i'):rep(100):format(table.unpack((function() local t = {} for i = 1, 400 do t[i] = i end return t end)())) end" },
  { "string.pack of many", "local f, t = ('i16'):rep(5e4), {} for i = 1, 5e4 do t[i] = i end while true do pcall(string.pack, f, table.unpack(t)) end" },
  { "string.pack that aligns", "while true do pcall(string.pack, ('!16 Xi16 b'):rep(1e4), table.unpack((function() local t = {} for i = 1, 1e4 do t[i] = 1 end return t end)())) end" },
  { "string.packsize", "local f = ('c2147483647'):rep(9e4) while true do pcall(string.packsize, f) end" },
  { "string.unpack of many", "local f, s = ('b'):rep(9e4), ('x'):rep(9e4) while true do pcall(string.unpack, f, s) end" },
  { "gsub with a function that raises", "local s = ('x'):rep(1e6) while true do pcall(string.gsub, s, 'x', error) pcall(string.gsub, s, '.', function(c) if c == 'y' then error(c) end end) end" },
  { "gsub with anchors and empty matches", "local s = ('x'):rep(5e5) while true do pcall(string.gsub, s, '', 'y') pcall(string.gsub, s, '%f[%w]', 'z') end" },
  { "gsub in gsub in gsub", "local function f(s) return (s:gsub('.', f)) end while true do pcall(f, ('x'):rep(1e3)) end" },
  { "gmatch of position captures", "for _ in (('x'):rep(1e6)):gmatch('()()()()()()') do end while true do end" },
  { "a pattern of brackets", "local p = '[' .. ('^%w%s%d'):rep(1e4) .. ']*' while true do pcall(string.find, ('x'):rep(1e4), p) end" },
  { "a pattern of %b", "local s = ('(('):rep(5e5) while true do s:find('%b()') s:find('.-%b()') end" },
  { "a pattern with back references", "local s = ('ab'):rep(2e5) while true do s:find('(.*)%1%1$') end" },
  { "a plain search for the last byte", "local s = ('a'):rep(1e6 - 1) local n = ('a'):rep(5e5) .. 'b' while true do s:find(n, 1, true) end" },
  { "lengths and comparisons of long texts", "local a, b = ('a'):rep(1e6), ('a'):rep(1e6 - 1) .. 'b' while true do local _ = a < b, a == b, #a end" },
  { "strings that collide", "local t = {} for i = 1, 3e5 do t[('k'):rep(50) .. i .. ('k'):rep(50)] = i end while true do end" },
  { "tostring of large numbers", "while true do local _ = tostring(2 ^ 1000) .. 1e308 .. math.pi end" },
  { "tonumber of a long text", "local s = ('1'):rep(1e6) while true do tonumber(s) tonumber(s, 36) tonumber(' ' .. s:sub(2)) end" },
  { "upper, lower, reverse of long texts", "local s = ('x'):rep(1e6) while true do s:upper() s:lower() s:reverse() end" },

  -- tables and calls
  { "a sort with an inconsistent order", "local t = {} for i = 1, 1e5 do t[i] = i end while true do pcall(table.sort, t, function() return math.random() < 0.5 end) end" },
  { "a sort whose order raises", "local t = {} for i = 1, 1e5 do t[i] = i % 7 end while true do pcall(table.sort, t, function(a, b) if a == b then error 'x' end return a < b end) end" },
  { "a sort of what compares by metamethods", "local m = { __lt = function() for _ = 1, 1e6 do end return true end } local t = {} for i = 1, 1e4 do t[i] = setmetatable({}, m) end table.sort(t)" },
  { "unpack in a call in a call", "local t = {} for i = 1, 9e4 do t[i] = i end local function f(...) return select('#', ...), ... end while true do pcall(f, f(table.unpack(t))) end" },
  { "select from the end of many", "local t = {} for i = 1, 9e4 do t[i] = i end local function f(...) for i = 1, select('#', ...) do select(i, ...) end end f(table.unpack(t))" },
  { "table.pack of many", "local t = {} for i = 1, 9e4 do t[i] = i end while true do table.pack(table.unpack(t)) end" },
  { "table.concat with long separators", "local t = {} for i = 1, 1e5 do t[i] = '' end while true do pcall(table.concat, t, ('x'):rep(100)) end" },
  { "table.insert into a false length", "local t = setmetatable({}, { __len = function() return 1 << 40 end, __index = function() return 1 end, __newindex = function() end }) while true do pcall(table.insert, t, 1, 1) pcall(table.remove, t, 1) pcall(table.concat, t) end" },
  { "table.move over metamethods", "local t = setmetatable({}, { __index = function() for _ = 1, 1e5 do end return 1 end }) table.move(t, 1, 1e5, 1, {})" },
  { "next over a table that was emptied", "local t = {} for i = 1, 1e6 do t[i] = i end for i = 1, 1e6 do t[i] = nil end while true do next(t) end" },
  { "holes and lengths", "local t = {} for i = 1, 1e5 do t[1 << (i % 60)] = i local _ = #t end while true do local _ = #t end" },
  { "math.random with the widest range", "while true do math.random(math.mininteger, math.maxinteger) math.random(0) pcall(math.random, 2, 1) end" },
  { "goto loops in nested blocks", "do ::a:: do do goto b end end ::b:: goto a end" },
  { "closures for ever", "local f = function() end while true do local g = f f = function() return g() end end" },
  { "metamethods that call each other", "local a a = setmetatable({}, { __index = function(t, k) return t[k .. 'x'] end }) return a.b" },
  { "a chain of __index tables", "local t = {} for _ = 1, 1e5 do t = setmetatable({}, { __index = t }) end while true do pcall(function() return t.x end) end" },
  { "__eq that compares", "local m = {} m.__eq = function(a, b) return a == setmetatable({}, m) end return setmetatable({}, m) == setmetatable({}, m)" },
  { "__call chains", "local f = print for _ = 1, 1e5 do f = setmetatable({}, { __call = f }) end while true do pcall(f) end" },
  { "error objects that loop", "local e e = setmetatable({}, { __tostring = function() error(e) end }) error(e)" },
  { "error in every handler", "local function h(e) error(e) end while true do xpcall(error, h, 'x') end" },
  { "errors of ten megabytes", "while true do pcall(error, ('x'):rep(1e6)) end" },
  { "an error value of each kind, for ever", "while true do pcall(error) pcall(error, nil) pcall(error, print) pcall(error, coroutine.create(print)) pcall(error, {}, 1e9) end" },

  -- metatables of the house: a finalizer would run without the hook that stops it
  { "__gc in json.array_mt", "local f = function() while true do end end json.array_mt.__gc = f rawset(json.array_mt, '__gc', f) for i = 1, 1e5 do json.decode('[[],[1]]') setmetatable({}, json.array_mt) end return 1" },
  { "__gc in the metatable of socket.ips", "local mt = getmetatable(socket.ips) local f = function() while true do end end mt.__gc = f rawset(mt, '__gc', f) rawset(mt, '__close', f) rawset(mt, '__index', f) for i = 1, 1e4 do local _ = socket.ips, socket.channels, socket.handshake end return 1" },
  { "__gc in what the script gave to setmetatable", "local mt = {} local t = setmetatable({}, mt) mt.__gc = function() while true do end end rawset(mt, '__gc', mt.__gc) for i = 1, 1e5 do setmetatable({}, mt) end return 1" },
  { "__index in json.array_mt, and then lists for the house", "json.array_mt.__index = function() while true do end end json.array_mt.__len = json.array_mt.__index for i = 1, 100 do server:publish('c', setmetatable({}, json.array_mt)) task.all(setmetatable({}, json.array_mt)) end return setmetatable({}, json.array_mt)" },
  { "__index in the auth of everybody", "setmetatable(socket.auth, { __index = function() while true do end end, __pairs = function() while true do end end }) local _ = socket.auth.nothing" },

  -- load and coroutines
  { "load of nested functions", "return load(('return function() '):rep(150) .. (' end'):rep(150))" },
  { "load of nested tables", "while true do load('return ' .. ('{'):rep(190) .. ('}'):rep(190)) end" },
  { "load of many constants", "local s = 'return {' .. ('\"\" .. 1.5,'):rep(2e4) .. '}' while true do load(s) end" },
  { "load of long comments and strings", "local s = '--[[' .. ('x'):rep(2.6e5) while true do load(s) load('[==[' .. s:sub(1, 1e5)) end" },
  { "load of concatenations", "local s = 'return \"\"' .. (' .. \"\"'):rep(240) while true do load(s)() end" },
  { "load of labels", "local t = {} for i = 1, 2e4 do t[i] = '::l' .. i .. '::' end local s = table.concat(t) while true do load(s) end" },
  { "load of gotos that jump ahead", "local t = {} for i = 1, 6e3 do t[i] = 'goto l' .. i end local s = 'do ' .. table.concat(t, ' ') .. ' end' while true do load(s) end" },
  { "load with an environment that loops", "load('return x', 'x', 't', setmetatable({}, { __index = function() while true do end end }))()" },
  { "coroutines in coroutines", "local function f() return coroutine.wrap(f)() end while true do pcall(f) end" },
  { "wraps that yield for ever", "local function gen() while true do coroutine.yield(1) end end local g = coroutine.wrap(gen) while true do g() end" },
  { "coroutines kept in a table", "shared.kept = {} while true do local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) shared.kept[#shared.kept + 1] = co end" },
  { "coroutines that die of errors", "while true do local co = coroutine.create(function() error(('x'):rep(100)) end) coroutine.resume(co) coroutine.resume(co) end" },
  { "tracebacks of deep stacks", "local function f(n) if n > 0 then return (f(n - 1)) end while true do debug.traceback('x') end end f(1e4)" },

  -- modules
  { "crypto over a mebibyte", "local s = ('x'):rep(1 << 20) while true do crypto.sha256(s) crypto.sha1(s) crypto.hmac_sha256(s, s) end" },
  { "crypto of base64", "local s = ('x'):rep(7e5) while true do crypto.base64_decode(crypto.base64_encode(s)) end" },
  { "crypto.random", "while true do pcall(crypto.random, 1 << 20) pcall(crypto.random, 1e9) crypto.uuid() end" },
  { "jwt of large claims", "local t = {} for i = 1, 1e4 do t['k' .. i] = i end while true do pcall(function() crypto.jwt_verify(crypto.jwt_sign(t, ('k'):rep(32)), ('k'):rep(32)) end) end" },
  { "a cache of large values", "local s = ('x'):rep(1e5) for i = 1, 1e6 do cache.set('k' .. i, s) end" },
  { "a cache of small values", "for i = 1, 1e7 do cache.set('k' .. i, i) end" },
  { "a cache of large tables", "local t = {} for i = 1, 1e4 do t[i] = { i } end for i = 1, 1e6 do cache.set(i .. '', t) cache.get(i .. '') end" },
  { "cache.clear of many", "for i = 1, 5e4 do cache.set('k' .. i, i) end while true do cache.clear() end" },
  { "http.encode of a deep table", "local t = { 1 } for _ = 1, 1e5 do t = { a = t } end return http.encode(t)" },
  { "http.encode of a wide table", "local t = {} for i = 1, 1e5 do t['k' .. i] = ('&'):rep(10) end while true do pcall(http.encode, t) end" },
  { "http.encode of a cycle", "local t = {} t.t = t return http.encode(t)" },
  { "http.escape of long texts", "local s = ('&'):rep(3e5) while true do pcall(http.escape, s) end" },
  { "http.request with long addresses", "while true do pcall(http.request, { url = 'http://127.0.0.1:1/' .. ('x'):rep(1e5), query = { a = ('&'):rep(1e5) } }) end" },
  { "a thousand requests at once", "for _ = 1, 1e3 do task.spawn(http.get, 'http://127.0.0.1:1/') end return 1" },
  { "time.sleep in steps of nothing", "for _ = 1, 2000 do time.sleep(0) end return 'slept'" },
  { "log lines of a mebibyte", "while true do log.error(('\\n'):rep(1e6), { a = ('x'):rep(1e6) }) print(('x'):rep(1e6)) end" },
  { "log fields for ever", "local t = {} for i = 1, 1e4 do t['f' .. i] = i end while true do pcall(log.info, 'x', t) end" },

  -- tasks
  { "spawn in spawn", "local function f() return task.spawn(f) end f()" },
  { "spawns for ever", "while true do task.spawn(function() time.sleep(0.2) end) end" },
  { "spawns that spawn two and wait", "local function f() local a, b = task.spawn(f), task.spawn(f) time.sleep(0) a:wait(0.05) b:wait(0.05) end f() return 1" },
  { "task.all of many", "local t = {} for i = 1, 5e4 do t[i] = function() return i end end return #task.all(t, 1)" },
  { "task.any of loops", "local t = {} for i = 1, 100 do t[i] = function() while true do end end end return task.any(t, 1)" },
  { "deadlines in deadlines", "local function f(n) return n == 0 or task.deadline(1, f, n - 1) end for _ = 1, 100 do f(100) end return 1" },
  { "delays that do not end", "for _ = 1, 40 do server:delay(0, function() while true do end end) end return 1" },
  { "delays for ever", "while true do server:delay(1, print) end" },
  { "delays that delay", "local n = 0 local function f() n = n + 1 if n < 2000 then server:delay(0, f) server:delay(0, f) end end f() return 1" },
  { "timers that are cancelled", "while true do server:delay(100, print):cancel() end" },

  -- sockets and channels
  { "subscribes for ever", "for i = 1, 1e6 do server:subscribe(socket, 'c' .. i) end" },
  { "publishes for ever", "for i = 1, 1e6 do server:publish('c', i) end" },
  { "publishes of large texts", "local s = ('x'):rep(6e4) for i = 1, 1e5 do server:publish('c1', s) end" },
  { "broadcasts of large texts", "local s = ('x'):rep(6e4) for i = 1, 2e3 do server:broadcast(s) end" },
  { "channels that come and go", "while true do server:subscribe(socket, 'x') server:unsubscribe(socket, 'x') end" },
  { "names that are no channels", "local s = ('x'):rep(1e6) while true do pcall(server.publish, server, s, 1) pcall(server.subscribe, server, s, s) end" },
  { "lists of sockets in a loop", "for _ = 1, 500 do server:sockets(1000) server:channels(1000) end return 1" },
  { "fields of a socket without end", "for i = 1, 1e6 do socket['f' .. i] = ('x'):rep(100) .. i end" },
  { "channels of a socket in a loop", "while true do local _ = socket.channels, socket.handshake, socket.auth end" },
  { "calls of a client without end", "for _ = 1, 1e4 do task.spawn(function() server:rpc(socket, 'x', ('x'):rep(1e4), { timeout = 0.1 }) end) end return 1" },
  { "calls of sockets that are not there", "for i = 1, 1e5 do server:rpc('nobody' .. i, 'x', {}, { timeout = 0.1 }) end return 1" },
  { "filters that come and go", "while true do server:publishFilter(function() return true end) server:publishFilter(nil) end" },
  { "a filter that does not end", "server:subscribe(socket, 'f') server:publishFilter(function() while true do end end) server:publish('f', 1) time.sleep(0.1) server:publishFilter(nil) return 1" },
  { "listeners without end", "while true do server:on('publish', print) end" },
}

local function start()
  return gateway.start {
    env = { ASAN_OPTIONS = SANITIZER },
    gateway = { limits = { script_violations = 1000000, script_share = "1s", ws_message_rate = "off" } },
    sites = { bad = { path = "/" }, good = { path = "/good" } }, -- who asks the good one does so as fast as it can
    scripts = { bad = HOSTILE, good = PEACEFUL },
  }
end

local function login(g, site)
  local prefix = site and "/" .. site or ""
  return token.login(g.port, { path = prefix .. "/ws", plain = true, token_path = prefix .. "/socket/token" })
end

-- Asks the good site until fits() gives something: that, and the longest time it took to answer.
local function ask_until(good, fits)
  local longest, ends = 0, wait.now() + 15
  while wait.now() < ends do
    local before = wait.now()
    assert.are.equal(1, (good:rpc("echo", 1)))
    longest = math.max(longest, wait.now() - before)
    local got = fits()
    if got then return got, longest end
  end
  return nil, longest
end

local function settle(good)
  local ends = wait.now() + 0.05
  return select(2, ask_until(good, function() return wait.now() > ends end))
end

describe("a hostile script:", function()
  local g, good, base

  setup(function()
    g = start()
    good = assert(login(g, "good"))
    base = g:rss()
  end)
  teardown(gateway.stop_all)

  -- The answer of the row, and how long the other site waited at most.
  local function run(source)
    local c = assert(login(g))
    c:send { rpc = "run", req = source, uuid = "run" }
    local answer, longest = ask_until(good, function()
      local m, err = c:wait(function(m) return m.uuid == "run" end, 0)
      return m or (err == "closed" and { error = "closed" })
    end)
    longest = math.max(longest, settle(good))
    c:drop()
    return answer, longest
  end

  local function tidy()
    local c = login(g)
    return c and c:rpc("tidy")
  end

  for _, row in ipairs(ROWS) do
    local name, source = row[1], row[2]
    it(name, function()
      local answer, longest = run(source)
      for _ = 1, 4 do -- a machine that stood still is not the script's fault; five times in a row, it is
        if longest < LONGEST then break end
        tidy()
        answer, longest = run(source)
      end
      if os.getenv("SPEC_VERBOSE") then
        local how = answer and (answer.error or answer.resp)
        how = type(how) == "table" and (how.message or "a table") or tostring(how)
        io.stderr:write(("%6.1f ms %5.1f MB %-20s %s\n"):format(longest * 1000, (g:rss() - base) / 1048576, how:sub(1, 20), name))
      end
      assert.is_true(g:alive())
      assert.is_truthy(answer, "no answer")
      assert.is_true(longest < LONGEST, ("another site waited for %.0f ms"):format(longest * 1000))
      assert.is_true(g:rss() - base < MEMORY, ("%.0f MB"):format((g:rss() - base) / 1048576))
      assert.is_truthy(wait.for_true(tidy, 5))
    end)
  end
end)
