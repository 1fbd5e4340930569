/* SPDX-License-Identifier: MIT */
/* Writing waits for nothing but the page cache: synchronous is NORMAL, which a killed process cannot
 * hurt; what the last moments before a power failure brought may be lost, and never more. Times are
 * wall-clock, because they outlive the process. */
#include "store/sqlite.h"

#include "base/id.h"
#include "store/queue_tables.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define SWEEP_MS 1000
#define PAGE_BYTES 4096 /* SQLite's own choice */
#define VERSION "1"     /* of the tables */

enum query {
    BEGIN,
    COMMIT,
    ROLLBACK,
    TOKEN_PUT,
    TOKEN_TAKE,
    TOKEN_DROP,
    STREAM_GET,
    STREAM_NEW,
    STREAM_SET,
    STREAM_DROP,
    MESSAGE_ADD,
    MESSAGE_TRIM,
    PAGE_SINCE,
    PAGE_NEWEST,
    QUERIES
};

static const char *const texts[QUERIES] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [TOKEN_PUT] = "INSERT OR REPLACE INTO token (site, id, dies_ms, data) VALUES (?1, ?2, ?3, ?4)",
    [TOKEN_TAKE] = "DELETE FROM token WHERE site = ?1 AND id = ?2 RETURNING dies_ms, data",
    [TOKEN_DROP] = "DELETE FROM token WHERE dies_ms <= ?1",
    [STREAM_GET] = "SELECT id, epoch, top, dies_ms FROM stream WHERE site = ?1 AND channel = ?2",
    [STREAM_NEW] = "INSERT INTO stream (site, channel, epoch, top, dies_ms) "
                   "VALUES (?1, ?2, ?3, 0, ?4)",
    [STREAM_SET] = "UPDATE stream SET top = ?2, dies_ms = ?3 WHERE id = ?1",
    [STREAM_DROP] = "DELETE FROM stream WHERE dies_ms <= ?1",
    [MESSAGE_ADD] = "INSERT INTO message (stream, place, body) VALUES (?1, ?2, ?3)",
    [MESSAGE_TRIM] = "DELETE FROM message WHERE stream = ?1 AND place <= ?2",
    [PAGE_SINCE] = "SELECT place, body FROM message WHERE stream = ?1 AND place > ?2 "
                   "ORDER BY place LIMIT ?3",
    [PAGE_NEWEST] = "SELECT place, body FROM (SELECT place, body FROM message WHERE stream = ?1 "
                    "ORDER BY place DESC LIMIT ?2) ORDER BY place",
};

static const char tables[] =
    "CREATE TABLE IF NOT EXISTS token (site TEXT NOT NULL, id TEXT NOT NULL, dies_ms INTEGER NOT NULL,"
    " data BLOB NOT NULL, PRIMARY KEY (site, id)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS token_age ON token (dies_ms);"
    "CREATE TABLE IF NOT EXISTS stream (id INTEGER PRIMARY KEY, site TEXT NOT NULL,"
    " channel TEXT NOT NULL, epoch TEXT NOT NULL, top INTEGER NOT NULL, dies_ms INTEGER NOT NULL,"
    " UNIQUE (site, channel));"
    "CREATE INDEX IF NOT EXISTS stream_age ON stream (dies_ms);"
    "CREATE TABLE IF NOT EXISTS message (stream INTEGER NOT NULL REFERENCES stream ON DELETE CASCADE,"
    " place INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (stream, place)) WITHOUT ROWID;"
    "PRAGMA user_version = " VERSION;

struct sqlite {
    struct keeper keeper;
    struct core *core;
    sqlite3 *db;
    sqlite3_stmt *queries[QUERIES];
    struct queue_tables queues;
    struct timer sweep;
    bool changed; /* a transaction is open */
    bool failed;  /* and something in it went wrong */
};

static struct sqlite *sqlite_of(struct keeper *k) { return container_of(k, struct sqlite, keeper); }

static int64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- queries ---- */

static sqlite3_stmt *query(struct sqlite *s, enum query which) {
    sqlite3_reset(s->queries[which]);
    return s->queries[which];
}

static void bind_text(sqlite3_stmt *q, int at, struct slice text) {
    sqlite3_bind_text(q, at, text.p, (int)text.n, SQLITE_STATIC);
}

static void bind_name(sqlite3_stmt *q, const struct site *site, struct slice name) {
    bind_text(q, 1, slice_of(site->name));
    bind_text(q, 2, name);
}

static void complain(struct sqlite *s) {
    s->failed = true;
    metrics_count(s->core->metrics, "store_errors_total", "store", "sqlite", NULL);
    LOG(s->core->log, LOG_ERROR, "store", log_c("store", "sqlite"),
        log_c("error", sqlite3_errmsg(s->db)));
}

/* Whether it has a row. */
static bool step(struct sqlite *s, sqlite3_stmt *q) {
    int status = sqlite3_step(q);
    if (status != SQLITE_ROW && status != SQLITE_DONE) complain(s);
    return status == SQLITE_ROW;
}

/* Runs one that gives nothing. */
static void run(struct sqlite *s, sqlite3_stmt *q) {
    step(s, q);
    sqlite3_reset(q);
}

