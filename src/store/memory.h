/* SPDX-License-Identifier: MIT */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "core/store.h"

/* The store of a single node: nothing to install, everything in the process. What is published
 * comes back at the end of the same turn, in the order in which it was published. Tokens die with
 * the process. Bounded by limits.memory_tokens. */
struct store *memory_store_new(struct core *core, const struct store_events *events)
    __attribute__((returns_nonnull, warn_unused_result));

#endif
