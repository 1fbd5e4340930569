/* SPDX-License-Identifier: MIT */
#ifndef STORE_MEMORY_HISTORY_H
#define STORE_MEMORY_HISTORY_H

#include "core/history.h"

/* The histories of the memory store: for each channel that has one, its last messages. All together
 * are bounded by limits.memory_history; above it the ones that were longest silent go first. */
struct histories {
    struct core *core;
    struct map streams; /* struct stream, by "site\0channel" */
    struct list by_age; /* the longest silent first */
    size_t bytes;
    struct timer sweep;
};

void histories_init(struct histories *h, struct core *core);
void histories_fini(struct histories *h);

/* Keeps a message; *at is its place. */
void histories_add(struct histories *h, struct site *site, struct slice channel,
                   const struct channel_conf *conf, struct buf *body, struct position *at);

/* A page (history.h), the caller's, as store_ops.history says. */
struct buf *histories_page(struct histories *h, struct site *site, struct slice channel,
                           const struct channel_conf *conf, uint64_t since, uint64_t limit)
    __attribute__((returns_nonnull, warn_unused_result));

#endif
