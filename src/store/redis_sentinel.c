/* SPDX-License-Identifier: MIT */
#include "store/redis_sentinel.h"

#include "net/dial.h"
#include "store/redis_reader.h"

#include <hiredis/hiredis.h>

struct sentinel {
    struct net *net;
    const struct redis_url *url;
    size_t next; /* which of url->sentinels is asked next */
    struct dial *dial;
    struct conn *conn;
    redisReader *reader;
    struct timer timer; /* for one of them, or until done when there is none left */
    const char *reason; /* of the last that did not tell */
    void (*done)(void *arg, const char *host, unsigned port, const char *reason);
    void *arg;
};

static void ask_next(struct sentinel *s);

static void ignore_closed(struct conn *c, const char *reason) {
    (void)c;
    (void)reason;
}

static const struct conn_ops ended_ops = {.closed = ignore_closed};

/* Lets go of the one that was asked. */
static void leave(struct sentinel *s) {
    timer_stop(s->net->loop, &s->timer);
    if (s->dial) dial_cancel(s->dial);
    if (s->conn) {
        conn_hand_over(s->conn, &ended_ops, NULL);
        conn_close(s->conn, "asked");
    }
    redis_reader_free(s->reader);
    s->dial = NULL;
    s->conn = NULL;
    s->reader = NULL;
}

void sentinel_cancel(struct sentinel *s) {
    leave(s);
    mem_free(s);
}

static void try_next(struct sentinel *s, const char *reason) {
    leave(s);
    s->reason = reason;
    ask_next(s);
}

/* ["10.0.0.1", "6379"], or nil. */
static bool read_address(const redisReply *reply, uint64_t *port) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) return false;
    const redisReply *host = reply->element[0], *number = reply->element[1];
    if (host->type != REDIS_REPLY_STRING || number->type != REDIS_REPLY_STRING) return false;
    return slice_u64(slice_make(number->str, number->len), port) && *port <= 65535;
}

static void take(struct sentinel *s, redisReply *reply) {
    uint64_t port = 0;
    if (!read_address(reply, &port)) {
        freeReplyObject(reply);
        try_next(s, "no sentinel knows the master");
        return;
    }
    leave(s);
    s->done(s->arg, reply->element[0]->str, (unsigned)port, NULL);
    freeReplyObject(reply);
    mem_free(s);
}

static void on_received(struct conn *c, char *data, size_t n) {
    struct sentinel *s = c->user;
    const char *error;
    redis_reader_feed(s->reader, slice_make(data, n));
    redisReply *reply = redis_reader_next(s->reader, &error);
    if (error) try_next(s, error);
    else if (reply) take(s, reply);
}

static void on_closed(struct conn *c, const char *reason) {
    struct sentinel *s = c->user;
    s->conn = NULL;
    try_next(s, reason);
}

static const struct conn_ops conn_ops = {.received = on_received, .closed = on_closed};

static void on_dialed(void *arg, struct conn *c, const char *reason) {
    struct sentinel *s = arg;
    s->dial = NULL;
    if (!c) {
        try_next(s, reason);
        return;
    }
    s->conn = c;
    s->reader = redis_reader_new();
    conn_hand_over(c, &conn_ops, s);
    redis_transmit(c,
                   (struct slice[]){SLICE("SENTINEL"), SLICE("get-master-addr-by-name"),
                                    slice_of(s->url->master)},
                   3);
}

static void on_timer(struct timer *t) {
    struct sentinel *s = container_of(t, struct sentinel, timer);
    if (s->dial || s->conn) {
        try_next(s, "timeout");
        return;
    }
    s->done(s->arg, NULL, 0, s->reason);
    mem_free(s);
}

static void ask_next(struct sentinel *s) {
    uint64_t patience = s->net->limits->redis_connect_timeout;
    if (s->next == s->url->sentinel_count) {
        timer_start(s->net->loop, &s->timer, 1); /* done never comes inside sentinel_ask */
        return;
    }
    const struct redis_sentinel_url *at = &s->url->sentinels[s->next++];
    struct dial_target target = {.host = at->host, .port = at->port};
    timer_start(s->net->loop, &s->timer, patience);
    s->dial = dial_open(s->net, &target, patience, on_dialed, s);
}

struct sentinel *sentinel_ask(struct net *net, const struct redis_url *url,
                              void (*done)(void *arg, const char *host, unsigned port,
                                           const char *reason),
                              void *arg) {
    struct sentinel *s = mem_new(sizeof *s);
    s->net = net;
    s->url = url;
    s->timer.fired = on_timer;
    s->done = done;
    s->arg = arg;
    ask_next(s);
    return s;
}
