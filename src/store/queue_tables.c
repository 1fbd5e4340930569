/* SPDX-License-Identifier: MIT */
/* A device that is here has left_ms in the future, by its lease, and one that has left in the past;
 * dies_ms is when it is forgotten, with its records. A user's rooms are kept as they compare: in
 * lower case. */
#include "store/queue_tables.h"

#include "base/json.h"

#include <errno.h>
#include <time.h>

#define NEVER INT64_MAX

static const char tables[] =
    "CREATE TABLE IF NOT EXISTS queue_member (site TEXT NOT NULL, room TEXT NOT NULL,"
    " user TEXT NOT NULL, PRIMARY KEY (site, room, user)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS queue_member_user ON queue_member (site, user);"
    "CREATE TABLE IF NOT EXISTS queue_device (id INTEGER PRIMARY KEY, site TEXT NOT NULL,"
    " user TEXT NOT NULL, name TEXT NOT NULL, left_ms INTEGER NOT NULL, dies_ms INTEGER NOT NULL,"
    " messages INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,"
    " resync INTEGER NOT NULL DEFAULT 0, UNIQUE (site, user, name));"
    "CREATE INDEX IF NOT EXISTS queue_device_age ON queue_device (dies_ms);"
    "CREATE TABLE IF NOT EXISTS queue_record (device INTEGER NOT NULL REFERENCES queue_device"
    " ON DELETE CASCADE, id INTEGER NOT NULL, event TEXT NOT NULL, data BLOB NOT NULL,"
    " PRIMARY KEY (device, id)) WITHOUT ROWID;"
    "CREATE TEMP TABLE queue_reached (device INTEGER PRIMARY KEY);";

static const char *const texts[QUEUE_QUERIES] = {
    [QUEUE_MEMBERS_DROP] = "DELETE FROM queue_member WHERE site = ?1 AND user = ?2",
    [QUEUE_MEMBER_ADD] = "INSERT OR IGNORE INTO queue_member (site, user, room) VALUES (?1, ?2, ?3)",
    [QUEUE_DEVICE_GET] = "SELECT id, resync FROM queue_device "
                         "WHERE site = ?1 AND user = ?2 AND name = ?3 AND dies_ms > ?4",
    [QUEUE_DEVICE_ADD] = "INSERT OR REPLACE INTO queue_device (site, user, name, left_ms, dies_ms) "
                         "VALUES (?1, ?2, ?3, ?4, ?5)",
    [QUEUE_DEVICE_SET] = "UPDATE queue_device SET left_ms = ?2, dies_ms = ?3 WHERE id = ?1",
    [QUEUE_DEVICE_COUNT] = "SELECT count(*) FROM queue_device "
                           "WHERE site = ?1 AND user = ?2 AND dies_ms > ?3",
    [QUEUE_DEVICE_EVICT] = "DELETE FROM queue_device WHERE id = (SELECT id FROM queue_device "
                           "WHERE site = ?1 AND user = ?2 AND dies_ms > ?3 ORDER BY left_ms LIMIT 1)",
    [QUEUE_DEVICE_FILL] = "UPDATE queue_device SET messages = messages + ?2, bytes = bytes + ?3 "
                          "WHERE id = ?1",
    [QUEUE_DEVICE_MARK] = "UPDATE queue_device SET resync = ?2 WHERE id = ?1",
    [QUEUE_RECORDS] = "SELECT id, data FROM queue_record WHERE device = ?1 AND id > ?2 "
                      "ORDER BY id LIMIT ?3",
    [QUEUE_RECORD_ADD] = "INSERT OR REPLACE INTO queue_record (device, id, event, data) "
                         "VALUES (?1, ?2, ?3, ?4)",
    [QUEUE_RECORD_GET] = "SELECT 1 FROM queue_record WHERE device = ?1 AND id = ?2 AND event = ?3",
    [QUEUE_RECORD_DROP] = "DELETE FROM queue_record WHERE device = ?1 AND id = ?2 "
                          "RETURNING length(data)",
    [QUEUE_RECORDS_DROP] = "DELETE FROM queue_record WHERE device = ?1",
    [QUEUE_EVENT_FIRST] = "SELECT min(id) FROM queue_record WHERE device = ?1 AND event = ?2",
    [QUEUE_EVENT_DROP] = "DELETE FROM queue_record WHERE device = ?1 AND event = ?2 "
                         "RETURNING length(data)",
    [QUEUE_REACH_USER] = "INSERT OR IGNORE INTO queue_reached SELECT id FROM queue_device "
                         "WHERE site = ?1 AND user = ?2 AND dies_ms > ?3",
    [QUEUE_REACH_ROOM] = "INSERT OR IGNORE INTO queue_reached SELECT d.id FROM queue_member m "
                         "JOIN queue_device d ON d.site = m.site AND d.user = m.user "
                         "WHERE m.site = ?1 AND m.room = ?2 AND d.dies_ms > ?3",
    [QUEUE_REACHED] = "SELECT d.id, d.user, d.name, d.messages, d.bytes FROM queue_reached r "
                      "JOIN queue_device d ON d.id = r.device",
    [QUEUE_REACHED_DROP] = "DELETE FROM queue_reached",
    [QUEUE_SWEEP] = "DELETE FROM queue_device WHERE dies_ms <= ?1",
    [QUEUE_SWEEP_MEMBERS] = "DELETE FROM queue_member WHERE NOT EXISTS (SELECT 1 FROM queue_device d "
                            "WHERE d.site = queue_member.site AND d.user = queue_member.user)",
};

