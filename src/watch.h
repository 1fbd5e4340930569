/* SPDX-License-Identifier: MIT */
#ifndef WATCH_H
#define WATCH_H

#include "base/loop.h"
#include "config/config.h"

/* Looks out for changes of Lua files, for --dev: in scripts/<site>/ and below, and in conf/. */
struct watcher;

/* From now on changed is called, from the loop, with the folder of scripts, "scripts/chat", in which
 * or below which something changed, or with NULL after a change in conf/: once for several changes
 * that come within a moment. A folder that cannot be watched is named in the log. config is
 * borrowed. */
struct watcher *watcher_open(struct loop *loop, struct log *log, const struct config *config,
                             void (*changed)(void *arg, const char *folder), void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* NULL does nothing. */
void watcher_close(struct watcher *w);

#endif
