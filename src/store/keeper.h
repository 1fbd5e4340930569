/* SPDX-License-Identifier: MIT */
#ifndef STORE_KEEPER_H
#define STORE_KEEPER_H

#include "core/history.h"

/* What the store of a single node (local.h) keeps: tokens, histories and queues, in memory or on disk. All
 * of it is done at once; what was changed counts from the next settle on. */
struct keeper;
struct queue_tables;

struct keeper_ops {
    const char *name; /* of the store */
    /* 0, -ENOSPC (full), or -ENOTCONN (it cannot be kept). data is borrowed. */
    int (*token_put)(struct keeper *k, struct site *site, struct slice id, struct buf *data,
                     uint64_t ttl_ms);
    /* Takes it out: the data, the caller's; NULL when there is none that lives. */
    struct buf *(*token_take)(struct keeper *k, struct site *site, struct slice id);
    /* Keeps a message; *at is its place, or stays as it was when it cannot be kept. */
    void (*history_add)(struct keeper *k, struct site *site, struct slice channel,
                        const struct channel_conf *conf, struct buf *body, struct position *at);
    /* A page (history.h), the caller's, as store_ops.history says; NULL when it cannot be had. */
    struct buf *(*history_page)(struct keeper *k, struct site *site, struct slice channel,
                                const struct channel_conf *conf, uint64_t since, uint64_t limit);
    /* The queues of devices, to be read and changed now; NULL: they cannot be had. */
    struct queue_tables *(*queues)(struct keeper *k);
    /* Makes what was changed last, before anybody is told. 0, or -ENOTCONN: none of it does. NULL:
     * nothing is to be done. */
    int (*settle)(struct keeper *k);
    void (*close)(struct keeper *k);
};

/* The head of every keeper's own struct. */
struct keeper {
    const struct keeper_ops *ops;
};

#endif
