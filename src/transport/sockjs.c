/* SPDX-License-Identifier: MIT */
/* A session over HTTP outlives its requests: at most one of them is its receiver at a time, and
 * between two of them messages are queued.
 *
 *      JUDGED --> OPEN --> CLOSING --> GONE
 *         \__________\__________________/
 *
 * JUDGED takes no time where no script decides. A receiver that ends as it should starts the
 * disconnect_delay; one that is cut off ends the session, because nobody knows what arrived.
 * CLOSING keeps the id only to repeat the close frame: the core has heard of the end by then.
 *
 * Nothing is written from session_send and session_close: frames are queued and leave at the end of
 * the turn, so that the messages of a turn share a polling answer. */
#include "transport/sockjs.h"

#include "core/login.h"
#include "transport/opening.h"
#include "transport/sockjs_receiver.h"

#include <assert.h>

static void set_state(struct sockjs_session *s, enum sockjs_state to) {
    assert(to > s->state);
    s->state = (uint8_t)to;
}

/* ---- how many sessions of an address wait ---- */

static void count_waiting(struct sockjs_session *s) {
    waiting_add(&s->sockjs->addresses, &s->waiter);
}

static void uncount_waiting(struct sockjs_session *s) {
    waiting_remove(&s->sockjs->addresses, &s->waiter);
}

int sockjs_admits(struct sockjs *k, const struct ip *ip) {
    uint64_t most = k->endpoint->site->limits->sockjs_sessions_per_ip;
    if (!waiting_is_full(&k->addresses, ip, most)) return 0;
    site_limit(k->endpoint->site, "sockjs_sessions_per_ip");
    return 503;
}

/* ---- the queue ---- */

static void queue_push(struct sockjs_session *s, struct buf *frame) {
    if (s->queue_first + s->queued == s->queue_size) {
        s->queue_size = s->queue_size ? s->queue_size * 2 : 8;
        s->queue = mem_grow(s->queue, s->queue_size * sizeof(struct buf *));
    }
    s->queue[s->queue_first + s->queued++] = buf_ref(frame);
    s->queued_bytes += frame->n;
}

/* The first of what is queued. */
static struct buf *queue_take(struct sockjs_session *s) {
    struct buf *frame = s->queue[s->queue_first++];
    s->queued_bytes -= frame->n;
    if (--s->queued == 0) s->queue_first = 0;
    return frame;
}

static void queue_clear(struct sockjs_session *s) {
    while (s->queued) buf_unref(queue_take(s));
}

/* What is queued, as one frame. */
static struct buf *queue_take_all(struct sockjs_session *s) {
    struct buf *frame = sockjs_merge(s->queue + s->queue_first, s->queued);
    queue_clear(s);
    return frame;
}

/* The limit that another frame would break, or NULL. */
static const char *queue_limit(const struct sockjs_session *s, const struct buf *frame) {
    const struct limits *limits = s->sockjs->endpoint->site->limits;
    if (s->queued >= limits->sockjs_queue_messages) return "sockjs_queue_messages";
    return s->queued_bytes + frame->n > limits->sockjs_queue_bytes ? "sockjs_queue_bytes" : NULL;
}

/* ---- to the receiver ---- */

/* Hands out what waits: as one frame to a receiver that found it waiting, or that takes one only;
 * each message by itself to one that was there when it was sent. */
static void flush(struct sockjs_session *s, bool was_there) {
    while (s->receiver && s->queued) {
        bool single = was_there && s->receiver->way->streaming;
        struct buf *frame = single ? queue_take(s) : queue_take_all(s);
        receiver_frame(s->receiver, buf_slice(frame));
        buf_unref(frame);
    }
    if (s->receiver && s->state == SOCKJS_CLOSING)
        receiver_last(s->receiver, buf_slice(s->close_frame));
}

