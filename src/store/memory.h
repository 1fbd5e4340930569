/* SPDX-License-Identifier: MIT */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "store/local.h"

/* Keeps everything in the process: nothing to install, and gone with it. Bounded by
 * limits.memory_tokens and limits.memory_history. */
struct keeper *memory_keeper_new(struct core *core)
    __attribute__((returns_nonnull, warn_unused_result));

/* The store with it. */
static inline struct store *memory_store_new(struct core *core, const struct store_events *events) {
    return local_store_new(core, events, memory_keeper_new(core));
}

#endif
