/* SPDX-License-Identifier: MIT */
/* Socket.IO, protocols 5 and 4, on a session of any transport (wire/socketio.md section 4). What
 * breaks the protocol closes the session, as the reference does; what only comes too late, for a
 * namespace that was left, is counted and dropped. */
#include "core/socketio.h"

#include "core/call.h"
#include "core/emit.h"
#include "core/msg.h"
#include "core/op.h"

static const struct slice nothing = {NULL, 0};

static const struct limits *limits_of(const struct socketio *x) {
    return x->session->endpoint->site->limits;
}

static struct loop *loop_of(const struct socketio *x) {
    return x->session->endpoint->site->core->loop;
}

/* ---- to the client ---- */

void socketio_send(struct session *s, struct text *t) {
    struct buf *packet = text_take(t);
    session_send(s, packet);
    buf_unref(packet);
}

/* A packet and its attachments. */
static void send_with(struct socket *s, struct text *t, const struct attachments *a) {
    if (!socket_is_open(s)) {
        text_fini(t);
        return;
    }
    socketio_send(s->session, t);
    for (uint32_t i = 0; i < a->count; i++) socket_send_binary(s, a->list[i]);
}

/* What is inside of an array. */
static struct slice inside(struct slice array) { return slice_make(array.p + 1, array.n - 2); }

/* ["name",args...], where the name is JSON and args an array. */
static void add_event(struct text *t, struct slice name, struct slice args) {
    text_char(t, '[');
    text_add(t, name);
    if (slice_trim(inside(args)).n) text_char(t, ',');
    text_add(t, inside(args));
    text_char(t, ']');
}

/* What a client may miss goes by way of the log. */
static void emit_to_log(const struct socket *s, const struct emission *e) {
    struct emission own = *e;
    struct text rooms = {0};
    text_format(&rooms, "[\"%s\"]", s->sid);
    own.rooms = text_slice(&rooms);
    emit_send(s->site, &own); /* away: then the store tells of the gap */
    text_fini(&rooms);
}

static void emit(struct socket *s, const struct emission *e) {
    struct text t = {0};
    if (emit_is_kept(s->site) && !e->is_volatile) {
        emit_to_log(s, e);
        return;
    }
    bool binary = e->attachments.count;
    sio_head(&t, binary ? SIO_BINARY_EVENT : SIO_EVENT, e->attachments.count,
             slice_of(s->endpoint->ns), nothing);
    add_event(&t, e->event, e->args);
    send_with(s, &t, &e->attachments);
}

/* The place in the log as a last argument, for a client that wants to come back. */
static void add_offset(struct text *t, const struct position *at) {
    if (!at->epoch[0]) return;
    text_cut(t, t->n - 1);
    text_format(t, ",\"%s-%llu\"]", at->epoch, (unsigned long long)at->offset);
}

/* A publish is an event with the channel's name. */
static struct buf *render(const struct msg *m, const struct socket *s) {
    struct text t = {0};
    bool binary = m->attachments.count;
    sio_head(&t, binary ? SIO_BINARY_EVENT : SIO_EVENT, m->attachments.count,
             slice_of(s->endpoint->ns), nothing);
    if (m->is_event) {
        add_event(&t, json_member(buf_slice(m->body), SLICE("event")).raw,
                  json_member(buf_slice(m->body), SLICE("args")).raw);
        if (!s->session->eio3) add_offset(&t, &m->logged);
    } else {
        text_char(&t, '[');
        json_quote(&t, m->channel);
        text_char(&t, ',');
        text_add(&t, buf_slice(m->body));
        text_char(&t, ']');
    }
    return text_take(&t);
}

/* An event of ours that asks for an ack: the number is its id. */
static void call(struct socket *s, const struct call *c) {
    struct text t = {0};
    sio_head(&t, SIO_EVENT, 0, slice_of(s->endpoint->ns), nothing);
    text_u64(&t, c->number);
    struct slice args = buf_slice(c->args);
    if (c->spread) args = inside(args);
    text_char(&t, '[');
    json_quote(&t, buf_slice(c->name));
    if (args.n) text_char(&t, ',');
    text_add(&t, args);
    text_char(&t, ']');
    socketio_send(s->session, &t);
}

