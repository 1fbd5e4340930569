/* SPDX-License-Identifier: MIT */
#ifndef STORE_LOCAL_QUEUE_H
#define STORE_LOCAL_QUEUE_H

#include "core/queue.h"

struct keeper;

/* The queues of the store of a single node (local.h). */
extern const struct queue_ops local_queue_ops;

/* For those, from local.c: answers at the end of the turn, in order with all else (body may be
 * NULL; referenced), and the keeper. */
void local_answer(struct store *st, struct site *site, struct buf *body, store_done *done,
                  void *arg, int status);
struct keeper *local_keeper(struct store *st);

#endif
