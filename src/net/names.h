/* SPDX-License-Identifier: MIT */
#ifndef NET_NAMES_H
#define NET_NAMES_H

#include "net/net.h"

#include <netinet/in.h>

/* Where names lead, for those who dial. They are looked up in libuv's threads, of which there are
 * few: whoever asks for a name that is being looked up waits for the same answer. An answer is kept
 * for dns_ttl (what DNS itself says about that, getaddrinfo does not tell), a failure for a second.
 * At most dns_names are kept; the longest unused goes. */
struct names;

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* At most NAMES_ADDRESSES_MAX, at least one, with port 0, in the order to try them in. */
struct addresses {
    unsigned refs; /* private */
    size_t count;
    union address at[];
};
#define NAMES_ADDRESSES_MAX 16

/* A reference more, one less; NULL does nothing. */
struct addresses *addresses_ref(struct addresses *a);
void addresses_unref(struct addresses *a);

/* Borrows net. */
struct names *names_new(struct net *net) __attribute__((returns_nonnull, warn_unused_result));

/* Nobody may be waiting. Lookups that threads are at go on unheeded, and loop_free waits for them.
 * NULL does nothing. */
void names_free(struct names *names);

/* Who asks, embedded in what waits for the answer. Zeroed but told, it waits for nothing. */
struct name_wait {
    /* Exactly once: found, a reference of names' own; or NULL and why, a constant text. The wait
     * may be freed in it. */
    void (*told)(struct name_wait *w, struct addresses *found, const char *why);

    /* private */
    struct list link;
    struct name *name; /* NULL: not waiting */
};

/* Asks where host (borrowed; a name, or an address in numbers) leads. told comes inside this call
 * when that is known, else from the loop. */
void names_ask(struct names *names, const char *host, struct name_wait *w);

/* told will not come. Does nothing when it has come, or w never asked. */
void names_cancel(struct name_wait *w);

/* Host did not answer where found says: the next to ask has it looked up anew, unless that has
 * happened already. */
void names_forget(struct names *names, const char *host, const struct addresses *found);

#endif
