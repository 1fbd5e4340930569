/* SPDX-License-Identifier: MIT */
/* A session outlives its requests and may outlive polling: what carries it at a time is its poll,
 * if one waits, or its socket. Between two polls packets are queued; a socket takes them at once.
 *
 *      LIVE --> CLOSING --> GONE
 *         \_______________/
 *
 * CLOSING is for what was closed by us in good order: while it polls, the next poll gets what is
 * queued and the close packet; a WebSocket has its own closing handshake. The core has heard of the
 * end by then, or hears of it when the WebSocket has closed.
 *
 * On polling nothing is written from session_send and session_close: packets are queued and leave
 * at the end of the turn, so that the messages of a turn share an answer. */
#include "transport/engineio.h"

#include "transport/opening.h"
#include "transport/websocket.h"

#include <assert.h>

static void set_state(struct eio_session *s, enum eio_state to) {
    assert(to > s->state);
    s->state = (uint8_t)to;
}

static const struct endpoint_conf *conf_of(const struct eio_session *s) {
    return s->engineio->endpoint->conf;
}

static struct loop *loop_of(const struct eio_session *s) { return s->engineio->net->loop; }

/* ---- the queue ---- */

static void queue_push(struct eio_session *s, struct buf *packet, bool binary) {
    if (s->queue_first + s->queued == s->queue_size) {
        s->queue_size = s->queue_size ? s->queue_size * 2 : 8;
        s->queue = mem_grow(s->queue, s->queue_size * sizeof *s->queue);
    }
    s->queue[s->queue_first + s->queued++] = (struct eio_queued){buf_ref(packet), binary};
    s->queued_bytes += packet->n;
}

static void queue_push_text(struct eio_session *s, const char *packet) {
    struct buf *b = buf_copy(slice_of(packet));
    queue_push(s, b, false);
    buf_unref(b);
}

/* Takes the first n out. */
static void queue_take(struct eio_session *s, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        struct buf *packet = s->queue[s->queue_first + i].buf;
        s->queued_bytes -= packet->n;
        buf_unref(packet);
    }
    s->queued -= n;
    s->queue_first = s->queued ? s->queue_first + n : 0;
}

static void queue_clear(struct eio_session *s) {
    while (s->queued) buf_unref(s->queue[s->queue_first + --s->queued].buf);
    s->queue_first = 0;
    s->queued_bytes = 0;
}

/* The limit that another packet would break, or NULL. */
static const char *queue_limit(const struct eio_session *s, const struct buf *packet) {
    const struct limits *limits = s->engineio->endpoint->site->limits;
    if (s->queued >= limits->eio_queue_messages) return "eio_queue_messages";
    return s->queued_bytes + packet->n > limits->eio_queue_bytes ? "eio_queue_bytes" : NULL;
}

/* ---- to the client ---- */

/* A close packet has a poll of its own: clients heed it before the messages beside it. */
static uint32_t next_answer(const struct eio_session *s) {
    return s->state == EIO_CLOSING && s->queued > 1 ? s->queued - 1 : s->queued;
}

/* Hands out what is queued, if somebody is there to take it. */
static void flush(struct eio_session *s) {
    uint32_t n = next_answer(s);
    if (s->poll && n) {
        eio_poll_answer(s->poll, s->queue + s->queue_first, n);
        queue_take(s, n);
    } else if (s->poll && s->released) {
        eio_poll_answer_text(s->poll, "6");
    }
}

static void at_turn_end(struct eio_session *s) { loop_defer(loop_of(s), LOOP_FLUSH, &s->later); }

/* A packet of the protocol's own. */
static void send_own(struct eio_session *s, const char *packet) {
    struct buf *b = buf_copy(slice_of(packet));
    if (s->socket) {
        eio_socket_send(s->socket, b, false);
    } else {
        queue_push(s, b, false);
        at_turn_end(s);
    }
    buf_unref(b);
}

