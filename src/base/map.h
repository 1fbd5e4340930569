/* SPDX-License-Identifier: MIT */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/mem.h"
#include "base/slice.h"

/* A hash table from byte strings to the things that embed a map_link. Keys are hashed with SipHash
 * under a random key of the process, so names chosen by strangers cannot collide on purpose. The
 * key's bytes belong to the thing; they stay where they are while it is in the map. */
struct map_link {
    struct map_link *next; /* private */
    struct slice key;
    uint64_t hash; /* private */
};

struct map {
    struct map_link **slots; /* private */
    size_t mask;
    size_t count;
};

/* All zeros is an empty map. */
void map_fini(struct map *m);

/* The link with this key, or NULL. */
struct map_link *map_find(const struct map *m, struct slice key);

/* Puts link in under key, which must not be there yet and must outlive the link's stay. */
void map_add(struct map *m, struct map_link *link, struct slice key);

/* Takes link out; it must be in. */
void map_remove(struct map *m, struct map_link *link);

/* The first link, or the one after link (NULL at the end). The order means nothing. Adding while
 * walking may show a link twice or not at all; removing the current link is safe only after its
 * successor was asked for. */
struct map_link *map_next(const struct map *m, const struct map_link *link);

/* SipHash-2-4 of s under the process's random key. */
uint64_t map_hash(struct slice s);

#endif
