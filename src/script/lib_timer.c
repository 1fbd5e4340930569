/* SPDX-License-Identifier: MIT */
/* A ticker is a userdata with its function as user value. The registry holds it while it is set or
 * its function runs, so that neither the timer nor the task loses its memory; after that it is the
 * script's own to keep. */
#include "script/lib_timer.h"

#include "script/task.h"

#define META "moonlatch.timer"

struct ticker {
    struct timer timer;
    struct task task;
    struct list link; /* in runtime->timers while it is set */
    struct runtime *rt;
    uint64_t period_ms; /* 0: once */
    bool running;
    int ref; /* in the registry; LUA_NOREF: not held */
};

static struct loop *loop_of(const struct ticker *k) { return k->rt->site->core->loop; }

static bool is_set(const struct ticker *k) { return list_linked(&k->link); }

/* Outside of Lua, or inside: luaL_unref only writes slots that are there. */
static void let_go(struct ticker *k) {
    if (is_set(k) || k->running || k->ref == LUA_NOREF) return;
    int ref = k->ref;
    k->ref = LUA_NOREF;
    luaL_unref(k->rt->vm->L, LUA_REGISTRYINDEX, ref);
}

static void unset(struct ticker *k) {
    if (!is_set(k)) return;
    timer_stop(loop_of(k), &k->timer);
    list_remove(&k->link);
    k->rt->timer_count--;
    if (!k->period_ms) k->rt->delay_count--;
}

/* ---- running ---- */

static int ticker_push(lua_State *L, struct task *t) {
    const struct ticker *k = container_of(t, struct ticker, task);
    lua_rawgeti(L, LUA_REGISTRYINDEX, k->ref);
    lua_getiuservalue(L, -1, 1);
    lua_remove(L, -2);
    return 0;
}

static void ticker_ended(struct task *t, enum task_end how, const struct script_error *error) {
    (void)how;
    (void)error;
    struct ticker *k = container_of(t, struct ticker, task);
    k->running = false;
    let_go(k);
}

static const struct task_kind ticker_kind = {"timer", true, ticker_push, NULL, ticker_ended, NULL};

/* A tick is left out while the one before still waits for something. */
static void on_fired(struct timer *t) {
    struct ticker *k = container_of(t, struct ticker, timer);
    if (k->period_ms) timer_start(loop_of(k), &k->timer, k->period_ms);
    else unset(k);
    if (k->running) return;
    k->running = true;
    task_start(k->rt->vm, &k->task, &ticker_kind);
}

/* ---- functions ---- */

static int ticker_new(lua_State *L, bool again) {
    struct runtime *rt = runtime_of(vm_of(L));
    lua_Number seconds = luaL_checknumber(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    luaL_argcheck(L, seconds >= (again ? 0.01 : 0) && seconds <= 2592000, 2,
                  again ? "0.01 to 2592000 seconds expected" : "0 to 2592000 seconds expected");
    if (rt->timer_count >= rt->limits.script_timers) {
        site_limit(rt->site, "script_timers");
        return luaL_error(L, "too many timers: the limit script_timers is reached");
    }
    struct ticker *k = lua_newuserdatauv(L, sizeof *k, 1);
    *k = (struct ticker){.timer = {.fired = on_fired}, .rt = rt, .ref = LUA_NOREF};
    list_init(&k->link);
    luaL_setmetatable(L, META);
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, -1);
    k->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    uint64_t ms = (uint64_t)(seconds * 1000);
    k->period_ms = again ? ms : 0;
    list_push(&rt->timers, &k->link);
    rt->timer_count++;
    if (!again) rt->delay_count++;
    if (!again || rt->phase != RUNTIME_LEFT) timer_start(loop_of(k), &k->timer, ms);
    return 1;
}

int lib_timer_delay(lua_State *L) { return ticker_new(L, false); }
int lib_timer_every(lua_State *L) { return ticker_new(L, true); }

/* True when it was set: what already runs is not stopped. */
static int ticker_cancel(lua_State *L) {
    struct ticker *k = luaL_checkudata(L, 1, META);
    lua_pushboolean(L, is_set(k));
    unset(k);
    let_go(k);
    return 1;
}

void tickers_stop(struct runtime *rt) {
    LIST_EACH(&rt->timers, link) {
        struct ticker *k = container_of(link, struct ticker, link);
        unset(k);
        let_go(k);
    }
}

void tickers_pause(struct runtime *rt) {
    LIST_EACH(&rt->timers, link) {
        struct ticker *k = container_of(link, struct ticker, link);
        if (k->period_ms) timer_stop(loop_of(k), &k->timer);
    }
}

void tickers_go_on(struct runtime *rt) {
    LIST_EACH(&rt->timers, link) {
        struct ticker *k = container_of(link, struct ticker, link);
        if (k->period_ms) timer_start(loop_of(k), &k->timer, k->period_ms);
    }
}

void lib_timer_open(lua_State *L) {
    luaL_newmetatable(L, META);
    lua_newtable(L);
    lua_pushcfunction(L, ticker_cancel);
    lua_setfield(L, -2, "cancel");
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
