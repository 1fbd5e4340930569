/* SPDX-License-Identifier: MIT */
#include "net/peers.h"

#include "base/rate.h"

struct peer {
    struct map_link link; /* key: group */
    struct ip group;
    uint64_t open;
    struct rate rate;
};

/* Addresses that are remembered for their rate only are dropped in bulk above this many. */
#define PEERS_KEPT 65536

static bool is_counted(const struct net *net, const struct ip *ip) {
    return !ip_is_none(ip) && (net->count_private || !ip_is_private(ip));
}

static struct slice key_of(const struct ip *group) { return slice_make(group->b, sizeof group->b); }

static void forget(struct net *net, struct peer *p) {
    map_remove(&net->peers, &p->link);
    mem_free(p);
}

static void forget_idle(struct net *net) {
    for (struct map_link *l = map_next(&net->peers, NULL), *next; l; l = next) {
        next = map_next(&net->peers, l);
        struct peer *p = container_of(l, struct peer, link);
        if (!p->open) forget(net, p);
    }
}

static struct peer *peer_of(struct net *net, const struct ip *ip) {
    struct ip group = ip_group(ip);
    struct map_link *l = map_find(&net->peers, key_of(&group));
    if (l) return container_of(l, struct peer, link);
    if (net->peers.count >= PEERS_KEPT) forget_idle(net);
    struct peer *p = mem_new(sizeof *p);
    p->group = group;
    map_add(&net->peers, &p->link, key_of(&p->group));
    return p;
}

bool peer_admits(struct net *net, const struct ip *ip) {
    if (!is_counted(net, ip)) return true;
    const struct limits *limits = net->limits;
    struct peer *p = peer_of(net, ip);
    if (p->open >= limits->max_connections_per_ip) {
        metrics_limit(net->metrics, "max_connections_per_ip", NULL);
        return false;
    }
    if (!rate_allow(&p->rate, loop_now_ms(net->loop), limits->new_connections_per_ip,
                    limits->new_connections_per_ip_burst)) {
        metrics_limit(net->metrics, "new_connections_per_ip", NULL);
        return false;
    }
    return true;
}

bool peer_opened(struct net *net, const struct ip *ip) {
    if (!is_counted(net, ip)) return false;
    peer_of(net, ip)->open++;
    return true;
}

void peer_closed(struct net *net, const struct ip *ip) { peer_of(net, ip)->open--; }

void peers_fini(struct net *net) {
    forget_idle(net);
    map_fini(&net->peers);
}
