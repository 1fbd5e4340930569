/* SPDX-License-Identifier: MIT */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/id.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/metrics.h"

/* What all connections of a worker share. Made by src/server.c, borrowed by everyone in net/ and
 * transport/. */
struct net {
    struct loop *loop;
    struct log *log;
    struct metrics *metrics;
    struct random *random;
    const struct limits *limits;
    struct list conns;          /* the open connections of clients */
    size_t open;                /* how many */
    uint64_t unsent;            /* bytes that they have still to write */
    struct list outgoing;       /* the connections that we opened (dial.h) */
    struct names *names;        /* where our backends' names lead (names.h) */
    uint64_t unsent_most;       /* send_buffers, worked out at start */
    size_t most;                /* max_connections, worked out at start */
    struct map peers;           /* private to peers.c: what each public address has open */
    bool count_private;         /* limits per address count private addresses too */
    const char *send_path;      /* where bodies may be as long as push_body; NULL: nowhere */
    const struct cidr *trusted; /* proxies whose X-Forwarded-For is believed; borrowed */
    size_t trusted_count;

    /* private to conn.c */
    char *read_buffer;     /* where every read lands; dead when received returns */
    struct list dirty;     /* connections with output queued this turn */
    struct list dead;      /* connections closed this turn */
    struct deferred flush; /* writes for all that are dirty */
    struct deferred reap;  /* frees all that are dead */
    struct spare_blocks {
        struct out_block *first;
        size_t count;
    } spare_blocks[2]; /* private to output.c: small ones, large ones */
};

/* Bytes that one read may bring. */
#define NET_READ_SIZE 65536

void net_init(struct net *net, struct loop *loop, struct log *log, struct metrics *metrics,
              struct random *random, const struct limits *limits);

/* All connections must be closed and freed. */
void net_fini(struct net *net);

#endif
