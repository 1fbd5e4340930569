/* SPDX-License-Identifier: MIT */
/* A task's coroutine runs the C function trampoline, which calls push, the script and take, so that
 * everything that may raise does so inside of it. When it returns the coroutine goes back to the
 * pool as it is; after an error or a cancelled wait it is left to the collector, because a coroutine
 * that died of a hook never runs a hook again. */
#include "script/task.h"

#include <assert.h>

static void turn_came(struct turn *turn, bool late);

/* Whether t must stand in its site's queue now, and puts it there. */
static bool queue_up(struct task *t) {
    if (!t->kind->waits || share_is_free(t->vm->share)) return false;
    t->turn.came = turn_came;
    share_queue(t->vm->share, &t->turn, !t->refusable);
    t->refusable = false; /* once it runs it is not refused any more */
    return true;
}

static int take(lua_State *L, int status, lua_KContext context) {
    struct task *t = (struct task *)context;
    (void)status;
    if (t->kind->take) t->kind->take(L, t);
    return 0;
}

/* stack: function, arguments */
static int call(lua_State *L, int status, lua_KContext context) {
    (void)status;
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, context, take);
    return take(L, LUA_OK, context);
}

static int trampoline(lua_State *L) {
    struct task *t = task_of(L);
    t->kind->push(L, t); /* before any waiting: what it pushes may be lent for this call */
    if (queue_up(t)) return lua_yieldk(L, 0, (lua_KContext)t, call);
    return call(L, LUA_OK, (lua_KContext)t);
}

/* ---- the pool ---- */

static int make_coroutine(lua_State *L) {
    lua_State **out = lua_touserdata(L, 1);
    lua_State *made = lua_newthread(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, made); /* anchored while it is ours */
    *out = made;
    return 0;
}

static lua_State *borrow_coroutine(struct vm *vm) {
    if (vm->idle_count) return vm->idle[--vm->idle_count];
    lua_State *L = NULL;
    vm_protect(vm, make_coroutine, &L, NULL);
    return L;
}

/* The slot in the registry exists, so nothing here can raise. */
static void drop_coroutine(struct vm *vm, lua_State *L) {
    lua_pushnil(vm->L);
    lua_rawsetp(vm->L, LUA_REGISTRYINDEX, L);
}

static void return_coroutine(struct vm *vm, lua_State *L) {
    if (vm->idle_count < VM_IDLE) vm->idle[vm->idle_count++] = L;
    else drop_coroutine(vm, L);
}

/* ---- running ---- */

static void over(struct task *t) {
    struct wait *w = t->wait;
    t->wait = NULL;
    if (w) w->over(w);
}

static void end(struct task *t, enum task_end how, const struct script_error *error) {
    list_remove(&t->link);
    share_leave(t->vm->share, &t->turn);
    t->vm->task_count--;
    t->vm->ended++;
    t->state = TASK_IDLE;
    t->L = NULL;
    t->kind->ended(t, how, error); /* may free t */
}

static const char *error_code(int status, bool killed) {
    if (killed) return "script_timeout";
    return status == LUA_ERRMEM ? "script_memory" : "script_error";
}

static struct slice handler_of(const struct task *t) {
    return t->kind->handler ? t->kind->handler(t) : (struct slice){NULL, 0};
}

static void fail(struct task *t, int status, bool killed) {
    struct vm *vm = t->vm;
    struct script_error error;
    struct text text = {0};
    over(t); /* before anything is collected that w may be a part of */
    if (killed) suspension_note(&vm->suspensions, vm->site, t->kind->name, handler_of(t));
    vm_report(vm, t->L, error_code(status, killed), t->kind->name, &error, &text);
    drop_coroutine(vm, t->L);
    if (status == LUA_ERRMEM) vm_out_of_memory(vm);
    vm->failed++;
    if (vm->trouble) loop_defer(vm->site->core->loop, LOOP_FREE, vm->trouble);
    end(t, t->cancelled ? TASK_CANCELLED : TASK_FAILED, t->cancelled ? NULL : &error);
    text_fini(&text);
}

/* Enters Lua once: t ends, waits, or has already what it wants to wait for. */
static int enter(struct task *t, int arguments, bool *killed) {
    struct vm *vm = t->vm;
    struct vm_entry e;
    int results;
    t->state = TASK_RUNNING;
    t->ready = false;
    vm_enter(vm, &e, t->L, t);
    int status = lua_resume(t->L, e.running, arguments, &results);
    *killed = vm->killed;
    vm_leave(vm, &e);
    return status;
}

