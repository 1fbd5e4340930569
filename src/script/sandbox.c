/* SPDX-License-Identifier: MIT */
/* A sealed table is an empty table whose metatable sends reads on to the real one and refuses
 * writes; the real one is in no place where a script could get hold of it. The globals are sealed
 * too, so a script has no globals of its own: what it does not declare with local is an error, at
 * the line. */
#include "script/sandbox.h"

#include "base/id.h"
#include "script/libs.h"
#include "script/module.h"

#include <lualib.h>

static const char sealed_key, environment_key, trusted_key; /* addresses as keys */

/* ---- sealing ---- */

static int refuse_write(lua_State *L) {
    if (lua_type(L, 2) == LUA_TSTRING)
        return luaL_error(L, "'%s' cannot be set: the table is read-only", lua_tostring(L, 2));
    return luaL_error(L, "the table is read-only");
}

static int walk(lua_State *L) {
    lua_settop(L, 2);
    if (lua_next(L, lua_upvalueindex(1))) return 2;
    lua_pushnil(L);
    return 1;
}

/* pairs(view): an iterator that does not show the real table */
static int pairs_of_view(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, walk, 1);
    return 1;
}

static int length_of_view(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, lua_upvalueindex(1)));
    return 1;
}

static void set_closure(lua_State *L, int real, const char *event, lua_CFunction f) {
    lua_pushvalue(L, real);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, event);
}

void sandbox_seal(lua_State *L) {
    int real = lua_gettop(L);
    lua_newtable(L);
    lua_createtable(L, 0, 6);
    lua_pushvalue(L, real);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    set_closure(L, real, "__pairs", pairs_of_view);
    set_closure(L, real, "__len", length_of_view);
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, real);
    lua_rawsetp(L, -2, &sealed_key);
    lua_setmetatable(L, -2);
    lua_replace(L, real);
}

void sandbox_check_writable(lua_State *L, int index) {
    if (!lua_getmetatable(L, index)) return;
    if (lua_rawgetp(L, -1, &sealed_key) == LUA_TTABLE) luaL_argerror(L, index, "is read-only");
    lua_pop(L, 2);
}

void sandbox_read_through(lua_State *L, int index) {
    if (!lua_getmetatable(L, index)) return;
    if (lua_rawgetp(L, -1, &sealed_key) == LUA_TTABLE) lua_replace(L, index);
    else lua_pop(L, 1);
    lua_pop(L, 1);
}

void sandbox_library(lua_State *L, const luaL_Reg *functions) {
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
}

