/* SPDX-License-Identifier: MIT */
#include "store/redis_queue.h"

#include "base/digest.h"
#include "base/json.h"
#include "store/redis_inner.h"
#include "store/redis_layout.h"

#include <errno.h>
#include <hiredis/hiredis.h>

#define GONE 2 /* the script's: there was no such record */

void redis_queue_load(struct redis_conn *r) {
    struct slice words[] = {SLICE("SCRIPT"), SLICE("LOAD"), slice_of(redis_queue_script)};
    redis_conn_send(r, words, 3, NULL, NULL);
}

/* ---- a call's words ---- */

/* Words as they are put together: their bytes stand one behind the other, and ends where. */
struct words {
    struct text bytes;
    size_t *ends;
    size_t count;
};

static void add(struct words *w, struct slice word) {
    text_add(&w->bytes, word);
    w->ends = mem_grow(w->ends, (w->count + 1) * sizeof *w->ends);
    w->ends[w->count++] = w->bytes.n;
}

static void add_number(struct words *w, uint64_t n) {
    struct text t = {0};
    text_u64(&t, n);
    add(w, text_slice(&t));
    text_fini(&t);
}

/* Milliseconds, or -1 for ever. */
static void add_time(struct words *w, uint64_t ms) {
    if (ms == LIMIT_OFF) add(w, SLICE("-1"));
    else add_number(w, ms);
}

static void add_device(struct words *w, const struct device *d) {
    add(w, d->user);
    add(w, d->name);
}

static void add_hash(struct words *w) {
    unsigned char digest[20];
    struct text hash = {0};
    digest_sha1(slice_of(redis_queue_script), digest);
    hex_encode(&hash, slice_make(digest, sizeof digest));
    add(w, text_slice(&hash));
    text_fini(&hash);
}

static void begin(struct words *w, const struct site *site, const char *op) {
    struct text own = {0}, lists = {0};
    *w = (struct words){.count = 0};
    redis_name(&own, site, REDIS_QUEUE, (struct slice){NULL, 0});
    text_format(&lists, "/%s:socket.io:", site->name);
    add(w, SLICE("EVALSHA"));
    add_hash(w);
    add(w, SLICE("0"));
    add(w, slice_of(op));
    add(w, text_slice(&own));
    add(w, text_slice(&lists));
    text_fini(&own);
    text_fini(&lists);
}

/* ---- answers ---- */

static int status_of(const redisReply *reply) {
    if (reply->type != REDIS_REPLY_ARRAY || !reply->elements) return -ENOTCONN;
    const redisReply *first = reply->element[0];
    if (first->type != REDIS_REPLY_INTEGER) return -ENOTCONN;
    return first->integer == GONE ? -ENOENT : (int)first->integer;
}

/* Somebody threw the scripts away: the next call finds it again. */
static void look_for_script(struct redis_conn *r, const redisReply *reply) {
    bool gone = reply && reply->type == REDIS_REPLY_ERROR && !strncmp(reply->str, "NOSCRIPT", 8);
    if (gone && r->state == REDIS_UP) redis_queue_load(r);
}

static void on_reply(void *arg, int status, const redisReply *reply) {
    struct redis_call *c = arg;
    struct buf *data = NULL;
    look_for_script(&c->redis->commands, reply);
    if (status) status = redis_failure(status);
    else status = status_of(reply);
    if (status >= 0 && reply->elements > 1 && reply->element[1]->type == REDIS_REPLY_STRING)
        data = redis_said(slice_make(reply->element[1]->str, reply->element[1]->len));
    redis_call_end(c, status, data);
    buf_unref(data);
}

/* Sends them, and frees them. */
static void send(struct store *st, struct site *site, struct words *w, store_done *done,
                 void *arg) {
    struct redis *r = redis_of(st);
    struct redis_call *c = redis_call_new(r, site, done, arg);
    struct slice *list = mem_new(w->count * sizeof *list);
    struct slice bytes = text_slice(&w->bytes);
    for (size_t i = 0, from = 0; i < w->count; from = w->ends[i++])
        list[i] = slice_make(bytes.p + from, w->ends[i] - from);
    int status = redis_conn_send(&r->commands, list, w->count, on_reply, c);
    if (status) redis_refuse(c, status);
    mem_free(list);
    mem_free(w->ends);
    text_fini(&w->bytes);
}

/* ---- what is asked ---- */

