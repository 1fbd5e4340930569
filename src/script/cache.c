/* SPDX-License-Identifier: MIT */
#include "script/cache.h"

#include "base/buf.h"

struct entry {
    struct map_link by_key;
    struct list by_use;
    struct buf *value;
    uint64_t dies_ms; /* 0: never */
    char key[];
};

void cache_init(struct cache *c) {
    *c = (struct cache){.bytes = 0};
    list_init(&c->by_use);
}

static size_t size_of(size_t key, size_t value) { return sizeof(struct entry) + key + value; }

static void drop(struct cache *c, struct entry *e) {
    c->bytes -= size_of(e->by_key.key.n, e->value->n);
    map_remove(&c->entries, &e->by_key);
    list_remove(&e->by_use);
    buf_unref(e->value);
    mem_free(e);
}

static struct entry *oldest(struct cache *c) {
    return container_of(c->by_use.next, struct entry, by_use);
}

void cache_clear(struct cache *c) {
    while (!list_empty(&c->by_use)) drop(c, oldest(c));
    map_fini(&c->entries);
}

/* The entry that lives, now the one that was used last. */
static struct entry *find(struct cache *c, struct slice key, uint64_t now_ms) {
    struct map_link *l = map_find(&c->entries, key);
    if (!l) return NULL;
    struct entry *e = container_of(l, struct entry, by_key);
    if (e->dies_ms && e->dies_ms <= now_ms) {
        drop(c, e);
        return NULL;
    }
    list_remove(&e->by_use);
    list_push(&c->by_use, &e->by_use);
    return e;
}

struct slice cache_get(struct cache *c, struct slice key, uint64_t now_ms) {
    struct entry *e = find(c, key, now_ms);
    return buf_slice(e ? e->value : NULL);
}

uint64_t cache_left(struct cache *c, struct slice key, uint64_t now_ms) {
    struct entry *e = find(c, key, now_ms);
    return e && e->dies_ms ? e->dies_ms - now_ms : 0;
}

bool cache_delete(struct cache *c, struct slice key, uint64_t now_ms) {
    struct entry *e = find(c, key, now_ms);
    if (e) drop(c, e);
    return e != NULL;
}

bool cache_set(struct cache *c, struct slice key, struct slice value, uint64_t now_ms,
               uint64_t ttl_ms, size_t most) {
    struct entry *old = find(c, key, now_ms);
    size_t size = size_of(key.n, value.n);
    if (old) drop(c, old);
    if (size > most) return false;
    while (c->bytes + size > most) drop(c, oldest(c));
    struct entry *e = mem_new(sizeof *e + key.n);
    memcpy(e->key, key.p, key.n);
    e->value = buf_copy(value);
    e->dies_ms = ttl_ms ? now_ms + ttl_ms : 0;
    map_add(&c->entries, &e->by_key, slice_make(e->key, key.n));
    list_push(&c->by_use, &e->by_use);
    c->bytes += size;
    return true;
}
