/* SPDX-License-Identifier: MIT */
/* moonlatch.time: sleep(seconds) waits; now() is the wall clock, monotonic() a clock that never
 * goes back; both in seconds, as floats. */
#include "script/libs.h"
#include "script/sandbox.h"
#include "script/task.h"

#include <time.h>

#define SLEEP_MAX_SECONDS 86400.0

struct sleep {
    struct wait wait;
    struct timer timer;
    struct loop *loop;
};

static void on_timer(struct timer *timer) {
    task_resume(&container_of(timer, struct sleep, timer)->wait);
}

static int push_nothing(lua_State *L, struct wait *w) {
    (void)L;
    (void)w;
    return 0;
}

static void over(struct wait *w) {
    struct sleep *s = container_of(w, struct sleep, wait);
    timer_stop(s->loop, &s->timer);
    mem_free(s);
}

static int time_sleep(lua_State *L) {
    lua_Number seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds <= SLEEP_MAX_SECONDS, 1, "must be 0 to 86400 seconds");
    task_may_wait(L, "time.sleep");
    struct sleep *s = mem_new(sizeof *s);
    s->wait.push = push_nothing;
    s->wait.over = over;
    s->timer.fired = on_timer;
    s->loop = vm_of(L)->site->core->loop;
    loop_update_time(s->loop); /* the script may have run for a while in this turn */
    timer_start(s->loop, &s->timer, (uint64_t)(seconds * 1000) + 1); /* the loop's clock is cut */
    return task_wait(L, &s->wait);
}

static int push_clock(lua_State *L, clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
    return 1;
}

static int time_now(lua_State *L) { return push_clock(L, CLOCK_REALTIME); }
static int time_monotonic(lua_State *L) { return push_clock(L, CLOCK_MONOTONIC); }

int lib_time_open(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"monotonic", time_monotonic}, {"now", time_now}, {"sleep", time_sleep}, {NULL, NULL}};
    sandbox_library(L, functions);
    return 1;
}
