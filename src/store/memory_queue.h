/* SPDX-License-Identifier: MIT */
#ifndef STORE_MEMORY_QUEUE_H
#define STORE_MEMORY_QUEUE_H

#include "store/queue_tables.h"

/* The queues of the memory store: tables in a database of the process's own, made when the first is
 * asked for, and bounded by limits.memory_queues. All zeros: none yet. */
struct memory_queue {
    struct core *core; /* NULL: there is no database */
    sqlite3 *db;
    struct queue_tables tables;
    struct timer sweep;
    bool changed; /* a transaction is open */
};

/* To be read and changed until memory_queue_commit; NULL: they cannot be had. */
struct queue_tables *memory_queue_begin(struct memory_queue *q, struct core *core);

/* 0, or -ENOTCONN: nothing that was changed since counts. */
int memory_queue_commit(struct memory_queue *q);

void memory_queue_close(struct memory_queue *q);

#endif
