/* SPDX-License-Identifier: MIT */
#ifndef STORE_QUEUE_TABLES_H
#define STORE_QUEUE_TABLES_H

#include "core/queue.h"

#include <sqlite3.h>

/* The queues of devices (core/queue.h) as tables of SQLite: in the file of the store where there is
 * one, else in a database that is in memory only, so that a single node has one way of keeping them.
 * All is done at once. Times are wall-clock. */

enum queue_query {
    QUEUE_MEMBERS_DROP,
    QUEUE_MEMBER_ADD,
    QUEUE_DEVICE_GET,
    QUEUE_DEVICE_ADD,
    QUEUE_DEVICE_SET,
    QUEUE_DEVICE_COUNT,
    QUEUE_DEVICE_EVICT,
    QUEUE_DEVICE_FILL,
    QUEUE_DEVICE_MARK,
    QUEUE_RECORDS,
    QUEUE_RECORD_ADD,
    QUEUE_RECORD_GET,
    QUEUE_RECORD_DROP,
    QUEUE_RECORDS_DROP,
    QUEUE_EVENT_FIRST,
    QUEUE_EVENT_DROP,
    QUEUE_REACH_USER,
    QUEUE_REACH_ROOM,
    QUEUE_REACHED,
    QUEUE_REACHED_DROP,
    QUEUE_SWEEP,
    QUEUE_SWEEP_MEMBERS,
    QUEUE_QUERIES
};

struct queue_tables {
    sqlite3 *db;
    sqlite3_stmt *queries[QUEUE_QUERIES];
    bool failed; /* something went wrong since it was last set to false */
};

/* Makes the tables in db (borrowed), where they are not there yet. False when that fails. */
bool queue_tables_open(struct queue_tables *t, sqlite3 *db);
void queue_tables_close(struct queue_tables *t);

/* What queue.h says of the functions of these names; the result is the status, *data (may be NULL
 * there) the caller's. */
int queue_enter(struct queue_tables *t, struct site *site, const struct device *d,
                struct slice rooms, const struct queue_bounds *b, uint64_t limit, uint64_t bytes,
                struct buf **data);
int queue_read(struct queue_tables *t, struct site *site, const struct device *d, uint64_t after,
               uint64_t limit, uint64_t bytes, struct buf **data);
int queue_touch(struct queue_tables *t, struct site *site, const struct device *d, size_t n,
                const struct queue_bounds *b);
int queue_leave(struct queue_tables *t, struct site *site, const struct device *d,
                const struct queue_bounds *b);
int queue_push(struct queue_tables *t, struct site *site, const struct queue_message *m,
               const struct queue_bounds *b, struct buf **data);
int queue_ack(struct queue_tables *t, struct site *site, const struct device *d,
              struct slice event, uint64_t id, bool in_order);
int queue_ack_batch(struct queue_tables *t, struct site *site, const struct device *d,
                    struct slice ids, bool resync);

/* Forgets the devices that have been away for too long. */
void queue_sweep(struct queue_tables *t);

#endif
