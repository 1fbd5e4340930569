/* SPDX-License-Identifier: MIT */
/* The connection: bytes to requests, one after the other.
 *
 *            bytes          head complete          body complete
 *   (none) --------> HEAD -----------------> BODY -----------------> HANDED -> answered, (none)
 *                      |        refused        |                        |
 *                      +-----------------------+--> answered, closed    +-> http_upgrade
 *
 * read_requests() is the driver: it reads from the rest until that is used up, until a request has
 * to be answered first, or until http_pipeline_depth answers wait to be sent; settle() then keeps
 * what is left, stops or starts reading, and sets the timer. Whatever ends an answer later comes
 * back to the driver through the deferred `next`, behind the flush. */
#include "net/http_inner.h"

#include <assert.h>

/* How long a peer may go on sending what we do not want, so that it can read why. */
#define LINGER_MS 2000

static const struct refusal head_slow = {408, "headers too slow", "http_header_timeout"};
static const struct refusal body_late = {408, "body too slow", "http_body_timeout"};
static const struct refusal body_slow = {408, "body too slow", "http_min_body_rate"};

static struct net *net_of(const struct http *h) { return h->conn->net; }

/* ---- the timer ---- */

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void stage_set(struct http *h, enum http_stage stage) {
    if (stage == h->stage) return;
    const struct limits *limits = net_of(h)->limits;
    const uint64_t delays[] = {
        [STAGE_IDLE] = limits->http_keepalive_timeout,
        [STAGE_HEAD] = limits->http_header_timeout,
        [STAGE_BODY] = least(limits->http_body_grace, limits->http_body_timeout),
    };
    h->body_since_ms = loop_now_ms(net_of(h)->loop);
    h->stage = (uint8_t)stage;
    if (stage == STAGE_BUSY) timer_stop(net_of(h)->loop, &h->timer);
    else timer_start(net_of(h)->loop, &h->timer, delays[stage]);
}

/* ---- exchanges ---- */

static void exchange_new(struct http *h) {
    struct exchange *x = mem_new(sizeof *x);
    x->http = h;
    x->request.conn = h->conn;
    x->request.minor = 1;
    x->parser = parser_new(&x->parsed, net_of(h)->limits);
    h->exchange = x;
}

static void exchange_free(struct exchange *x) {
    if (!x) return;
    parser_free(x->parser);
    text_fini(&x->parsed.block);
    text_fini(&x->parsed.body);
    mem_free(x->headers);
    mem_free(x);
}

void exchange_end(struct exchange *x) {
    if (x->state == EXCHANGE_ABORTED) return;
    struct http *h = x->http;
    bool close = x->close;
    h->exchange = NULL;
    exchange_free(x);
    if (close) {
        stage_set(h, STAGE_BUSY);
        conn_finish(h->conn, LINGER_MS, "answered");
    } else if (!h->running) {
        loop_defer(net_of(h)->loop, LOOP_FLUSH, &h->next);
    }
}

/* The connection is gone: tells the handler, if it has the request. */
static void exchange_abort(struct http *h) {
    struct exchange *x = h->exchange;
    h->exchange = NULL;
    if (x && x->state >= EXCHANGE_HANDED && x->request.aborted) {
        x->state = EXCHANGE_ABORTED;
        x->request.aborted(&x->request);
    }
    exchange_free(x);
}

/* The only place that refuses a request. What the peer sends behind it is never looked at. */
static void refuse(struct exchange *x, const struct refusal *why) {
    struct net *net = net_of(x->http);
    char ip[IP_TEXT_MAX];
    metrics_count(net->metrics, "http_refused_total", "reason", why->text, NULL);
    if (why->limit) metrics_limit(net->metrics, why->limit, NULL);
    LOG(net->log, LOG_DEBUG, "request refused", log_c("ip", ip_format(&x->request.conn->peer, ip)),
        log_n("status", why->status), log_c("reason", why->text));
    x->state = EXCHANGE_HANDED;
    x->close = true;
    error_reply(x, why);
}