/* ---- queries ---- */

static int64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static sqlite3_stmt *query(struct queue_tables *t, enum queue_query which) {
    sqlite3_reset(t->queries[which]);
    return t->queries[which];
}

/* Empty texts are texts, and not NULL. */
static void bind_text(sqlite3_stmt *q, int at, struct slice text) {
    sqlite3_bind_text(q, at, text.n ? text.p : "", (int)text.n, SQLITE_STATIC);
}

/* Parameters 1 and 2: the site and one of its names. */
static sqlite3_stmt *query_for(struct queue_tables *t, enum queue_query which,
                               const struct site *site, struct slice name) {
    sqlite3_stmt *q = query(t, which);
    bind_text(q, 1, slice_of(site->name));
    bind_text(q, 2, name);
    return q;
}

/* Parameter 1: a device. */
static sqlite3_stmt *query_of(struct queue_tables *t, enum queue_query which, int64_t device) {
    sqlite3_stmt *q = query(t, which);
    sqlite3_bind_int64(q, 1, device);
    return q;
}

/* Whether it has a row. */
static bool step(struct queue_tables *t, sqlite3_stmt *q) {
    int status = sqlite3_step(q);
    if (status != SQLITE_ROW && status != SQLITE_DONE) t->failed = true;
    return status == SQLITE_ROW;
}

/* Runs one that gives nothing; how many rows it changed. */
static int run(struct queue_tables *t, sqlite3_stmt *q) {
    step(t, q);
    sqlite3_reset(q);
    return sqlite3_changes(t->db);
}

static struct slice column(sqlite3_stmt *q, int at) {
    const void *bytes = sqlite3_column_blob(q, at);
    return slice_make(bytes ? bytes : "", (size_t)sqlite3_column_bytes(q, at));
}

static int status_of(const struct queue_tables *t) { return t->failed ? -ENOSPC : 0; }

/* ---- devices ---- */

static int64_t later(int64_t ms, uint64_t more) {
    return more >= (uint64_t)(NEVER - ms) ? NEVER : ms + (int64_t)more;
}

/* 0: there is none that lives. */
static int64_t device_find(struct queue_tables *t, const struct site *site, const struct device *d,
                           bool *resync) {
    sqlite3_stmt *q = query_for(t, QUEUE_DEVICE_GET, site, d->user);
    bind_text(q, 3, d->name);
    sqlite3_bind_int64(q, 4, wall_ms());
    int64_t id = step(t, q) ? sqlite3_column_int64(q, 0) : 0;
    if (resync) *resync = id && sqlite3_column_int(q, 1);
    sqlite3_reset(q);
    return id;
}

