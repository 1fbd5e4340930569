/* SPDX-License-Identifier: MIT */
/* The table library, raw: lengths and elements without metamethods, so that no loop in C is longer
 * than the table is, and at most script_table_ops elements in one call. Sealed tables are read
 * through and not written. pack is the standard one. */
#include "script/libs.h"
#include "script/sandbox.h"

#include <lualib.h>

static lua_Integer check_length(lua_State *L, int index) {
    luaL_checktype(L, index, LUA_TTABLE);
    return (lua_Integer)lua_rawlen(L, index);
}

/* The table at index, for writing. */
static lua_Integer check_list(lua_State *L, int index) {
    lua_Integer n = check_length(L, index);
    sandbox_check_writable(L, index);
    return n;
}

static void check_count(lua_State *L, lua_Unsigned count) {
    if (count > vm_of(L)->limits->script_table_ops) luaL_error(L, "too many elements");
}

/* How many elements first..last are. */
static lua_Unsigned check_range(lua_State *L, lua_Integer first, lua_Integer last) {
    if (first > last) return 0;
    lua_Unsigned count = (lua_Unsigned)last - (lua_Unsigned)first;
    check_count(L, count); /* one less than there are: so the sum cannot overflow */
    check_count(L, count + 1);
    return count + 1;
}

/* Moves count elements within one table or between two. */
static void move(lua_State *L, int from, lua_Integer first, int to, lua_Integer target,
                 lua_Unsigned count) {
    bool backwards = from == to && target > first &&
                     (lua_Unsigned)target - (lua_Unsigned)first < count;
    for (lua_Unsigned i = 0; i < count; i++) {
        lua_Integer at = (lua_Integer)(backwards ? count - 1 - i : i);
        lua_rawgeti(L, from, first + at);
        lua_rawseti(L, to, target + at);
    }
}

static int table_insert(lua_State *L) {
    lua_Integer end = check_list(L, 1) + 1, at = end;
    int top = lua_gettop(L);
    if (top != 2 && top != 3) return luaL_error(L, "wrong number of arguments to 'insert'");
    if (top == 3) {
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, at >= 1 && at <= end, 2, "position out of bounds");
        check_count(L, (lua_Unsigned)(end - at));
        move(L, 1, at, 1, at + 1, (lua_Unsigned)(end - at));
    }
    lua_rawseti(L, 1, at);
    return 0;
}

static int table_remove(lua_State *L) {
    lua_Integer n = check_list(L, 1), at = luaL_optinteger(L, 2, n);
    bool allowed = (at >= 1 && at <= n + 1) || (n == 0 && at == 0);
    if (!lua_isnone(L, 2)) luaL_argcheck(L, allowed, 2, "position out of bounds");
    check_count(L, at >= 1 && at <= n ? (lua_Unsigned)(n - at) : 0);
    lua_rawgeti(L, 1, at);
    if (at >= 1 && at <= n) {
        move(L, 1, at + 1, 1, at, (lua_Unsigned)(n - at));
        at = n;
    }
    lua_pushnil(L);
    lua_rawseti(L, 1, at);
    return 1;
}

static int table_move(lua_State *L) {
    check_length(L, 1);
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3);
    lua_Integer target = luaL_checkinteger(L, 4);
    int to = lua_isnoneornil(L, 5) ? 1 : 5;
    check_list(L, to);
    lua_Unsigned count = check_range(L, first, last);
    luaL_argcheck(L, !count || target <= LUA_MAXINTEGER - (lua_Integer)count + 1, 4,
                  "destination wrap around");
    bool same = to == 1 || lua_rawequal(L, 1, to);
    sandbox_read_through(L, 1);
    move(L, 1, first, same ? 1 : to, target, count);
    lua_pushvalue(L, to);
    return 1;
}

