/* SPDX-License-Identifier: MIT */
/* What is asked is done at once, and told at the end of the turn, when the keeper has settled it. */
#include "store/local_queue.h"

#include "store/keeper.h"
#include "store/queue_tables.h"

#include <errno.h>

static struct queue_tables *tables_of(struct store *st) {
    struct keeper *k = local_keeper(st);
    return k->ops->queues(k);
}

/* Takes data. */
static void answer(struct store *st, struct site *site, int status, struct buf *data,
                   store_done *done, void *arg) {
    local_answer(st, site, data, done, arg, status);
    buf_unref(data);
}

static void enter(struct store *st, struct site *site, const struct device *d, struct slice rooms,
                  const struct queue_bounds *b, uint64_t limit, uint64_t bytes, store_done *done,
                  void *arg) {
    struct queue_tables *t = tables_of(st);
    struct buf *data = NULL;
    int status = t ? queue_enter(t, site, d, rooms, b, limit, bytes, &data) : -ENOTCONN;
    answer(st, site, status, data, done, arg);
}

static void read_queue(struct store *st, struct site *site, const struct device *d, uint64_t after,
                       uint64_t limit, uint64_t bytes, store_done *done, void *arg) {
    struct queue_tables *t = tables_of(st);
    struct buf *data = NULL;
    int status = t ? queue_read(t, site, d, after, limit, bytes, &data) : -ENOTCONN;
    answer(st, site, status, data, done, arg);
}

static void touch(struct store *st, struct site *site, const struct device *d, size_t n,
                  const struct queue_bounds *b, store_done *done, void *arg) {
    struct queue_tables *t = tables_of(st);
    answer(st, site, t ? queue_touch(t, site, d, n, b) : -ENOTCONN, NULL, done, arg);
}

static void leave(struct store *st, struct site *site, const struct device *d,
                  const struct queue_bounds *b, store_done *done, void *arg) {
    struct queue_tables *t = tables_of(st);
    answer(st, site, t ? queue_leave(t, site, d, b) : -ENOTCONN, NULL, done, arg);
}

static void push(struct store *st, struct site *site, const struct queue_message *m,
                 const struct queue_bounds *b, store_done *done, void *arg) {
    struct queue_tables *t = tables_of(st);
    struct buf *data = NULL;
    int status = t ? queue_push(t, site, m, b, &data) : -ENOTCONN;
    answer(st, site, status, data, done, arg);
}

static void ack(struct store *st, struct site *site, const struct device *d, struct slice event,
                uint64_t id, bool in_order, store_done *done, void *arg) {
    struct queue_tables *t = tables_of(st);
    answer(st, site, t ? queue_ack(t, site, d, event, id, in_order) : -ENOTCONN, NULL, done, arg);
}

static void ack_batch(struct store *st, struct site *site, const struct device *d,
                      struct slice ids, bool resync, store_done *done, void *arg) {
    struct queue_tables *t = tables_of(st);
    answer(st, site, t ? queue_ack_batch(t, site, d, ids, resync) : -ENOTCONN, NULL, done, arg);
}

const struct queue_ops local_queue_ops = {.enter = enter,
                                          .read = read_queue,
                                          .touch = touch,
                                          .leave = leave,
                                          .push = push,
                                          .ack = ack,
                                          .ack_batch = ack_batch};
