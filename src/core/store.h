/* SPDX-License-Identifier: MIT */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include "base/buf.h"
#include "core/core.h"

/* Shared state behind one interface: what one node must know of another goes through here. Every
 * function returns at once; what takes time answers through done, exactly once and never before the
 * call returned. status is 0 or a negative errno: -ENOENT (no such token), -ENOTCONN (the store is
 * away), -ENOSPC (full), -ETIMEDOUT. */

struct store;

/* data is borrowed; NULL when there is none. */
typedef void store_done(void *arg, int status, struct buf *data);

/* What the store says to the hub, from the loop. Borrowed arguments. */
struct store_events {
    /* A message was published on a channel that somebody here subscribed. */
    void (*published)(struct site *site, struct slice channel, struct buf *body);
    /* A word to all nodes came: name is "broadcast" or "unsubscribeAll". */
    void (*control)(struct site *site, struct slice name, struct buf *body);
};

struct store_ops {
    const char *name;
    int (*publish)(struct store *st, struct site *site, struct slice channel, struct buf *body);
    int (*control)(struct store *st, struct site *site, struct slice name, struct buf *body);
    /* The first local member came; the last one left: then a done that has not come does not. */
    void (*subscribe)(struct store *st, struct site *site, struct slice channel, store_done *done,
                      void *arg);
    void (*unsubscribe)(struct store *st, struct site *site, struct slice channel);
    /* Keeps data under id for ttl_ms. */
    void (*token_put)(struct store *st, struct site *site, struct slice id, struct buf *data,
                      uint64_t ttl_ms, store_done *done, void *arg);
    /* Takes it out, in one step: of all who try, on all nodes, one gets it. */
    void (*token_take)(struct store *st, struct site *site, struct slice id, store_done *done,
                       void *arg);
    /* Ends it; running calls are not answered any more. */
    void (*close)(struct store *st);
};

/* The head of every store's own struct. */
struct store {
    const struct store_ops *ops;
    const struct store_events *events;
};

#endif