/* ---- the end ---- */

static void on_free(struct deferred *d) {
    struct eio_session *s = container_of(d, struct eio_session, later);
    queue_clear(s);
    mem_free(s->queue);
    mem_free(s->close_reason);
    mem_free(s);
}

/* What the core is told in the end: the first that is known. */
static void keep_reason(struct eio_session *s, int code, const char *reason) {
    if (s->close_reason) return;
    s->close_code = code;
    s->close_reason = slice_cstr(slice_of(reason));
}

/* Closes a WebSocket that is the session's no more; there is none when *x is NULL. */
static void part_from(struct eio_socket **x, int code, const char *reason) {
    if (!*x) return;
    eio_socket_leave(*x);
    eio_socket_close(*x, code == 1006 ? 0 : code, reason, false);
    *x = NULL;
}

static void drop_probe(struct eio_session *s) {
    part_from(&s->probe, 0, "");
    s->released = false;
}

void eio_session_end(struct eio_session *s, int code, const char *reason) {
    if (s->state == EIO_GONE) return;
    bool was_closing = s->state == EIO_CLOSING;
    set_state(s, EIO_GONE);
    keep_reason(s, code, reason);
    map_remove(&s->engineio->sessions, &s->by_sid);
    timer_stop(loop_of(s), &s->timer);
    deferred_cancel(&s->later);
    drop_probe(s);
    if (!was_closing && s->poll) queue_push_text(s, "1");
    flush(s);
    part_from(&s->socket, s->close_code, s->close_reason);
    waiting_remove(&s->engineio->addresses, &s->waiter);
    session_ended(&s->session, s->close_code, s->close_reason);
    deferred_init(&s->later, on_free);
    loop_defer(loop_of(s), LOOP_FREE, &s->later);
}

/* Ends it in good order: a WebSocket has a way of its own and a time for it. */
static void start_closing(struct eio_session *s, int code, const char *reason, bool slow) {
    set_state(s, EIO_CLOSING);
    keep_reason(s, code, reason);
    drop_probe(s);
    if (s->socket) {
        timer_stop(loop_of(s), &s->timer);
        eio_socket_close(s->socket, code, reason, slow);
    } else {
        timer_start(loop_of(s), &s->timer, conf_of(s)->ping_timeout_ms);
        queue_push_text(s, "1");
        at_turn_end(s);
    }
}

/* The end of a turn in which something was queued or closed. */
static void on_turn_end(struct deferred *d) {
    struct eio_session *s = container_of(d, struct eio_session, later);
    flush(s);
    if (s->state != EIO_CLOSING) return;
    session_ended(&s->session, s->close_code, s->close_reason);
    if (!s->queued) eio_session_end(s, s->close_code, s->close_reason);
}

/* ---- what the core asks of it ---- */

static struct eio_session *of_session(const struct session *session) {
    return container_of(session, struct eio_session, session);
}

/* The packet of a message: 4 and the text. */
static struct buf *wrap(struct slice text) {
    struct buf *packet = buf_new(text.n + 1);
    packet->data[0] = '0' + EIO_MESSAGE;
    if (text.n) memcpy(packet->data + 1, text.p, text.n);
    return packet;
}

static void on_send(struct session *session, struct buf *wire, bool binary) {
    struct eio_session *s = of_session(session);
    if (s->state != EIO_LIVE) return;
    if (s->socket) {
        eio_socket_send(s->socket, wire, binary);
        return;
    }
    if (queue_limit(s, wire)) flush(s);
    const char *limit = queue_limit(s, wire);
    if (limit) {
        site_limit(s->engineio->endpoint->site, limit);
        start_closing(s, 1013, "Try again later", false);
        return;
    }
    queue_push(s, wire, binary);
    if (s->poll) at_turn_end(s);
}

