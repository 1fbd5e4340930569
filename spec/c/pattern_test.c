/* SPDX-License-Identifier: MIT */
/* The string and table functions of the sandbox against those of plain Lua: thousands of random
 * patterns, texts and lists, which must give the same results and the same errors. */
#include "c/vm_rig.h"

#include <lualib.h>
#include <stdlib.h>

/* Runs source with the text arguments; the results, or the error, as one text for comparing. */
static const char *const compare_source =
    "local f, a, b, c, d = ... "
    "local function show(ok, ...) "
    "  local out = { tostring(ok) } "
    "  for i = 1, select('#', ...) do out[i + 1] = tostring((select(i, ...))) end "
    "  return table.concat(out, '|') "
    "end "
    "if f == 'find' then return show(pcall(string.find, a, b, c)) .. show(pcall(string.find, a, b, "
    "c, true)) "
    "elseif f == 'match' then return show(pcall(string.match, a, b, c)) "
    "elseif f == 'gsub' then return show(pcall(string.gsub, a, b, d, c > 0 and c or nil)) "
    "elseif f == 'gsub_table' then return show(pcall(string.gsub, a, b, { a = 'x', ['1'] = false, "
    "b = 7 })) "
    "elseif f == 'gsub_function' then "
    "  return show(pcall(string.gsub, a, b, function(x, y) if x == 'a' then return nil end return "
    "tostring(y) end)) "
    "else "
    "  local all = {} "
    "  local ok, err = pcall(function() for x, y in string.gmatch(a, b, c) do all[#all + 1] = "
    "tostring(x) .. tostring(y) end end) "
    "  return tostring(ok) .. tostring(err) .. table.concat(all, '|') "
    "end";

struct question {
    struct task task;
    const char *source, *function;
    struct slice a, b, d;
    lua_Integer c;
    char answer[4096];
};

static int question_push(lua_State *L, struct task *t) {
    struct question *q = container_of(t, struct question, task);
    if (luaL_loadbufferx(L, q->source, strlen(q->source), "=compare", "t") != LUA_OK) lua_error(L);
    lua_pushstring(L, q->function);
    lua_pushlstring(L, q->a.p, q->a.n);
    lua_pushlstring(L, q->b.p, q->b.n);
    lua_pushinteger(L, q->c);
    lua_pushlstring(L, q->d.p, q->d.n);
    return 5;
}

static void copy_answer(lua_State *L, char answer[4096]) {
    size_t n;
    const char *s = lua_tolstring(L, -1, &n);
    if (n > 4095) n = 4095;
    memcpy(answer, s, n);
    memset(answer + n, 0, 4096 - n);
}

static void question_take(lua_State *L, struct task *t) {
    copy_answer(L, container_of(t, struct question, task)->answer);
}

static void question_ended(struct task *t, enum task_end how, const struct script_error *e) {
    (void)t;
    if (how != TASK_DONE) fail_msg("%.*s", e ? (int)e->text.n : 0, e ? e->text.p : "");
}

static const struct task_kind question_kind = {"question", false, question_push, question_take,
                                               question_ended};

static void ask(struct rig *r, lua_State *plain, struct question *q) {
    char expected[4096];
    assert_int_equal(question_push(plain, &q->task), 5);
    lua_call(plain, 5, 1);
    copy_answer(plain, expected);
    lua_settop(plain, 0);
    task_start(r->vm, &q->task, &question_kind);
    if (memcmp(q->answer, expected, 4096) != 0)
        fail_msg("%s('%.*s', '%.*s', %d, '%.*s')\n ours: %s\n Lua:  %s", q->function, (int)q->a.n,
                 q->a.p, (int)q->b.n, q->b.p, (int)q->c, (int)q->d.n, q->d.p, q->answer, expected);
}

static size_t random_text(unsigned *seed, char *out, size_t most, const char *const *parts) {
    size_t count = 0, n = 0;
    while (parts[count]) count++;
    for (size_t i = (size_t)rand_r(seed) % most; i > 0; i--) {
        const char *part = parts[(size_t)rand_r(seed) % count];
        size_t length = *part ? strlen(part) : 1; /* "" stands for a NUL */
        memcpy(out + n, part, length);
        n += length;
    }
    return n;
}

static const char *const letters[] = {"a", "b",  "1", " ",    "(", ")", "\n",
                                      "_", "ab", "A", "\xe9", "",  NULL};
static const char *const items[] = {
    "a",    "b",     "1",       ".",      "%a", "%d", "%s",   "%w",    "%A",    "%D",    "%l",
    "%u",   "%x",    "%p",      "%c",     "%g", "%S", "[ab]", "[^ab]", "[a-z]", "[%d_]", "[]]",
    "[^]]", "[a-]",  "[%a-z]",  "[%]",    "(",  ")",  "()",   "(a)",   "(.)",   "(.-)",  "(.*)",
    "*",    "+",     "-",       "?",      "a*", "b-", ".-",   ".*",    "%w+",   "a?",    "%b()",
    "%bab", "%f[a]", "%f[^%w]", "%f[%z]", "%1", "%2", "%0",   "%%",    "%(",    "%.",    "^",
    "$",    "[",     "]",       "%",      "%b", "%f", "%9",   "",      "\xe9",  NULL};
