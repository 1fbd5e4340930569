/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_SCRIPT_H
#define SCRIPT_SCRIPT_H

#include "base/buf.h"
#include "core/site.h"

/* A site's script: one Lua state in a sandbox, with a budget. Lua stays inside script/; the rest of
 * the house sees these functions and the hooks they install. */

struct net;
struct tls_context;

/* What scripts have of the process around them; borrowed, and outlives them. */
struct script_host {
    const char *library;          /* the folder that holds moonlatch/ (lua/) */
    struct net *net;              /* for their requests to backends */
    struct tls_context *http_tls; /* whom those trust; NULL: https cannot be had */
};

/* Loads site->conf->script into a new state, runs its setup, and installs site->hooks and
 * site->has. On failure nothing is installed,
 * error gets one line with file, line and reason, and the result is false. A site whose conf names
 * no script gets no_hooks and true. */
bool script_load(struct site *site, const struct script_host *host, struct text *error);

/* The process is to end: listeners of "shutdown" run. */
void script_shutdown(struct site *site);

/* Cancels what runs and closes the state. The site's sockets must be gone. */
void script_close(struct site *site);

#endif
