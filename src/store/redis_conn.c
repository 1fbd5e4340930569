/* SPDX-License-Identifier: MIT */
#include "store/redis_conn.h"

#include "net/dial.h"
#include "store/redis_reader.h"
#include "store/redis_sentinel.h"

#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>

struct command {
    struct list link;
    uint64_t due_ms;
    size_t bytes;
    redis_done *done;
    void *arg;
};

static void set_state(struct redis_conn *r, enum redis_state to) { r->state = (uint8_t)to; }

static uint64_t now_ms(const struct redis_conn *r) { return loop_now_ms(r->net->loop); }

/* ---- commands ---- */

static void answer(struct redis_conn *r, struct command *c, int status, const redisReply *reply) {
    list_remove(&c->link);
    r->pending_count--;
    r->pending_bytes -= c->bytes;
    if (c->done) c->done(c->arg, status, reply);
    mem_free(c);
}

static void answer_all(struct redis_conn *r) {
    while (!list_empty(&r->pending))
        answer(r, container_of(r->pending.next, struct command, link), -ENOTCONN, NULL);
}

static void watch_oldest(struct redis_conn *r) {
    if (list_empty(&r->pending)) {
        timer_stop(r->net->loop, &r->timer);
        return;
    }
    uint64_t due = container_of(r->pending.next, struct command, link)->due_ms;
    uint64_t now = now_ms(r);
    timer_start(r->net->loop, &r->timer, due > now ? due - now : 1);
}

static void command_add(struct redis_conn *r, const struct slice *words, size_t n, redis_done *done,
                        void *arg) {
    struct command *c = mem_new(sizeof *c);
    c->done = done;
    c->arg = arg;
    c->due_ms = now_ms(r) + r->net->limits->store_timeout;
    c->bytes = redis_transmit(r->conn, words, n);
    list_push(&r->pending, &c->link);
    r->pending_count++;
    r->pending_bytes += c->bytes;
    if (!timer_active(&r->timer)) watch_oldest(r);
}

int redis_conn_send(struct redis_conn *r, const struct slice *words, size_t n, redis_done *done,
                    void *arg) {
    const struct limits *limits = r->net->limits;
    if (r->state != REDIS_UP) return -ENOTCONN;
    if (r->ops->push) {
        assert(!done);
        redis_transmit(r->conn, words, n);
        return 0;
    }
    bool full = r->pending_count >= limits->redis_pending;
    if (full || r->pending_bytes >= limits->redis_pending_bytes) {
        metrics_limit(r->net->metrics, full ? "redis_pending" : "redis_pending_bytes", NULL);
        return -ENOBUFS;
    }
    command_add(r, words, n, done, arg);
    return 0;
}

/* ---- losing it, and trying again ---- */

static void ignore_closed(struct conn *c, const char *reason) {
    (void)c;
    (void)reason;
}

static const struct conn_ops ended_ops = {.closed = ignore_closed};

static void drop(struct redis_conn *r) {
    timer_stop(r->net->loop, &r->timer);
    if (r->sentinel) sentinel_cancel(r->sentinel);
    if (r->dial) dial_cancel(r->dial);
    r->sentinel = NULL;
    r->dial = NULL;
    if (r->conn) {
        conn_hand_over(r->conn, &ended_ops, NULL);
        conn_close(r->conn, "given up");
    }
    r->conn = NULL;
}

static void try_later(struct redis_conn *r) {
    uint64_t most = r->net->limits->redis_backoff, wait = most / 20 + 1;
    for (unsigned i = 0; i < r->tries && wait < most; i++) wait *= 2;
    if (wait > most) wait = most;
    r->tries++;
    wait = wait / 2 + random_below(r->net->random, wait / 2 + 1);
    timer_start(r->net->loop, &r->timer, wait);
}

/* Once for each time that it goes away, not for each try. */
static void complain(struct redis_conn *r, const char *reason) {
    metrics_count(r->net->metrics, "redis_connection_failures_total", "connection", r->name, NULL);
    if (r->complained) return;
    r->complained = true;
    LOG(r->net->log, LOG_WARN, "redis is away", log_c("connection", r->name),
        log_c("reason", reason));
}

static void lose(struct redis_conn *r, const char *reason) {
    if (r->state == REDIS_DOWN || r->state == REDIS_CLOSED) return;
    bool was_up = r->state == REDIS_UP;
    complain(r, reason);
    drop(r);
    set_state(r, REDIS_DOWN);
    answer_all(r);
    if (was_up && r->state == REDIS_DOWN) r->ops->down(r);
    if (r->state == REDIS_DOWN) try_later(r);
}

void redis_conn_reset(struct redis_conn *r, const char *reason) { lose(r, reason); }

/* ---- answers ---- */

static void come_up(struct redis_conn *r) {
    set_state(r, REDIS_UP);
    LOG(r->net->log, LOG_INFO, "redis is there", log_c("connection", r->name));
    r->tries = 0;
    r->complained = false;
    r->ops->up(r);
}

/* A master that has become a replica, or one that is not ready yet, is not the one we want. */
static bool is_elsewhere(const redisReply *reply) {
    return reply->type == REDIS_REPLY_ERROR &&
           (!strncmp(reply->str, "READONLY", 8) || !strncmp(reply->str, "LOADING", 7) ||
            !strncmp(reply->str, "MASTERDOWN", 10));
}