/* Runs t until it ends or waits. */
static void run(struct task *t, int arguments) {
    bool killed;
    int status = enter(t, arguments, &killed);
    while (status == LUA_YIELD && t->ready && !t->cancelled) status = enter(t, 0, &killed);
    if (status == LUA_OK) {
        return_coroutine(t->vm, t->L);
        end(t, t->cancelled ? TASK_CANCELLED : TASK_DONE, NULL);
    } else if (status != LUA_YIELD) {
        fail(t, status, killed);
    } else if (t->cancelled) {
        over(t);
        drop_coroutine(t->vm, t->L);
        end(t, TASK_CANCELLED, NULL);
    } else {
        assert(t->wait || list_linked(&t->turn.link));
        t->state = TASK_WAITING;
    }
}

static void refuse(struct task *t, const char *code, const char *why) {
    struct script_error error = {.code = code, .text = slice_of(why)};
    t->kind->ended(t, TASK_FAILED, &error);
}

static void turn_came(struct turn *turn, bool late) {
    struct task *t = container_of(turn, struct task, turn);
    if (!late) {
        run(t, 0);
        return;
    }
    struct script_error error = {.code = "overload", .text = SLICE("the site is over its share")};
    drop_coroutine(t->vm, t->L);
    end(t, TASK_FAILED, &error);
}

static void start(struct vm *vm, struct task *t, const struct task_kind *kind, bool refusable) {
    *t = (struct task){.kind = kind, .vm = vm, .refusable = refusable};
    list_init(&t->link);
    list_init(&t->turn.link);
    if (vm->task_count >= vm->limits->script_tasks) {
        metrics_limit(vm->site->core->metrics, "script_tasks", vm->site->name);
        refuse(t, "overload", "too many tasks");
        return;
    }
    if (suspension_holds(&vm->suspensions, vm->site, kind->name, handler_of(t))) {
        refuse(t, "suspended", "it was stopped too often");
        return;
    }
    if (refusable && share_is_full(vm->share)) {
        metrics_limit(vm->site->core->metrics, "script_waiting", vm->site->name);
        refuse(t, "overload", "the site is over its share");
        return;
    }
    t->L = borrow_coroutine(vm);
    if (!t->L) {
        refuse(t, "script_memory", "not enough memory");
        return;
    }
    list_push(&vm->tasks, &t->link);
    vm->task_count++;
    lua_pushcfunction(t->L, trampoline);
    run(t, 0);
}

void task_start(struct vm *vm, struct task *t, const struct task_kind *kind) {
    start(vm, t, kind, false);
}

void task_offer(struct vm *vm, struct task *t, const struct task_kind *kind) {
    start(vm, t, kind, true);
}

void task_cancel(struct task *t) {
    if (t->state == TASK_RUNNING) t->cancelled = true;
    if (t->state != TASK_WAITING) return;
    over(t);
    drop_coroutine(t->vm, t->L);
    end(t, TASK_CANCELLED, NULL);
}

/* ---- waiting ---- */

void task_may_wait(lua_State *L, const char *name) {
    struct vm *vm = vm_of(L);
    struct task *t = vm->task;
    if (!t) luaL_error(L, "%s may not wait while the script is loaded", name);
    if (!t->kind->waits) luaL_error(L, "%s may not wait in %s", name, t->kind->name);
    if (!vm->may_wait || !lua_isyieldable(L))
        luaL_error(L, "%s may not wait here, in a callback or metamethod that C calls", name);
}

void task_caught(lua_State *L) {
    if (task_of(L)) over(task_of(L));
}

static int give(lua_State *L, int status, lua_KContext results) {
    (void)L;
    (void)status;
    return (int)results;
}

static int go_on(lua_State *L, int status, lua_KContext context) {
    struct wait *w = (struct wait *)context;
    struct task *t = w->task;
    (void)status;
    int results = w->push(L, w);
    over(t);
    if (queue_up(t)) return lua_yieldk(L, 0, results, give);
    return results;
}

int task_wait(lua_State *L, struct wait *w) {
    w->task = task_of(L);
    assert(w->task && !w->task->wait);
    w->task->wait = w;
    return lua_yieldk(L, 0, (lua_KContext)w, go_on);
}

void task_resume(struct wait *w) {
    struct task *t = w->task;
    if (t->state == TASK_RUNNING) t->ready = true;
    else run(t, 0);
}
