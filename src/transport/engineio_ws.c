/* SPDX-License-Identifier: MIT */
/* A WebSocket carries a session from its beginning, or is tried by one that polls:
 *
 *      > 2probe   < 3probe   > 5
 *      TRIED      PROVEN     CARRIER
 *
 * Between probe and 5 the client finishes its last poll, which we end for it. Anything else than
 * these two packets in this order, or none within upgrade_timeout, closes the WebSocket, and the
 * session polls on. */
#include "transport/engineio.h"

#include "transport/opening.h"
#include "transport/websocket.h"

enum part { TRIED, PROVEN, CARRIER };

struct eio_socket {
    struct ws ws;
    struct eio_session *session; /* NULL: it only has to close */
    struct timer timer;          /* until it is the carrier */
    uint8_t part;
};

static struct eio_socket *of_ws(struct ws *w) { return container_of(w, struct eio_socket, ws); }

/* ---- what the session asks of it ---- */

/* What a client of protocol 3 takes for the bytes of a message. */
static void send_binary_3(struct eio_socket *x, struct slice data) {
    bool base64 = x->session->base64;
    struct text packet = {0};
    if (base64) {
        eio_base64_write(&packet, data, true);
    } else {
        text_char(&packet, EIO_MESSAGE);
        text_add(&packet, data);
    }
    struct buf *b = text_take(&packet);
    ws_send(&x->ws, b, !base64);
    buf_unref(b);
}

void eio_socket_send(struct eio_socket *x, struct buf *packet, bool binary) {
    if (binary && x->session->v3) send_binary_3(x, buf_slice(packet));
    else ws_send(&x->ws, packet, binary);
}

size_t eio_socket_backlog(const struct eio_socket *x) { return ws_backlog(&x->ws); }
void eio_socket_pause(struct eio_socket *x) { ws_pause(&x->ws); }
void eio_socket_resume(struct eio_socket *x) { ws_resume(&x->ws); }

void eio_socket_close(struct eio_socket *x, int code, const char *reason, bool slow) {
    if (slow) ws_close_slow(&x->ws, code, slice_of(reason));
    else ws_close(&x->ws, code, slice_of(reason));
}

void eio_socket_leave(struct eio_socket *x) {
    timer_stop(x->ws.conn->net->loop, &x->timer);
    x->session = NULL;
}

/* ---- what comes in ---- */

static bool read_message(struct eio_packet *p, const struct eio_socket *x, struct slice data,
                         bool binary, struct text *room) {
    bool v3 = x->session->v3;
    return binary ? eio_binary_read(p, data, v3) : eio_packet_read(p, data, v3, room);
}

static void on_packet(struct eio_socket *x, struct slice data, bool binary) {
    struct eio_packet p;
    struct text room = {0};
    if (read_message(&p, x, data, binary, &room)) eio_session_packet(x->session, &p);
    else eio_session_end(x->session, 1002, "parse error");
    text_fini(&room);
}

static void on_probe(struct eio_socket *x) {
    struct buf *answer = buf_copy(SLICE("3probe"));
    x->part = PROVEN;
    ws_send(&x->ws, answer, false);
    buf_unref(answer);
    eio_session_release(x->session);
}

static void on_upgrade(struct eio_socket *x) {
    timer_stop(x->ws.conn->net->loop, &x->timer);
    x->part = CARRIER;
    eio_session_move(x->session);
}

/* It will not carry its session, which goes on without it. */
static void give_up(struct eio_socket *x) {
    struct eio_session *s = x->session;
    eio_socket_leave(x);
    eio_session_stay(s);
    ws_close(&x->ws, 0, SLICE(""));
}

static void on_message(struct ws *w, struct slice data, bool binary) {
    struct eio_socket *x = of_ws(w);
    if (!x->session) return;
    if (x->part == CARRIER) on_packet(x, data, binary);
    else if (x->part == TRIED && !binary && slice_is(data, "2probe")) on_probe(x);
    else if (x->part == PROVEN && !binary && slice_is(data, "5")) on_upgrade(x);
    else give_up(x);
}

static void on_timer(struct timer *t) { give_up(container_of(t, struct eio_socket, timer)); }

static void on_closed(struct ws *w, int code, struct slice reason) {
    struct eio_socket *x = of_ws(w);
    struct eio_session *s = x->session;
    if (s) eio_socket_leave(x);
    if (s && x->part == CARRIER) {
        char *text = slice_cstr(reason);
        s->socket = NULL;
        eio_session_end(s, code, text);
        mem_free(text);
    } else if (s) {
        eio_session_stay(s);
    }
    mem_free(x);
}

static const struct ws_ops ws_ops = {.message = on_message, .closed = on_closed};

/* ---- the beginning ---- */

static struct eio_socket *socket_new(struct eio_session *s, enum part part) {
    struct eio_socket *x = mem_new(sizeof *x);
    x->session = s;
    x->part = (uint8_t)part;
    x->timer.fired = on_timer;
    return x;
}

void eio_socket_open(struct engineio *e, struct request *r, const struct eio_query *q,
                     struct buf *auth) {
    struct handshake *handshake = eio_handshake(e, r, q);
    struct eio_session *s = eio_session_new(e, r, q);
    s->socket = socket_new(s, CARRIER);
    ws_accept(&s->socket->ws, r, &e->ws, &ws_ops);
    eio_session_open(s, handshake, auth);
}

void eio_socket_probe(struct eio_session *s, struct request *r) {
    struct engineio *e = s->engineio;
    bool free = s->state == EIO_LIVE && !s->socket && !s->probe;
    struct eio_socket *x = socket_new(free ? s : NULL, TRIED);
    ws_accept(&x->ws, r, &e->ws, &ws_ops);
    if (free) {
        s->probe = x;
        timer_start(e->net->loop, &x->timer, e->endpoint->conf->upgrade_timeout_ms);
    } else {
        ws_close(&x->ws, 0, SLICE(""));
    }
}

void eio_socket_init(struct engineio *e) {
    e->ws = websocket_settings(e->endpoint);
    e->ws.protocols = (struct slice){NULL, 0};
    e->ws.ping = false; /* the protocol above has its own */
}
