/* SPDX-License-Identifier: MIT */
#include "core/once.h"

struct entry {
    struct map_link by_key; /* the key is key */
    struct list by_age;     /* in no list while it is being done: then it is not given up */
    struct list waiters;
    uint64_t since_ms;
    unsigned char digest[32];
    int result;
    bool over;
    char key[];
};

void once_init(struct once_table *t, uint64_t most, uint64_t ttl_ms) {
    *t = (struct once_table){.most = most, .ttl_ms = ttl_ms};
    list_init(&t->by_age);
}

static void entry_drop(struct once_table *t, struct entry *e) {
    map_remove(&t->entries, &e->by_key);
    list_remove(&e->by_age);
    mem_free(e);
}

void once_fini(struct once_table *t) {
    for (struct map_link *l; (l = map_next(&t->entries, NULL));)
        entry_drop(t, container_of(l, struct entry, by_key));
    map_fini(&t->entries);
}

static void drop_old(struct once_table *t, uint64_t now_ms) {
    while (!list_empty(&t->by_age)) {
        struct entry *oldest = container_of(t->by_age.next, struct entry, by_age);
        if (t->entries.count <= t->most && now_ms - oldest->since_ms < t->ttl_ms) return;
        entry_drop(t, oldest);
    }
}

static struct entry *entry_add(struct once_table *t, uint64_t now_ms, struct slice key,
                               const unsigned char digest[32]) {
    struct entry *e = mem_new(sizeof *e + key.n);
    list_init(&e->by_age);
    list_init(&e->waiters);
    e->since_ms = now_ms;
    memcpy(e->digest, digest, sizeof e->digest);
    memcpy(e->key, key.p, key.n);
    map_add(&t->entries, &e->by_key, slice_make(e->key, key.n));
    return e;
}

enum once_state once_begin(struct once_table *t, uint64_t now_ms, struct slice key,
                           const unsigned char digest[32], struct once_waiter *w, int *result) {
    drop_old(t, now_ms);
    struct map_link *l = map_find(&t->entries, key);
    if (!l) {
        entry_add(t, now_ms, key, digest);
        return ONCE_FIRST;
    }
    struct entry *e = container_of(l, struct entry, by_key);
    if (memcmp(e->digest, digest, sizeof e->digest)) return ONCE_OTHER;
    *result = e->result;
    if (!e->over) list_push(&e->waiters, &w->link);
    return e->over ? ONCE_DONE : ONCE_WAIT;
}

void once_end(struct once_table *t, struct slice key, int result) {
    struct map_link *l = map_find(&t->entries, key);
    if (!l) return;
    struct entry *e = container_of(l, struct entry, by_key);
    struct list waiters, *link;
    list_init(&waiters);
    list_move(&waiters, &e->waiters);
    e->over = true;
    e->result = result;
    if (result < 0) entry_drop(t, e);
    else list_push(&t->by_age, &e->by_age);
    while ((link = list_pop(&waiters))) {
        struct once_waiter *w = container_of(link, struct once_waiter, link);
        w->done(w, result);
    }
}