static void take_reply(struct redis_conn *r, const redisReply *reply) {
    bool pushed = r->state == REDIS_UP && r->ops->push;
    if (!pushed && list_empty(&r->pending)) {
        lose(r, "an answer that nobody asked for");
        return;
    }
    if (pushed) {
        r->ops->push(r, reply);
        return;
    }
    bool failed = reply->type == REDIS_REPLY_ERROR;
    if (failed && r->state == REDIS_UP)
        LOG(r->net->log, LOG_WARN, "redis refused a command",
            log_s("error", slice_make(reply->str, reply->len)));
    answer(r, container_of(r->pending.next, struct command, link), failed ? -EREMOTEIO : 0, reply);
    if (r->state == REDIS_UP && is_elsewhere(reply)) lose(r, "not the master");
}

static void on_received(struct conn *c, char *data, size_t n) {
    struct redis_conn *r = c->user;
    const char *error = NULL;
    redis_reader_feed(r->reader, slice_make(data, n));
    while (r->conn == c) {
        redisReply *reply = redis_reader_next(r->reader, &error);
        if (!reply) break;
        take_reply(r, reply);
        freeReplyObject(reply);
    }
    if (r->conn != c) return;
    if (error) lose(r, error);
    else watch_oldest(r);
}

static void on_closed(struct conn *c, const char *reason) {
    struct redis_conn *r = c->user;
    r->conn = NULL;
    lose(r, reason);
}

static const struct conn_ops conn_ops = {.received = on_received, .closed = on_closed};

/* ---- greeting ---- */

static void on_greeted(void *arg, int status, const redisReply *reply) {
    struct redis_conn *r = arg;
    if (r->state != REDIS_GREETING) return;
    if (status) {
        if (!r->complained)
            LOG(r->net->log, LOG_WARN, "redis refuses us", log_c("connection", r->name),
                log_s("error", slice_make(reply->str, reply->len)));
        lose(r, "refused");
    } else if (--r->greetings == 0) {
        come_up(r);
    }
}

/* What the sentinels said may be old. */
static void on_role(void *arg, int status, const redisReply *reply) {
    struct redis_conn *r = arg;
    bool master = !status && reply->type == REDIS_REPLY_ARRAY && reply->elements &&
                  reply->element[0]->type == REDIS_REPLY_STRING &&
                  !strcmp(reply->element[0]->str, "master");
    if (master || status) on_greeted(arg, status, reply);
    else if (r->state == REDIS_GREETING) lose(r, "not the master");
}

static void greet(struct redis_conn *r, const struct slice *words, size_t n, redis_done *done) {
    r->greetings++;
    command_add(r, words, n, done, r);
}

static void greet_all(struct redis_conn *r) {
    const struct redis_url *u = r->url;
    char db[16];
    snprintf(db, sizeof db, "%u", u->db);
    r->greetings = 0;
    if (u->password && u->user)
        greet(r, (struct slice[]){SLICE("AUTH"), slice_of(u->user), slice_of(u->password)}, 3,
              on_greeted);
    else if (u->password)
        greet(r, (struct slice[]){SLICE("AUTH"), slice_of(u->password)}, 2, on_greeted);
    if (u->db) greet(r, (struct slice[]){SLICE("SELECT"), slice_of(db)}, 2, on_greeted);
    if (u->master) greet(r, (struct slice[]){SLICE("ROLE")}, 1, on_role);
    greet(r, (struct slice[]){SLICE("CLIENT"), SLICE("SETNAME"), slice_of(r->name)}, 3, on_greeted);
    greet(r, (struct slice[]){SLICE("PING")}, 1, on_greeted);
}

static void on_dialed(void *arg, struct conn *c, const char *reason) {
    struct redis_conn *r = arg;
    r->dial = NULL;
    if (!c) {
        lose(r, reason);
        return;
    }
    r->conn = c;
    conn_hand_over(c, &conn_ops, r);
    redis_reader_free(r->reader);
    r->reader = redis_reader_new();
    set_state(r, REDIS_GREETING);
    greet_all(r);
}

static void dial(struct redis_conn *r, const char *host, unsigned port) {
    struct dial_target target = {
        .host = host, .port = port, .path = r->url->path, .tls = r->url->tls ? r->tls : NULL};
    r->dial = dial_open(r->net, &target, r->net->limits->redis_connect_timeout, on_dialed, r);
}

static void on_master(void *arg, const char *host, unsigned port, const char *reason) {
    struct redis_conn *r = arg;
    r->sentinel = NULL;
    if (host) dial(r, host, port);
    else lose(r, reason);
}

static void connect_anew(struct redis_conn *r) {
    set_state(r, REDIS_DIALING);
    if (r->url->master) r->sentinel = sentinel_ask(r->net, r->url, on_master, r);
    else dial(r, r->url->host, r->url->port);
}

static void on_timer(struct timer *t) {
    struct redis_conn *r = container_of(t, struct redis_conn, timer);
    if (r->state == REDIS_DOWN) connect_anew(r);
    else if (list_empty(&r->pending)) return;
    else if (container_of(r->pending.next, struct command, link)->due_ms <= now_ms(r))
        lose(r, "timeout");
    else watch_oldest(r);
}

/* ---- life ---- */

void redis_conn_open(struct redis_conn *r, struct net *net, const struct redis_url *url,
                     struct tls_context *tls, const char *name, const struct redis_conn_ops *ops) {
    *r = (struct redis_conn){.ops = ops, .net = net, .url = url, .tls = tls, .name = name};
    list_init(&r->pending);
    r->timer.fired = on_timer;
    connect_anew(r);
}

void redis_conn_close(struct redis_conn *r) {
    set_state(r, REDIS_CLOSED);
    drop(r);
    answer_all(r);
    redis_reader_free(r->reader);
    r->reader = NULL;
}