/* Plain, in *plain; in lower case, in *small. */
static struct slice lower(struct slice raw, struct text *plain, struct text *small) {
    struct slice name = json_string(raw, plain);
    text_clear(small);
    for (size_t i = 0; i < name.n; i++)
        text_char(small,
                  name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i]);
    return text_slice(small);
}

static void enter(struct store *st, struct site *site, const struct device *d, struct slice rooms,
                  const struct queue_bounds *b, uint64_t limit, uint64_t bytes, store_done *done,
                  void *arg) {
    struct words w;
    struct text plain = {0}, small = {0};
    struct json_value room;
    begin(&w, site, "enter");
    add_device(&w, d);
    add_number(&w, b->lease_ms);
    add_time(&w, b->ttl_ms);
    add_number(&w, b->devices);
    add_number(&w, limit);
    add_number(&w, bytes);
    while (json_next(&rooms, &room))
        if (room.type == JSON_STRING) add(&w, lower(room.raw, &plain, &small));
    text_fini(&plain);
    text_fini(&small);
    send(st, site, &w, done, arg);
}

static void read_queue(struct store *st, struct site *site, const struct device *d, uint64_t after,
                       uint64_t limit, uint64_t bytes, store_done *done, void *arg) {
    struct words w;
    begin(&w, site, "read");
    add_device(&w, d);
    add_number(&w, after);
    add_number(&w, limit);
    add_number(&w, bytes);
    send(st, site, &w, done, arg);
}

static void touch(struct store *st, struct site *site, const struct device *d, size_t n,
                  const struct queue_bounds *b, store_done *done, void *arg) {
    struct words w;
    begin(&w, site, "touch");
    add_number(&w, b->lease_ms);
    add_time(&w, b->ttl_ms);
    add_number(&w, b->devices);
    for (size_t i = 0; i < n; i++) add_device(&w, &d[i]);
    send(st, site, &w, done, arg);
}

static void leave(struct store *st, struct site *site, const struct device *d,
                  const struct queue_bounds *b, store_done *done, void *arg) {
    struct words w;
    begin(&w, site, "leave");
    add_device(&w, d);
    add_time(&w, b->ttl_ms);
    send(st, site, &w, done, arg);
}

static bool is_user(const struct queue_bounds *b, struct slice room) {
    if (b->public_channel.n && slice_eq(room, b->public_channel)) return true;
    return b->user_prefix.n && slice_starts(room, b->user_prefix);
}

static void push(struct store *st, struct site *site, const struct queue_message *m,
                 const struct queue_bounds *b, store_done *done, void *arg) {
    struct words w;
    struct text plain = {0}, small = {0};
    struct slice rooms = m->rooms;
    struct json_value room;
    begin(&w, site, "push");
    add_number(&w, m->id);
    add(&w, m->event);
    add(&w, m->data);
    add_number(&w, b->messages);
    add_number(&w, b->bytes);
    while (json_next(&rooms, &room)) {
        if (room.type != JSON_STRING) continue;
        struct slice name = json_string(room.raw, &plain);
        bool user = is_user(b, name);
        add(&w, user ? SLICE("u") : SLICE("r"));
        add(&w, user ? name : lower(room.raw, &plain, &small));
    }
    text_fini(&plain);
    text_fini(&small);
    send(st, site, &w, done, arg);
}

static void ack(struct store *st, struct site *site, const struct device *d, struct slice event,
                uint64_t id, bool in_order, store_done *done, void *arg) {
    struct words w;
    begin(&w, site, "ack");
    add_device(&w, d);
    add(&w, event);
    add_number(&w, id);
    add(&w, in_order ? SLICE("1") : SLICE("0"));
    send(st, site, &w, done, arg);
}

static void ack_batch(struct store *st, struct site *site, const struct device *d,
                      struct slice ids, bool resync, store_done *done, void *arg) {
    struct words w;
    struct json_value id;
    begin(&w, site, "ack_batch");
    add_device(&w, d);
    add(&w, resync ? SLICE("1") : SLICE("0"));
    while (json_next(&ids, &id))
        if (id.type == JSON_STRING) add(&w, slice_make(id.raw.p + 1, id.raw.n - 2));
    send(st, site, &w, done, arg);
}

const struct queue_ops redis_queue_ops = {.enter = enter,
                                          .read = read_queue,
                                          .touch = touch,
                                          .leave = leave,
                                          .push = push,
                                          .ack = ack,
                                          .ack_batch = ack_batch};
