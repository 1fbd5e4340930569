/* SPDX-License-Identifier: MIT */
#include "store/redis_conn.h"

#include "net/dial.h"

#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

/* Redis may announce more of anything than there is memory for. */
#define ELEMENTS_MAX 1048576
#define INPUT_MAX 67108864

#define WORDS_MAX 1024 /* of one command */

struct command {
    struct list link;
    uint64_t due_ms;
    size_t bytes;
    redis_done *done;
    void *arg;
};

static void set_state(struct redis_conn *r, enum redis_state to) { r->state = (uint8_t)to; }

static uint64_t now_ms(const struct redis_conn *r) { return loop_now_ms(r->net->loop); }

/* ---- the reader ---- */

static void *refuse_large_array(const redisReadTask *task, int elements) {
    void *(*create)(const redisReadTask *, int) = *(void *(**)(const redisReadTask *, int))task->privdata;
    return elements > ELEMENTS_MAX ? NULL : create(task, elements);
}

/* The functions of hiredis's own replies, but for arrays. */
struct reader {
    void *(*create_array)(const redisReadTask *, int);
    redisReplyObjectFunctions functions;
};

static redisReader *reader_new(void) {
    redisReader *reader = redisReaderCreate();
    if (!reader) abort();
    struct reader *own = mem_new(sizeof *own);
    own->functions = *reader->fn;
    own->create_array = reader->fn->createArray;
    own->functions.createArray = refuse_large_array;
    reader->fn = &own->functions;
    reader->privdata = own;
    return reader;
}

static void reader_free(redisReader *reader) {
    if (!reader) return;
    struct reader *own = reader->privdata;
    redisReaderFree(reader);
    mem_free(own);
}

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

/* Formats and sends; returns the bytes. */
static size_t transmit(struct redis_conn *r, const struct slice *words, size_t n) {
    const char *texts[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    assert(n <= WORDS_MAX);
    for (size_t i = 0; i < n; i++) {
        texts[i] = words[i].p ? words[i].p : "";
        lengths[i] = words[i].n;
    }
    char *bytes;
    int size = redisFormatCommandArgv(&bytes, (int)n, texts, lengths);
    if (size < 0) abort();
    conn_send_copy(r->conn, slice_make(bytes, (size_t)size));
    free(bytes);
    return (size_t)size;
}

static void command_add(struct redis_conn *r, const struct slice *words, size_t n, redis_done *done,
                        void *arg) {
    struct command *c = mem_new(sizeof *c);
    c->done = done;
    c->arg = arg;
    c->due_ms = now_ms(r) + r->net->limits->store_timeout;
    c->bytes = transmit(r, words, n);
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
        transmit(r, words, n);
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
    if (r->dial) dial_cancel(r->dial);
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
    redisReader *reader = r->reader;
    void *reply = NULL;
    redisReaderFeed(reader, data, n);
    while (r->conn == c && redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
        take_reply(r, reply);
        freeReplyObject(reply);
    }
    if (r->conn != c) return;
    if (reader->err) lose(r, "not the protocol of Redis");
    else if (reader->len > INPUT_MAX) lose(r, "an answer that is too large");
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

static void greet(struct redis_conn *r, const struct slice *words, size_t n) {
    r->greetings++;
    command_add(r, words, n, on_greeted, r);
}

static void greet_all(struct redis_conn *r) {
    const struct redis_url *u = r->url;
    char db[16];
    snprintf(db, sizeof db, "%u", u->db);
    r->greetings = 0;
    if (u->password && u->user)
        greet(r, (struct slice[]){SLICE("AUTH"), slice_of(u->user), slice_of(u->password)}, 3);
    else if (u->password) greet(r, (struct slice[]){SLICE("AUTH"), slice_of(u->password)}, 2);
    if (u->db) greet(r, (struct slice[]){SLICE("SELECT"), slice_of(db)}, 2);
    greet(r, (struct slice[]){SLICE("CLIENT"), SLICE("SETNAME"), slice_of(r->name)}, 3);
    greet(r, (struct slice[]){SLICE("PING")}, 1);
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
    reader_free(r->reader);
    r->reader = reader_new();
    set_state(r, REDIS_GREETING);
    greet_all(r);
}

static void dial(struct redis_conn *r) {
    const struct redis_url *u = r->url;
    struct dial_target target = {.host = u->host, .port = u->port, .path = u->path};
    set_state(r, REDIS_DIALING);
    r->dial = dial_open(r->net, &target, r->net->limits->redis_connect_timeout, on_dialed, r);
}

static void on_timer(struct timer *t) {
    struct redis_conn *r = container_of(t, struct redis_conn, timer);
    if (r->state == REDIS_DOWN) dial(r);
    else if (list_empty(&r->pending)) return;
    else if (container_of(r->pending.next, struct command, link)->due_ms <= now_ms(r))
        lose(r, "timeout");
    else watch_oldest(r);
}

/* ---- life ---- */

void redis_conn_open(struct redis_conn *r, struct net *net, const struct redis_url *url,
                     const char *name, const struct redis_conn_ops *ops) {
    *r = (struct redis_conn){.ops = ops, .net = net, .url = url, .name = name};
    list_init(&r->pending);
    r->timer.fired = on_timer;
    dial(r);
}

void redis_conn_close(struct redis_conn *r) {
    set_state(r, REDIS_CLOSED);
    drop(r);
    answer_all(r);
    reader_free(r->reader);
    r->reader = NULL;
}