static size_t on_backlog(const struct session *session) {
    const struct eio_session *s = of_session(session);
    if (s->socket) return eio_socket_backlog(s->socket);
    return s->queued_bytes + (s->poll ? conn_backlog(s->poll->request->conn) : 0);
}

/* A client that polls cannot be made to wait; one that moves to a WebSocket meanwhile can. */
static void on_pause(struct session *session) {
    struct eio_session *s = of_session(session);
    s->paused = true;
    if (s->socket) eio_socket_pause(s->socket);
}

static void on_resume(struct session *session) {
    struct eio_session *s = of_session(session);
    s->paused = false;
    if (s->socket) eio_socket_resume(s->socket);
}

static void on_close(struct session *session, int code, const char *reason, bool slow) {
    struct eio_session *s = of_session(session);
    if (s->state != EIO_LIVE) return;
    if (slow) queue_clear(s);
    start_closing(s, code, reason, slow);
}

static const char *on_protocol(const struct session *session) {
    return of_session(session)->socket ? "websocket" : "polling";
}

static const struct session_ops session_ops = {.wrap = wrap,
                                               .send = on_send,
                                               .backlog = on_backlog,
                                               .pause = on_pause,
                                               .resume = on_resume,
                                               .close = on_close,
                                               .protocol = on_protocol,
                                               .binary = true};

/* ---- the heartbeat ---- */

/* With protocol 4 we ping; with 3 the client does, and may be late by so much. */
static void start_heartbeat(struct eio_session *s) {
    const struct endpoint_conf *conf = conf_of(s);
    s->awaits_pong = false;
    timer_start(loop_of(s), &s->timer,
                conf->ping_interval_ms + (s->v3 ? conf->ping_timeout_ms : 0));
}

static void on_timer(struct timer *t) {
    struct eio_session *s = container_of(t, struct eio_session, timer);
    if (s->state == EIO_CLOSING) {
        eio_session_end(s, s->close_code, s->close_reason);
    } else if (s->v3 || s->awaits_pong) {
        eio_session_end(s, 1006, "ping timeout");
    } else {
        s->awaits_pong = true;
        timer_start(loop_of(s), t, conf_of(s)->ping_timeout_ms);
        send_own(s, "2");
    }
}

static void on_ping(struct eio_session *s) {
    if (!s->v3) {
        eio_session_end(s, 1002, "heartbeat of another protocol");
        return;
    }
    start_heartbeat(s);
    send_own(s, "3");
}

static void on_pong(struct eio_session *s) {
    if (s->v3) eio_session_end(s, 1002, "heartbeat of another protocol");
    else if (s->awaits_pong) start_heartbeat(s);
}

/* ---- packets ---- */

/* The client closes: a poll that waits ends with nothing. */
static void on_client_close(struct eio_session *s) {
    queue_clear(s);
    if (s->poll) eio_poll_answer_text(s->poll, "6");
    eio_session_end(s, 1000, "");
}

void eio_session_packet(struct eio_session *s, const struct eio_packet *p) {
    if (s->state != EIO_LIVE) return;
    switch (p->type) {
    case EIO_CLOSE: on_client_close(s); break;
    case EIO_PING: on_ping(s); break;
    case EIO_PONG: on_pong(s); break;
    case EIO_MESSAGE: session_received(&s->session, p->data, p->binary); break;
    default: break; /* means nothing here */
    }
}

/* ---- polls come and go ---- */

void eio_session_attach(struct eio_session *s, struct eio_poll *poll) {
    s->poll = poll;
    poll->session = s;
    waiting_remove(&s->engineio->addresses, &s->waiter);
    if (s->queued || s->released) at_turn_end(s);
}

void eio_session_detach(struct eio_session *s) {
    s->poll->session = NULL;
    s->poll = NULL;
    if (s->state != EIO_GONE) waiting_add(&s->engineio->addresses, &s->waiter);
}

void eio_session_release(struct eio_session *s) {
    s->released = true;
    if (s->poll) at_turn_end(s);
}

