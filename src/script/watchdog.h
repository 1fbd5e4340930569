/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_WATCHDOG_H
#define SCRIPT_WATCHDOG_H

#include "core/core.h"

#include <lua.h>

/* Ends slices that last too long. A slice is the time from entering a vm until it is left again; it
 * costs nothing while it is short: no hook, no clock, no system call. One watchdog serves all vms
 * of a worker.
 *
 * A timer sends a signal to the worker's thread every few ms, as long as Lua was entered lately.
 * The handler counts how many signals the running slice has seen. When they are worth more than its
 * budget, it sets vm->killed, which C loops look at, and sets a hook on the running coroutine,
 * which raises at every call and line, so that no pcall holds it, until the vm is left. Counting
 * signals rather than reading the clock means that a machine that stood still does not blame a
 * script. Signals that find a task running are also the samples of share.h.
 *
 * A slice that goes on all the same is in a C function that does not look at vm->killed. No code of
 * ours runs but the handler, so after script_stuck that writes the line msg="script stuck" itself
 * (distress.h), and after script_stuck_abort it ends the process. */
struct watchdog;
struct vm;

/* The worker's watchdog, made at first use for the calling thread; each use is given back. */
struct watchdog *watchdog_use(struct core *core) __attribute__((returns_nonnull));
void watchdog_release(struct core *core);

/* A vm will have slices of budget_ms: the timer must be fine enough for that. */
void watchdog_pace(struct watchdog *w, uint64_t budget_ms);

/* A slice of vm begins; vm->running is set. Returns the vm whose slice it interrupts, or NULL, for
 * watchdog_end. */
struct vm *watchdog_begin(struct watchdog *w, struct vm *vm);
void watchdog_end(struct watchdog *w, struct vm *interrupted);

/* The gateway works for the script that runs, as long as it takes: the slice stands still until
 * watchdog_go_on. Once in a slice; false when that was before, and then nothing happens. */
bool watchdog_rest(struct watchdog *w);
void watchdog_go_on(struct watchdog *w, struct vm *vm);

/* Makes L raise at its next call, return or line, while its vm is killed. */
void watchdog_hook(lua_State *L);

#endif
