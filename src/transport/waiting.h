/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_WAITING_H
#define TRANSPORT_WAITING_H

#include "base/ip.h"
#include "base/map.h"
#include "net/http.h"

/* A session over HTTP costs its client nothing while none of its requests is there. So those that
 * wait for one are counted by address, and an endpoint lets an address have only so many. */

/* One of an endpoint's table. All zeros but ip is one that is not counted at the moment. */
struct waiter {
    struct ip ip;                    /* under which it is counted; all zeros: never */
    struct waiting_address *address; /* private; NULL: not counted */
};

/* The address that a session opened by r is counted under; none when it is not counted. */
struct ip waiting_ip(const struct net *net, const struct request *r);

/* Whether most sessions of ip wait already. addresses is the endpoint's table, as in all of these:
 * zeroed at first, and map_fini ends it, when nothing is counted any more. */
bool waiting_is_full(const struct map *addresses, const struct ip *ip, uint64_t most);

/* Counts w, or counts it no more; twice does nothing. */
void waiting_add(struct map *addresses, struct waiter *w);
void waiting_remove(struct map *addresses, struct waiter *w);

#endif
