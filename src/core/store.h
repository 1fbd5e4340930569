/* SPDX-License-Identifier: MIT */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include "base/buf.h"
#include "core/core.h"
#include "core/msg.h"

/* Shared state behind one interface: what one node must know of another goes through here. Every
 * function returns at once; what takes time answers through done, exactly once and never before the
 * call returned. status is 0 (or what the function says) or a negative errno: -ENOENT (no such
 * token), -ENOTCONN (the store is away), -ENOBUFS (too much waits for it), -ENOSPC (full),
 * -ETIMEDOUT. */

struct store;
struct handshake;
struct channel_conf;
struct emission;

#define HISTORY_NEWEST UINT64_MAX

/* data is borrowed; NULL when there is none. */
typedef void store_done(void *arg, int status, struct buf *data);

struct queue_ops;

/* What the store says to the hub, from the loop. Borrowed arguments. */
struct store_events {
    /* A message was published on a channel that somebody here subscribed; at is its place in the
     * history, NULL where there is none. */
    void (*published)(struct site *site, struct slice channel, struct buf *body,
                      const struct position *at);
    /* A word to all nodes, or to this one, came: name is "broadcast", "unsubscribeAll", "emit", "push",
     * "ask" or "answer". */
    void (*control)(struct site *site, struct slice name, struct buf *body);
    /* A backend's emitter has sent an event to the site's namespace. It has gone to all nodes. */
    void (*emitted)(struct site *site, const struct emission *e);
    /* A subscription is live: whatever is published from now on comes. Also again, for every
     * subscription, after away. */
    void (*live)(struct site *site, struct slice channel);
    /* No subscription is live any more: what is published now does not come. */
    void (*away)(struct core *core);
};

struct store_ops {
    const char *name;
    /* Publishes on all nodes, this one included; of one node's calls in their order. done (may be
     * NULL) with the number of nodes that it went to. 0, or a negative errno, and then done does
     * not come. history: the message is kept as that says; NULL: it is not. */
    int (*publish)(struct store *st, struct site *site, struct slice channel, struct buf *body,
                   const struct channel_conf *history, store_done *done, void *arg);
    /* Brings at most limit messages of a channel's history as a page (history.h): those after the
     * offset since, or with HISTORY_NEWEST the newest. A channel that has none yet gets an epoch.
     */
    void (*history)(struct store *st, struct site *site, struct slice channel,
                    const struct channel_conf *history, uint64_t since, uint64_t limit,
                    store_done *done, void *arg);
    /* A word to all nodes (node empty), or to the one of this id. Else as publish. */
    int (*control)(struct store *st, struct site *site, struct slice node, struct slice name,
                   struct buf *body, store_done *done, void *arg);
    /* The first local member came (live follows, as soon as the store can be reached); the last one
     * left. */
    void (*subscribe)(struct store *st, struct site *site, struct slice channel);
    void (*unsubscribe)(struct store *st, struct site *site, struct slice channel);
    /* From now on what emitters of Socket.IO publish under the prefix for one of the site's
     * namespaces comes as emitted; and not any more. Twice is an error. NULL: this store hears of
     * none. */
    void (*listen)(struct store *st, struct site *site, struct slice prefix, struct slice ns);
    void (*unlisten)(struct store *st, struct slice prefix, struct slice ns);
    /* Keeps data under id for ttl_ms. from (may be NULL) is the request that it was issued to, for
     * stores whose other programs want to know. */
    void (*token_put)(struct store *st, struct site *site, struct slice id, struct buf *data,
                      const struct handshake *from, uint64_t ttl_ms, store_done *done, void *arg);
    /* Takes it out, in one step: of all who try, on all nodes, one gets it. */
    void (*token_take)(struct store *st, struct site *site, struct slice id, store_done *done,
                       void *arg);
    /* Queues of users' devices (queue.h). */
    const struct queue_ops *queue;
    /* The process ends: running calls are answered with -ENOTCONN, and whatever comes after. */
    void (*stop)(struct store *st);
    /* Frees it; running calls are not answered any more. */
    void (*close)(struct store *st);
};

/* The head of every store's own struct. */
struct store {
    const struct store_ops *ops;
    const struct store_events *events;
};

#endif