void eio_session_stay(struct eio_session *s) {
    s->probe = NULL;
    s->released = false;
}

void eio_session_move(struct eio_session *s) {
    if (s->poll) eio_poll_answer_text(s->poll, "6"); /* its client has moved on */
    s->socket = s->probe;
    s->probe = NULL;
    waiting_remove(&s->engineio->addresses, &s->waiter);
    for (uint32_t i = 0; i < s->queued; i++) {
        struct eio_queued *packet = &s->queue[s->queue_first + i];
        eio_socket_send(s->socket, packet->buf, packet->binary);
    }
    queue_clear(s);
    if (s->paused) eio_socket_pause(s->socket);
}

/* ---- the beginning ---- */

struct eio_session *eio_session_new(struct engineio *e, const struct request *r,
                                    const struct eio_query *q) {
    struct eio_session *s = mem_new(sizeof *s);
    s->engineio = e;
    s->v3 = q->version == 3;
    s->base64 = q->base64;
    s->waiter.ip = waiting_ip(e->net, r);
    s->timer.fired = on_timer;
    deferred_init(&s->later, on_turn_end);
    random_name(e->net->random, s->sid, EIO_SID_LENGTH);
    map_add(&e->sessions, &s->by_sid, slice_make(s->sid, EIO_SID_LENGTH));
    return s;
}

/* What a client may send at once: the endpoint's word, or what HTTP lets through. */
static uint64_t max_payload(const struct eio_session *s) {
    uint64_t most = s->engineio->net->limits->http_max_body, own = conf_of(s)->max_payload;
    return own < most ? own : most;
}

static void send_open(struct eio_session *s) {
    const struct endpoint_conf *conf = conf_of(s);
    struct text packet = {0};
    text_format(&packet,
                "0{\"sid\":\"%s\",\"upgrades\":[%s],\"pingInterval\":%llu,\"pingTimeout\":%llu,"
                "\"maxPayload\":%llu}",
                s->sid, s->socket ? "" : "\"websocket\"",
                (unsigned long long)conf->ping_interval_ms,
                (unsigned long long)conf->ping_timeout_ms, (unsigned long long)max_payload(s));
    text_char(&packet, 0);
    send_own(s, text_slice(&packet).p);
    text_fini(&packet);
}

void eio_session_open(struct eio_session *s, struct handshake *handshake, struct buf *auth) {
    send_open(s);
    start_heartbeat(s);
    s->session.eio3 = s->v3;
    session_open(&s->session, &session_ops, s->engineio->endpoint, handshake, auth);
}

struct eio_session *eio_session_find(struct engineio *e, struct slice sid) {
    struct map_link *link = map_find(&e->sessions, sid);
    return link ? container_of(link, struct eio_session, by_sid) : NULL;
}

/* ---- the endpoint ---- */

/* Without its scripts the endpoint serves all the same. */
static void open_client(struct engineio *e) {
    struct text error = {0};
    e->client = files_open(e->endpoint->conf->client, &error);
    if (!e->client)
        LOG(e->net->log, LOG_WARN, "no client scripts",
            log_c("site", e->endpoint->site->name), log_s("error", text_slice(&error)));
    text_fini(&error);
}

void engineio_open(struct endpoint *ep, struct net *net) {
    struct engineio *e = mem_new(sizeof *e);
    e->endpoint = ep;
    e->net = net;
    ep->state = e;
    eio_socket_init(e);
    if (ep->conf->client) open_client(e);
}

void engineio_close(struct endpoint *ep) {
    struct engineio *e = ep->state;
    for (struct map_link *link; (link = map_next(&e->sessions, NULL));)
        eio_session_end(container_of(link, struct eio_session, by_sid), 1006, "shutdown");
    map_fini(&e->sessions);
    map_fini(&e->addresses);
    files_close(e->client);
    mem_free(e);
    ep->state = NULL;
}
