/* SPDX-License-Identifier: MIT */
/* Scripts that try to get out, to stay for ever, or to eat everything; and that harmless scripts
 * are not disturbed by what stops them. */
#include "c/vm_rig.h"

#include <stdlib.h>

/* ---- what can be reached ---- */

static const char *const walker =
    "local seen, lines = {}, {} "
    "local function walk(value, name, depth) "
    "  local kind = type(value) "
    "  if kind ~= 'table' and kind ~= 'function' and kind ~= 'userdata' then "
    "    if depth == 1 then lines[#lines + 1] = name .. ' ' .. kind end "
    "    return "
    "  end "
    "  lines[#lines + 1] = name .. ' ' .. kind "
    "  if seen[value] then return end "
    "  seen[value] = true "
    "  if kind == 'table' then "
    "    local keys = {} "
    "    for k in pairs(value) do keys[#keys + 1] = tostring(k) end "
    "    table.sort(keys) "
    "    for _, k in ipairs(keys) do walk(value[k], name .. '.' .. k, depth + 1) end "
    "  end "
    "  local mt = getmetatable(value) "
    "  if mt then walk(mt, name .. '(metatable)', depth + 1) end "
    "end "
    "seen[_G] = true "
    "for k, v in pairs(_G) do walk(v, k, 1) end "
    "for _, m in ipairs { 'json', 'crypto', 'log', 'time' } do "
    "  walk(require('moonlatch.' .. m), 'moonlatch.' .. m, 1) end "
    "walk(getmetatable(''), 'metatable of strings', 1) "
    "table.sort(lines) return table.concat(lines, '\\n') .. '\\n'";

struct listing {
    struct task task;
    char *text;
};

static int listing_push(lua_State *L, struct task *t) {
    (void)t;
    if (luaL_loadbufferx(L, walker, strlen(walker), "=walker", "t") != LUA_OK) lua_error(L);
    return 0;
}

static void listing_take(lua_State *L, struct task *t) {
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    container_of(t, struct listing, task)->text = slice_cstr(slice_make(text, n));
}

static void listing_ended(struct task *t, enum task_end how, const struct script_error *e) {
    (void)t;
    if (how != TASK_DONE) fail_msg("%.*s", e ? (int)e->text.n : 0, e ? e->text.p : "");
}

static void what_scripts_reach_is_what_the_list_says(void **state) {
    static const struct task_kind kind = {"walk", false, listing_push, listing_take, listing_ended};
    struct rig r;
    struct listing l = {.text = NULL};
    char wanted[16384];
    (void)state;
    rig_init(&r);
    rig_open(&r);
    task_start(r.vm, &l.task, &kind);
    assert_non_null(l.text);
    FILE *f = fopen("spec/support/globals.txt", "r");
    assert_non_null(f);
    wanted[fread(wanted, 1, sizeof wanted - 1, f)] = '\0';
    fclose(f);
    size_t same = 0;
    while (wanted[same] && wanted[same] == l.text[same]) same++;
    if (wanted[same] != l.text[same])
        fail_msg("not as the list says, from here on:\n%.400s", l.text + same);
    mem_free(l.text);
    rig_fini(&r);
}