static void hand_over(struct exchange *x) {
    struct http *h = x->http;
    struct request *r = &x->request;
    r->body = text_slice(&x->parsed.body);
    parser_free(x->parser);
    x->parser = NULL;
    x->state = EXCHANGE_HANDED;
    h->requests++;
    h->ahead++;
    stage_set(h, STAGE_BUSY);
    /* a proxy that took our refusal of an upgrade for a tunnel must not bring us another's bytes */
    if (r->upgrade || r->bad_upgrade) x->close = true;
    const struct limits *limits = net_of(h)->limits;
    if (h->draining || h->requests >= limits->http_requests_per_connection) x->close = true;
    h->handler(h->arg, r);
}

static void head_complete(struct exchange *x) {
    struct http *h = x->http;
    const struct refusal *why = request_read(x, net_of(h)->limits);
    if (why) {
        refuse(x, why);
        return;
    }
    if (!parsed_has_body(&x->parsed)) {
        hand_over(x);
        return;
    }
    x->state = EXCHANGE_BODY;
    if (!h->rest.n && x->request.minor == 1 && http_header(&x->request, "expect").p)
        conn_send_copy(h->conn, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
}

/* ---- reading ---- */

static bool is_reading(const struct exchange *x) { return x && x->state <= EXCHANGE_BODY; }

/* One step on the rest. Empty lines before a request mean nothing (RFC 9112 2.2). */
static void read_step(struct http *h) {
    if (!h->exchange) {
        while (h->rest.n && (h->rest.p[0] == '\r' || h->rest.p[0] == '\n'))
            h->rest = slice_from(h->rest, 1);
        if (!h->rest.n) return;
        exchange_new(h);
    }
    struct exchange *x = h->exchange;
    size_t used;
    enum parser_step step = parser_feed(x->parser, h->rest, &used);
    h->rest = slice_from(h->rest, used);
    switch (step) {
    case PARSER_MORE: break;
    case PARSER_HEAD: head_complete(x); break;
    case PARSER_DONE: hand_over(x); break;
    case PARSER_REFUSED: refuse(x, parser_refusal(x->parser)); break;
    }
}

static bool may_read(const struct http *h) {
    if (!h->conn || !conn_is_open(h->conn) || !h->rest.n) return false;
    if (h->exchange) return is_reading(h->exchange);
    return h->ahead < net_of(h)->limits->http_pipeline_depth;
}

/* Bytes that have to wait are kept, at most one read, and no more come until they are used up. */
static void rest_keep(struct http *h) {
    if (!h->rest.n) {
        text_fini(&h->stash);
        conn_resume(h->conn);
        return;
    }
    if (!h->stash.n) {
        text_add(&h->stash, h->rest);
        h->rest = text_slice(&h->stash);
    }
    conn_pause(h->conn);
}

static void http_free(struct http *h) {
    exchange_free(h->exchange);
    text_fini(&h->stash);
    mem_free(h);
}

static enum http_stage stage_of(const struct http *h) {
    if (!h->exchange) return h->rest.n ? STAGE_BUSY : h->requests ? STAGE_IDLE : STAGE_HEAD;
    if (!is_reading(h->exchange)) return STAGE_BUSY;
    return h->exchange->state == EXCHANGE_HEAD ? STAGE_HEAD : STAGE_BODY;
}

static void settle(struct http *h) {
    if (!h->conn) {
        http_free(h);
        return;
    }
    if (!conn_is_open(h->conn)) {
        h->rest = (struct slice){NULL, 0};
        text_fini(&h->stash);
        return;
    }
    rest_keep(h);
    if (h->rest.n && !h->exchange) {
        loop_defer(net_of(h)->loop, LOOP_FLUSH, &h->next);
    } else if (h->ended && (!h->exchange || is_reading(h->exchange))) {
        stage_set(h, STAGE_BUSY);
        conn_finish(h->conn, 0, "closed by peer");
        return;
    }
    stage_set(h, stage_of(h));
}

static void read_requests(struct http *h) {
    if (!conn_backlog(h->conn)) h->ahead = 0;
    h->running = true;
    while (may_read(h)) read_step(h);
    h->running = false;
    settle(h);
}

/* ---- events ---- */

static void on_received(struct conn *c, char *data, size_t n) {
    struct http *h = c->user;
    assert(!h->stash.n); /* it would be paused */
    h->rest = slice_make(data, n);
    read_requests(h);
}

/* With a handler that does not ask to hear of it, a peer that has only shut its side still gets its
 * answer: printf 'GET ...' | nc. */
static void on_ended(struct conn *c) {
    struct http *h = c->user;
    struct exchange *x = h->exchange;
    h->ended = true;
    if (x && !is_reading(x) && x->request.aborted) {
        conn_close(c, "closed by peer");
        exchange_abort(h);
        return;
    }
    read_requests(h);
}

static void on_drained(struct conn *c) { read_requests(c->user); }

static void on_next(struct deferred *d) {
    struct http *h = container_of(d, struct http, next);
    if (conn_is_open(h->conn) && !conn_backlog(h->conn)) read_requests(h);
}

static void on_closed(struct conn *c, const char *reason) {
    (void)reason;
    struct http *h = c->user;
    stage_set(h, STAGE_BUSY);
    deferred_cancel(&h->next);
    exchange_abort(h);
    http_free(h);
}

/* Why a body that is still coming is given up; NULL: it may go on, and is looked at again. */
static const struct refusal *body_refusal(struct http *h) {
    const struct limits *limits = net_of(h)->limits;
    uint64_t since_ms = loop_now_ms(net_of(h)->loop) - h->body_since_ms;
    uint64_t rate = limits->http_min_body_rate;
    if (since_ms >= limits->http_body_timeout) return &body_late;
    if (rate != LIMIT_OFF && h->exchange->parsed.body.n < rate * since_ms / 1000) return &body_slow;
    timer_start(net_of(h)->loop, &h->timer, least(1000, limits->http_body_timeout - since_ms));
    return NULL;
}

static void on_timer(struct timer *t) {
    struct http *h = container_of(t, struct http, timer);
    bool idle = h->stage == STAGE_IDLE;
    if (idle && conn_backlog(h->conn)) { /* still busy with its last answer */
        timer_start(net_of(h)->loop, t, net_of(h)->limits->http_keepalive_timeout);
        return;
    }
    const struct refusal *why = h->stage == STAGE_BODY ? body_refusal(h) : &head_slow;
    if (!why) return;
    h->stage = STAGE_BUSY;
    if (h->exchange) {
        refuse(h->exchange, why);
        return;
    }
    metrics_limit(net_of(h)->metrics, idle ? "http_keepalive_timeout" : head_slow.limit, NULL);
    conn_close(h->conn, "sends no request");
}

static const struct conn_ops http_ops = {
    .received = on_received,
    .ended = on_ended,
    .drained = on_drained,
    .closed = on_closed,
};

/* ---- life ---- */

void http_accept(struct net *net, int fd, const struct ip *peer, http_handler *handler, void *arg) {
    struct http *h = mem_new(sizeof *h);
    h->handler = handler;
    h->arg = arg;
    h->timer.fired = on_timer;
    deferred_init(&h->next, on_next);
    h->conn = conn_open(net, fd, peer, &http_ops, h);
    stage_set(h, STAGE_HEAD);
}

void http_drop(struct request *r, const char *reason) {
    struct exchange *x = exchange_of(r);
    conn_close(r->conn, reason);
    exchange_end(x);
}

struct conn *http_upgrade(struct request *r, const char *protocol,
                          const struct http_header *headers, const struct conn_ops *ops,
                          void *user) {
    struct exchange *x = exchange_of(r);
    struct http *h = x->http;
    struct conn *c = h->conn;
    struct slice rest = h->rest;
    assert(x->state == EXCHANGE_HANDED && r->upgrade);
    upgrade_reply(x, protocol, headers);
    stage_set(h, STAGE_BUSY);
    deferred_cancel(&h->next);
    h->conn = NULL;
    h->exchange = NULL;
    exchange_free(x);
    conn_hand_over(c, ops, user);
    conn_resume(c);
    if (rest.n && conn_is_open(c)) ops->received(c, (char *)(uintptr_t)rest.p, rest.n);
    if (!h->running) http_free(h); /* else settle() does */
    return c;
}

void http_drain(struct net *net) {
    LIST_EACH(&net->conns, link) {
        struct conn *c = container_of(link, struct conn, link);
        if (c->ops != &http_ops || !conn_is_open(c)) continue;
        struct http *h = c->user;
        h->draining = true;
        if (h->exchange) h->exchange->close = true;
        else if (!h->rest.n) conn_finish(c, LINGER_MS, "drained");
    }
}
