/* SPDX-License-Identifier: MIT */
#include "core/handshake.h"

#include "base/mem.h"

void handshake_add(struct text *t, struct slice name, struct slice value) {
    text_add(t, name);
    text_char(t, 0);
    text_add(t, value);
    text_char(t, 0);
}

struct handshake *handshake_new(struct text *t, const struct ip *ip) {
    struct slice all = text_slice(t);
    struct handshake *h = mem_raw(sizeof *h + all.n);
    h->ip = *ip;
    h->n = (uint32_t)all.n;
    h->refs = 1;
    if (all.n) memcpy(h->data, all.p, all.n);
    text_fini(t);
    return h;
}

void handshake_unref(struct handshake *h) {
    if (h && !--h->refs) mem_free(h);
}

bool handshake_next(const struct handshake *h, size_t *at, struct slice *name,
                    struct slice *value) {
    if (*at >= h->n) return false;
    *name = slice_of(h->data + *at);
    *value = slice_of(h->data + *at + name->n + 1);
    *at += name->n + value->n + 2;
    return true;
}

struct slice handshake_get(const struct handshake *h, const char *name) {
    struct slice key, value;
    for (size_t at = 0; handshake_next(h, &at, &key, &value);)
        if (slice_is(key, name)) return value;
    return (struct slice){NULL, 0};
}

struct slice handshake_query(const struct handshake *h, const char *name) {
    struct slice query = handshake_get(h, ":query"), pair;
    while (slice_next(&query, '&', &pair)) {
        size_t equals = slice_find(pair, '=');
        if (slice_is(slice_upto(pair, equals), name)) return slice_from(pair, equals + 1);
    }
    return (struct slice){NULL, 0};
}
