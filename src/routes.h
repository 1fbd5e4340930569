/* SPDX-License-Identifier: MIT */
#ifndef ROUTES_H
#define ROUTES_H

#include "config/config.h"
#include "net/http.h"
#include "transport/files.h"

/* Which of all sites, endpoints and fixed paths a request is for. A site is found by its own
 * address, else by Host, else by the longest path; in it, by the token route, a file, or the
 * endpoint with the longest path. Paths are compared as they came: none of ours needs an escape. */

/* A site as the router sees it. */
struct route {
    struct site *site;
    struct files *files; /* NULL: none */
};

struct routes {
    const struct config *config;
    struct core *core;
    struct metrics *metrics;
    struct route *sites; /* never moves */
    size_t count, room;
    struct site *shared; /* endpoints beside the sites' */
};

struct admin;

/* What a listener leads to: everything, one site (its own listen address), or the metrics and the
 * admin interface. */
struct entrance {
    struct routes *routes;
    const struct route *site; /* NULL: all */
    struct admin *admin;      /* NULL: it is for clients */
    bool trusted;             /* whoever comes this way is an operator: a unix socket */
};

/* The http_handler of every connection; arg is the struct entrance of its listener. */
void routes_handle(void *arg, struct request *r);

#endif
