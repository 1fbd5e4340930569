/* SPDX-License-Identifier: MIT */
/* What the runtime library, and only it, asks of C: to be told of events, and to run tasks side by
 * side. A task reports its end to an inbox, a userdata, and the task that waits on the inbox goes
 * on at the end of the turn:
 *
 *   start(inbox, f, ...) -> child runs -> ends -> inbox.ended, its results in the inbox's table
 *   next(inbox)          <- number, true, results...  or  number, false, error
 *
 * The child holds the inbox by a reference in the registry until it has ended. */
#include "script/lib_core.h"

#include "script/lib_ask.h"
#include "script/lib_emit.h"
#include "script/lib_history.h"
#include "script/lib_json.h"
#include "script/lib_push.h"
#include "script/lib_server.h"
#include "script/lib_socket.h"
#include "script/lib_token.h"
#include "script/sandbox.h"
#include "script/task.h"

#include <time.h>

#define META "moonlatch.inbox"

#define VALUE_RESULTS 1 /* user value of an inbox: by number, the packed results of a child */

struct inbox {
    struct wait wait;
    struct timer timer;
    struct deferred wake;
    struct vm *vm;
    struct list ended; /* struct child: ended, and not taken yet */
    struct list alive; /* struct child: not ended */
    lua_Integer started;
    unsigned posts; /* not taken yet */
    bool waiting;
};

struct child {
    struct task task;
    struct list link; /* in inbox->alive, then in inbox->ended */
    struct inbox *inbox;
    int ref;            /* of the inbox */
    lua_Integer number; /* counted from 1 */
    lua_State *from; /* until it was pushed: who has the function and its arguments, from index 2 */
    const char *code; /* of what made it fail; NULL: it did not */
    char id[ERROR_ID_LENGTH + 1];
};

/* ---- waiting ---- */

static void inbox_wake(struct inbox *b) {
    if (b->waiting) loop_defer(b->vm->site->core->loop, LOOP_DELIVER, &b->wake);
}

static void on_wake(struct deferred *d) {
    struct inbox *b = container_of(d, struct inbox, wake);
    if (b->waiting) task_resume(&b->wait);
}

static void on_timeout(struct timer *t) { inbox_wake(container_of(t, struct inbox, timer)); }

static int push_error(lua_State *L, const struct child *c) {
    if (strcmp(c->code, "script_error") != 0) {
        lua_pushstring(L, c->code);
        return 1;
    }
    lua_createtable(L, 0, 3);
    lua_pushliteral(L, "Internal error");
    lua_setfield(L, -2, "message");
    lua_pushstring(L, c->code);
    lua_setfield(L, -2, "code");
    lua_pushstring(L, c->id);
    lua_setfield(L, -2, "id");
    return 1;
}

/* The inbox is at index 1. */
static int take_results(lua_State *L, lua_Integer number) {
    lua_getiuservalue(L, 1, VALUE_RESULTS);
    lua_rawgeti(L, -1, number); /* stack: results, packed */
    lua_pushnil(L);
    lua_rawseti(L, -3, number);
    int packed = lua_gettop(L);
    lua_getfield(L, packed, "n");
    int n = (int)lua_tointeger(L, -1);
    luaL_checkstack(L, n + 2, "too many results");
    lua_pushinteger(L, number);
    lua_pushboolean(L, true);
    for (int i = 1; i <= n; i++) lua_rawgeti(L, packed, i);
    return n + 2;
}

/* Pushes what came first, with the inbox at index 1. */
static int take_next(lua_State *L, struct inbox *b) {
    struct list *link = list_pop(&b->ended);
    if (!link) {
        if (!b->posts) return lua_push_failure(L, "timeout");
        b->posts--;
        lua_pushboolean(L, true);
        return 1;
    }
    struct child c = *container_of(link, struct child, link);
    mem_free(container_of(link, struct child, link));
    if (!c.code) return take_results(L, c.number);
    lua_pushinteger(L, c.number);
    lua_pushboolean(L, false);
    return 2 + push_error(L, &c);
}

static int on_next(lua_State *L, struct wait *w) {
    return take_next(L, container_of(w, struct inbox, wait));
}

static void on_over(struct wait *w) {
    struct inbox *b = container_of(w, struct inbox, wait);
    b->waiting = false;
    deferred_cancel(&b->wake);
    timer_stop(b->vm->site->core->loop, &b->timer);
}

/* next(inbox, seconds) */
static int core_next(lua_State *L) {
    struct inbox *b = luaL_checkudata(L, 1, META);
    if (!list_empty(&b->ended) || b->posts) return take_next(L, b);
    lua_Number seconds = luaL_optnumber(L, 2, 0);
    task_may_wait(L, "a listener");
    lua_settop(L, 1);
    b->waiting = true;
    if (seconds > 0)
        timer_start(b->vm->site->core->loop, &b->timer, (uint64_t)(seconds * 1000) + 1);
    return task_wait(L, &b->wait);
}

