/* SPDX-License-Identifier: MIT */
#ifndef STORE_LOCAL_H
#define STORE_LOCAL_H

#include "core/store.h"
#include "store/keeper.h"

/* The store of a single node: what is published comes back at the end of the same turn, in the
 * order in which it was published. keeper (taken) has the tokens and histories. */
struct store *local_store_new(struct core *core, const struct store_events *events,
                              struct keeper *keeper)
    __attribute__((returns_nonnull, warn_unused_result));

#endif