static const char *const replacements[] = {"x", "%0", "%1", "%2", "%%", "<",
                                           ">", "%",  "%a", "",   NULL};

static void patterns_match_as_in_plain_lua(void **state) {
    static const char *const functions[] = {"find", "match",      "gmatch",
                                            "gsub", "gsub_table", "gsub_function"};
    struct rig r;
    unsigned seed = 1;
    char a[256], b[256], d[256];
    (void)state;
    rig_init(&r);
    r.limits.script_time = 10000;
    rig_open(&r);
    lua_State *plain = luaL_newstate();
    luaL_openlibs(plain);
    for (int i = 0; i < 24000; i++) {
        struct question q = {.source = compare_source, .function = functions[i % 6]};
        q.a = slice_make(a, random_text(&seed, a, 24, letters));
        q.b = slice_make(b, random_text(&seed, b, 8, items));
        q.d = slice_make(d, random_text(&seed, d, 5, replacements));
        q.c = rand_r(&seed) % 3 ? 1 : rand_r(&seed) % 30 - 15;
        ask(&r, plain, &q);
    }
    lua_close(plain);
    rig_fini(&r);
}

static const char *const table_source =
    "local f, a, b, c, d = ... "
    "local t = {} for x in a:gmatch('.') do t[#t + 1] = x:byte() end "
    "local u = { 1, 2, 3 } "
    "local function show(...) "
    "  local out = {} "
    "  for i = 1, select('#', ...) do "
    "    local x = (select(i, ...)) "
    "    out[i] = type(x) == 'table' and 'table' or tostring(x):gsub('#%d', '#') "
    "  end "
    "  for i = -20, 40 do out[#out + 1] = tostring(t[i]) .. tostring(u[i]) end "
    "  return table.concat(out, '|') "
    "end "
    "if f == 'sort' then table.sort(t) return show() "
    "elseif f == 'sort_with' then table.sort(t, function(x, y) return x > y end) return show() "
    "elseif f == 'insert' then return show(pcall(table.insert, t, c, 7)) "
    "elseif f == 'append' then return show(pcall(table.insert, t, c)) "
    "elseif f == 'remove' then return show(pcall(table.remove, t, c)) "
    "elseif f == 'pop' then return show(pcall(table.remove, t)) "
    "elseif f == 'move' then return show(pcall(table.move, t, 1, #b, c)) "
    "elseif f == 'move_to' then return show(pcall(table.move, t, c, #b, 2, u)) "
    "elseif f == 'concat' then return show(pcall(table.concat, t, d, c, #b)) "
    "elseif f == 'rep' then return show(pcall(string.rep, a, c, d)) "
    "else return show(pcall(table.unpack, t, c, #b)) end";

static void tables_and_rep_work_as_in_plain_lua(void **state) {
    static const char *const functions[] = {"sort",   "sort_with", "insert", "append",
                                            "remove", "pop",       "move",   "move_to",
                                            "concat", "unpack",    "rep"};
    struct rig r;
    unsigned seed = 2;
    char a[256], b[256], d[256];
    (void)state;
    rig_init(&r);
    r.limits.script_time = 10000;
    rig_open(&r);
    lua_State *plain = luaL_newstate();
    luaL_openlibs(plain);
    for (int i = 0; i < 11000; i++) {
        struct question q = {.source = table_source, .function = functions[i % 11]};
        q.a = slice_make(a, random_text(&seed, a, 24, letters));
        q.b = slice_make(b, random_text(&seed, b, 8, letters));
        q.d = slice_make(d, random_text(&seed, d, 3, letters));
        q.c = rand_r(&seed) % 16 - 3;
        ask(&r, plain, &q);
    }
    lua_close(plain);
    rig_fini(&r);
}

static void long_lists_are_sorted(void **state) {
    struct rig r;
    (void)state;
    rig_init(&r);
    r.limits.script_time = 10000;
    rig_open(&r);
    expect(&r,
           "local t = {} for i = 1, 1e5 do t[i] = i * 7919 % 100003 end table.sort(t) "
           "for i = 2, #t do if t[i] < t[i - 1] then return 'not sorted' end end return #t",
           "100000");
    expect(&r,
           "local t = {} for i = 1, 1000 do t[i] = { i % 7, i } end table.sort(t, function(a, b) "
           "return a[1] < b[1] end) "
           "for i = 2, #t do if t[i][1] == t[i - 1][1] and t[i][2] < t[i - 1][2] then return 'not "
           "stable' end end return 'stable'",
           "stable");
    expect(&r,
           "local t = {} for i = 1, 500 do t[i] = i end table.sort(t, function() return true end) "
           "local sum = 0 for _, v in ipairs(t) do sum = sum + v end return sum",
           "125250");
    expect_error(&r, "table.sort({ 1, 'x', {} })", "attempt to compare");
    expect_error(&r, "local t = {} for i = 1, 1e5 + 1 do t[i] = i end table.sort(t)",
                 "too many elements");
    rig_fini(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_as_in_plain_lua),
        cmocka_unit_test(tables_and_rep_work_as_in_plain_lua),
        cmocka_unit_test(long_lists_are_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