static int table_concat(lua_State *L) {
    luaL_Buffer b;
    luaL_checktype(L, 1, LUA_TTABLE);
    sandbox_read_through(L, 1);
    size_t separator_bytes;
    const char *separator = luaL_optlstring(L, 2, "", &separator_bytes);
    lua_Integer first = luaL_optinteger(L, 3, 1);
    lua_Integer last = luaL_optinteger(L, 4, (lua_Integer)lua_rawlen(L, 1));
    lua_Unsigned count = check_range(L, first, last);
    luaL_buffinit(L, &b);
    for (lua_Unsigned i = 0; i < count; i++) {
        int type = lua_rawgeti(L, 1, first + (lua_Integer)i);
        if (type != LUA_TSTRING && type != LUA_TNUMBER)
            return luaL_error(L, "invalid value (%s) at index %I in table for 'concat'",
                              lua_typename(L, type), (LUAI_UACINT)(first + (lua_Integer)i));
        luaL_addvalue(&b);
        if (i + 1 < count) luaL_addlstring(&b, separator, separator_bytes);
        if (luaL_bufflen(&b) > vm_of(L)->limits->script_string)
            return luaL_error(L, "string too long");
    }
    luaL_pushresult(&b);
    return 1;
}

static int table_unpack(lua_State *L) {
    if (lua_istable(L, 1)) sandbox_read_through(L, 1);
    lua_Integer length = lua_isnoneornil(L, 3) ? check_length(L, 1) : 0;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer first = luaL_optinteger(L, 2, 1), last = luaL_optinteger(L, 3, length);
    int count = (int)check_range(L, first, last);
    if (!lua_checkstack(L, count)) return luaL_error(L, "too many results to unpack");
    for (int i = 0; i < count; i++) lua_rawgeti(L, 1, first + i);
    return count;
}

/* ---- sort ---- */

/* The elements are sorted on the stack, where comparing two costs least and where no comparison can
 * get at them: a merge sort, because it makes the fewest, and ends whatever they answer. */
struct sort {
    lua_State *L;
    bool has_order; /* the function at index 2 */
    int spare;      /* where half as many slots are free */
};

static bool is_less(const struct sort *s, int a, int b) {
    lua_State *L = s->L;
    vm_check(L);
    if (!s->has_order) return lua_compare(L, a, b, LUA_OPLT);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool less = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return less;
}

/* Merges the sorted slots from..middle-1 and middle..end-1. */
static void merge(const struct sort *s, int from, int middle, int end) {
    int left = s->spare, left_end = s->spare + (middle - from), right = middle, to = from;
    for (int i = from; i < middle; i++) lua_copy(s->L, i, s->spare + (i - from));
    while (left < left_end && right < end) {
        bool take_right = is_less(s, right, left);
        lua_copy(s->L, take_right ? right++ : left++, to++);
    }
    while (left < left_end) lua_copy(s->L, left++, to++);
}

static void sort(const struct sort *s, int from, int end) {
    if (end - from < 2) return;
    int middle = from + (end - from) / 2;
    sort(s, from, middle);
    sort(s, middle, end);
    if (is_less(s, middle, middle - 1)) merge(s, from, middle, end);
}

static int table_sort(lua_State *L) {
    lua_Integer n = check_list(L, 1);
    check_count(L, (lua_Unsigned)n);
    if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    int count = (int)n, first = 3;
    luaL_checkstack(L, count + count / 2 + 10, "too many elements");
    for (int i = 0; i < count; i++) lua_rawgeti(L, 1, i + 1);
    struct sort s = {L, !lua_isnil(L, 2), first + count};
    lua_settop(L, first + count + count / 2);
    sort(&s, first, first + count);
    for (int i = 0; i < count; i++) {
        lua_pushvalue(L, first + i);
        lua_rawseti(L, 1, i + 1);
    }
    return 0;
}

int lib_table_open(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"concat", table_concat}, {"insert", table_insert}, {"move", table_move},
        {"remove", table_remove}, {"sort", table_sort},     {"unpack", table_unpack},
        {NULL, NULL}};
    static const char *const kept[] = {"pack", NULL};
    luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, false);
    sandbox_pick(L, kept);
    luaL_setfuncs(L, functions, 0);
    return 1;
}