static void nothing_that_is_shared_can_be_changed(void **state) {
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_open(&r);
    expect_error(&r, "string.rep = nil", "read-only");
    expect_error(&r, "table.evil = 1", "read-only");
    expect_error(&r, "require 'moonlatch.json'.encode = 1", "read-only");
    expect_error(&r, "print = 1", "script:1: variable 'print' is not declared");
    expect_error(&r, "\n\nx = 1", "script:3: variable 'x' is not declared");
    expect_error(&r, "\nreturn undeclared", "script:2: variable 'undeclared' is not declared");
    expect_error(&r, "_G.y = 1", "'y' is not declared");
    expect_error(&r, "rawset(_G, 'x', 1)", "read-only");
    expect_error(&r, "rawset(string, 'x', 1)", "read-only");
    expect_error(&r, "table.insert(string, 1)", "read-only");
    expect_error(&r, "table.move({1}, 1, 1, 1, string)", "read-only");
    expect_error(&r, "table.remove(string)", "read-only");
    expect_error(&r, "table.sort(string)", "read-only");
    expect_error(&r, "setmetatable(string, {})", "cannot change a metatable");
    expect_error(&r, "setmetatable(_G, {})", "cannot change a metatable");
    expect(&r, "return getmetatable(''), getmetatable(string), getmetatable(_G)",
           "false false false");
    expect(&r, "return next(string), rawget(_G, 'nothing'), rawget(_G, 'print') == print",
           "nil nil true");
    expect(&r, "local n = 0 for k in pairs(math) do n = n + 1 end return n > 20", "true");
    expect(&r, "return ('x'):rep(3), #'abc', '10' + 5, ('%d'):format(3)", "xxx 3 15 3");
    rig_fini(&r);
}

static void only_texts_are_loaded(void **state) {
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_open(&r);
    expect(&r, "return string.dump", "nil");
    expect(&r, "return load('\\27Lua', 'x', 'b')",
           "nil attempt to load a binary chunk (mode is 't')");
    expect(&r, "return (load('\\27LuaT'))", "nil");
    expect(&r, "return load('return 1 + 1')()", "2");
    expect(&r, "return load('return x', 'c', 't', { x = 5 })()", "5");
    expect(&r, "return load('return', 'c', 't', nil) ~= nil", "true");
    expect_error(&r, "load('undeclared = 1')()", "'undeclared' is not declared");
    expect_error(&r, "load(function() return 'x' end)", "string expected");
    expect_error(&r, "load((' '):rep(262145))", "too long");
    expect(&r, "return (load(('('):rep(100000)))", "nil");
    expect(&r, "return (load(('{'):rep(100000)))", "nil");
    expect(&r,
           "local t = {} for i = 1, 300 do t[i] = 'local a' .. i end return (load(table.concat(t, "
           "' ')))",
           "nil");
    rig_fini(&r);
}

/* ---- metatables ---- */

static int collect(lua_State *L) { return lua_gc(L, LUA_GCCOLLECT); }

static void setmetatable_takes_only_what_is_safe(void **state) {
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_open(&r);
    expect_error(&r,
                 "local o = setmetatable({}, { __concat = function() return 'x' end }) return 'a' "
                 ".. 'b' .. o",
                 "attempt to concatenate a table value");
    expect_error(
        &r,
        "local mt = {} local o = setmetatable({}, mt) mt.__concat = function() return 'x' end "
        "setmetatable({}, mt) return 'a' .. o",
        "attempt to concatenate");
    expect_error(&r, "local x <close> = setmetatable({}, { __close = function() end })",
                 "non-closable");
    expect(&r, "setmetatable({}, { __gc = function() while true do end end })", "");
    assert_true(vm_protect(r.vm, collect, NULL, NULL));
    expect_error(
        &r,
        "local weak = setmetatable({}, { __mode = 'k' }) weak[{}] = 1 "
        "for i = 1, 1e4 do local garbage = {} end for _ in pairs(weak) do error('kept') end",
        "kept");
    rig_fini(&r);
}

static void metatables_work_for_honest_scripts(void **state) {
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_open(&r);
    expect(&r,
           "local A = {} A.__index = A function A.name(self) return self.n end "
           "local a = setmetatable({ n = 'ann' }, A) return a:name(), getmetatable(a) == A",
           "ann true");
    expect(&r,
           "local v = setmetatable({}, { __add = function() return 7 end, __len = function() "
           "return 3 end, "
           "__call = function(_, x) return x end, __tostring = function() return 'v' end, "
           "__eq = function() return true end, __lt = function() return true end }) "
           "return v + 1, #v, v(5), tostring(v), v < v",
           "7 3 5 v true");
    expect(&r,
           "local mt = {} local a = setmetatable({}, mt) mt.__index = function() return 1 end "
           "local b = setmetatable({}, mt) return a.x, b.x",
           "1 1");
    expect(&r, "return getmetatable(setmetatable({}, { __metatable = 'mine' }))", "mine");
    expect(&r, "return select('#', setmetatable({}, nil))", "1");
    expect_error(&r, "setmetatable(setmetatable({}, {}), {})", "cannot change a metatable");
    expect_error(&r, "setmetatable('x', {})", "table expected");
    expect_error(&r, "setmetatable({}, 1)", "nil or table expected");
    expect(
        &r,
        "local n = 0 local t = setmetatable({}, { __pairs = function() return function(_, k) "
        "if not k then return 1, 2 end end end }) for k, v in pairs(t) do n = n + v end return n",
        "2");
    rig_fini(&r);
}

