/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_SCRIPT_H
#define SCRIPT_SCRIPT_H

#include "base/buf.h"
#include "core/site.h"

/* A site's script: Lua states in a sandbox, with a budget, one for each generation of the script
 * that is alive. Lua stays inside script/; the rest of the house sees these functions and the hooks
 * they install.
 *
 *   load -> generation 1 is current
 *   reload -> 2 is loaded and checked beside it; then 2 is current, 1 is kept for a rollback
 *   reload -> 3 is current, 2 is kept, 1 leaves: it is closed once nothing it began still goes on
 *   rollback -> 2 is current again, 3 leaves
 *
 * What happens goes to the current generation. What an older one began (calls, waits, delays) ends
 * there; its `every` timers stand still. Sockets, their data and channels are the core's, and know
 * nothing of it. None of these functions may be called from inside Lua. */

struct net;
struct tls_context;

/* What scripts have of the process around them; borrowed, and outlives them. */
struct script_host {
    const char *library;          /* the folder that holds moonlatch/ (lua/) */
    struct net *net;              /* for their requests to backends */
    struct tls_context *http_tls; /* whom those trust; NULL: https cannot be had */
};

/* Loads site->conf->script into a new state within budget_ms, runs its setup, and installs
 * site->hooks and site->has. On failure nothing is installed, error gets one line with file, line and reason, and
 * the result is false. A site whose conf names no script gets a state for its operator's questions,
 * and hooks of which none is wanted. */
bool script_load(struct site *site, const struct script_host *host, uint64_t budget_ms,
                 struct text *error);

/* Loads the files as they are now as a new generation, which becomes the current one; options, JSON
 * (borrowed), become site.options, NULL: those of before. It has the time script_reload. On failure
 * nothing changes, and error gets the line. */
bool script_reload(struct site *site, struct buf *options, struct text *error);

/* Makes the generation that was current before the last reload the current one again. False and a
 * line of error when there is none. */
bool script_rollback(struct site *site, struct text *error);

/* Something that an operator asks of a site, as lua/moonlatch/admin.lua knows it; embedded in what
 * waits for the answer. */
struct inquiry {
    /* Exactly once, maybe before script_inquire returns. status as in HTTP; json is lent. The
     * inquiry may be freed in it. */
    void (*answered)(struct inquiry *q, int status, struct slice json);
    struct inquiry_work *work; /* private */
};

/* Puts the verb ("sockets", "call", "eval") with its body, a JSON object (borrowed), to the current
 * generation. */
void script_inquire(struct site *site, const char *verb, struct slice body, struct inquiry *q);

/* Nobody waits any more: answered will not come. After it has, nothing. */
void script_inquiry_cancel(struct inquiry *q);

/* The current generation. */
struct script_stat {
    unsigned generation;          /* its number */
    unsigned leaving;             /* older ones that have not ended yet */
    size_t memory, memory_most;   /* bytes of its state, and script_memory */
    size_t tasks;                 /* that run or wait */
    size_t delays;                /* that are set */
    uint64_t ended, failed;       /* tasks since it was loaded; those of them that raised */
};

/* False when the site is not loaded. */
bool script_stat(const struct site *site, struct script_stat *out);

/* Sets the gauges script_generation and script_memory_bytes of the site, and of its current
 * generation, with site="chat@2", script_tasks_total and script_errors_total. */
void script_measure(const struct site *site, struct metrics *m);

/* The process is to end: listeners of "shutdown" run. */
void script_shutdown(struct site *site);

/* Cancels what runs and closes all states. The site's sockets must be gone. */
void script_close(struct site *site);

#endif
