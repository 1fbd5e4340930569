/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_CACHE_H
#define SCRIPT_CACHE_H

#include "base/list.h"
#include "base/map.h"
#include "core/site.h"

/* What a site's scripts keep for later: values as JSON, by key, bounded in bytes; the longest
 * unused goes first. It hangs on the site and outlives the Lua state. */
struct cache {
    struct map entries;
    struct list by_use; /* the longest unused first */
    size_t bytes;
};

void cache_init(struct cache *c);

/* Forgets everything. */
void cache_clear(struct cache *c);

/* The value under key, borrowed until the next call; empty when there is none that lives. */
struct slice cache_get(struct cache *c, struct slice key, uint64_t now_ms);

/* Keeps value for ttl_ms (0: as long as there is room). False when it is larger than most, the
 * bound of all together. */
bool cache_set(struct cache *c, struct slice key, struct slice value, uint64_t now_ms,
               uint64_t ttl_ms, size_t most) __attribute__((warn_unused_result));

/* What is left of its life: 0 when it has no end, or there is none. */
uint64_t cache_left(struct cache *c, struct slice key, uint64_t now_ms);

/* False when there was none. */
bool cache_delete(struct cache *c, struct slice key, uint64_t now_ms);

#endif