/* ---- scripts that do not end ---- */

static const char *const endless[] = {
    "while true do end",
    "::again:: goto again",
    "local function f() return f() end f()",
    "local function f() while true do end end while true do pcall(f) end",
    "local function f() pcall(f) while true do end end f()",
    "while true do pcall(error) end",
    "local function loop() while true do end end xpcall(loop, loop)",
    "local function loop() while true do end end xpcall(error, loop)",
    "local function loop() while true do end end while true do xpcall(loop, loop) end",
    "while true do pcall(pcall, pcall, error) end",
    "local co = coroutine.wrap(function() while true do end end) co()",
    "while true do coroutine.wrap(function() while true do end end)() end",
    "while true do local co = coroutine.create(function() while true do end end) "
    "coroutine.resume(co) end",
    "local co = coroutine.wrap(function() while true do pcall(coroutine.yield) end end) while true "
    "do co() end",
    "while true do pcall(string.rep, 'x', 1e9) end",
    "while true do local s = ('x'):rep(1e6) end",
    "('a'):rep(28):find(('a?'):rep(28) .. ('a'):rep(28))",
    "string.find(('a'):rep(3000), '.-.-.-.-b')",
    "string.match(('a'):rep(100000), '.-.-.-b')",
    "for _ in string.gmatch(('a'):rep(100000), '.-.-.-b') do end",
    "string.gsub(('a'):rep(100000), '.-.-.-b', '')",
    "string.find(('('):rep(1e6), '%b()%b()')  while true do string.find(('('):rep(1e6), '%b()') "
    "end",
    "while true do ('x'):rep(1e6):find(('x'):rep(5e5) .. 'y', 1, true) end",
    "while true do ('x'):rep(1e6):upper() end",
    "local t = {} for i = 1, 1e5 do t[i] = 1e5 - i end while true do table.sort(t, function(a, b) "
    "return a < b end) end",
    "local t = {} for i = 1, 1e5 do t[i] = tostring(i * 7919 % 100003) end while true do "
    "table.sort(t) table.sort(t, function() return true end) end",
    "local t = {} for i = 1, 1e5 do t[i] = 'x' end while true do table.concat(t, ',') end",
    "local t = {} for i = 1, 1e5 do t[i] = 1 end while true do table.unpack(t) end",
    "local t = {} for i = 1, 1e5 do t[i] = 1 end while true do table.move(t, 1, 99999, 2) end",
    "local t = {} for i = 1, 9e4 do t[i] = 1 end while true do table.insert(t, 1, 1) "
    "table.remove(t, 1) end",
    "local s = 'local x = 1 ' s = s:rep(20000) while true do load(s) end",
    "local s = ('x'):rep(1e6) while true do utf8.len(s) end",
    "local s = ('x'):rep(1e5) while true do for _ in utf8.codes(s) do end end",
    "local t = setmetatable({}, { __index = function(t, k) while true do end end }) return t.x",
    "local t = setmetatable({}, { __newindex = function() while true do end end }) t.x = 1",
    "local t = setmetatable({}, { __eq = function() while true do end end }) return t == "
    "setmetatable({}, getmetatable(t))",
    "local t = setmetatable({}, { __lt = function() while true do end end }) return t < t",
    "local t = setmetatable({}, { __len = function() while true do end end }) return #t",
    "local t = setmetatable({}, { __unm = function() while true do end end }) return -t",
    "local t = setmetatable({}, { __call = function() while true do end end }) t()",
    "local t = setmetatable({}, { __tostring = function() while true do end end }) tostring(t)",
    "local t = setmetatable({}, { __tostring = function() while true do end end }) print(t)",
    "local t = setmetatable({}, { __tostring = function() while true do end end }) "
    "string.format('%s', t)",
    "local t = setmetatable({}, { __pairs = function() while true do end end }) for _ in pairs(t) "
    "do end",
    "local t = setmetatable({}, { __pairs = function() return function() return 1 end end }) for _ "
    "in pairs(t) do end",
    "('x'):gsub('x', function() while true do end end)",
    "('x'):rep(1000):gsub('x', setmetatable({}, { __index = function() while true do end end }))",
    "table.sort({ 1, 2, 3 }, function() while true do end end)",
    "local s = 'x' while true do s = s:gsub('.', '%0%0') s = 'x' end",
    "while true do string.pack(('x'):rep(1e5)) end",
    "while true do pcall(string.format, '%99.99f', 1e308) end",
    "while true do local t = {} for i = 1, 200 do t[i] = coroutine.create(function() end) end end",
    "while true do setmetatable({}, { __index = {} }) end",
    "local a = setmetatable({}, {}) while true do pcall(setmetatable, a, {}) end",
    "while true do select('#', table.unpack({}, 1, 1e5)) end",
    "while true do pcall(load, 'x = = 1') end",
    "while true do pcall(require, 'nothing') end",
    "while true do debug.traceback('x') end",
    "while true do os.date('*t') end",
    "local json = require 'moonlatch.json' local t = {} for i = 1, 1e5 do t[i] = i end while true "
    "do json.encode(t) end",
    "local log = require 'moonlatch.log' while true do log.info('x', { a = 1 }) end",
};

