/* SPDX-License-Identifier: MIT */
#include "store/memory_queue.h"

#include <errno.h>

#define SWEEP_MS 1000
#define PAGE_BYTES 4096 /* SQLite's own choice */

static bool run(struct memory_queue *q, const char *text) {
    return sqlite3_exec(q->db, text, NULL, NULL, NULL) == SQLITE_OK;
}

static void on_sweep(struct timer *t) {
    struct memory_queue *q = container_of(t, struct memory_queue, sweep);
    bool alone = !q->changed; /* else it is committed with what others changed, who are told */
    if (memory_queue_begin(q, q->core)) queue_sweep(&q->tables);
    if (alone) memory_queue_commit(q);
    timer_start(q->core->loop, t, SWEEP_MS);
}

static bool open_tables(struct memory_queue *q, struct core *core) {
    struct text pragmas = {0};
    if (sqlite3_open_v2(":memory:", &q->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL))
        return false;
    text_format(&pragmas, "PRAGMA foreign_keys = ON; PRAGMA max_page_count = %llu%c",
                (unsigned long long)(core->limits->memory_queues / PAGE_BYTES), 0);
    bool good = run(q, text_slice(&pragmas).p) && queue_tables_open(&q->tables, q->db);
    text_fini(&pragmas);
    return good;
}

struct queue_tables *memory_queue_begin(struct memory_queue *q, struct core *core) {
    if (!q->core) {
        if (!open_tables(q, core)) {
            memory_queue_close(q);
            return NULL;
        }
        q->core = core;
        q->sweep.fired = on_sweep;
        timer_start(core->loop, &q->sweep, SWEEP_MS);
    }
    if (!q->changed) q->changed = run(q, "BEGIN");
    return q->changed ? &q->tables : NULL;
}

int memory_queue_commit(struct memory_queue *q) {
    if (!q->changed) return 0;
    bool failed = q->tables.failed || !run(q, "COMMIT");
    if (failed) {
        metrics_limit(q->core->metrics, "memory_queues", NULL);
        if (!sqlite3_get_autocommit(q->db)) run(q, "ROLLBACK");
    }
    q->changed = q->tables.failed = false;
    return failed ? -ENOTCONN : 0;
}

void memory_queue_close(struct memory_queue *q) {
    if (q->core) timer_stop(q->core->loop, &q->sweep);
    queue_tables_close(&q->tables);
    sqlite3_close(q->db);
    *q = (struct memory_queue){0};
}
