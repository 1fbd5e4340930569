/* SPDX-License-Identifier: MIT */
#include "script/lib_cache.h"

#include "script/cache.h"
#include "script/lib_json.h"
#include "script/lib_socket.h"
#include "script/runtime.h"
#include "script/sandbox.h"

#include "base/json.h"

static struct cache *cache_of(lua_State *L) { return vm_of(L)->site->cache; }

static uint64_t now_ms(lua_State *L) { return loop_now_ms(vm_of(L)->site->core->loop); }

static struct slice check_key(lua_State *L) {
    struct slice key = lua_check_slice(L, 1);
    luaL_argcheck(L, key.n && key.n <= 1024, 1, "a key of 1 to 1024 bytes expected");
    return key;
}

static uint64_t check_ttl(lua_State *L, int index) {
    lua_Number seconds = luaL_optnumber(L, index, 0);
    luaL_argcheck(L, lua_isnoneornil(L, index) || (seconds > 0 && seconds <= 31536000), index,
                  "seconds above 0 expected");
    uint64_t ms = (uint64_t)(seconds * 1000 + 0.5);
    return seconds > 0 && !ms ? 1 : ms; /* 0 is for ever */
}

static int cache_method_get(lua_State *L) {
    struct slice value = cache_get(cache_of(L), check_key(L), now_ms(L));
    if (!value.n) return 0;
    lua_json_push(L, value);
    return 1;
}

static int store(lua_State *L, struct slice key, int index, uint64_t ttl_ms) {
    struct buf *value = runtime_encode(L, index);
    bool kept = cache_set(cache_of(L), key, buf_slice(value), now_ms(L), ttl_ms,
                          vm_of(L)->limits->script_cache);
    buf_unref(value);
    if (!kept) return lua_push_failure(L, "too_large");
    lua_pushboolean(L, true);
    return 1;
}

static int cache_method_set(lua_State *L) {
    luaL_checkany(L, 2);
    return store(L, check_key(L), 2, check_ttl(L, 3));
}

static int cache_method_add(lua_State *L) {
    struct slice key = check_key(L);
    luaL_checkany(L, 2);
    uint64_t ttl_ms = check_ttl(L, 3);
    if (!cache_get(cache_of(L), key, now_ms(L)).n) return store(L, key, 2, ttl_ms);
    lua_pushboolean(L, false);
    return 1;
}

/* Pushes the number that is there, or 0; false when it is none. */
static bool push_number(lua_State *L, struct slice value) {
    if (!value.n) {
        lua_pushinteger(L, 0);
        return true;
    }
    lua_json_push(L, value);
    return lua_type(L, -1) == LUA_TNUMBER;
}

/* Whether the sum of two integers is none. */
static bool overflows(lua_State *L, int a, int b) {
    if (!lua_isinteger(L, a) || !lua_isinteger(L, b)) return false;
    lua_Integer x = lua_tointeger(L, a), y = lua_tointeger(L, b);
    return y > 0 ? x > LUA_MAXINTEGER - y : x < LUA_MININTEGER - y;
}

static int cache_method_incr(lua_State *L) {
    struct slice key = check_key(L);
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, lua_gettop(L) < 3 ? 2 : 3);
        lua_pushinteger(L, 1);
        lua_replace(L, 2);
    }
    luaL_checknumber(L, 2);
    uint64_t ttl_ms = check_ttl(L, 3), left = cache_left(cache_of(L), key, now_ms(L));
    struct slice value = cache_get(cache_of(L), key, now_ms(L));
    if (!push_number(L, value)) return lua_push_failure(L, "not_a_number");
    if (overflows(L, -1, 2)) return lua_push_failure(L, "limit");
    lua_pushvalue(L, 2);
    lua_arith(L, LUA_OPADD);
    int sum = lua_gettop(L);
    int results = store(L, key, sum, value.n ? left : ttl_ms);
    if (results > 1) return results;
    lua_pushvalue(L, sum);
    return 1;
}

static int cache_method_delete(lua_State *L) {
    lua_pushboolean(L, cache_delete(cache_of(L), check_key(L), now_ms(L)));
    return 1;
}

static int cache_method_clear(lua_State *L) {
    cache_clear(cache_of(L));
    return 0;
}

int lib_cache_open(lua_State *L) {
    static const luaL_Reg functions[] = {{"get", cache_method_get},
                                         {"set", cache_method_set},
                                         {"add", cache_method_add},
                                         {"incr", cache_method_incr},
                                         {"delete", cache_method_delete},
                                         {"clear", cache_method_clear},
                                         {NULL, NULL}};
    struct site *site = vm_of(L)->site;
    if (!site->cache) {
        site->cache = mem_new(sizeof *site->cache);
        cache_init(site->cache);
    }
    sandbox_library(L, functions);
    return 1;
}
