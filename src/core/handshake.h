/* SPDX-License-Identifier: MIT */
#ifndef CORE_HANDSHAKE_H
#define CORE_HANDSHAKE_H

#include "base/buf.h"
#include "base/ip.h"

/* The request that opened a session or asked for a token, as scripts see it: made by transport/,
 * kept by its sockets. One block of memory: names and values, NUL-terminated in turn. Names that
 * begin with
 * ':' are ours (":method", ":path", ":query", ":host", ":ips", ":body", ":url",
 * ":auth", ":origin", ":own"); all others are the
 * request's headers, in lower case. */
struct handshake {
    struct ip ip; /* the client's, after trusted proxies */
    uint32_t n;   /* private, as refs */
    uint32_t refs;
    char data[];
};

/* Starts one: fill it with handshake_add. all zeros text; the ip is set at the end. */
void handshake_add(struct text *t, struct slice name, struct slice value);

/* Makes the block of what was added, with one reference, the caller's; text is empty again. It does
 * not change any more. */
struct handshake *handshake_new(struct text *t, const struct ip *ip)
    __attribute__((returns_nonnull, warn_unused_result));

static inline struct handshake *handshake_ref(struct handshake *h) {
    h->refs++;
    return h;
}

/* Gives one reference back; the last one frees. NULL does nothing. */
void handshake_unref(struct handshake *h);

/* The first value under this name, or a slice with p NULL. */
struct slice handshake_get(const struct handshake *h, const char *name);

/* The raw value of the first parameter of its query with this name, or a slice with p NULL. */
struct slice handshake_query(const struct handshake *h, const char *name);

/* Walks all: start with *at = 0; false at the end. */
bool handshake_next(const struct handshake *h, size_t *at, struct slice *name, struct slice *value);

#endif
