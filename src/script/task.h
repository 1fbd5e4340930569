/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_TASK_H
#define SCRIPT_TASK_H

#include "base/loop.h"
#include "script/vm.h"

/* A task is a coroutine at work for something the core asked. It is embedded in whatever needs it
 * (an op's work, a timer, a struct on the stack) and runs in a coroutine from the vm's pool.
 *
 *   task_start -> push: function and arguments -> the script runs -> take: results -> ended
 *                                                   |         ^
 *                                              task_wait   task_resume
 *
 * push and take run inside the coroutine: they may raise, and must own nothing on the C heap while
 * they can (what they make they hang on the task's owner at once). ended runs outside of Lua, where
 * the core may be called. A task ends exactly once. */

enum task_state { TASK_IDLE, TASK_RUNNING, TASK_WAITING };

enum task_end {
    TASK_DONE,     /* take has returned */
    TASK_FAILED,   /* something raised; it stands in the log */
    TASK_CANCELLED /* by task_cancel or the end of the vm */
};

struct task_kind {
    const char *name; /* for messages: "filter", "subscribe" */
    bool waits;       /* false: what would wait raises "... may not wait in filter", and it runs
                         at once, also when its site is over its share */
    /* Pushes a function and its arguments on the empty stack; returns the number of arguments.
     * There is room for 20 values, then luaL_checkstack. */
    int (*push)(lua_State *L, struct task *t);
    /* Reads the results: they are the whole stack, 1 to lua_gettop(L). May be NULL. */
    void (*take)(lua_State *L, struct task *t);
    /* t is idle and forgotten; may free it, may start it again. error is NULL but for TASK_FAILED
     * and dies with the call. */
    void (*ended)(struct task *t, enum task_end how, const struct script_error *error);
    /* Which of several handlers of this kind it is, for suspend.h; borrowed. NULL: there is one. */
    struct slice (*handler)(const struct task *t);
};

struct task {
    struct list link; /* private, like all but kind and vm: in vm->tasks */
    const struct task_kind *kind;
    struct vm *vm;
    lua_State *L;
    struct wait *wait; /* what it waits for */
    uint8_t state;
    bool ready;     /* task_resume came while it still ran */
    bool cancelled; /* task_cancel came while it ran */
    bool refusable; /* it came by task_offer */
    struct turn turn;
};

/* Starts t, idle, with kind; it runs until it ends or waits. ended may be called before this
 * returns; for a kind that never waits it always is. Above script_tasks it fails at once with the
 * code "overload". May be called from inside a C function of this vm.
 *
 * While the site is over its share of the worker (share.h), the task waits between push and the
 * function, and likewise each time something it waited for has come. */
void task_start(struct vm *vm, struct task *t, const struct task_kind *kind);

/* The same for what a client or a node wants, who can be told no: when it would have to wait for
 * its site's share for too long it fails with the code "overload". */
void task_offer(struct vm *vm, struct task *t, const struct task_kind *kind);

/* Ends t, if it has not ended: its coroutine is dropped, and ended is called with TASK_CANCELLED;
 * at once when it waits, as soon as it comes back to us when it runs. Idle: nothing. */
void task_cancel(struct task *t);

/* The task that runs L, also from coroutines of the script's own; NULL while loading. */
static inline struct task *task_of(lua_State *L) { return vm_of(L)->task; }

/* ---- waiting ---- */

/* Something a task waits for, embedded in the struct that brings the result. */
struct wait {
    struct task *task; /* who waits; set by task_wait */
    /* After task_resume, inside the coroutine, with the stack as it was at task_wait: pushes the
     * results, returns how many. May raise. */
    int (*push)(lua_State *L, struct wait *w);
    /* The wait is over: results were pushed, push raised, or the task was cancelled. Called exactly
     * once, never raises; stops what is still under way and frees. When w lies in a userdata on the
     * stack of the function that waits, that is still alive. */
    void (*over)(struct wait *w);
};

/* Raises "NAME may not wait here" unless the function that calls it could. name as scripts write
 * it: "socket:rpc". The first thing in a function that waits, before it owns anything. */
void task_may_wait(lua_State *L, const char *name);

/* The last thing in a C function that waits: return task_wait(L, w). Between task_may_wait and this
 * nothing may raise. The function's results will be what w->push pushes. */
int task_wait(lua_State *L, struct wait *w);

/* What w waits for has come: its task goes on, from the loop, now; or, when it has not even stopped
 * running yet, right after it does. Once for each wait. May end and free the task, and frees w. */
void task_resume(struct wait *w);

/* For what catches errors (pcall, coroutine.resume): first thing after, with the coroutine L. Ends
 * a wait whose push raised. */
void task_caught(lua_State *L);

#endif
