/* SPDX-License-Identifier: MIT */
#ifndef CORE_QUEUE_H
#define CORE_QUEUE_H

#include "base/buf.h"
#include "core/site.h"
#include "core/store.h"

/* Reliable delivery: what the devices of a site's users have not acknowledged yet. All of it is in
 * the store, so that whoever dies takes nothing along (RELIABILITY.md, P6 to P8;
 * wire/socketio-webservice.md section 4).
 *
 * A user is a room of its own ("user_5"). It has devices, which are named by their clients; each has
 * a queue of records, one for each message, in the order of their ids. A record belongs to an event,
 * the first item of its message. The store also knows in which other rooms a user is, so that what
 * is sent to a room reaches the users in it. */

struct device {
    struct slice user; /* its room */
    struct slice name; /* "" is a name */
};

/* A message for the queues. */
struct queue_message {
    uint64_t id;       /* greater than all before it from this node (flake) */
    struct slice rooms; /* JSON array of texts: as the backend named them */
    struct slice event; /* plain text */
    struct slice data;  /* JSON array [event, args...] */
};

/* How long, and how much, is kept: of the site's conf. */
struct queue_bounds {
    uint64_t ttl_ms;   /* after the device left; LIMIT_OFF: for ever */
    uint64_t lease_ms; /* a device that is here and that nobody touched for so long has left */
    uint64_t messages, bytes; /* of one device's queue */
    uint64_t devices;         /* of one user */
    struct slice user_prefix; /* rooms that begin with it are users */
    struct slice public_channel; /* this room is a user too; "" none */
};

/* The functions of a store for it. Each answers through done, as store.h says; data is JSON. */
struct queue_ops {
    /* A device is here, and stays until queue_leave or until nobody has touched it for ttl + lease.
     * rooms: JSON array of all rooms that its user is in, this user's own included; it replaces what
     * was known of them. Too many devices: the one that has been away for longest goes, counted by
     * status 1. data: its records, oldest first, at most limit of them and about bytes bytes:
     * [{"id":"<decimal>","data":[event,...]},...], and an item "resync" first when its queue once
     * overflowed and that was not told yet. */
    void (*enter)(struct store *st, struct site *site, const struct device *d, struct slice rooms,
                  const struct queue_bounds *b, uint64_t limit, uint64_t bytes, store_done *done,
                  void *arg);
    /* What enter answers, without entering: the records with ids above after. */
    void (*read)(struct store *st, struct site *site, const struct device *d, uint64_t after,
                 uint64_t limit, uint64_t bytes, store_done *done, void *arg);
    /* The devices here are still here. One that the store has forgotten is known again, with an empty
     * queue, unless its user has as many as may be: it takes nobody's place. */
    void (*touch)(struct store *st, struct site *site, const struct device *d, size_t n,
                  const struct queue_bounds *b, store_done *done, void *arg);
    /* It left: in ttl its records and what is known of it go. */
    void (*leave)(struct store *st, struct site *site, const struct device *d,
                  const struct queue_bounds *b, store_done *done, void *arg);
    /* Keeps m for every known device of the users that its rooms reach: a user's room is itself, any
     * other stands for the users in it (compared without case, as in ASCII). Each device once, all or
     * none. A queue that is full is emptied and remembers one resync. data:
     * [{"user":"user_5","device":"A","overflow":true?},...]. */
    void (*push)(struct store *st, struct site *site, const struct queue_message *m,
                 const struct queue_bounds *b, store_done *done, void *arg);
    /* The record was acknowledged. Status 0: it is gone now; -ENOENT: it was gone. in_order: when
     * others of its event are older, all of the event's records go, and the status is 1; and it is 1
     * when the device has been forgotten, with whatever it had. What is gone otherwise had its turn,
     * by another socket of the device or by the resync that cleared it, and clears nothing. All in
     * one step. */
    void (*ack)(struct store *st, struct site *site, const struct device *d, struct slice event,
                uint64_t id, bool in_order, store_done *done, void *arg);
    /* The same for those of a batch: ids, a JSON array of decimal texts, and the resync mark when
     * resync is set. */
    void (*ack_batch)(struct store *st, struct site *site, const struct device *d,
                      struct slice ids, bool resync, store_done *done, void *arg);
};

#endif
