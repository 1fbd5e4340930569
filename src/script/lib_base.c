/* SPDX-License-Identifier: MIT */
/* The global functions. What is taken from the standard library as it is cannot load code, run long
 * in C, or reach what is sealed. The others:
 *   - pcall and xpcall catch everything but the end of a slice;
 *   - setmetatable gives a table a metatable of ours with the events that are safe in this version
 *     of Lua. __gc and __close would run without hooks, __concat and __mode end in memory errors of
 *     Lua 5.4.4. A metatable is never replaced; getmetatable shows the script's own. */
#include "script/libs.h"
#include "script/sandbox.h"
#include "script/task.h"

#include <lualib.h>

static const char *const kept[] = {
    "assert", "error",  "getmetatable", "ipairs",   "next", "pairs",    "rawequal",
    "select", "tonumber", "tostring",   "type", "_VERSION", NULL};

/* ---- protected calls ---- */

static int results_of_call(lua_State *L, int status, lua_KContext before) {
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)before;
    task_caught(L);
    vm_check(L);
    lua_pushboolean(L, false);
    lua_insert(L, -2);
    return 2;
}

static int base_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, true); /* the first result, if all goes well */
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, results_of_call);
    return results_of_call(L, status, 0);
}

/* A handler that is called for an error of a hook runs without hooks: the script's must not then. */
static int handle(lua_State *L) {
    if (vm_of(L)->killed) return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int base_xpcall(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    int arguments = lua_gettop(L) - 2;
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handle, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, true);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* stack: function, handler, true, function, arguments */
    int status = lua_pcallk(L, arguments, LUA_MULTRET, 2, 2, results_of_call);
    return results_of_call(L, status, 2);
}

/* ---- metatables ---- */

static const char *const events[] = {
    "__index", "__newindex", "__call", "__tostring", "__name", "__pairs", "__len", "__eq", "__lt",
    "__le", "__unm", "__add", "__sub", "__mul", "__div", "__mod", "__pow", "__idiv", "__band",
    "__bor", "__bxor", "__shl", "__shr", "__bnot"};
enum { EVENTS = sizeof events / sizeof *events };

enum { UPVALUE_OURS = 1, UPVALUE_EVENTS }; /* the events, one upvalue each */

/* Pushes our metatable for the script's at index 2: one for each, kept as long as that lives. */
static void push_our_metatable(lua_State *L) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(UPVALUE_OURS)) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(UPVALUE_OURS));
}

/* Brings ours (index 3) to the state of the script's (index 2). ours[1] has a bit for each event that
 * is in it: most are in neither, and then that is all there is to look at. */
static void copy_events(lua_State *L) {
    lua_rawgeti(L, 3, 1);
    lua_Integer before = lua_tointeger(L, -1), now = 0;
    lua_pop(L, 1);
    for (int i = 0; i < EVENTS; i++) {
        lua_Integer bit = (lua_Integer)1 << i;
        lua_pushvalue(L, lua_upvalueindex(UPVALUE_EVENTS + i));
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 2) != LUA_TNIL) now |= bit;
        if ((before | now) & bit) lua_rawset(L, 3);
        else lua_pop(L, 2);
    }
    if (now == before) return;
    lua_pushinteger(L, now);
    lua_rawseti(L, 3, 1);
}

static int base_setmetatable(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    lua_settop(L, 2);
    if (lua_getmetatable(L, 1)) return luaL_error(L, "cannot change a metatable");
    if (lua_isnil(L, 2)) return lua_settop(L, 1), 1;
    push_our_metatable(L);
    copy_events(L);
    lua_pushliteral(L, "__metatable");
    lua_pushvalue(L, -1);
    if (lua_rawget(L, 2) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushvalue(L, 2);
    }
    lua_rawset(L, 3);
    lua_setmetatable(L, 1);
    lua_settop(L, 1);
    return 1;
}

static void add_setmetatable(lua_State *L) {
    lua_newtable(L); /* UPVALUE_OURS */
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    luaL_checkstack(L, EVENTS, NULL);
    for (int i = 0; i < EVENTS; i++) lua_pushstring(L, events[i]);
    lua_pushcclosure(L, base_setmetatable, 1 + EVENTS);
    lua_setfield(L, -2, "setmetatable");
}

/* ---- raw access ---- */

static int base_rawget(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    sandbox_read_through(L, 1);
    lua_rawget(L, 1);
    return 1;
}

static int base_rawset(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    sandbox_check_writable(L, 1);
    lua_rawset(L, 1);
    return 1;
}

static int base_rawlen(lua_State *L) {
    int type = lua_type(L, 1);
    luaL_argexpected(L, type == LUA_TTABLE || type == LUA_TSTRING, 1, "table or string");
    sandbox_read_through(L, 1);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
    return 1;
}

/* ---- load ---- */

/* load(text [, name [, mode [, env]]]): the mode is always "t" */
static int base_load(lua_State *L) {
    size_t n;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *text = lua_tolstring(L, 1, &n);
    const char *name = luaL_optstring(L, 2, "=load");
    bool has_environment = !lua_isnone(L, 4);
    luaL_argcheck(L, n <= vm_of(L)->limits->script_load, 1, "text too long");
    lua_settop(L, 4);
    if (luaL_loadbufferx(L, text, n, name, "t") != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (!has_environment) return 1;
    lua_pushvalue(L, 4);
    lua_setupvalue(L, -2, 1);
    return 1;
}

int lib_base_open(lua_State *L) {
    static const luaL_Reg ours[] = {
        {"load", base_load},     {"pcall", base_pcall},   {"print", lib_log_print},
        {"rawget", base_rawget}, {"rawlen", base_rawlen}, {"rawset", base_rawset},
        {"xpcall", base_xpcall}, {NULL, NULL}};
    luaL_requiref(L, LUA_GNAME, luaopen_base, false);
    sandbox_pick(L, kept);
    luaL_setfuncs(L, ours, 0);
    add_setmetatable(L);
    return 1;
}
