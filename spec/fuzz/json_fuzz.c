/* SPDX-License-Identifier: MIT */
/* Any text is judged without harm; what is good JSON can be walked, becomes a Lua value, and comes
 * back from there as JSON with the same value. */
#include "base/json.h"
#include "script/lib_json.h"

#include <lauxlib.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_limits limits = {LUA_JSON_DEPTH, 20000, 1000, false};
static const struct json_limits lone = {LUA_JSON_DEPTH, 20000, 1000, true};

#define MUST(condition)                                                                            \
    if (!(condition)) abort()

/* Every token, string and number is looked at; containers must close in the end. */
static void walk(struct slice text) {
    struct text room = {0};
    struct slice rest = text, raw;
    size_t open = 0;
    do {
        enum json_type type = json_token(&rest, &raw);
        if (type == JSON_ARRAY || type == JSON_OBJECT) open++;
        else if (type == JSON_NONE) open--;
        else if (type == JSON_STRING) MUST(json_string(raw, &room).n < raw.n);
    } while (open);
    MUST(json_token(&rest, &raw) == JSON_NONE && rest.n == 0);
    text_fini(&room);
}

static void look_up(struct slice text, struct json_value v) {
    static const struct slice names[] = {SLICE("a"), SLICE("rpc"), SLICE("")};
    struct json_value all, found[3];
    MUST(json_envelope(text, &lone, &all, names, found, 3) == JSON_OK);
    for (int i = 0; v.type == JSON_OBJECT && i < 3; i++) {
        struct json_value member = json_member(v.raw, names[i]);
        MUST(member.type == found[i].type);
        MUST(!member.type || slice_eq(member.raw, found[i].raw));
    }
}

/* Whether the values at a and b are the same, to the kind of their numbers. */
static bool same(lua_State *L, int a, int b) {
    luaL_checkstack(L, 5, NULL);
    if (lua_type(L, a) != lua_type(L, b)) return false;
    if (lua_type(L, a) == LUA_TNUMBER && lua_isinteger(L, a) != lua_isinteger(L, b)) return false;
    if (lua_type(L, a) != LUA_TTABLE) return lua_rawequal(L, a, b);
    int members = 0;
    for (lua_pushnil(L); lua_next(L, a); lua_pop(L, 2), members++) {
        lua_pushvalue(L, -2);
        lua_rawget(L, b);
        if (!same(L, lua_gettop(L) - 1, lua_gettop(L))) return false;
    }
    for (lua_pushnil(L); lua_next(L, b); lua_pop(L, 1)) members--;
    return members == 0;
}

static int decode(lua_State *L) {
    lua_json_push(L, *(const struct slice *)lua_touserdata(L, 1));
    return 1;
}

/* Stack: text, decoded value. */
static int encode_and_compare(lua_State *L) {
    struct text *out = lua_touserdata(L, 1);
    lua_json_encode(L, 2, out, 1 << 24);
    struct json_value v;
    MUST(json_check(text_slice(out), &limits, &v) == JSON_OK);
    lua_json_push(L, v.raw);
    MUST(same(L, 2, 3));
    return 0;
}

static void pass_through_lua(struct slice raw) {
    lua_State *L = luaL_newstate();
    struct text out = {0};
    lib_json_open(L, 1 << 24);
    lua_settop(L, 0);
    lua_pushcfunction(L, decode);
    lua_pushlightuserdata(L, &raw);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
        lua_pushcfunction(L, encode_and_compare);
        lua_insert(L, 1);
        lua_pushlightuserdata(L, &out);
        lua_insert(L, 2);
        MUST(lua_pcall(L, 2, 0, 0) == LUA_OK);
    } else {
        MUST(strstr(lua_tostring(L, -1), "number out of range"));
    }
    text_fini(&out);
    lua_close(L);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice text = slice_make(data, size);
    struct json_value v;
    if (json_check(text, &lone, &v)) return 0;
    walk(text);
    look_up(text, v);
    if (json_check(text, &limits, &v) == JSON_OK) pass_through_lua(v.raw);
    return 0;
}
