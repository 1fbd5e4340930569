/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_SENTINEL_H
#define STORE_REDIS_SENTINEL_H

#include "net/conn.h"
#include "store/redis_url.h"

/* Asks the sentinels of a URL, one after the other, which Redis is the master now. */
struct sentinel;

/* done comes exactly once, from the loop, never inside this call: with the master's address, a text
 * that dies with the call, or with host NULL and why, a constant text. Borrows url until then. */
struct sentinel *sentinel_ask(struct net *net, const struct redis_url *url,
                              void (*done)(void *arg, const char *host, unsigned port,
                                           const char *reason),
                              void *arg) __attribute__((returns_nonnull, warn_unused_result));

/* Gives up: done will not come. */
void sentinel_cancel(struct sentinel *s);

#endif