static void endless_scripts_are_stopped(void **state) {
    struct rig r;
    struct script s;
    (void)state;
    rig_init(&r);
    r.limits.script_memory = 64 << 20;
    rig_open(&r);
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        alarm(10);
        rig_run(&r, &s, endless[i]);
        if (getenv("SPEC_VERBOSE")) fprintf(stderr, "%6.1f ms %s | %s\n", s.ms, s.code, endless[i]);
        if (s.how != TASK_FAILED || strcmp(s.code, "script_timeout") != 0)
            fail_msg("%s\n gave: %s %s", endless[i], s.code, s.text);
        expect(&r, "return 1 + 1", "2");
    }
    rig_fini(&r);
}

/* What would never end, or take all, is refused at once instead. */
static void bombs_are_refused(void **state) {
    struct rig r;
    (void)state;
    rig_init(&r);
    r.limits.script_time = 2000; /* none of them needs the watchdog */
    rig_open(&r);
    expect(&r, "return #string.rep('', 1 << 62), #('x'):rep(-1), #('x'):rep(1 << 20)",
           "0 0 1048576");
    expect_error(&r, "string.rep('x', 1e9)", "resulting string too large");
    expect_error(&r, "string.rep('x', 1 << 62, 'yy')", "resulting string too large");
    expect_error(&r, "string.rep('xx', (1 << 20) - 1)", "resulting string too large");
    expect_error(&r, "table.move({}, 1, 1 << 60, 2)", "too many elements");
    expect_error(&r, "table.move({}, -(1 << 62), 1 << 62, 2)", "too many elements");
    expect_error(&r, "table.concat({}, '', 1, 1 << 60)", "too many elements");
    expect_error(&r, "table.unpack({}, 1, 1e6)", "too many elements");
    expect_error(&r, "table.unpack({}, math.mininteger, math.maxinteger)", "too many elements");
    expect(&r,
           "local t = setmetatable({}, { __len = function() return 1 << 60 end }) table.insert(t, "
           "5) return t[1]",
           "5");
    expect_error(&r,
                 "table.insert(setmetatable({}, { __len = function() return 1 << 60 end }), 5, 1)",
                 "out of bounds");
    expect_error(&r, "local s = ('x'):rep(600000) return s .. s", "not enough memory");
    expect_error(&r, "return ('x'):rep(1 << 19):gsub('x', 'xxx')", "too large");
    expect_error(&r, "return ('%s'):rep(100):format(table.unpack({}, 1, 99))", "bad argument");
    expect_error(&r, "return ('%100s'):format('x')", "invalid conversion");
    expect_error(&r, "return ('%s%s'):format(('x'):rep(1 << 20), ('y'):rep(100))",
                 "not enough memory");
    expect_error(&r, "return string.pack('s1', ('x'):rep(300))", "does not fit");
    expect_error(&r, "return string.pack('i17', 1)", "out of limits");
    expect_error(&r, "return string.unpack('s8', ('\\255'):rep(8))", "too short");
    expect_error(&r, "return string.unpack('z', 'abc', 1 << 60)", "out of string");
    expect_error(&r, "local function f() return 1 + f() end f()", "not enough memory");
    expect_error(
        &r,
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end "
        "setmetatable({}, getmetatable(t)) return t.x",
        "stack overflow");
    expect_error(
        &r, "local function f() error(select(2, coroutine.resume(coroutine.create(f))), 0) end f()",
        "C stack overflow");
    expect_error(&r, "local s = ('('):rep(300) return ('x'):find(s)", "too many captures");
    expect_error(&r, "return ('x'):rep(300):find(('x?'):rep(300))", "too complex");
    expect_error(&r, "return os.date(('%c'):rep(100))", "too long");
    expect(&r, "local t = {} for i = 1, 3 do t = { t } end return pcall(string.rep)",
           "false bad argument #1 to 'string.rep' (string expected, got no value)");
    expect(&r, "return coroutine.close", "nil");
    expect_error(&r, "collectgarbage()", "'collectgarbage' is not declared");
    rig_fini(&r);
}