/* The end of a turn in which something was sent or closed. */
static void on_turn_end(struct deferred *d) {
    struct sockjs_session *s = container_of(d, struct sockjs_session, later);
    flush(s, true);
    if (s->state == SOCKJS_CLOSING) session_ended(&s->session, s->close_code, s->close_reason);
}

static void at_turn_end(struct sockjs_session *s) {
    loop_defer(s->sockjs->net->loop, LOOP_FLUSH, &s->later);
}

/* ---- the end ---- */

static void on_free(struct deferred *d) {
    struct sockjs_session *s = container_of(d, struct sockjs_session, later);
    queue_clear(s);
    mem_free(s->queue);
    buf_unref(s->close_frame);
    mem_free(s->close_reason);
    mem_free(s);
}

/* Forgets s, whose receiver is not there any more; the core hears of it unless it knows already. */
static void session_gone(struct sockjs_session *s, const char *reason) {
    struct loop *loop = s->sockjs->net->loop;
    assert(!s->receiver);
    set_state(s, SOCKJS_GONE);
    map_remove(&s->sockjs->sessions, &s->by_id);
    uncount_waiting(s);
    timer_stop(loop, &s->timer);
    deferred_cancel(&s->later);
    if (s->login) s->login->asker = NULL;
    if (s->close_frame) session_ended(&s->session, s->close_code, s->close_reason);
    else session_ended(&s->session, 1006, reason);
    deferred_init(&s->later, on_free);
    loop_defer(loop, LOOP_FREE, &s->later);
}

static void start_closing(struct sockjs_session *s, int code, const char *reason) {
    set_state(s, SOCKJS_CLOSING);
    s->close_code = code;
    s->close_reason = slice_cstr(slice_of(reason));
    s->close_frame = sockjs_close_frame(code, reason);
    at_turn_end(s);
}

/* ---- what the core asks of it ---- */

static struct sockjs_session *of_session(const struct session *session) {
    return container_of(session, struct sockjs_session, session);
}

static void on_send(struct session *session, struct buf *wire, bool binary) {
    struct sockjs_session *s = of_session(session);
    (void)binary;
    if (s->state != SOCKJS_OPEN) return;
    if (queue_limit(s, wire)) flush(s, true);
    const char *limit = s->receiver ? NULL : queue_limit(s, wire);
    if (limit) {
        site_limit(s->sockjs->endpoint->site, limit);
        start_closing(s, 1013, "Try again later");
        return;
    }
    queue_push(s, wire);
    if (s->receiver) at_turn_end(s);
}

static size_t on_backlog(const struct session *session) {
    const struct sockjs_session *s = of_session(session);
    return s->queued_bytes + (s->receiver ? conn_backlog(s->receiver->request->conn) : 0);
}

static void on_close(struct session *session, int code, const char *reason, bool slow) {
    struct sockjs_session *s = of_session(session);
    if (s->state != SOCKJS_OPEN) return;
    if (slow) {
        queue_clear(s);
        if (s->receiver) {
            struct receiver *rc = s->receiver;
            sockjs_released(s);
            receiver_drop(rc, "slow");
        }
    }
    start_closing(s, code, reason);
}

static const char *on_protocol(const struct session *session) {
    return of_session(session)->way->protocol;
}

static const struct session_ops session_ops = {.wrap = sockjs_wrap,
                                               .send = on_send,
                                               .backlog = on_backlog,
                                               .close = on_close,
                                               .protocol = on_protocol,
                                               .surrogates = true};

/* ---- receivers come and go ---- */

static void take_receiver(struct sockjs_session *s, struct receiver *rc) {
    s->receiver = rc;
    s->way = rc->way;
    rc->session = s;
    uncount_waiting(s);
    timer_start(s->sockjs->net->loop, &s->timer, s->sockjs->endpoint->conf->heartbeat_ms);
}

void sockjs_released(struct sockjs_session *s) {
    s->receiver = NULL;
    count_waiting(s);
    timer_start(s->sockjs->net->loop, &s->timer, s->sockjs->endpoint->conf->disconnect_delay_ms);
}