/* It is here for lease_ms more, or has left (0). */
static void device_set(struct queue_tables *t, int64_t id, uint64_t lease_ms,
                       const struct queue_bounds *b) {
    int64_t left_ms = later(wall_ms(), lease_ms);
    sqlite3_stmt *q = query_of(t, QUEUE_DEVICE_SET, id);
    sqlite3_bind_int64(q, 2, left_ms);
    sqlite3_bind_int64(q, 3, later(left_ms, b->ttl_ms));
    run(t, q);
}

/* Whether a user has as many as may be. */
static bool is_crowded(struct queue_tables *t, const struct site *site, struct slice user,
                       const struct queue_bounds *b) {
    sqlite3_stmt *q = query_for(t, QUEUE_DEVICE_COUNT, site, user);
    sqlite3_bind_int64(q, 3, wall_ms());
    bool crowded = step(t, q) && (uint64_t)sqlite3_column_int64(q, 0) >= b->devices;
    sqlite3_reset(q);
    return crowded;
}

/* The one that has been away for longest goes. */
static void device_evict(struct queue_tables *t, const struct site *site, struct slice user) {
    sqlite3_stmt *q = query_for(t, QUEUE_DEVICE_EVICT, site, user);
    sqlite3_bind_int64(q, 3, wall_ms());
    run(t, q);
}

/* Makes one that is here. */
static int64_t device_add(struct queue_tables *t, const struct site *site, const struct device *d,
                          const struct queue_bounds *b) {
    int64_t left_ms = later(wall_ms(), b->lease_ms);
    sqlite3_stmt *q = query_for(t, QUEUE_DEVICE_ADD, site, d->user);
    bind_text(q, 3, d->name);
    sqlite3_bind_int64(q, 4, left_ms);
    sqlite3_bind_int64(q, 5, later(left_ms, b->ttl_ms));
    run(t, q);
    return sqlite3_last_insert_rowid(t->db);
}

/* ---- rooms ---- */

static struct slice lower(struct text *room, struct slice name) {
    text_clear(room);
    for (size_t i = 0; i < name.n; i++)
        text_char(room, name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i]);
    return text_slice(room);
}

static void set_members(struct queue_tables *t, const struct site *site, struct slice user,
                        struct slice rooms) {
    struct text plain = {0}, small = {0};
    struct json_value item;
    run(t, query_for(t, QUEUE_MEMBERS_DROP, site, user));
    while (json_next(&rooms, &item)) {
        if (item.type != JSON_STRING) continue;
        sqlite3_stmt *q = query_for(t, QUEUE_MEMBER_ADD, site, user);
        bind_text(q, 3, lower(&small, json_string(item.raw, &plain)));
        run(t, q);
    }
    text_fini(&plain);
    text_fini(&small);
}

static bool is_user(const struct queue_bounds *b, struct slice room) {
    if (b->public_channel.n && slice_eq(room, b->public_channel)) return true;
    return b->user_prefix.n && slice_starts(room, b->user_prefix);
}

/* Notes the devices that a room reaches. */
static void reach(struct queue_tables *t, const struct site *site, const struct queue_bounds *b,
                  struct slice room) {
    struct text small = {0};
    bool user = is_user(b, room);
    sqlite3_stmt *q = query_for(t, user ? QUEUE_REACH_USER : QUEUE_REACH_ROOM, site,
                                user ? room : lower(&small, room));
    sqlite3_bind_int64(q, 3, wall_ms());
    run(t, q);
    text_fini(&small);
}

/* ---- records ---- */

