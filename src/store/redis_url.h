/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_URL_H
#define STORE_REDIS_URL_H

#include "base/url.h"

/* Where a Redis is: redis://[user[:password]@]host[:6379][/db], or unix:///path?db=1. */
struct redis_url {
    char *host; /* NULL: path */
    unsigned port;
    char *path;
    char *user, *password; /* NULL: none */
    unsigned db;
};

/* Reads one; false when it is none. To be ended with redis_url_fini in either case. */
bool redis_url_parse(struct redis_url *u, struct slice text) __attribute__((warn_unused_result));
void redis_url_fini(struct redis_url *u);

#endif