/* waits(inbox): whether somebody does; who was cancelled does not */
static int core_waits(lua_State *L) {
    const struct inbox *b = luaL_checkudata(L, 1, META);
    lua_pushboolean(L, b->waiting);
    return 1;
}

/* post(inbox) */
static int core_post(lua_State *L) {
    struct inbox *b = luaL_checkudata(L, 1, META);
    b->posts++;
    inbox_wake(b);
    return 0;
}

static int core_inbox(lua_State *L) {
    struct inbox *b = lua_newuserdatauv(L, sizeof *b, 1);
    *b = (struct inbox){.vm = vm_of(L)};
    list_init(&b->ended);
    list_init(&b->alive);
    deferred_init(&b->wake, on_wake);
    b->timer.fired = on_timeout;
    b->wait.push = on_next;
    b->wait.over = on_over;
    luaL_setmetatable(L, META);
    lua_newtable(L);
    lua_setiuservalue(L, -2, VALUE_RESULTS);
    return 1;
}

/* Nobody waits for what is still in it. */
static int inbox_gc(lua_State *L) {
    struct inbox *b = lua_touserdata(L, 1);
    for (struct list *link; (link = list_pop(&b->ended)) != NULL;)
        mem_free(container_of(link, struct child, link));
    return 0;
}

/* ---- children ---- */

static int child_push(lua_State *L, struct task *t) {
    struct child *c = container_of(t, struct child, task);
    int n = lua_gettop(c->from) - 1;
    luaL_checkstack(L, n, "too many arguments");
    for (int i = 2; i <= n + 1; i++) lua_pushvalue(c->from, i);
    lua_xmove(c->from, L, n);
    c->from = NULL;
    return n - 1;
}

static void child_take(lua_State *L, struct task *t) {
    const struct child *c = container_of(t, struct child, task);
    if (!c->inbox) return;
    int n = lua_gettop(L);
    lua_createtable(L, n, 1);
    lua_insert(L, 1);
    for (int i = n; i >= 1; i--) lua_rawseti(L, 1, i);
    lua_pushinteger(L, n);
    lua_setfield(L, 1, "n"); /* stack: packed */
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->ref);
    lua_getiuservalue(L, -1, VALUE_RESULTS);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, c->number);
}

static void child_ended(struct task *t, enum task_end how, const struct script_error *error) {
    struct child *c = container_of(t, struct child, task);
    struct inbox *b = c->inbox;
    if (!b) {
        mem_free(c);
        return;
    }
    list_remove(&c->link);
    if (how != TASK_DONE) c->code = error ? error->code : "cancelled";
    if (error) memcpy(c->id, error->id, sizeof c->id);
    list_push(&b->ended, &c->link);
    inbox_wake(b);
    luaL_unref(t->vm->L, LUA_REGISTRYINDEX, c->ref); /* b lives: who waits for it has it too */
}

static const struct task_kind child_kind = {"listener", true,        child_push,
                                            child_take, child_ended, NULL};