static struct buf *read_records(struct queue_tables *t, int64_t device, bool resync,
                                uint64_t after, uint64_t limit, uint64_t bytes) {
    struct text out = {0};
    uint64_t size = 0;
    sqlite3_stmt *q = query_of(t, QUEUE_RECORDS, device);
    sqlite3_bind_int64(q, 2, (int64_t)after);
    sqlite3_bind_int64(q, 3, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    text_str(&out, resync ? "[\"resync\"" : "[");
    while (device && size < bytes && step(t, q)) {
        text_format(&out, "%s{\"id\":\"%lld\",\"data\":", out.n > 1 ? "," : "",
                    (long long)sqlite3_column_int64(q, 0));
        text_add(&out, column(q, 1));
        text_char(&out, '}');
        size += column(q, 1).n;
    }
    sqlite3_reset(q);
    text_char(&out, ']');
    return text_take(&out);
}

/* So many messages and bytes more, or fewer. */
static void fill(struct queue_tables *t, int64_t device, int64_t messages, int64_t bytes) {
    sqlite3_stmt *q = query_of(t, QUEUE_DEVICE_FILL, device);
    sqlite3_bind_int64(q, 2, messages);
    sqlite3_bind_int64(q, 3, bytes);
    run(t, q);
}

/* Drops what q says. */
static void drop(struct queue_tables *t, int64_t device, sqlite3_stmt *q) {
    int64_t messages = 0, bytes = 0;
    while (step(t, q)) {
        messages++;
        bytes += sqlite3_column_int64(q, 0);
    }
    sqlite3_reset(q);
    if (messages) fill(t, device, -messages, -bytes);
}

static void drop_record(struct queue_tables *t, int64_t device, uint64_t id) {
    sqlite3_stmt *q = query_of(t, QUEUE_RECORD_DROP, device);
    sqlite3_bind_int64(q, 2, (int64_t)id);
    drop(t, device, q);
}

static void drop_event(struct queue_tables *t, int64_t device, struct slice event) {
    sqlite3_stmt *q = query_of(t, QUEUE_EVENT_DROP, device);
    bind_text(q, 2, event);
    drop(t, device, q);
}

static void mark(struct queue_tables *t, int64_t device, bool resync) {
    sqlite3_stmt *q = query_of(t, QUEUE_DEVICE_MARK, device);
    sqlite3_bind_int(q, 2, resync);
    run(t, q);
}

/* Keeps m for a device; false: its queue was full, and is empty now, but for the mark. */
static bool keep(struct queue_tables *t, int64_t device, uint64_t messages, uint64_t bytes,
                 const struct queue_message *m, const struct queue_bounds *b) {
    if (messages + 1 > b->messages || bytes + m->data.n > b->bytes) {
        run(t, query_of(t, QUEUE_RECORDS_DROP, device));
        fill(t, device, -(int64_t)messages, -(int64_t)bytes);
        mark(t, device, true);
        return false;
    }
    sqlite3_stmt *q = query_of(t, QUEUE_RECORD_ADD, device);
    sqlite3_bind_int64(q, 2, (int64_t)m->id);
    bind_text(q, 3, m->event);
    sqlite3_bind_blob(q, 4, m->data.p, (int)m->data.n, SQLITE_STATIC);
    run(t, q);
    fill(t, device, 1, (int64_t)m->data.n);
    return true;
}

/* ---- what is asked ---- */

int queue_enter(struct queue_tables *t, struct site *site, const struct device *d,
                struct slice rooms, const struct queue_bounds *b, uint64_t limit, uint64_t bytes,
                struct buf **data) {
    bool resync;
    int64_t id = device_find(t, site, d, &resync);
    bool crowded = !id && is_crowded(t, site, d->user, b);
    set_members(t, site, d->user, rooms);
    if (crowded) device_evict(t, site, d->user);
    if (id) device_set(t, id, b->lease_ms, b);
    else id = device_add(t, site, d, b);
    *data = read_records(t, id, resync, 0, limit, bytes);
    return t->failed ? -ENOSPC : crowded;
}

int queue_read(struct queue_tables *t, struct site *site, const struct device *d, uint64_t after,
               uint64_t limit, uint64_t bytes, struct buf **data) {
    bool resync;
    int64_t id = device_find(t, site, d, &resync);
    *data = read_records(t, id, resync, after, limit, bytes);
    return status_of(t);
}

int queue_touch(struct queue_tables *t, struct site *site, const struct device *d, size_t n,
                const struct queue_bounds *b) {
    for (size_t i = 0; i < n; i++) {
        int64_t id = device_find(t, site, &d[i], NULL);
        if (id) device_set(t, id, b->lease_ms, b);
        else if (!is_crowded(t, site, d[i].user, b)) device_add(t, site, &d[i], b);
    }
    return status_of(t);
}

int queue_leave(struct queue_tables *t, struct site *site, const struct device *d,
                const struct queue_bounds *b) {
    int64_t id = device_find(t, site, d, NULL);
    if (id) device_set(t, id, 0, b);
    return status_of(t);
}

int queue_push(struct queue_tables *t, struct site *site, const struct queue_message *m,
               const struct queue_bounds *b, struct buf **data) {
    struct text out = {0}, room = {0};
    struct slice rooms = m->rooms;
    struct json_value item;
    while (json_next(&rooms, &item))
        if (item.type == JSON_STRING) reach(t, site, b, json_string(item.raw, &room));
    text_fini(&room);
    text_char(&out, '[');
    sqlite3_stmt *q = query(t, QUEUE_REACHED);
    while (step(t, q)) {
        text_str(&out, out.n > 1 ? ",{\"user\":" : "{\"user\":");
        json_quote(&out, column(q, 1));
        text_str(&out, ",\"device\":");
        json_quote(&out, column(q, 2));
        bool kept = keep(t, sqlite3_column_int64(q, 0), (uint64_t)sqlite3_column_int64(q, 3),
                         (uint64_t)sqlite3_column_int64(q, 4), m, b);
        text_str(&out, kept ? "}" : ",\"overflow\":true}");
    }
    sqlite3_reset(q);
    text_char(&out, ']');
    run(t, query(t, QUEUE_REACHED_DROP));
    *data = text_take(&out);
    return status_of(t);
}

static bool has_record(struct queue_tables *t, int64_t device, struct slice event, uint64_t id) {
    sqlite3_stmt *q = query_of(t, QUEUE_RECORD_GET, device);
    sqlite3_bind_int64(q, 2, (int64_t)id);
    bind_text(q, 3, event);
    bool has = step(t, q);
    sqlite3_reset(q);
    return has;
}

static uint64_t first_of(struct queue_tables *t, int64_t device, struct slice event) {
    sqlite3_stmt *q = query_of(t, QUEUE_EVENT_FIRST, device);
    bind_text(q, 2, event);
    uint64_t id = step(t, q) ? (uint64_t)sqlite3_column_int64(q, 0) : 0;
    sqlite3_reset(q);
    return id;
}

int queue_ack(struct queue_tables *t, struct site *site, const struct device *d,
              struct slice event, uint64_t id, bool in_order) {
    int64_t device = device_find(t, site, d, NULL);
    int status = device || !in_order ? -ENOENT : 1; /* of what is gone */
    if (device && has_record(t, device, event, id)) {
        status = in_order && first_of(t, device, event) != id;
        if (status) drop_event(t, device, event);
        else drop_record(t, device, id);
    }
    return t->failed ? -ENOSPC : status;
}

int queue_ack_batch(struct queue_tables *t, struct site *site, const struct device *d,
                    struct slice ids, bool resync) {
    int64_t device = device_find(t, site, d, NULL);
    struct json_value item;
    uint64_t id;
    while (device && json_next(&ids, &item))
        if (item.type == JSON_STRING &&
            slice_u64(slice_make(item.raw.p + 1, item.raw.n - 2), &id))
            drop_record(t, device, id);
    if (device && resync) mark(t, device, false);
    return status_of(t);
}

void queue_sweep(struct queue_tables *t) {
    sqlite3_stmt *q = query(t, QUEUE_SWEEP);
    sqlite3_bind_int64(q, 1, wall_ms());
    if (run(t, q)) run(t, query(t, QUEUE_SWEEP_MEMBERS));
}

/* ---- life ---- */

bool queue_tables_open(struct queue_tables *t, sqlite3 *db) {
    *t = (struct queue_tables){.db = db};
    if (sqlite3_exec(db, tables, NULL, NULL, NULL)) return false;
    for (int i = 0; i < QUEUE_QUERIES; i++)
        if (sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &t->queries[i], NULL))
            return false;
    return true;
}

void queue_tables_close(struct queue_tables *t) {
    for (int i = 0; i < QUEUE_QUERIES; i++) sqlite3_finalize(t->queries[i]);
    *t = (struct queue_tables){0};
}
