/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_H
#define STORE_REDIS_H

#include "core/store.h"
#include "net/conn.h"

/* The store of many nodes: tokens are keys, channels are Redis's. Two connections, one for commands
 * and one that is subscribed; both come back by themselves, and while one is away what needs it
 * fails at once. Site scripts' own commands do not go through it.
 *
 * url is as redis_url.h has it; copied. tls says whom to trust where it asks for that; borrowed, may
 * be NULL else. NULL when url is none. */
struct tls_context;
struct store *redis_store_new(struct core *core, struct net *net, const char *url,
                              struct tls_context *tls, const struct store_events *events)
    __attribute__((warn_unused_result));

#endif
