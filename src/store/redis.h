/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_H
#define STORE_REDIS_H

#include "core/store.h"
#include "net/conn.h"

/* The store of many nodes: tokens are keys, channels are Redis's. Two connections, one for commands
 * and one that is subscribed; both come back by themselves, and while one is away what needs it
 * fails at once. Site scripts' own commands do not go through it.
 *
 * url is as redis_url.h has it; copied. tls says whom to trust where it asks for that; borrowed,
 * may be NULL else. NULL when url is none. */
struct tls_context;
struct store *redis_store_new(struct core *core, struct net *net, const char *url,
                              struct tls_context *tls, const struct store_events *events)
    __attribute__((warn_unused_result));

/* Whether both connections are up. True also when st is no Redis: the others are never away. */
bool redis_store_is_up(struct store *st);

/* ---- for site scripts ---- */

/* Opens the site's own connection for the commands of its script, once; before the first of them.
 * Does nothing when st is no Redis. */
void redis_site_open(struct store *st, struct site *site);

/* Ends it; commands that wait are answered first, with -ENOTCONN. */
void redis_site_close(struct site *site);

/* How many commands may be sent now before redis_calls is reached. */
size_t redis_site_room(const struct site *site);

/* Sends a command of n words, which are borrowed. done comes with the reply as redis_pack.h has it
 * (status 0 or -EREMOTEIO), or with -ENOTCONN. 0, or without done: -ENOTCONN (Redis is away, or st
 * is none), -ENOBUFS (there is no room, or none for commands of all sites). */
int redis_site_send(struct store *st, struct site *site, const struct slice *words, size_t n,
                    store_done *done, void *arg);

#endif