void sandbox_pick(lua_State *L, const char *const *names) {
    lua_newtable(L);
    for (; *names; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
    lua_remove(L, -2);
}

/* ---- libraries that need little ---- */

#define DATE_FORMAT_BYTES 128

static int os_date(lua_State *L) {
    size_t n;
    luaL_optlstring(L, 1, "", &n);
    luaL_argcheck(L, n <= DATE_FORMAT_BYTES, 1, "format too long");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int lib_os_open(lua_State *L) {
    static const char *const names[] = {"clock", "date", "difftime", "time", NULL};
    luaL_requiref(L, LUA_OSLIBNAME, luaopen_os, false);
    sandbox_pick(L, names);
    lua_getfield(L, -1, "date");
    lua_pushcclosure(L, os_date, 1);
    lua_setfield(L, -2, "date");
    return 1;
}

/* Seeded from the system: a script must not tell one site's sequence from another's. */
static int lib_math_open(lua_State *L) {
    lua_Integer seed[2];
    luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, false);
    random_bytes(vm_of(L)->site->core->random, seed, sizeof seed);
    lua_getfield(L, -1, "randomseed");
    lua_pushinteger(L, seed[0]);
    lua_pushinteger(L, seed[1]);
    lua_call(L, 2, 0);
    return 1;
}

static int lib_utf8_open(lua_State *L) {
    luaL_requiref(L, LUA_UTF8LIBNAME, luaopen_utf8, false);
    return 1;
}

#define TRACEBACK_BYTES 2048

/* debug.traceback([thread,] [message [, level]]) */
static int debug_traceback(lua_State *L) {
    bool other = lua_isthread(L, 1);
    lua_State *of = other ? lua_tothread(L, 1) : L;
    int message = other ? 2 : 1;
    if (lua_type(L, message) != LUA_TSTRING && !lua_isnoneornil(L, message)) {
        lua_pushvalue(L, message);
        return 1;
    }
    int level = (int)luaL_optinteger(L, message + 1, of == L ? 1 : 0);
    struct text text = {0};
    char all[TRACEBACK_BYTES];
    vm_traceback(of, level, sizeof all, &text); /* does not raise */
    size_t n = text.n;
    memcpy(all, text_slice(&text).p ? text_slice(&text).p : "", n);
    text_fini(&text);
    lua_settop(L, message);
    if (lua_isstring(L, message)) lua_pushliteral(L, "\nstack traceback:\n");
    else lua_pushliteral(L, "stack traceback:\n");
    lua_pushlstring(L, all, n);
    lua_concat(L, lua_isstring(L, message) ? 3 : 2);
    return 1;
}

static int lib_debug_open(lua_State *L) {
    static const luaL_Reg functions[] = {{"traceback", debug_traceback}, {NULL, NULL}};
    sandbox_library(L, functions);
    return 1;
}

/* ---- the globals ---- */

static const luaL_Reg libraries[] = {
    {"coroutine", lib_coroutine_open}, {"debug", lib_debug_open}, {"math", lib_math_open},
    {"os", lib_os_open}, {"string", lib_string_open}, {"table", lib_table_open},
    {"utf8", lib_utf8_open}, {NULL, NULL}};

static int refuse_undeclared(lua_State *L) {
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    return luaL_error(L, "variable '%s' is not declared", name);
}

static int refuse_global(lua_State *L) {
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    return luaL_error(L, "variable '%s' is not declared: say local", name);
}

/* stack: real -> its view, in which reading what is not there raises, and any writing */
static void seal_environment(lua_State *L) {
    sandbox_seal(L);
    lua_getmetatable(L, -1);
    lua_pushcfunction(L, refuse_global);
    lua_setfield(L, -2, "__newindex");
    lua_pop(L, 1);
}

static void set_index(lua_State *L) {
    lua_createtable(L, 0, 1);
    lua_insert(L, -2);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

/* stack: globals of scripts -> the same with another require */
static void make_trusted(lua_State *L) {
    lua_newtable(L);
    module_push_require(L, true);
    lua_setfield(L, -2, "require");
    lua_insert(L, -2);
    set_index(L);
    seal_environment(L);
}

/* stack: library ->; error messages find the names of functions in this table of the registry */
static void name_functions(lua_State *L, const char *library) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_insert(L, -2);
    lua_setfield(L, -2, library);
    lua_pop(L, 1);
}

void sandbox_open(lua_State *L) {
    lib_base_open(L);
    for (const luaL_Reg *l = libraries; l->name; l++) {
        l->func(L);
        lua_pushvalue(L, -1);
        name_functions(L, l->name);
        sandbox_seal(L);
        lua_setfield(L, -2, l->name);
    }
    module_push_require(L, false);
    lua_setfield(L, -2, "require");
    lua_pushvalue(L, -1);
    name_functions(L, LUA_GNAME);
    lua_pushcfunction(L, refuse_undeclared);
    set_index(L);
    lua_pushvalue(L, -1); /* stack: globals, globals */
    seal_environment(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "_G");
    lua_pushvalue(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS); /* what chunks get as _ENV */
    lua_rawsetp(L, LUA_REGISTRYINDEX, &environment_key);
    make_trusted(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &trusted_key);
}

void sandbox_push_environment(lua_State *L, bool trusted) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, trusted ? &trusted_key : &environment_key);
}