/* start(inbox, f, ...) */
static int core_start(lua_State *L) {
    struct inbox *b = lua_isnil(L, 1) ? NULL : luaL_checkudata(L, 1, META);
    int ref = LUA_NOREF;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    luaL_checkstack(L, lua_gettop(L), "too many arguments");
    if (b) {
        lua_pushvalue(L, 1);
        ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    struct child *c = mem_new(sizeof *c);
    list_init(&c->link);
    c->inbox = b;
    c->ref = ref;
    c->from = L;
    if (b) c->number = ++b->started;
    if (b) list_push(&b->alive, &c->link);
    task_start(vm_of(L), &c->task, &child_kind); /* may free c */
    return 0;
}

/* cancel(inbox): ends the children of this inbox that have not ended */
static int core_cancel(lua_State *L) {
    struct inbox *b = luaL_checkudata(L, 1, META);
    while (!list_empty(&b->alive)) {
        struct child *c = container_of(b->alive.next, struct child, link);
        list_remove(&c->link); /* one that runs now ends as soon as it comes back */
        task_cancel(&c->task);
    }
    return 0;
}

/* monotonic(): seconds on a clock that never goes back */
static int core_monotonic(lua_State *L) {
    struct loop *loop = vm_of(L)->site->core->loop;
    loop_update_time(loop); /* the script may have run for a while in this turn */
    lua_pushnumber(L, (lua_Number)loop_now_ms(loop) / 1000);
    return 1;
}

/* ---- what the script hears of ---- */

static const struct {
    const char *name;
    uint32_t bit;
} hook_names[] = {{"subscribe", HOOK_SUBSCRIBE},
                  {"unsubscribe", HOOK_UNSUBSCRIBE},
                  {"publish", HOOK_PUBLISH},
                  {"broadcast", HOOK_BROADCAST},
                  {"authentication", HOOK_AUTHENTICATION},
                  {"filter", HOOK_FILTER},
                  {"connect", HOOK_CONNECT},
                  {"disconnect", HOOK_DISCONNECT},
                  {"message", HOOK_MESSAGE},
                  {"occupied", HOOK_OCCUPIED},
                  {"vacated", HOOK_VACATED},
                  {"gap", HOOK_GAP}};

static uint32_t check_hook(lua_State *L, int index) {
    const char *name = luaL_checkstring(L, index);
    for (size_t i = 0; i < sizeof hook_names / sizeof *hook_names; i++)
        if (strcmp(hook_names[i].name, name) == 0) return hook_names[i].bit;
    return (uint32_t)luaL_argerror(L, index, "unknown hook");
}

static void set_bits(struct runtime *rt, uint32_t bits, bool on) {
    rt->has = on ? rt->has | bits : rt->has & ~bits;
    if (rt->phase == RUNTIME_CURRENT) rt->site->has = rt->has;
}

/* Keeps the function at index 2, or none when it is no function. */
static void set_function(lua_State *L, int *ref) {
    int old = *ref;
    *ref = LUA_NOREF;
    if (lua_isfunction(L, 2)) {
        lua_pushvalue(L, 2);
        *ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    luaL_unref(L, LUA_REGISTRYINDEX, old);
}

/* set_hook(name, value) */
static int core_set_hook(lua_State *L) {
    struct runtime *rt = runtime_of(vm_of(L));
    uint32_t bit = check_hook(L, 1);
    if (bit == HOOK_MESSAGE) set_function(L, &rt->message);
    if (bit == HOOK_FILTER) set_function(L, &rt->filter);
    set_bits(rt, bit, lua_toboolean(L, 2));
    return 0;
}

/* set_after(name, flag): the bits of the four kinds of ops are the same in has and in after. */
static int core_set_after(lua_State *L) {
    struct runtime *rt = runtime_of(vm_of(L));
    uint32_t bit = check_hook(L, 1);
    rt->after = lua_toboolean(L, 2) ? rt->after | bit : rt->after & ~bit;
    set_bits(rt, HOOK_AFTER, rt->after != 0);
    return 0;
}

static int core_warn(lua_State *L) {
    const struct vm *vm = vm_of(L);
    LOG(vm->site->core->log, LOG_WARN, "script warning", log_c("site", vm->name),
        log_s("hint", lua_check_slice(L, 1)));
    return 0;
}

/* socket(sid): of this node, or nil */
static int core_socket(lua_State *L) {
    struct socket *s = socket_find(vm_of(L)->site, lua_check_slice(L, 1));
    if (!s || !socket_is_open(s) || !socket_is_admitted(s)) return 0;
    handle_push(L, s);
    return 1;
}

/* ---- for operators ---- */

/* where(fn): "scripts/chat/init.lua:12", where it was written; "" of one in C */
static int core_where(lua_State *L) {
    lua_Debug fn;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_getinfo(L, ">S", &fn);
    if (fn.linedefined <= 0) lua_pushliteral(L, "");
    else lua_pushfstring(L, "%s:%d", fn.short_src, fn.linedefined);
    return 1;
}

/* clock(): seconds, as fine as the system has them, on a clock that never goes back */
static int core_clock(lua_State *L) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
    return 1;
}

/* ---- the table ---- */

/* stack: -> limits: those that the library reads, as integers */
static void push_limits(lua_State *L, const struct runtime *rt) {
    lua_newtable(L);
    for (const struct limit_row *row = limit_rows; row->name; row++) {
        uint64_t value = *(const uint64_t *)(const void *)((const char *)&rt->limits + row->offset);
        lua_pushinteger(L, value > INT32_MAX ? INT32_MAX : (lua_Integer)value);
        lua_setfield(L, -2, row->name);
    }
}

static const luaL_Reg functions[] = {{"cancel", core_cancel},
                                     {"monotonic", core_monotonic},
                                     {"start", core_start},
                                     {"inbox", core_inbox},
                                     {"post", core_post},
                                     {"next", core_next},
                                     {"waits", core_waits},
                                     {"set_hook", core_set_hook},
                                     {"set_after", core_set_after},
                                     {"warn", core_warn},
                                     {"socket", core_socket},
                                     {"emit", lib_core_emit},
                                     {"send", lib_core_send},
                                     {"ask", lib_core_ask},
                                     {"history", lib_core_history},
                                     {"token", lib_core_token},
                                     {"where", core_where},
                                     {"clock", core_clock},
                                     {NULL, NULL}};

void lib_core_push(lua_State *L, struct runtime *rt) {
    luaL_newmetatable(L, META);
    lua_pushcfunction(L, inbox_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    push_limits(L, rt);
    lua_setfield(L, -2, "limits");
    lua_pushstring(L, rt->site->core->node);
    lua_setfield(L, -2, "node");
    vm_require(L, "moonlatch.json");
    lua_setfield(L, -2, "json");
    sandbox_push_environment(L, false);
    lua_setfield(L, -2, "environment");
    lib_server_push(L);
    lua_setfield(L, -2, "server");
}