/* Of an event: its results are the ack's arguments, an error the first. */
static void answer(struct op *op) {
    struct text t = {0};
    if (!op->uuid.n) return;
    uint32_t count = op->error ? 0 : op->answered.count;
    sio_head(&t, count ? SIO_BINARY_ACK : SIO_ACK, count, slice_of(op->socket->endpoint->ns),
             op->uuid);
    if (op->error) text_char(&t, '[');
    text_add(&t, op->error ? buf_slice(op->error) : op->result ? buf_slice(op->result) : SLICE("[]"));
    if (op->error) text_char(&t, ']');
    send_with(op->socket, &t, count ? &op->answered : &(struct attachments){0});
}

/* Clients know no channels: their rooms are the server's business. */
static void ignore(struct socket *s, struct slice channel) {
    (void)s;
    (void)channel;
}

static void gap(struct socket *s, struct slice channel) {
    struct text t = {0};
    sio_head(&t, SIO_EVENT, 0, slice_of(s->endpoint->ns), nothing);
    text_str(&t, "[\"moonlatch:gap\",");
    json_quote(&t, channel);
    text_char(&t, ']');
    socketio_send(s->session, &t);
}

/* ---- the end ---- */

static void send_away(struct seat *seat, int code, const char *reason) {
    struct text t = {0};
    if (!seat->socket || seat->close_reason) return;
    sio_head(&t, SIO_DISCONNECT, 0, slice_of(seat->endpoint->ns), nothing);
    socketio_send(seat->socketio->session, &t);
    seat_close(seat, code, reason);
}

/* A gateway that goes wants its clients to come back, which those do not that were asked to leave
 * a namespace. */
static void close_socket(struct socket *s, int code, const char *reason, bool whole) {
    struct session *session = s->session;
    if (session->state != SESSION_OPEN) return;
    if (s->site->core->draining) {
        session_close(session, code, reason);
        return;
    }
    LIST_EACH(&session->socketio->seats, link) {
        struct seat *seat = container_of(link, struct seat, link);
        if (whole || seat->socket == s) send_away(seat, code, reason);
    }
    if (whole) session_close(session, code, reason);
}

static void on_leave(struct deferred *d) {
    seats_settle(container_of(d, struct socketio, leave));
}

static void broken(struct socketio *x, const char *why) {
    struct site *site = x->session->endpoint->site;
    metrics_count(site->core->metrics, "bad_messages_total", "reason", "socketio", site->name);
    session_close(x->session, 1002, why);
}

static void incoming_free(struct incoming *in) {
    if (!in) return;
    buf_unref(in->header);
    attachments_fini(&in->attachments);
    mem_free(in);
}

static void ended(struct session *s, int code, const char *reason) {
    struct socketio *x = s->socketio;
    s->socketio = NULL;
    timer_stop(loop_of(x), &x->timer);
    deferred_cancel(&x->leave);
    incoming_free(x->incoming);
    LIST_EACH(&x->seats, link) recovery_keep(container_of(link, struct seat, link));
    while (!list_empty(&x->seats))
        seat_end(container_of(x->seats.next, struct seat, link), code, reason);
    handshake_unref(x->handshake);
    mem_free(x);
}

/* ---- without a namespace ---- */

static void on_timer(struct timer *t) {
    struct socketio *x = container_of(t, struct socketio, timer);
    site_limit(x->session->endpoint->site, "unauth_timeout");
    session_close(x->session, 4408, "no namespace");
}

void socketio_wait(struct socketio *x) {
    uint64_t ms = limits_of(x)->unauth_timeout;
    if (ms != LIMIT_OFF && x->session->state == SESSION_OPEN) timer_start(loop_of(x), &x->timer, ms);
}

/* ---- events ---- */

/* The same part of a packet in a copy of it. */
static struct slice moved(const struct buf *copy, struct slice text, struct slice part) {
    return part.n ? slice_make(copy->data + (part.p - text.p), part.n) : nothing;
}

/* Takes the attachments. */
static void run_event(struct socket *s, struct slice text, const struct sio_packet *p,
                      struct attachments *a) {
    struct op *op = op_new(s, OP_RPC, buf_copy(text));
    struct slice rest;
    op->is_event = true;
    op->uuid = moved(op->message, text, p->id);
    op->request = moved(op->message, text, p->data.raw);
    op->name = sio_event_name(op->request, &rest, &op->names);
    op->attachments = *a;
    *a = (struct attachments){0};
    if (op->name.n > s->site->limits->rpc_name) op_abandon(op, "Function not found");
    else op_start(op);
}

static void take_ack(struct socket *s, const struct sio_packet *p, const struct attachments *a) {
    uint64_t number;
    if (slice_u64(p->id, &number) && call_answer_args(s, number, p->data.raw, a)) return;
    metrics_count(s->site->core->metrics, "call_answers_ignored_total", NULL, NULL, s->site->name);
}

