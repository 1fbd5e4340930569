/* SPDX-License-Identifier: MIT */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include "base/id.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/metrics.h"

struct store;
struct site;
struct watchdog;

/* A node's name: random, in the alphabet of base64url. */
#define NODE_LENGTH 6

/* What all sites of a worker share: made by src/server.c, borrowed by everyone in core/, store/,
 * transport/ and script/. */
struct core {
    struct loop *loop;
    struct log *log;
    struct metrics *metrics;
    struct random *random;
    const struct limits *limits; /* the process's */
    struct store *store;
    struct list sites;         /* struct site, in the order of their names */
    uint64_t channels;         /* with members, of all sites */
    struct map namespaces;     /* of Socket.IO: struct endpoint by its ns, of all sites */
    bool draining;             /* no new sockets */
    struct watchdog *watchdog; /* script/'s: ends long slices; NULL: none yet */
    bool count_private;        /* limits per address count private addresses too */
    char node[NODE_LENGTH + 1]; /* the name of this process among the nodes of its sites */
};

/* What a script or a store says of something that was to be allowed. After WAIT the answer comes
 * later, exactly once, never from inside the call that returned it. */
enum verdict { ALLOW, DENY, WAIT };

#endif