/* Every function there is, with arguments that make no sense: an error at most. */
static const char *const misuse =
    "local seed = ... "
    "math.randomseed(seed) "
    "local functions, seen = {}, {} "
    "local function collect(t) "
    "  if seen[t] then return end "
    "  seen[t] = true "
    "  for _, v in pairs(t) do "
    "    if type(v) == 'function' then functions[#functions + 1] = v end "
    "    if type(v) == 'table' then collect(v) end "
    "  end "
    "end "
    "collect(_G) "
    "for _, m in ipairs { 'json', 'crypto', 'log', 'time' } do collect(require('moonlatch.' .. m)) "
    "end "
    "local object = setmetatable({}, { __index = function(_, k) return k end, __len = function() "
    "return 9 end, "
    "  __call = function(...) return ... end, __tostring = function() return 'object' end }) "
    "local values = { true, false, 0, -1, 3, 2^53, 1 << 62, math.mininteger, math.maxinteger, 0 / "
    "0, 1 / 0, -1 / 0, 1.5, "
    "  '', 'x', '%', '[', '(()', '\\0', '\\255', ('ab'):rep(40000), 'lib.greet', 'return 1', '*t', "
    "'!%c', {}, { 1, 2, 3 }, "
    "  { 'a', 'b' }, { {} }, { x = 1 }, object, print, function(...) return ... end, _G, string, "
    "math, "
    "  coroutine.create(function() end), coroutine.running(), require('moonlatch.json').null } "
    "local function value() return values[math.random(#values + 1)] end "
    "for _ = 1, 400 do "
    "  local f = functions[math.random(#functions)] "
    "  pcall(f, table.unpack({ value(), value(), value(), value(), value() }, 1, math.random(0, "
    "5))) "
    "end "
    "return 'done'";

