/* SPDX-License-Identifier: MIT */
/* What a script can do with its site as a whole. The first argument of every function is the server
 * object itself; which site is meant is known from the state. Functions about channels are in
 * lib_channel.c, timers in lib_timer.c. They know the sockets of this node; lua/moonlatch/nodes.lua
 * makes of them what reaches all nodes. */
#include "script/lib_server.h"

#include "script/lib_call.h"
#include "script/lib_channel.h"
#include "script/lib_socket.h"
#include "script/lib_timer.h"

#include <time.h>

/* rpc(socket, name, args, options) */
static int server_rpc(lua_State *L) {
    return lua_call_client(L, handle_check(L, 2), "server:rpc", 3);
}

/* now(): seconds since 1970, with a fraction */
static int server_now(lua_State *L) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    lua_pushnumber(L, (lua_Number)ts.tv_sec + (lua_Number)ts.tv_nsec / 1e9);
    return 1;
}

static int set_unauth_timeout(lua_State *L, uint64_t ms) {
    struct runtime *rt = runtime_of(vm_of(L));
    rt->limits.unauth_timeout = ms;
    runtime_limits_changed(rt);
    return 0;
}

/* enableCleanup(ms): how long sockets may stay without login, from the next one on */
static int server_enable_cleanup(lua_State *L) {
    lua_Integer ms = luaL_optinteger(L, 2, 5000);
    luaL_argcheck(L, ms >= 100 && ms <= 600000, 2, "100 to 600000 milliseconds expected");
    return set_unauth_timeout(L, (uint64_t)ms);
}

static int server_disable_cleanup(lua_State *L) {
    return set_unauth_timeout(L, LIMIT_OFF);
}

/* The sockets of the site, each with a reference, in an array of *n; the caller's. */
static struct socket **all_sockets(struct site *site, size_t *n) {
    struct socket **all = mem_raw((site->sockets.count + 1) * sizeof *all);
    *n = 0;
    for (struct map_link *l = map_next(&site->sockets, NULL); l; l = map_next(&site->sockets, l))
        all[(*n)++] = socket_ref(container_of(l, struct socket, by_sid));
    return all;
}

/* shutdown(): closes the sockets of this site; new ones may come */
static int server_shutdown(lua_State *L) {
    size_t n;
    struct socket **all = all_sockets(vm_of(L)->site, &n);
    for (size_t i = 0; i < n; i++) {
        socket_close(all[i], 1000, "Normal closure");
        socket_unref(all[i]);
    }
    mem_free(all);
    return 0;
}

static const luaL_Reg functions[] = {{"rpc", server_rpc},
                                     {"now", server_now},
                                     {"delay", lib_timer_delay},
                                     {"every", lib_timer_every},
                                     {"enableCleanup", server_enable_cleanup},
                                     {"disableCleanup", server_disable_cleanup},
                                     {"shutdown", server_shutdown},
                                     {NULL, NULL}};

void lib_server_push(lua_State *L) {
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    luaL_setfuncs(L, lib_channel_functions, 0);
}