static void take_for(struct socket *s, struct slice text, const struct sio_packet *p,
                     struct attachments *a) {
    switch (p->type) {
    case SIO_EVENT:
    case SIO_BINARY_EVENT: run_event(s, text, p, a); break;
    case SIO_ACK:
    case SIO_BINARY_ACK: take_ack(s, p, a); break;
    default: break; /* CONNECT_ERROR: nothing that a client has to say */
    }
}

/* May take the attachments. */
static void take_packet(struct socketio *x, struct slice text, const struct sio_packet *p,
                        struct attachments *a) {
    struct seat *seat = p->type == SIO_CONNECT ? NULL : seat_find(x, p->ns);
    if (p->type == SIO_CONNECT) {
        seat_ask(x, p);
    } else if (!seat || !seat->socket) {
        struct site *site = x->session->endpoint->site;
        if (x->seated || x->session->eio3)
            metrics_count(site->core->metrics, "bad_messages_total", "reason", "namespace",
                          site->name);
        else broken(x, "not connected");
    } else if (p->type == SIO_DISCONNECT) {
        seat_end(seat, 1000, "client namespace disconnect");
    } else if (!seat->close_reason) {
        take_for(seat->socket, text, p, a);
    }
}

/* ---- packets ---- */

static bool packet_read(const struct socketio *x, struct slice text, struct sio_packet *p) {
    const struct limits *l = limits_of(x);
    struct json_limits bounds = {l->json_depth, l->json_values, l->json_keys, false};
    return sio_packet_read(p, text, &bounds);
}

static void await_attachments(struct socketio *x, struct slice text, uint32_t count) {
    x->incoming = mem_new(sizeof *x->incoming);
    x->incoming->header = buf_copy(text);
    x->incoming->wanted = count;
}

/* All its attachments are here. */
static void take_incoming(struct socketio *x) {
    struct incoming *in = x->incoming;
    struct sio_packet p;
    x->incoming = NULL;
    if (packet_read(x, buf_slice(in->header), &p))
        take_packet(x, buf_slice(in->header), &p, &in->attachments);
    incoming_free(in);
}

static void take_attachment(struct socketio *x, struct slice data) {
    struct incoming *in = x->incoming;
    if (!in) {
        broken(x, "bytes without an event");
    } else if ((in->bytes += data.n) > limits_of(x)->ws_max_message) {
        site_limit(x->session->endpoint->site, "ws_max_message");
        broken(x, "too many bytes");
    } else {
        attachments_add(&in->attachments, buf_copy(data));
        if (in->attachments.count == in->wanted) take_incoming(x);
    }
}

static void take_text(struct socketio *x, struct slice text) {
    struct attachments none = {0};
    struct sio_packet p;
    if (x->incoming || !packet_read(x, text, &p)) {
        broken(x, "parse error");
    } else if (p.attachments > limits_of(x)->sio_attachments) {
        site_limit(x->session->endpoint->site, "sio_attachments");
        broken(x, "too many attachments");
    } else if (p.attachments) {
        await_attachments(x, text, p.attachments);
    } else {
        take_packet(x, text, &p, &none);
    }
}

/* Who is in no namespace has little to say. */
static bool may_speak(struct socketio *x) {
    if (x->seated || ++x->unseated <= limits_of(x)->unauth_frames) return true;
    site_limit(x->session->endpoint->site, "unauth_frames");
    session_close(x->session, 4401, "no namespace");
    return false;
}

static void received(struct session *s, struct slice data, bool binary) {
    struct socketio *x = s->socketio;
    if (!may_speak(x)) return;
    if (binary) take_attachment(x, data);
    else take_text(x, data);
}

/* What an endpoint's auth would say is for each namespace to say: auth is never given. */
static void opened(struct session *s, struct handshake *handshake, struct buf *auth) {
    struct socketio *x = s->socketio = mem_new(sizeof *x);
    buf_unref(auth);
    x->session = s;
    x->handshake = handshake;
    x->timer.fired = on_timer;
    list_init(&x->seats);
    deferred_init(&x->leave, on_leave);
    socketio_wait(x);
    if (s->eio3) seat_ask_root(x);
}

const struct dialect socketio_dialect = {
    .name = "socketio",
    .judges = true,
    .opened = opened,
    .received = received,
    .ended = ended,
    .close = close_socket,
    .answer = answer,
    .render = render,
    .joined = ignore,
    .left = ignore,
    .gap = gap,
    .call = call,
    .emit = emit,
};