static void misuse_is_an_error_at_most(void **state) {
    struct rig r;
    struct script s;
    char source[8192], log[65536];
    (void)state;
    rig_init(&r);
    rig_open(&r);
    for (int seed = 1; seed <= 100; seed++) {
        alarm(30);
        snprintf(source, sizeof source, "return (function(...) %s end)(%d)", misuse, seed);
        script_start(&r, &s, source);
        if (!s.ended) task_cancel(&s.task); /* it slept */
        assert_true(s.ended);
        rig_logged(&r, log, sizeof log);
        expect(&r, "return ('%d'):format(1), table.concat({ 1, 2 }), #_G.string.rep('x', 3)",
               "1 12 3");
    }
    rig_fini(&r);
}

/* ---- memory ---- */

static void memory_is_bounded(void **state) {
    static const char *const hogs[] = {
        "local t = {} for i = 1, 1e9 do t[i] = {} end",
        "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e5) .. i end",
        "local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
        "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() end) end",
        "local t = {} for i = 1, 1e9 do t[i] = coroutine.wrap(function() coroutine.yield() end) "
        "t[i]() end",
        "local t = {} for i = 1, 1e9 do t[i .. ''] = i end",
        "local t = {} for i = 1, 1e9 do t[i] = setmetatable({}, { __index = {} }) end",
    };
    struct rig r;
    struct script s;
    (void)state;
    rig_init(&r);
    r.limits.script_memory = 8 << 20;
    r.limits.script_time = 20000;
    rig_open(&r);
    for (size_t i = 0; i < sizeof hogs / sizeof *hogs; i++) {
        alarm(30);
        rig_run(&r, &s, hogs[i]);
        if (strcmp(s.code, "script_memory") != 0)
            fail_msg("%s\n gave: %s %s", hogs[i], s.code, s.text);
        assert_true(r.vm->used < 2 << 20); /* what it had is free again */
        expect(&r, "return 1 + 1", "2");
    }
    /* and when the script goes on in spite of it */
    rig_run(&r, &s,
            "local t = {} while true do if not pcall(function() t[#t + 1] = ('x'):rep(5e5) .. #t "
            "end) then return 'full' end end");
    assert_string_equal(s.text, "full");
    rig_fini(&r);
}

static void a_script_near_its_memory_limit_never_takes_the_process_along(void **state) {
    struct rig r;
    struct script s;
    (void)state;
    rig_init(&r);
    r.limits.script_memory = 1 << 20;
    r.limits.script_time = 1000;
    rig_open(&r);
    /* leaves from 0 to a few KiB free while tasks, coroutines, errors and waits go on */
    for (int left = 0; left < 40; left++) {
        char source[512];
        snprintf(
            source, sizeof source,
            "local t, n = {}, 0 "
            "while pcall(function() t[n + 1] = ('x'):rep(20000) .. n n = n + 1 end) do end "
            "local small = {} for i = 1, %d do t[n], n = nil, n - 1 end "
            "pcall(function() while true do small[#small + 1] = ('y'):rep(100) .. #small end end) "
            "local co = coroutine.create(function() local x = {} coroutine.yield(x) error(x) end) "
            "for i = 1, 4 do pcall(coroutine.resume, co) end "
            "local a = { pcall(setmetatable, {}, {}) } error({})",
            left % 4);
        rig_run(&r, &s, source);
        assert_int_equal(s.how, TASK_FAILED);
    }
    expect(&r, "return 1", "1");
    rig_fini(&r);
}

/* ---- errors ---- */

