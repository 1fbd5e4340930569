/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_INNER_H
#define STORE_REDIS_INNER_H

#include "store/redis.h"
#include "store/redis_conn.h"

/* What the parts of the Redis store share. Nobody else includes this. */

struct redis {
    struct store store;
    struct core *core;
    struct net *net;
    struct redis_url url;
    struct tls_context *tls;
    struct redis_conn commands, pushes;
    struct map subs;
    struct map ears; /* redis_listen.c's */
    struct deferred subscribe; /* sends what is wanted and not sent */
    struct list reads;         /* struct waiting: of histories, not sent yet */
    struct deferred read;      /* sends them */
    uint64_t sent, confirmed;  /* SUBSCRIBEs of this connection, name by name */
    struct timer tick;
    unsigned ticks;
    uint64_t heard_ms; /* the last push */
};

/* A call that its caller hears of. */
struct redis_call {
    struct redis *redis;
    struct site *site;
    store_done *done;
    void *arg;
};

struct redis_call *redis_call_new(struct redis *r, struct site *site, store_done *done, void *arg)
    __attribute__((returns_nonnull));

/* Tells the caller, and frees c. */
void redis_call_end(struct redis_call *c, int status, struct buf *data);

/* A call that cannot be sent ends from the loop, as all others do. */
void redis_refuse(struct redis_call *c, int status);

/* What the caller hears when Redis could not or would not. */
int redis_failure(int status);

/* Counts a message that was thrown away; reason is a constant text, site may be NULL. */
void redis_drop(struct redis *r, const struct site *site, const char *reason);

/* NULL when st is another store. */
struct redis *redis_of(struct store *st);

#endif
