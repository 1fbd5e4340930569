/* SPDX-License-Identifier: MIT */
/* A backend is what one scheme, host and port name: its idle links, and its circuit. A link is a
 * connection to it, or one that is being dialed. An exchange is in one of three places: waiting for
 * its turn, on a link, or ended, with its done to come at the end of the turn. */
#include "net/httpc.h"

#include "net/dial.h"

#define FAILURES 10
#define FAILURES_WITHIN_MS 10000
#define CIRCUIT_MS 5000
#define BACKENDS_MAX 256
#define IDLE_MAX 16 /* links kept of one backend; of all, http_calls */

struct backend {
    struct map_link by_name;
    struct list idle; /* struct http_link */
    size_t idle_count, users;
    unsigned failures;
    uint64_t since_ms, closed_until_ms;
    bool probing; /* the one request that tries after a pause is under way */
    bool tls;
    unsigned port;
    const char *host; /* in name */
    char name[];      /* "s" or "p", the port, ":", the host */
};

struct http_link {
    struct list link; /* in httpc->links, idle ones in the order in which they became so */
    struct list idle; /* in backend->idle */
    struct httpc *client;
    struct backend *backend;
    struct dial *dial;
    struct conn *conn;
    struct http_exchange *exchange;
    struct timer timer; /* while idle */
    bool used;          /* for an exchange before this one */
};

struct httpc {
    struct net *net;
    struct tls_context *tls;
    const struct limits *limits;
    const char *site;
    struct map backends;
    struct list links, waiting, ended; /* of exchanges the latter two */
    size_t running, waiting_count, idle_count;
};

static uint64_t now_ms(const struct httpc *h) { return loop_now_ms(h->net->loop); }

static void count(const struct httpc *h, const char *limit) {
    metrics_limit(h->net->metrics, limit, h->site);
}

/* ---- backends ---- */

static void backend_free(struct httpc *h, struct backend *b) {
    map_remove(&h->backends, &b->by_name);
    mem_free(b);
}

/* Names come from scripts, perhaps with a part of a client's: those that nobody uses are forgotten
 * when there are many. */
static void forget_unused(struct httpc *h) {
    for (struct map_link *l = map_next(&h->backends, NULL), *next; l; l = next) {
        next = map_next(&h->backends, l);
        struct backend *b = container_of(l, struct backend, by_name);
        if (!b->users && !b->idle_count) backend_free(h, b);
    }
}

static struct backend *backend_of(struct httpc *h, const struct http_exchange *x) {
    struct text name = {0};
    text_format(&name, "%c%u:%s", x->tls ? 's' : 'p', x->port, x->host);
    struct map_link *l = map_find(&h->backends, text_slice(&name));
    struct backend *b = l ? container_of(l, struct backend, by_name) : NULL;
    if (!b) {
        if (h->backends.count >= BACKENDS_MAX) forget_unused(h);
        b = mem_new(sizeof *b + name.n + 1);
        memcpy(b->name, text_slice(&name).p, name.n);
        b->host = strchr(b->name, ':') + 1;
        b->port = x->port;
        b->tls = x->tls;
        list_init(&b->idle);
        map_add(&h->backends, &b->by_name, slice_make(b->name, name.n));
    }
    text_fini(&name);
    return b;
}

/* ---- the circuit ---- */

static bool circuit_admits(struct httpc *h, struct backend *b) {
    if (b->failures < FAILURES) return true;
    if (now_ms(h) < b->closed_until_ms || b->probing) return false;
    b->probing = true;
    return true;
}

static void circuit_note(struct httpc *h, struct backend *b, bool failed) {
    b->probing = false;
    if (!failed) {
        b->failures = 0;
        return;
    }
    if (b->failures < FAILURES && now_ms(h) - b->since_ms > FAILURES_WITHIN_MS) b->failures = 0;
    if (!b->failures) b->since_ms = now_ms(h);
    if (b->failures < FAILURES) b->failures++;
    if (b->failures < FAILURES) return;
    b->closed_until_ms = now_ms(h) + CIRCUIT_MS;
    count(h, "http_circuit");
}

/* ---- links ---- */

static void on_nothing_closed(struct conn *c, const char *reason) {
    (void)c;
    (void)reason;
}

static const struct conn_ops ended_ops = {.closed = on_nothing_closed};

static void link_unidle(struct http_link *l) {
    if (!list_linked(&l->idle)) return;
    list_remove(&l->idle);
    l->backend->idle_count--;
    l->client->idle_count--;
}

static void link_free(struct http_link *l) {
    struct httpc *h = l->client;
    timer_stop(h->net->loop, &l->timer);
    link_unidle(l);
    list_remove(&l->link);
    if (l->dial) dial_cancel(l->dial);
    if (l->conn) {
        conn_hand_over(l->conn, &ended_ops, NULL);
        conn_close(l->conn, "done with");
    }
    mem_free(l);
}