static void any_value_may_be_an_error(void **state) {
    struct rig r;
    struct script s;
    char log[8192];
    (void)state;
    rig_init(&r);
    rig_open(&r);
    expect_error(&r, "error()", "nil");
    expect_error(&r, "error(nil)", "nil");
    expect_error(&r, "error({})", "(a table value)");
    expect_error(&r, "error(12)", "12");
    expect_error(&r, "error(1.5)", "1.5");
    expect_error(&r, "error(true)", "true");
    expect_error(&r, "error(setmetatable({}, { __tostring = function() while true do end end }))",
                 "(a table value)");
    expect_error(&r, "error(print)", "(a function value)");
    expect_error(&r, "local a = nil a.b = 1", "script:1: attempt to index");
    rig_run(&r, &s, "error(('x'):rep(1000000), 0)");
    assert_int_equal(strlen(s.text), 200);
    rig_logged(&r, log, sizeof log);
    rig_run(&r, &s,
            "local function inner() error('broken \\n\\27[31m') end\nlocal function outer() "
            "inner() end\nouter()");
    rig_logged(&r, log, sizeof log);
    assert_non_null(strstr(log, "msg=\"script error\" site=spec@1 in=spec code=script_error id="));
    assert_non_null(strstr(log, "broken \\u000a\\u001b[31m"));
    assert_non_null(strstr(log, "\\u000ascript:2: in local 'outer'\\u000ascript:3: in "));
    expect(&r, "return pcall(error, 'x', 0)", "false x");
    expect(&r, "return xpcall(error, function(m) return m .. '!' end, 'x', 0)", "false x!");
    expect(&r, "return xpcall(function(...) return select('#', ...), ... end, print, 1, nil)",
           "true 2 1 nil");
    expect(&r, "return select('#', pcall(error))", "2");
    expect(&r, "return (xpcall(error, function(m) error('again') end))", "false");
    expect(&r,
           "return debug.traceback('message'):match('^message\\nstack traceback:\\nscript:1: in') "
           "~= nil",
           "true");
    expect(&r,
           "local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) "
           "return #debug.traceback(co) > 10, debug.traceback({}) ~= nil",
           "true true");
    rig_fini(&r);
}

static void a_traceback_of_a_deep_stack_is_cut(void **state) {
    struct rig r;
    struct script s;
    char log[16384];
    (void)state;
    rig_init(&r);
    rig_open(&r);
    rig_run(&r, &s,
            "local function f(n) if n == 0 then error('deep') end f(n - 1) return 1 end f(5000)");
    rig_logged(&r, log, sizeof log);
    assert_true(strlen(log) < 4096);
    expect(&r,
           "local function f(n) if n == 0 then return #debug.traceback() end local x = f(n - 1) "
           "return x end return f(5000) < 2100",
           "true");
    rig_fini(&r);
}

/* ---- modules ---- */

static void require_finds_what_it_may(void **state) {
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_open(&r);
    expect(&r, "return require 'lib.greet'('ann'), require 'lib.greet' == require 'lib.greet'",
           "hello, ann true");
    expect(&r, "return require 'lib.nothing'", "true");
    expect_error(
        &r, "require 'missing'",
        "script:1: module 'missing' not found: no file scripts/spec/missing.lua; there are moonlatch.json");
    expect_error(&r, "require '../x'", "bad module name");
    expect_error(&r, "require 'a..b'", "bad module name");
    expect_error(&r, "require '/etc/passwd'", "bad module name");
    expect_error(&r, "require ''", "bad module name");
    expect_error(&r, "require(('x'):rep(1000))", "bad module name");
    expect_error(&r, "require 'lib'", "not found");
    expect_error(&r, "require 'io'", "not found");
    expect_error(&r, "require 'cjson'", "not found");
    expect_error(&r, "require 'lib.cycle'", "module 'lib.cycle' requires itself");
    expect_error(&r, "require 'lib.cycle'", "module 'lib.cycle' requires itself");
    expect_error(&r, "require 'lib.broken'", "scripts/spec/lib/broken.lua:3:");
    expect_error(&r, "require 'lib.raises'", "scripts/spec/lib/raises.lua:2: on purpose");
    expect_error(&r, "require 'moonlatch.nothing'", "module 'moonlatch.nothing' not found");
    expect_error(&r, "require 'moonlatch.core'", "not found");
    rig_fini(&r);
}

static int open_core(lua_State *L) {
    lua_newtable(L);
    lua_pushliteral(L, "secret");
    lua_setfield(L, -2, "word");
    return 1;
}

static int add_core(lua_State *L) {
    vm_module(L, "moonlatch.core", open_core, true);
    return 0;
}

