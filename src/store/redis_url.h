/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_URL_H
#define STORE_REDIS_URL_H

#include "base/url.h"

/* Where a Redis is:
 *
 *   redis://[[user]:password@]host[:6379][/db]         rediss:// the same over TLS
 *   unix:///path/of/socket[?db=1]
 *   redis+sentinel://[[user]:password@]host[:26379],host.../master[/db]     rediss+sentinel:// */

struct redis_sentinel_url {
    char *host;
    unsigned port;
};

struct redis_url {
    char *host; /* NULL: path, or the master that the sentinels know */
    unsigned port;
    bool tls; /* to the Redis, not to sentinels */
    char *path;
    char *user, *password; /* NULL: none */
    unsigned db;
    char *master; /* its name; NULL: there are no sentinels */
    struct redis_sentinel_url *sentinels;
    size_t sentinel_count;
};

/* Reads one; false when it is none. To be ended with redis_url_fini in either case. */
bool redis_url_parse(struct redis_url *u, struct slice text) __attribute__((warn_unused_result));
void redis_url_fini(struct redis_url *u);

#endif
