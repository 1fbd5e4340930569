/* SPDX-License-Identifier: MIT */
/* moonlatch.json in a bare Lua state: what scripts see of it, and what becomes of it when memory
 * runs out at any moment (the leak checker of the sanitizer build is the judge of that). */
#include "script/lib_json.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>

/* An allocator that gives nothing more after so many blocks. */
struct allowance {
    long left;
};

static void *allocate(void *ud, void *p, size_t before, size_t n) {
    struct allowance *a = ud;
    if (!n) {
        free(p);
        return NULL;
    }
    if ((!p || n > before) && a->left-- <= 0) return NULL;
    return realloc(p, n);
}

static int open_all(lua_State *L) {
    luaL_openlibs(L);
    lib_json_open(L, 1 << 20);
    lua_setglobal(L, "json");
    return 0;
}

static lua_State *new_state(struct allowance *a) {
    a->left = INT32_MAX;
    lua_State *L = lua_newstate(allocate, a);
    lua_pushcfunction(L, open_all);
    assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_OK);
    return L;
}

/* Runs "return " .. code; its first result, or "raised: " and the message without position. */
static void expect(const char *code, const char *expected) {
    struct allowance a;
    lua_State *L = new_state(&a);
    lua_pushfstring(L, "return %s", code);
    if (luaL_loadbuffer(L, lua_tostring(L, -1), lua_rawlen(L, -1), "=c")) fail_msg("%s", code);
    const char *prefix = "";
    if (lua_pcall(L, 0, 1, 0)) prefix = "raised: ";
    const char *got = luaL_tolstring(L, -1, NULL);
    if (*prefix && !strncmp(got, "c:1: ", 5)) got += 5;
    if (strncmp(expected, prefix, strlen(prefix)) || strcmp(got, expected + strlen(prefix)))
        fail_msg("%s: got %s%s instead of %s", code, prefix, got, expected);
    lua_close(L);
}

struct row {
    const char *code, *expected;
};
static void expect_all(const struct row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) expect(rows[i].code, rows[i].expected);
}
#define EXPECT(rows) expect_all(rows, sizeof(rows) / sizeof *(rows))

static void values_are_encoded(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"json.encode(nil)", "null"}, {"json.encode(json.null)", "null"},
        {"json.encode(true)", "true"}, {"json.encode(1)", "1"}, {"json.encode(1.0)", "1.0"},
        {"json.encode(-0.0)", "-0.0"}, {"json.encode(0.1)", "0.1"},
        {"json.encode(math.mininteger)", "-9223372036854775808"},
        {"json.encode(math.maxinteger)", "9223372036854775807"},
        {"json.encode(2^53)", "9007199254740992.0"}, {"json.encode(\"a\\\"\\n\")", "\"a\\\"\\n\""},
        {"json.encode(\"\\u{2028}\")", "\"\\u2028\""}, {"json.encode{}", "{}"},
        {"json.encode{1,2,3}", "[1,2,3]"}, {"json.encode{{},{{}}}", "[{},[{}]]"},
        {"json.encode{a=1}", "{\"a\":1}"}, {"json.encode{[\"1\"]=2}", "{\"1\":2}"},
        {"json.encode(json.empty_array)", "[]"}, {"json.encode{a=json.empty_array}", "{\"a\":[]}"},
        {"json.encode(setmetatable({}, json.array_mt))", "[]"},
        {"json.encode(setmetatable({1}, json.array_mt))", "[1]"},
        {"json.encode{[3]=3,[2]=2,[1]=1}", "[1,2,3]"}, {"json.encode{1,2,[3]=3}", "[1,2,3]"},
        {"json.encode{[2.0]=2,[1.0]=1}", "[1,2]"}, {"json.encode{1,nil}", "[1]"},
        {"json.encode{__proto__=1}", "{\"__proto__\":1}"},
        {"json.encode{[\"\"]=json.null}", "{\"\":null}"},
        {"json.encode(setmetatable({a=1}, {__index={b=2}, __pairs=error, __len=error}))",
         "{\"a\":1}"}, {"select(\"#\", json.encode(1))", "1"}};
    EXPECT(rows);
}