static void internal_modules_are_for_the_runtime_library(void **state) {
    struct rig r;
    (void)state;
    rig_init(&r);
    rig_open(&r);
    assert_true(vm_protect(r.vm, add_core, NULL, NULL));
    expect_error(&r, "require 'moonlatch.core'", "module 'moonlatch.core' not found");
    expect(&r, "return require 'moonlatch.house'.word()", "secret");
    expect_error(&r, "require 'moonlatch.house'.word = nil", "read-only");
    expect_error(&r, "require 'missing'", "moonlatch.time");
    expect(&r, "return (select(2, pcall(require, 'missing')):find('core'))", "nil");
    rig_fini(&r);
}

static void cjson_is_there_where_the_conf_names_it(void **state) {
    static char cjson[] = "cjson", other[] = "lfs";
    char *libraries[] = {cjson, NULL}, *unknown[] = {other, NULL};
    struct text error = {0};
    struct rig r;
    (void)state;
    rig_init(&r);
    r.conf.libraries = libraries;
    rig_open(&r);
    expect(&r,
           "local cjson, json = require 'cjson', require 'moonlatch.json' "
           "return cjson.encode({ 1 }), cjson.null == json.null, cjson.encode_max_depth, cjson.new",
           "[1] true nil nil");
    expect_error(&r, "require 'cjson'.encode = 1", "read-only");
    expect(&r, "return rawget(_G, 'require') == require, rawget(_G, 'package')", "true nil");
    vm_free(r.vm);
    r.conf.libraries = unknown;
    r.vm = vm_new(&r.site, 1, "", &error);
    assert_null(r.vm);
    text_char(&error, 0);
    assert_non_null(strstr(text_slice(&error).p, "library 'lfs' is not known"));
    text_fini(&error);
    rig_fini(&r);
}

/* ---- the log ---- */

static void scripts_log_within_their_rate(void **state) {
    struct rig r;
    struct script s;
    char log[16384];
    (void)state;
    rig_init(&r);
    rig_open(&r);
    rig_run(&r, &s,
            "local log = require 'moonlatch.log'\nlog.warn('careful', { user = 'ann\\n', n = 3 })");
    rig_logged(&r, log, sizeof log);
    assert_non_null(
        strstr(log, "level=warn msg=script site=spec@1 at=script:2 text=careful fields="));
    assert_non_null(strstr(log, "user=ann\\u000a"));
    rig_run(&r, &s, "print('a', 1, nil)");
    assert_non_null(strstr(rig_logged(&r, log, sizeof log), "text=\"a\\u00091\\u0009nil\""));
    rig_run(&r, &s, "require 'moonlatch.log'.info(('x'):rep(100000))");
    assert_true(strlen(rig_logged(&r, log, sizeof log)) < 2048);
    rig_run(&r, &s, "require 'moonlatch.log'.debug('quiet')");
    assert_int_equal(strlen(rig_logged(&r, log, sizeof log)), 1);
    rig_run(&r, &s, "for i = 1, 1000 do print(i) end");
    rig_logged(&r, log, sizeof log);
    assert_non_null(strstr(log, "text=17 "));
    assert_null(strstr(log, "text=18 "));
    assert_int_equal(
        *metrics_cell(r.core.metrics, "limit_hits_total", "limit", "script_log_rate", "spec"), 983);
    rig_fini(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_scripts_reach_is_what_the_list_says),
        cmocka_unit_test(nothing_that_is_shared_can_be_changed),
        cmocka_unit_test(only_texts_are_loaded),
        cmocka_unit_test(setmetatable_takes_only_what_is_safe),
        cmocka_unit_test(metatables_work_for_honest_scripts),
        cmocka_unit_test(endless_scripts_are_stopped),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(misuse_is_an_error_at_most),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(a_script_near_its_memory_limit_never_takes_the_process_along),
        cmocka_unit_test(any_value_may_be_an_error),
        cmocka_unit_test(a_traceback_of_a_deep_stack_is_cut),
        cmocka_unit_test(require_finds_what_it_may),
        cmocka_unit_test(internal_modules_are_for_the_runtime_library),
        cmocka_unit_test(cjson_is_there_where_the_conf_names_it),
        cmocka_unit_test(scripts_log_within_their_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