static void begin(struct sqlite *s) {
    if (s->changed) return;
    s->changed = true;
    s->failed = false;
    run(s, query(s, BEGIN));
}

static struct slice column(sqlite3_stmt *q, int at) {
    const void *bytes = sqlite3_column_blob(q, at);
    return slice_make(bytes ? bytes : "", (size_t)sqlite3_column_bytes(q, at));
}

/* Even where nothing was written: what was asked for, taken, is then still there. */
static int settle(struct keeper *k) {
    struct sqlite *s = sqlite_of(k);
    if (!s->changed) return 0;
    if (s->queues.failed) complain(s);
    s->queues.failed = false;
    if (!s->failed) run(s, query(s, COMMIT));
    bool failed = s->failed;
    if (failed && !sqlite3_get_autocommit(s->db)) run(s, query(s, ROLLBACK));
    s->changed = s->failed = false;
    return failed ? -ENOTCONN : 0;
}

/* ---- tokens ---- */

static int token_put(struct keeper *k, struct site *site, struct slice id, struct buf *data,
                     uint64_t ttl_ms) {
    struct sqlite *s = sqlite_of(k);
    begin(s);
    sqlite3_stmt *q = query(s, TOKEN_PUT);
    bind_name(q, site, id);
    sqlite3_bind_int64(q, 3, wall_ms() + (int64_t)ttl_ms);
    sqlite3_bind_blob(q, 4, data->data, (int)data->n, SQLITE_STATIC);
    run(s, q);
    return 0; /* what failed fails when it is settled */
}

static struct buf *token_take(struct keeper *k, struct site *site, struct slice id) {
    struct sqlite *s = sqlite_of(k);
    begin(s);
    sqlite3_stmt *q = query(s, TOKEN_TAKE);
    bind_name(q, site, id);
    struct buf *data = NULL;
    if (step(s, q) && sqlite3_column_int64(q, 0) > wall_ms()) data = buf_copy(column(q, 1));
    sqlite3_reset(q);
    return data;
}

/* ---- histories ---- */

struct stream {
    int64_t id;
    struct position top;
};

static void stream_make(struct sqlite *s, struct site *site, struct slice channel, int64_t dies_ms,
                        struct stream *stream) {
    sqlite3_stmt *q = query(s, STREAM_NEW);
    *stream = (struct stream){0};
    random_name(s->core->random, stream->top.epoch, EPOCH_LENGTH);
    bind_name(q, site, channel);
    bind_text(q, 3, slice_of(stream->top.epoch));
    sqlite3_bind_int64(q, 4, dies_ms);
    run(s, q);
    stream->id = sqlite3_last_insert_rowid(s->db);
}

static void drop_dead(struct sqlite *s) {
    static const enum query drops[] = {TOKEN_DROP, STREAM_DROP};
    begin(s);
    for (size_t i = 0; i < sizeof drops / sizeof *drops; i++) {
        sqlite3_stmt *q = query(s, drops[i]);
        sqlite3_bind_int64(q, 1, wall_ms());
        run(s, q);
    }
    queue_sweep(&s->queues);
}

/* False when there is none. */
static bool stream_read(struct sqlite *s, struct site *site, struct slice channel,
                        struct stream *stream) {
    sqlite3_stmt *q = query(s, STREAM_GET);
    bind_name(q, site, channel);
    bool found = step(s, q) && sqlite3_column_int64(q, 3) > wall_ms();
    struct slice epoch = found ? column(q, 1) : SLICE("");
    if (found) {
        *stream = (struct stream){.id = sqlite3_column_int64(q, 0)};
        memcpy(stream->top.epoch, epoch.p, epoch.n < EPOCH_LENGTH ? epoch.n : EPOCH_LENGTH);
        stream->top.offset = (uint64_t)sqlite3_column_int64(q, 2);
    }
    sqlite3_reset(q);
    return found;
}

/* The channel's own, made where there is none that lives; it lives on from now, with added more
 * messages. */
static void stream_open(struct sqlite *s, struct site *site, struct slice channel,
                        const struct channel_conf *conf, uint64_t added, struct stream *stream) {
    int64_t dies_ms = wall_ms() + (int64_t)conf->history_ttl_ms;
    begin(s);
    if (!stream_read(s, site, channel, stream)) {
        drop_dead(s); /* the name may be one of them */
        stream_make(s, site, channel, dies_ms, stream);
    }
    stream->top.offset += added;
    sqlite3_stmt *q = query(s, STREAM_SET);
    sqlite3_bind_int64(q, 1, stream->id);
    sqlite3_bind_int64(q, 2, (int64_t)stream->top.offset);
    sqlite3_bind_int64(q, 3, dies_ms);
    run(s, q);
}