static void what_json_has_no_form_for_raises(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"json.encode()", "raised: bad argument #1 to 'encode' (value expected)"},
        {"json.encode(print)", "raised: cannot encode a function"},
        {"json.encode{a={coroutine.create(print)}}", "raised: cannot encode a thread"},
        {"json.encode(io.stdout)", "raised: cannot encode a userdata"},
        {"json.encode(0/0)", "raised: cannot encode NaN"},
        {"json.encode{-math.huge}", "raised: cannot encode an infinity"},
        {"json.encode(\"\\xff\")", "raised: string is not UTF-8"},
        {"json.encode{[\"\\xed\\xa0\\x80\"]=1}", "raised: string is not UTF-8"},
        {"json.encode{1,nil,3}", "raised: sparse array: item 3 of 2"},
        {"json.encode{[1000000000000]=1}", "raised: sparse array: item 1000000000000 of 1"},
        {"json.encode{[2]=1}", "raised: sparse array: item 2 of 1"},
        {"json.encode{[0]=1}", "raised: mixed table: other keys among its integers from 1 on"},
        {"json.encode{[-1]=1,2}", "raised: mixed table: other keys among its integers from 1 on"},
        {"json.encode{1,a=2}", "raised: mixed table: other keys among its integers from 1 on"},
        {"json.encode(setmetatable({a=2}, json.array_mt))",
         "raised: mixed table: other keys among its integers from 1 on"},
        {"json.encode{[true]=2}", "raised: cannot encode a key of type boolean"},
        {"json.encode{[1.5]=2}", "raised: cannot encode a key of type number"},
        {"(function() local t = {} t.t = t return json.encode(t) end)()",
         "raised: nested too deeply, or a cycle"},
        {"json.encode((\"x\"):rep(1 << 20))", "raised: the JSON text becomes too long"},
        {"json.encode((\"\\0\"):rep(1 << 18))", "raised: the JSON text becomes too long"}};
    EXPECT(rows);
}

static void texts_are_decoded(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"json.decode(\"1\")", "1"}, {"json.decode(\"1.0\")", "1.0"},
        {"json.decode(\"1e2\")", "100.0"}, {"json.decode(\"-0\")", "-0.0"},
        {"json.decode(\"9007199254740993\")", "9007199254740993"},
        {"json.decode(\"-9223372036854775808\")", "-9223372036854775808"},
        {"json.decode(\"18446744073709551616\") == 2.0^64", "true"},
        {"json.decode(\"null\") == json.null", "true"}, {"json.decode(\"true\")", "true"},
        {"json.decode('\"a\\\\u00e4\\\\ud83d\\\\ude00\\\\\\\\\"')", "a\xc3\xa4\xf0\x9f\x98\x80\\"},
        {"#json.decode('\"a\\\\u0000\"')", "2"},
        {"#json.decode('\"' .. (\"\\\\u00e4\"):rep(3000) .. '\"')", "6000"},
        {"json.decode('{\"a\":[1,{\"b\":null}]}').a[2].b == json.null", "true"},
        {"getmetatable(json.decode(\"[]\")) == json.array_mt", "true"},
        {"getmetatable(json.decode(\"[1]\"))", "nil"}, {"getmetatable(json.decode(\"{}\"))", "nil"},
        {"#json.decode(\"[1,2,3,4,5,6,7,8,9]\")", "9"},
        {"json.decode(\"12345678901234567890123\")",
         "raised: number out of range: an integer of 23 digits"},
        {"json.decode(\"[9223372036854775809]\")",
         "raised: number out of range: an integer of 19 digits"},
        {"json.decode(\"1e400\")", "raised: number out of range at byte 6"},
        {"json.decode(\"\")", "raised: not JSON at byte 1"},
        {"json.decode('{\"a\":tru}')", "raised: not JSON at byte 6"},
        {"json.decode('[1] x')", "raised: not JSON at byte 5"},
        {"json.decode('{\"a\":1,\"a\":1}')", "raised: duplicate member at byte 11"},
        {"json.decode((\"[\"):rep(65) .. (\"]\"):rep(65))", "raised: nested too deeply at byte 65"},
        {"json.decode(\"\\\"\\xff\\\"\")", "raised: not UTF-8 at byte 3"},
        {"json.decode((\" \"):rep(1 << 21))", "raised: bad argument #1 to 'decode' (too long)"},
        {"json.decode({})", "raised: bad argument #1 to 'decode' (string expected, got table)"}};
    EXPECT(rows);
}

static void what_was_decoded_is_encoded_as_it_was(void **state) {
    (void)state;
    static const char *const texts[] = {
        "[]", "{}", "[[],{},[{}],[[]]]", "{\"a\":[]}", "[1,1.0,-0.0,0.1,1e+300,9007199254740993]",
        "null", "[null,true,false]", "\"\\u0000\\u2028/\"", "[\"\xf0\x9f\x98\x80\"]",
        "{\"\":{\"\":\"\"}}", "[1700000000000000,-9223372036854775808]", "[[[[[[[[[[1]]]]]]]]]]"};
    struct allowance a;
    lua_State *L = new_state(&a);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct text out = {0};
        lua_json_push(L, slice_of(texts[i]));
        lua_json_encode(L, -1, &out, 1000);
        if (!slice_is(text_slice(&out), texts[i])) fail_msg("%s", texts[i]);
        lua_settop(L, 0);
        text_fini(&out);
    }
    lua_close(L);
}

static void decoded_empty_arrays_are_locked(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"pcall(setmetatable, json.decode(\"[]\"), nil)", "false"},
        {"pcall(setmetatable, setmetatable({}, json.array_mt), nil)", "false"},
        {"(function() local t = json.decode(\"[]\") t[1] = \"x\" return json.encode(t) end)()",
         "[\"x\"]"},
        {"(function() json.array_mt.__gc = error rawset(json.array_mt, \"__metatable\", nil)"
         " return json.encode(json.decode(\"[]\")) end)()", "[]"}};
    EXPECT(rows);
}

