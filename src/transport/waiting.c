/* SPDX-License-Identifier: MIT */
#include "transport/waiting.h"

#include "transport/opening.h"

/* An address with sessions that wait for a request. */
struct waiting_address {
    struct map_link link;
    struct ip ip;
    uint64_t waiting;
};

static const struct ip no_ip;

static bool is_none(const struct ip *ip) { return memcmp(ip, &no_ip, sizeof no_ip) == 0; }

static struct waiting_address *find(const struct map *addresses, const struct ip *ip) {
    struct map_link *link = map_find(addresses, slice_make(ip->b, sizeof ip->b));
    return link ? container_of(link, struct waiting_address, link) : NULL;
}

struct ip waiting_ip(const struct net *net, const struct request *r) {
    struct ip ip = opening_ip(r);
    bool named_by_proxy = memcmp(&ip, &r->conn->peer, sizeof ip) != 0;
    if (!net->count_private && !named_by_proxy && ip_is_private(&ip)) return no_ip;
    return ip_group(&ip);
}

bool waiting_is_full(const struct map *addresses, const struct ip *ip, uint64_t most) {
    const struct waiting_address *address = find(addresses, ip);
    return address && address->waiting >= most;
}

void waiting_add(struct map *addresses, struct waiter *w) {
    if (w->address || is_none(&w->ip)) return;
    w->address = find(addresses, &w->ip);
    if (!w->address) {
        w->address = mem_new(sizeof *w->address);
        w->address->ip = w->ip;
        map_add(addresses, &w->address->link, slice_make(w->address->ip.b, sizeof w->ip.b));
    }
    w->address->waiting++;
}

void waiting_remove(struct map *addresses, struct waiter *w) {
    if (!w->address) return;
    if (--w->address->waiting == 0) {
        map_remove(addresses, &w->address->link);
        mem_free(w->address);
    }
    w->address = NULL;
}