static void on_idle_over(struct timer *t) { link_free(container_of(t, struct http_link, timer)); }

static void longest_idle_free(struct httpc *h) {
    LIST_EACH(&h->links, link) {
        struct http_link *l = container_of(link, struct http_link, link);
        if (!list_linked(&l->idle)) continue;
        link_free(l);
        return;
    }
}

static void link_keep(struct http_link *l) {
    struct httpc *h = l->client;
    struct backend *b = l->backend;
    if (b->idle_count >= IDLE_MAX) {
        link_free(l);
        return;
    }
    if (h->idle_count >= h->limits->http_calls) longest_idle_free(h);
    l->used = true;
    list_push_front(&b->idle, &l->idle);
    list_remove(&l->link);
    list_push(&h->links, &l->link);
    b->idle_count++;
    h->idle_count++;
    timer_start(h->net->loop, &l->timer, h->limits->http_idle);
}

static struct http_link *link_new(struct httpc *h, struct backend *b) {
    struct http_link *l = mem_new(sizeof *l);
    l->client = h;
    l->backend = b;
    l->timer.fired = on_idle_over;
    list_init(&l->idle);
    list_push(&h->links, &l->link);
    return l;
}

/* An idle link on which nothing has happened up to now. One that the backend has closed is of no
 * use; one on which it has said something would give that for the answer to the next request. */
static struct http_link *link_take_idle(struct backend *b) {
    while (!list_empty(&b->idle)) {
        struct http_link *l = container_of(b->idle.next, struct http_link, idle);
        if (conn_is_quiet(l->conn)) {
            link_unidle(l);
            timer_stop(l->client->net->loop, &l->timer);
            return l;
        }
        link_free(l);
    }
    return NULL;
}

/* ---- the end of an exchange ---- */

static void run_next(struct httpc *h);

static void leave(struct http_exchange *x) {
    struct httpc *h = x->client;
    timer_stop(h->net->loop, &x->timer);
    deferred_cancel(&x->deferred);
    list_remove(&x->link);
    if (x->on) x->on->exchange = NULL;
    x->on = NULL;
    response_parser_free(x->parser);
    x->parser = NULL;
    buf_unref(x->request);
    x->request = NULL;
    if (x->backend) x->backend->users--;
    x->backend = NULL;
}

static void on_end(struct deferred *d) {
    struct http_exchange *x = container_of(d, struct http_exchange, deferred);
    struct http_response response;
    leave(x);
    response = x->response;
    x->done(x, x->code, x->why); /* may free x */
    http_response_fini(&response);
}

/* Gives back its turn and its link; done comes at the end of the turn. What had no turn yet lets
 * nobody else run: a queue that is turned away must not be so in as many nested calls. */
static void end(struct http_exchange *x, const char *code, const char *why) {
    struct httpc *h = x->client;
    struct http_link *l = x->on;
    x->over = true;
    x->code = code;
    x->why = why;
    timer_stop(h->net->loop, &x->timer);
    list_remove(&x->link);
    list_push(&h->ended, &x->link);
    x->on = NULL;
    if (l) {
        l->exchange = NULL;
        if (!code && x->response.keep_alive && !conn_backlog(l->conn)) link_keep(l);
        else link_free(l);
    }
    if (x->running) {
        x->running = false;
        h->running--;
        circuit_note(h, x->backend, code && strcmp(code, "too_large"));
        run_next(h);
    }
    loop_defer(h->net->loop, LOOP_DELIVER, &x->deferred);
}

void http_cancel(struct http_exchange *x) {
    struct httpc *h = x->client;
    struct http_link *l = x->on;
    if (!x->running && !x->over) h->waiting_count--;
    if (x->running) {
        h->running--;
        x->backend->probing = false;
    }
    leave(x);
    if (l) link_free(l);
    http_response_fini(&x->response);
    run_next(h);
}

/* ---- talking ---- */

static void run(struct http_exchange *x);

static void on_received(struct conn *c, char *data, size_t n) {
    struct http_link *l = c->user;
    struct http_exchange *x = l->exchange;
    if (!x) { /* nothing was asked */
        link_free(l);
        return;
    }
    switch (response_feed(x->parser, slice_make(data, n))) {
    case RESPONSE_DONE: end(x, NULL, NULL); break;
    case RESPONSE_LARGE: end(x, "too_large", "the answer is too large"); break;
    case RESPONSE_BROKEN: end(x, "unavailable", "the answer is not HTTP"); break;
    default: break;
    }
}

/* A kept connection that the backend has closed meanwhile. */
static bool may_retry(const struct http_link *l, const struct http_exchange *x) {
    return l->used && x->idempotent && !x->retried && !response_begun(x->parser);
}