static void numbers_come_back_exactly(void **state) {
    (void)state;
    struct allowance a;
    lua_State *L = new_state(&a);
    uint64_t bits = 88172645463325252u;
    struct text out = {0};
    for (int k = 0; k < 10000; k++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        lua_Integer i = (lua_Integer)(bits >> k % 64);
        text_clear(&out);
        lua_pushinteger(L, k % 2 ? i : -i);
        lua_json_encode(L, -1, &out, 100);
        lua_json_push(L, text_slice(&out));
        assert_true(lua_isinteger(L, -1));
        assert_true(lua_rawequal(L, -1, -2));
        lua_settop(L, 0);
    }
    text_fini(&out);
    lua_close(L);
}

static int encode_top(lua_State *L) {
    lua_json_encode(L, 1, lua_touserdata(L, 2), 1 << 24);
    return 0;
}

/* A table that holds the one below it many times, many levels high, is short to make and endless to
 * encode; what bounds it is the length of the text. */
static void a_text_that_would_be_endless_is_given_up(void **state) {
    (void)state;
    struct allowance a;
    lua_State *L = new_state(&a);
    struct text out = {0};
    lua_pushcfunction(L, encode_top);
    int failed = luaL_dostring(L, "local t = {} for _ = 1, 60 do t = { t, t } end return t");
    assert_false(failed);
    lua_pushlightuserdata(L, &out);
    assert_int_equal(lua_pcall(L, 2, 0, 0), LUA_ERRRUN);
    assert_string_equal(lua_tostring(L, -1), "the JSON text becomes too long");
    assert_in_range(out.n, 1 << 23, (1 << 24) + 16);
    text_fini(&out);
    lua_close(L);
}

static void raise_over(lua_State *L, lua_Debug *activation) {
    (void)activation;
    luaL_error(L, "the slice is over");
}

static void the_watchdog_is_heeded(void **state) {
    (void)state;
    struct allowance a;
    lua_State *L = new_state(&a);
    struct text out = {0};
    lua_pushcfunction(L, encode_top);
    lua_newtable(L);
    lua_pushlightuserdata(L, &out);
    lua_sethook(L, raise_over, LUA_MASKCOUNT, 1000000);
    assert_int_equal(lua_pcall(L, 2, 0, 0), LUA_ERRRUN);
    assert_string_equal(lua_tostring(L, -1), "the slice is over");
    text_fini(&out);
    lua_close(L);
}

/* ---- memory that ends ---- */

static const char *const hungry[] = {
    "return json.encode{ a = { 1, 2, { b = ('x'):rep(3000) } }, c = json.null }",
    "return json.encode{ a = { 1, 2, 0/0 } }",
    "return json.encode(('\\1'):rep(100000))",
    "return json.decode('{\"a\":[1,2,3,4,5,6,[],{}],\"b\\\\u0041\":\"x\\\\n' .. ('y'):rep(3000)"
    " .. '\"}')",
    "local t = {} for i = 1, 20 do t['k\\n' .. i] = i end return json.decode(json.encode(t))",
    "return json.decode('[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]')",
    "return json.decode('[1,')"};

static int run_chunk(lua_State *L) {
    const char *code = lua_touserdata(L, 1);
    if (luaL_loadstring(L, code)) return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

static void nothing_is_lost_when_memory_ends_anywhere(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof hungry / sizeof *hungry; i++) {
        for (long n = 0, status = LUA_ERRMEM; status == LUA_ERRMEM; n++) {
            struct allowance a;
            lua_State *L = new_state(&a);
            lua_pushcfunction(L, run_chunk);
            lua_pushlightuserdata(L, (void *)(uintptr_t)hungry[i]);
            a.left = n;
            status = lua_pcall(L, 1, 0, 0);
            a.left = INT32_MAX;
            lua_close(L);
            assert_true(n < 5000);
        }
    }
}

static void a_state_that_cannot_be_opened_is_no_harm(void **state) {
    (void)state;
    for (long n = 0, status = LUA_ERRMEM; status == LUA_ERRMEM; n++) {
        struct allowance a = {INT32_MAX};
        lua_State *L = lua_newstate(allocate, &a);
        lua_pushcfunction(L, open_all);
        a.left = n;
        status = lua_pcall(L, 0, 0, 0);
        lua_close(L);
        assert_true(n < 5000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_encoded),
        cmocka_unit_test(what_json_has_no_form_for_raises),
        cmocka_unit_test(texts_are_decoded),
        cmocka_unit_test(what_was_decoded_is_encoded_as_it_was),
        cmocka_unit_test(decoded_empty_arrays_are_locked),
        cmocka_unit_test(numbers_come_back_exactly),
        cmocka_unit_test(a_text_that_would_be_endless_is_given_up),
        cmocka_unit_test(the_watchdog_is_heeded),
        cmocka_unit_test(nothing_is_lost_when_memory_ends_anywhere),
        cmocka_unit_test(a_state_that_cannot_be_opened_is_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