static void history_add(struct keeper *k, struct site *site, struct slice channel,
                        const struct channel_conf *conf, struct buf *body, struct position *at) {
    struct sqlite *s = sqlite_of(k);
    struct stream stream;
    stream_open(s, site, channel, conf, 1, &stream);
    sqlite3_stmt *q = query(s, MESSAGE_ADD);
    sqlite3_bind_int64(q, 1, stream.id);
    sqlite3_bind_int64(q, 2, (int64_t)stream.top.offset);
    sqlite3_bind_blob(q, 3, body->data, (int)body->n, SQLITE_STATIC);
    run(s, q);
    q = query(s, MESSAGE_TRIM);
    sqlite3_bind_int64(q, 1, stream.id);
    sqlite3_bind_int64(q, 2, (int64_t)stream.top.offset - (int64_t)conf->history_size);
    run(s, q);
    *at = stream.top;
}

static sqlite3_stmt *page_query(struct sqlite *s, const struct stream *stream, uint64_t since,
                                uint64_t limit) {
    bool newest = since == HISTORY_NEWEST;
    sqlite3_stmt *q = query(s, newest ? PAGE_NEWEST : PAGE_SINCE);
    sqlite3_bind_int64(q, 1, stream->id);
    if (!newest) sqlite3_bind_int64(q, 2, since > INT64_MAX ? INT64_MAX : (int64_t)since);
    sqlite3_bind_int64(q, newest ? 2 : 3, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    return q;
}

static struct buf *history_page(struct keeper *k, struct site *site, struct slice channel,
                                const struct channel_conf *conf, uint64_t since, uint64_t limit) {
    struct sqlite *s = sqlite_of(k);
    struct stream stream;
    struct text t = {0};
    stream_open(s, site, channel, conf, 0, &stream);
    history_page_begin(&t, slice_of(stream.top.epoch), stream.top.offset);
    sqlite3_stmt *q = page_query(s, &stream, since, limit);
    while (step(s, q)) history_page_add(&t, (uint64_t)sqlite3_column_int64(q, 0), column(q, 1));
    sqlite3_reset(q);
    history_page_end(&t);
    return text_take(&t);
}

/* ---- queues ---- */

static struct queue_tables *queues(struct keeper *k) {
    struct sqlite *s = sqlite_of(k);
    begin(s);
    return &s->queues;
}

/* ---- life ---- */

static void on_sweep(struct timer *t) {
    struct sqlite *s = container_of(t, struct sqlite, sweep);
    bool alone = !s->changed; /* else it is settled with what others changed, who are told */
    drop_dead(s);
    if (alone) settle(&s->keeper);
    timer_start(s->core->loop, t, SWEEP_MS);
}

static void sqlite_close(struct keeper *k) {
    struct sqlite *s = sqlite_of(k);
    settle(k);
    timer_stop(s->core->loop, &s->sweep);
    queue_tables_close(&s->queues);
    for (int i = 0; i < QUERIES; i++) sqlite3_finalize(s->queries[i]);
    sqlite3_close(s->db);
    mem_free(s);
}

static const struct keeper_ops sqlite_ops = {.name = "sqlite",
                                             .token_put = token_put,
                                             .token_take = token_take,
                                             .history_add = history_add,
                                             .history_page = history_page,
                                             .queues = queues,
                                             .settle = settle,
                                             .close = sqlite_close};

/* The number of the tables that are in the file; 0: none. */
static int file_version(sqlite3 *db) {
    sqlite3_stmt *q = NULL;
    int version = -1;
    if (!sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &q, NULL) && sqlite3_step(q) == SQLITE_ROW)
        version = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    return version;
}

/* The lock is taken once and kept, so that a second gateway learns of it now. */
static bool prepare(struct sqlite *s) {
    struct text pragmas = {0};
    text_format(&pragmas,
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
                "PRAGMA max_page_count = %llu; BEGIN IMMEDIATE; COMMIT%c",
                (unsigned long long)(s->core->limits->sqlite_size / PAGE_BYTES), 0);
    int failed = sqlite3_exec(s->db, text_slice(&pragmas).p, NULL, NULL, NULL);
    text_fini(&pragmas);
    if (failed) return false;
    int version = file_version(s->db);
    if (version != 0 && version != atoi(VERSION)) return false;
    if (sqlite3_exec(s->db, tables, NULL, NULL, NULL)) return false;
    for (int i = 0; i < QUERIES; i++)
        if (sqlite3_prepare_v3(s->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &s->queries[i], NULL))
            return false;
    return queue_tables_open(&s->queues, s->db);
}

struct keeper *sqlite_keeper_new(struct core *core, const char *path, struct text *error) {
    struct sqlite *s = mem_new(sizeof *s);
    mode_t before = umask(S_IRWXG | S_IRWXO); /* tokens are nobody else's */
    s->core = core;
    s->keeper.ops = &sqlite_ops;
    s->sweep.fired = on_sweep;
    int failed = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    bool ready = !failed && prepare(s);
    umask(before);
    if (ready) {
        timer_start(core->loop, &s->sweep, SWEEP_MS);
        return &s->keeper;
    }
    text_format(error, "store: %s: %s", path,
                sqlite3_errcode(s->db) == SQLITE_BUSY ? "in use by another gateway"
                : sqlite3_errcode(s->db) == SQLITE_OK ? "has the tables of another version"
                                                      : sqlite3_errmsg(s->db));
    sqlite_close(&s->keeper);
    return NULL;
}
