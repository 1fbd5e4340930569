/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_VM_H
#define SCRIPT_VM_H

#include "base/buf.h"
#include "base/list.h"
#include "base/rate.h"
#include "core/site.h"
#include "script/flood.h"
#include "script/share.h"
#include "script/suspend.h"

#include <lauxlib.h>
#include <lua.h>
#include <signal.h>

/* The Lua state of one site: its memory is bounded in the allocator, its time by the watchdog, and
 * what its scripts can reach by the sandbox.
 *
 * Two ways lead into Lua, and both are protected and watched: vm_protect, for loading and for what
 * the house does with the state (nothing may wait there), and tasks (task.h), for everything that
 * happens at run time. Outside of them nothing may be called that can raise: in effect nothing but
 * lua_touserdata and the like, because every push may find the memory limit reached.
 *
 * C functions that scripts call are ordinary lua_CFunctions. They use luaL_check*, may raise, own
 * nothing on the C heap while they can raise, and call vm_check in loops that may be long. */

struct task;
struct watchdog;

#define VM_IDLE 64 /* coroutines kept for the next tasks */

struct vm {
    lua_State *L; /* the main thread: no task runs in it */
    struct site *site;
    char *name;                  /* "chat@2", the site's and the generation: for the log */
    const struct limits *limits; /* of the site */
    struct task *task;           /* the task that runs now; NULL while loading */
    void *script;                /* hooks.c's */

    /* private */
    struct watchdog *watchdog;
    struct share *share;          /* the site's */
    char *library;                /* the folder that holds moonlatch/ */
    size_t used;                  /* bytes that Lua has */
    uint64_t budget_ms;           /* of a slice */
    lua_State *volatile running;  /* the innermost coroutine that runs; NULL: Lua is not entered */
    volatile sig_atomic_t killed; /* the slice is over: raise until the outermost entry is left */
    volatile sig_atomic_t stuck;  /* and went on for script_stuck: it stands in the log */
    bool lent;                    /* the string being made is a message, not the script's work */
    bool may_wait;                /* every coroutine from the task's to the running one may yield */
    struct list tasks;            /* struct task that run or wait */
    uint64_t task_count;
    lua_State *idle[VM_IDLE];
    size_t idle_count;
    struct suspensions suspensions;
    struct flood flood;
    struct rate lines, errors; /* of the log */
    uint64_t lines_dropped;
    uint64_t ended, failed;   /* tasks: all that ended, and those of them that raised */
    uint64_t starved, starved_ms; /* times out of memory since then */
    struct deferred *starving; /* generations.c's: queued when that was too often; NULL: as below */
    struct deferred *trouble; /* generations.c's: queued when a task has raised; NULL: nobody asks */
};

/* Makes the state with its sandbox for site->conf->script (not loaded yet), the generation-th of
 * its site. library is the folder that holds moonlatch/. The slice budget is script_start until
 * vm_set_budget. NULL and one line in error when a library of the conf cannot be had. */
struct vm *vm_new(struct site *site, unsigned generation, const char *library, struct text *error)
    __attribute__((warn_unused_result));

/* Cancels all tasks and closes the state. Never from inside Lua. NULL does nothing. */
void vm_free(struct vm *vm);

/* The time of each slice from now on: script_time once the site is loaded. */
void vm_set_budget(struct vm *vm, uint64_t ms);

/* The vm that L, any coroutine of it, belongs to. */
static inline struct vm *vm_of(lua_State *L) { return *(struct vm **)lua_getextraspace(L); }

/* Calls f(L) with the light userdata arg as its only argument, protected and watched, on the main
 * thread; results are dropped. Nothing may wait in it. False when it raised: then error (may be
 * NULL) gets one line, "file:line: reason". May be nested in anything. */
bool vm_protect(struct vm *vm, lua_CFunction f, void *arg, struct text *error);

/* Raises when the slice is over. Every loop in C whose length a script chooses calls it every few
 * thousand steps; it costs one load. */
int vm_raise_killed(lua_State *L);
static inline void vm_check(lua_State *L) {
    if (vm_of(L)->killed) vm_raise_killed(L);
}

/* ---- entering Lua: for vm.c and task.c ---- */

/* What an entry puts aside of the one it interrupts. */
struct vm_entry {
    lua_State *running;
    struct task *task;
    struct vm *interrupted;
    bool may_wait;
};

/* L runs from now on, for task (NULL: none), until vm_leave. Entries nest. */
void vm_enter(struct vm *vm, struct vm_entry *e, lua_State *L, struct task *task);
void vm_leave(struct vm *vm, const struct vm_entry *e);

/* After a task or a protected call ended with LUA_ERRMEM: counts it, and frees what it left. When it
 * happens for the third time in ten seconds the state holds on to what fills it: vm->starving is
 * queued. */
void vm_out_of_memory(struct vm *vm);

/* Pushes bytes that a client sent: they were bounded when they came, so script_string, the bound of
 * what scripts make, does not count. May raise for memory. */
void vm_push_message(lua_State *L, struct slice bytes);

/* ---- modules ---- */

/* For require: the module name (as in "moonlatch.json") is what open leaves on the stack, called at
 * first use. internal: only the chunks of lua/moonlatch/ can require it. May raise; call it inside
 * vm_protect. name is kept. */
void vm_module(lua_State *L, const char *name, lua_CFunction open, bool internal);

/* Pushes what require "name" gives to the chunks of lua/moonlatch/; raises when there is no such
 * module. For C code that wants a Lua part of the runtime library, inside vm_protect. */
void vm_require(lua_State *L, const char *name);

/* Loads a text file as a chunk called "@shown" and pushes it as a function; raises with the reason
 * (size above script_file, syntax, no such file). Its environment is that of scripts, or that of
 * the runtime library when trusted. */
void vm_load_file(lua_State *L, const char *path, const char *shown, bool trusted);

/* ---- errors ---- */

#define ERROR_ID_LENGTH 12

/* What became of a task that failed. */
struct script_error {
    const char *code; /* "script_error", "script_timeout", "script_memory", "overload", "suspended" */
    char id[ERROR_ID_LENGTH + 1]; /* stands in the log line of this error too */
    struct slice text; /* at most 200 bytes, UTF-8 not checked; for the log, not for strangers */
};

/* Appends what the value at index is, in at most max bytes, without metamethods: the text of a
 * string, "nil", "table". Never raises. */
void vm_describe(lua_State *L, int index, size_t max, struct text *out);

/* Appends the calls of L, innermost first, one "file:line: in function name" each, at most max
 * bytes. Never raises. */
void vm_traceback(lua_State *L, int level, size_t max, struct text *out);

/* For a coroutine L that raised: fills e with code (kept), a new id and the value on top of L as
 * text, stored in out, and writes the log line msg="script error" site= in=what code= id= error=
 * traceback=, as far as the rate for such lines allows. Never raises. */
void vm_report(struct vm *vm, lua_State *L, const char *code, const char *what,
               struct script_error *e, struct text *out);

#endif
