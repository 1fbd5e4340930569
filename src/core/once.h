/* SPDX-License-Identifier: MIT */
#ifndef CORE_ONCE_H
#define CORE_ONCE_H

#include "base/list.h"
#include "base/map.h"

#include <stdint.h>

/* What is asked for several times under one key is done once: whoever asks again while it is being
 * done waits for its end, and later, for a while, is told how it ended. Of one node. */

/* All zeros before once_init. */
struct once_table {
    struct map entries;    /* private, as is by_age */
    struct list by_age;    /* the oldest first */
    uint64_t most, ttl_ms; /* what is kept */
};

void once_init(struct once_table *t, uint64_t most, uint64_t ttl_ms);

/* Nobody may wait any more. */
void once_fini(struct once_table *t);

/* Who waits, embedded. */
struct once_waiter {
    struct list link;
    /* It ended so. Out of all lists; may be freed in it. */
    void (*done)(struct once_waiter *w, int result);
};

enum once_state {
    ONCE_FIRST, /* do it, and say once_end */
    ONCE_WAIT,  /* it is being done: w->done comes, unless once_forget comes before */
    ONCE_DONE,  /* *result is how it ended */
    ONCE_OTHER  /* the key was used for something else */
};

/* digest: of what is asked for. */
enum once_state once_begin(struct once_table *t, uint64_t now_ms, struct slice key,
                           const unsigned char digest[32], struct once_waiter *w, int *result);

/* What was first ended. A negative result is told to those who wait, and not kept: who asks again
 * is first again. */
void once_end(struct once_table *t, struct slice key, int result);

/* w does not wait any more. */
static inline void once_forget(struct once_waiter *w) { list_remove(&w->link); }

#endif