void sockjs_lost(struct sockjs_session *s) {
    s->receiver = NULL;
    session_gone(s, "connection interrupted");
}

static void on_timer(struct timer *t) {
    struct sockjs_session *s = container_of(t, struct sockjs_session, timer);
    if (!s->receiver) {
        session_gone(s, "no receiver");
        return;
    }
    timer_start(s->sockjs->net->loop, t, s->sockjs->endpoint->conf->heartbeat_ms);
    receiver_frame(s->receiver, SLICE("h"));
}

void sockjs_attach(struct sockjs_session *s, struct receiver *rc) {
    receiver_start(rc);
    /* closed in this very turn: the first has its close frame due, and so has this one */
    if (s->state == SOCKJS_CLOSING) flush(s, true);
    if (s->receiver) {
        receiver_last(rc, SLICE("c[2010,\"Another connection still open\"]"));
        return;
    }
    take_receiver(s, rc);
    flush(s, false);
}

/* ---- the beginning ---- */

/* Opens s for its receiver. The handshake is built first: the "o" may be all of that answer. */
static void session_start(struct sockjs_session *s, struct buf *auth) {
    struct handshake *handshake = opening_handshake(s->receiver->request, HANDSHAKE_NO_COOKIE);
    set_state(s, SOCKJS_OPEN);
    receiver_start(s->receiver);
    take_receiver(s, s->receiver);
    receiver_frame(s->receiver, SLICE("o"));
    session_open(&s->session, &session_ops, s->sockjs->endpoint, handshake, auth);
}

/* The script has judged the request that s was to be opened with. */
static void on_judged(struct login *l) {
    struct sockjs_session *s = l->asker;
    struct buf *auth = l->auth;
    int status = sockjs_judged_status(s->sockjs, s->receiver->request, l);
    s->login = NULL;
    if (!status) l->auth = NULL;
    login_free(l);
    if (!status) {
        session_start(s, auth);
        return;
    }
    struct receiver *rc = s->receiver;
    s->receiver = NULL;
    session_gone(s, "refused");
    receiver_refuse(rc, status);
}

static struct sockjs_session *session_new(struct sockjs *k, struct slice id, const struct ip *ip) {
    struct sockjs_session *s = mem_new(sizeof *s + id.n);
    s->sockjs = k;
    s->waiter.ip = *ip;
    s->timer.fired = on_timer;
    deferred_init(&s->later, on_turn_end);
    memcpy(s->id, id.p, id.n);
    map_add(&k->sessions, &s->by_id, slice_make(s->id, id.n));
    return s;
}

void sockjs_begin(struct sockjs *k, struct slice id, const struct ip *ip, struct receiver *first) {
    struct sockjs_session *s = session_new(k, id, ip);
    s->receiver = first;
    first->session = s;
    if (k->endpoint->conf->auth != AUTH_REQUEST) {
        session_start(s, NULL);
        return;
    }
    struct handshake *request = opening_handshake(first->request, HANDSHAKE_ALL);
    s->login = login_start(k->endpoint->site, request, false, on_judged, s);
}

struct sockjs_session *sockjs_find(struct sockjs *k, struct slice id) {
    struct map_link *link = map_find(&k->sessions, id);
    return link ? container_of(link, struct sockjs_session, by_id) : NULL;
}

/* ---- the endpoint ---- */

void sockjs_open(struct endpoint *ep, struct net *net) {
    struct sockjs *k = mem_new(sizeof *k);
    k->endpoint = ep;
    k->net = net;
    ep->state = k;
    sockjs_ws_init(k);
}

void sockjs_close(struct endpoint *ep) {
    struct sockjs *k = ep->state;
    for (struct map_link *link; (link = map_next(&k->sessions, NULL));)
        session_gone(container_of(link, struct sockjs_session, by_id), "shutdown");
    map_fini(&k->sessions);
    map_fini(&k->addresses);
    mem_free(k);
    ep->state = NULL;
}
