/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_RUNTIME_H
#define SCRIPT_RUNTIME_H

#include "base/limits.h"
#include "core/hooks.h"
#include "script/vm.h"

/* What load.c, generations.c, hooks.c and the lib_ files share about one generation of a site's
 * script: the Lua functions that lua/moonlatch/runtime.lua gave us to call, what they told us to
 * call them for, and what must be stopped before the state goes. */

/* The members of the table that runtime.start returns. */
enum entry {
    ENTRY_CALL,
    ENTRY_EVENT,
    ENTRY_PERMIT,
    ENTRY_AUTHENTICATED,
    ENTRY_AFTER,
    ENTRY_EMIT,
    ENTRY_LOGIN,
    ENTRY_REQUEST,
    ENTRY_ASKED,
    ENTRY_ADMIN,
    ENTRIES
};

#define SHORT_BYTES 512

struct event;
struct generations;
struct httpc;
struct script_host;

enum runtime_phase {
    RUNTIME_LOADING, /* nobody calls it yet */
    RUNTIME_CURRENT, /* site->script: what happens comes here */
    RUNTIME_LEFT     /* a newer one is current: only what it began goes on */
};

struct runtime {
    struct vm *vm;
    struct generations *generations; /* of the site */
    unsigned number;                 /* of this one, from 1 */
    enum runtime_phase phase;
    struct list link; /* in generations->leaving */
    uint64_t left_ms; /* when it was left */
    struct site *site;
    const struct script_host *host;
    struct httpc *httpc; /* NULL: moonlatch.http is not in use */
    struct limits limits; /* the site's, as enableCleanup changed them */
    int entries[ENTRIES]; /* references to Lua functions */
    int message, filter;  /* the same: called without composition; LUA_NOREF: there is none */
    uint32_t has;   /* becomes site->has when the script is loaded, and follows later changes */
    uint32_t after; /* kinds of ops, as bits, that have observers */
    const void *socket_meta;   /* the metatable of socket handles */
    struct event *spare_event; /* the last one that ended: hooks.c's */
    struct buf *short_buf;     /* of SHORT_BYTES, for texts that are sent */
    struct text *scratch;      /* for JSON that is being made; a userdata of the state */
    struct attachments *bytes; /* the same for the bytes of an event: lib_emit.c's */
    struct list timers;        /* struct ticker, those that are set */
    size_t timer_count, delay_count; /* all, and those that fire once */
};

/* Loads the script of site with options (borrowed JSON; NULL: none) as generation number, within
 * budget_ms. NULL and one line in error, "file:line: reason", when it is wrong. Nothing of the site
 * is changed. */
struct runtime *runtime_load(struct site *site, const struct script_host *host, struct buf *options,
                             unsigned number, uint64_t budget_ms, struct text *error)
    __attribute__((warn_unused_result));

/* To be called when the script has changed rt->limits. */
void runtime_limits_changed(struct runtime *rt);

/* Cancels what runs, and closes the state. Never from inside Lua. */
void runtime_free(struct runtime *rt);

static inline struct runtime *runtime_of(const struct vm *vm) { return vm->script; }
static inline struct runtime *runtime_of_site(const struct site *site) { return site->script; }

/* Pushes the Lua function of an entry. */
static inline void runtime_push(lua_State *L, enum entry entry) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, runtime_of(vm_of(L))->entries[entry]);
}

/* The JSON of the value at index, the caller's. Raises, owning nothing, as lua_json_encode does. */
struct buf *runtime_encode(lua_State *L, int index) __attribute__((returns_nonnull));

/* The functions that core/ calls: hooks.c. */
extern const struct hooks script_hooks;

/* Tells the listeners of "shutdown". */
void hooks_emit_shutdown(struct runtime *rt);

#endif