/* It has ended, or broken off, before the answer was complete. */
static void lost(struct http_link *l, const char *reason) {
    struct http_exchange *x = l->exchange;
    if (!x) {
        link_free(l);
    } else if (may_retry(l, x)) {
        l->exchange = NULL;
        x->on = NULL;
        x->retried = true;
        link_free(l);
        run(x);
    } else {
        end(x, "unavailable", reason);
    }
}

/* Only an orderly end can be that of an answer: where bytes got lost, or over TLS somebody in
 * between cut them off, the connection is closed without. */
static void on_ended(struct conn *c) {
    struct http_link *l = c->user;
    struct http_exchange *x = l->exchange;
    if (x && response_end(x->parser) == RESPONSE_DONE) end(x, NULL, NULL);
    else lost(l, "closed by peer");
}

static void on_closed(struct conn *c, const char *reason) {
    struct http_link *l = c->user;
    l->conn = NULL;
    lost(l, reason);
}

static const struct conn_ops link_ops = {
    .received = on_received, .ended = on_ended, .closed = on_closed};

static void ask(struct http_link *l) {
    struct http_exchange *x = l->exchange;
    const struct limits *limits = l->client->limits;
    response_parser_free(x->parser);
    x->parser = response_parser_new(&x->response, x->head, limits->http_response_head,
                                    limits->http_response_body);
    conn_send(l->conn, (struct slice){NULL, 0}, x->request);
}

static void on_dialed(void *arg, struct conn *c, const char *reason) {
    struct http_link *l = arg;
    l->dial = NULL;
    if (!c) {
        end(l->exchange, "unavailable", reason);
        return;
    }
    l->conn = c;
    conn_hand_over(c, &link_ops, l);
    ask(l);
}

static void run(struct http_exchange *x) {
    struct httpc *h = x->client;
    struct backend *b = x->backend;
    struct http_link *l = x->retried ? NULL : link_take_idle(b);
    bool kept = l != NULL;
    if (!l) l = link_new(h, b);
    l->exchange = x;
    x->on = l;
    if (kept) {
        ask(l);
        return;
    }
    struct dial_target target = {.host = b->host, .port = b->port, .tls = b->tls ? h->tls : NULL};
    l->dial = dial_open(h->net, &target, h->limits->http_connect_timeout, on_dialed, l);
}

/* ---- turns ---- */

static void start(struct http_exchange *x) {
    struct httpc *h = x->client;
    if (!circuit_admits(h, x->backend)) {
        end(x, "unavailable", "it failed too often, and is left alone for a while");
        return;
    }
    x->running = true;
    h->running++;
    run(x);
}

static void run_next(struct httpc *h) {
    while (h->running < h->limits->http_calls && h->waiting_count) {
        struct http_exchange *x = container_of(list_pop(&h->waiting), struct http_exchange, link);
        h->waiting_count--;
        start(x);
    }
}

static void on_timeout(struct timer *t) {
    struct http_exchange *x = container_of(t, struct http_exchange, timer);
    if (!x->running) x->client->waiting_count--;
    end(x, "timeout", "no answer in time");
}

void http_send(struct httpc *h, struct http_exchange *x) {
    x->client = h;
    x->timer.fired = on_timeout;
    deferred_init(&x->deferred, on_end);
    list_init(&x->link);
    x->backend = backend_of(h, x);
    x->backend->users++;
    x->host = NULL; /* was borrowed */
    if (x->tls && !h->tls) {
        end(x, "unavailable", "there is no TLS");
        return;
    }
    if (h->running >= h->limits->http_calls && h->waiting_count >= h->limits->http_waiting) {
        count(h, "http_waiting");
        end(x, "busy", "too many requests wait");
        return;
    }
    timer_start(h->net->loop, &x->timer, x->timeout_ms);
    list_push(&h->waiting, &x->link);
    h->waiting_count++;
    run_next(h);
}

/* ---- life ---- */

struct httpc *httpc_new(struct net *net, struct tls_context *tls, const struct limits *limits,
                        const char *site) {
    struct httpc *h = mem_new(sizeof *h);
    h->net = net;
    h->tls = tls;
    h->limits = limits;
    h->site = site;
    list_init(&h->links);
    list_init(&h->waiting);
    list_init(&h->ended);
    return h;
}

static void forget_all(struct list *exchanges) {
    LIST_EACH(exchanges, link) {
        struct http_exchange *x = container_of(link, struct http_exchange, link);
        leave(x);
        http_response_fini(&x->response);
    }
}

void httpc_free(struct httpc *h) {
    if (!h) return;
    forget_all(&h->waiting);
    forget_all(&h->ended);
    LIST_EACH(&h->links, link) {
        struct http_link *l = container_of(link, struct http_link, link);
        if (l->exchange) {
            struct http_exchange *x = l->exchange;
            leave(x);
            http_response_fini(&x->response);
        }
        link_free(l);
    }
    for (struct map_link *l; (l = map_next(&h->backends, NULL));)
        backend_free(h, container_of(l, struct backend, by_name));
    map_fini(&h->backends);
    mem_free(h);
}
