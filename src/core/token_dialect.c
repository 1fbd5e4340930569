/* SPDX-License-Identifier: MIT */
/* The messages of node-token-sockjs (wire/token-sockjs.md sections 5 to 7): JSON objects, told
 * apart by "rpc"; each is scanned once for its envelope, copied once, and answered at most once
 * under its own "uuid". Closes carry 1000 where its clients' documents say so, else 4401. */
#include "base/json.h"
#include "core/call.h"
#include "core/hooks.h"
#include "core/hub.h"
#include "core/msg.h"
#include "core/token.h"

#include <errno.h>

/* ---- frames ---- */

static void frame_send(struct socket *s, struct text *t) {
    struct buf *frame = text_take(t);
    socket_send(s, frame);
    buf_unref(frame);
}

static void add_member(struct text *t, const char *name, struct slice raw) {
    if (!raw.n) return;
    if (t->n > 1) text_char(t, ',');
    text_char(t, '"');
    text_str(t, name);
    text_add(t, SLICE("\":"));
    text_add(t, raw);
}

static void add_channel(struct text *t, struct slice channel) {
    text_add(t, SLICE("\"channel\":"));
    json_quote(t, channel);
}

/* {"internal":true,"command":"...","data":{"channel":"..."}} */
static void internal_send(struct socket *s, const char *command, struct slice channel) {
    struct text t = {0};
    text_add(&t, SLICE("{\"internal\":true,\"command\":\""));
    text_str(&t, command);
    text_add(&t, SLICE("\",\"data\":{"));
    add_channel(&t, channel);
    text_add(&t, SLICE("}}"));
    frame_send(s, &t);
}

static void joined(struct socket *s, struct slice channel) {
    internal_send(s, "subscribe", channel);
}
static void left(struct socket *s, struct slice channel) {
    internal_send(s, "unsubscribe", channel);
}
static void gap(struct socket *s, struct slice channel) { internal_send(s, "gap", channel); }

/* Where the history is, and whether the client gets what it missed: "offset" and "epoch" to come back
 * with, "recovered" when it came with some. */
static void add_position(struct text *t, const struct joined *joined) {
    if (!joined) return;
    if (joined->top.epoch[0])
        text_format(t, ",\"offset\":%llu,\"epoch\":\"%s\"", (unsigned long long)joined->top.offset,
                    joined->top.epoch);
    if (joined->asked) text_format(t, ",\"recovered\":%s", joined->recovered ? "true" : "false");
}

/* The 3.1.0 form, which browser client 3.1.3 needs for its callback. */
static void subscribed_send(const struct op *op) {
    struct text t = {0};
    text_add(&t, SLICE("{\"internal\":true,\"command\":\"subscribe\",\"data\":{\"rpc\":"));
    text_add(&t, op->rpc);
    add_member(&t, "req", op->request);
    add_member(&t, "uuid", op->uuid);
    text_char(&t, ',');
    add_channel(&t, op->channel);
    add_position(&t, op->joined);
    text_add(&t, SLICE("}}"));
    frame_send(op->socket, &t);
}

static void call(struct socket *s, const struct call *c) {
    struct text t = {0};
    text_add(&t, SLICE("{\"internal\":true,\"command\":\"rpc\",\"data\":{\"fid\":\""));
    text_str(&t, c->fid);
    text_add(&t, SLICE("\",\"command\":"));
    json_quote(&t, buf_slice(c->name));
    add_member(&t, "args", buf_slice(c->args));
    text_add(&t, SLICE("}}"));
    frame_send(s, &t);
}

/* ---- the members of a message ---- */

enum { RPC, UUID, REQ, TOKEN, FID, RESP, MEMBERS };

static const struct slice member_names[MEMBERS] = {{"rpc", 3},   {"uuid", 4}, {"req", 3},
                                                   {"token", 5}, {"fid", 3},  {"resp", 4}};

struct envelope {
    struct json_value values[MEMBERS];
    struct slice text; /* the whole message */
    struct slice rpc;  /* plain text; empty unless rpc is a string */
};

/* Tells the client that its message failed, echoing what identifies it. */
static void refuse(struct socket *s, const struct envelope *e, bool with_request,
                   const char *error) {
    struct text t = {0};
    text_char(&t, '{');
    add_member(&t, "rpc", e->values[RPC].raw);
    add_member(&t, "token", e->values[TOKEN].raw);
    if (with_request) add_member(&t, "req", e->values[REQ].raw);
    add_member(&t, "uuid", e->values[UUID].raw);
    if (t.n > 1) text_char(&t, ',');
    text_add(&t, SLICE("\"error\":"));
    json_quote(&t, slice_of(error));
    text_char(&t, '}');
    frame_send(s, &t);
}

static bool is_truthy(const struct json_value *v) {
    switch (v->type) {
    case JSON_NONE:
    case JSON_NULL:
    case JSON_FALSE: return false;
    case JSON_STRING: return v->raw.n > 2;
    case JSON_NUMBER: {
        bool is_integer;
        int64_t i = 0;
        double d = 0;
        json_number(v->raw, &is_integer, &i, &d);
        return is_integer ? i != 0 : d != 0;
    }
    default: return true;
    }
}

/* The same part of the message in the op's own copy of it. */
static struct slice moved(const struct op *op, const struct envelope *e, struct slice part) {
    return part.p ? slice_make(op->message->data + (part.p - e->text.p), part.n) : part;
}

static struct op *op_of(struct socket *s, enum op_kind kind, const struct envelope *e) {
    struct op *op = op_new(s, kind, buf_copy(e->text));
    op->rpc = moved(op, e, e->values[RPC].raw);
    op->uuid = moved(op, e, e->values[UUID].raw);
    op->request = moved(op, e, e->values[REQ].raw);
    return op;
}

/* ---- auth ---- */

static void on_taken(void *arg, int status, struct buf *auth) {
    struct op *op = arg;
    struct socket *s = op->socket;
    s->logging_in = false;
    if (!socket_is_open(s)) {
        op_finish(op);
        return;
    }
    if (status == -ENOENT) {
        auth_failed(s->site, &s->handshake->ip);
        token_log_unknown(s->site, &s->handshake->ip);
        op_fail_text(op, "Token not found");
        return;
    }
    if (status) {
        op->close_code = SOCKET_UNAVAILABLE;
        op_fail_text(op, "unavailable");
        return;
    }
    if (!socket_authenticate(s, buf_ref(auth))) {
        op->close_code = SOCKET_TOO_MANY;
        op_fail_text(op, "too_many");
        return;
    }
    if (s->site->has & HOOK_AUTHENTICATION && s->site->hooks->authenticated(s, op) == WAIT) return;
    op_finish(op);
}

/* A second login on a socket is refused unless the site allows it: it would change who the other
 * messages of the socket, already under way, are from. */
static void login(struct socket *s, const struct envelope *e) {
    const struct json_value *token = &e->values[TOKEN];
    if (s->logging_in || (s->auth && !s->site->conf->token.reauth)) {
        refuse(s, e, false, "Forbidden");
        return;
    }
    struct text room = {0};
    struct slice id = token->type == JSON_STRING ? json_string(token->raw, &room) : token->raw;
    if (token->type == JSON_STRING && uuid_v4_valid(id)) {
        struct op *op = op_of(s, OP_AUTH, e);
        op->data = moved(op, e, token->raw);
        s->logging_in = true;
        op_start(op);
        token_take(s->site, id, on_taken, op);
    } else {
        auth_failed(s->site, &s->handshake->ip);
        token_log_malformed(s->site, &s->handshake->ip);
        if (token->type != JSON_STRING) refuse(s, e, true, "Forbidden");
        socket_close(s, 1000, "Normal closure");
    }
    text_fini(&room);
}

static void auth_answer(const struct op *op) {
    struct text t = {0};
    text_char(&t, '{');
    add_member(&t, "rpc", op->rpc);
    add_member(&t, "token", op->data);
    add_member(&t, "uuid", op->uuid);
    if (op->error) add_member(&t, "error", buf_slice(op->error));
    else add_member(&t, "resp", SLICE("\"success\""));
    text_char(&t, '}');
    frame_send(op->socket, &t);
    if (!op->error) return;
    if (op->close_code == SOCKET_TOO_MANY) socket_close(op->socket, SOCKET_TOO_MANY, "too_many");
    else if (op->close_code) socket_close(op->socket, SOCKET_UNAVAILABLE, "unavailable");
    else socket_close(op->socket, 1000, "Normal closure");
}

/* ---- commands ---- */

static void answer_call(struct socket *s, const struct envelope *e) {
    struct text room = {0};
    struct json_value resp = e->values[RESP], error, data;
    struct slice fid = {NULL, 0};
    if (resp.type != JSON_OBJECT) {
        refuse(s, e, false, "Invalid request");
        return;
    }
    if (e->values[FID].type == JSON_STRING) fid = json_string(e->values[FID].raw, &room);
    error = json_member(resp.raw, SLICE("error"));
    data = json_member(resp.raw, SLICE("data"));
    bool refused = is_truthy(&error);
    if (!call_answer(s, fid, refused, refused ? error.raw : data.raw))
        metrics_count(s->site->core->metrics, "call_answers_ignored_total", NULL, NULL,
                      s->site->name);
    text_fini(&room);
}

/* Gives op its channel, plain; false when the request has none. */
static bool take_channel(struct op *op, const struct json_value *request) {
    struct json_value channel = json_member(request->raw, SLICE("channel"));
    if (channel.type != JSON_STRING) return false;
    struct slice at = slice_make(op->request.p + (channel.raw.p - request->raw.p), channel.raw.n);
    op->channel = json_string(at, &op->names);
    return true;
}

static bool take_data(struct op *op, const struct json_value *request) {
    struct json_value data = json_member(request->raw, SLICE("data"));
    if (data.type == JSON_NONE) return false;
    op->data = slice_make(op->request.p + (data.raw.p - request->raw.p), data.raw.n);
    return true;
}

/* What the client had last, if it says so. */
static void take_since(struct op *op, const struct json_value *request) {
    struct json_value epoch = json_member(request->raw, SLICE("epoch"));
    struct json_value offset = json_member(request->raw, SLICE("offset"));
    if (epoch.type == JSON_NONE && offset.type == JSON_NONE) return;
    if (!position_read(&epoch, &offset, &op->since))
        op->since = (struct position){.epoch = "?"}; /* nobody's: so it hears that it cannot */
}

static void command(struct socket *s, const struct envelope *e, enum op_kind kind) {
    const struct json_value *request = &e->values[REQ];
    if (request->type == JSON_OBJECT) {
        struct op *op = op_of(s, kind, e);
        bool complete = (kind == OP_BROADCAST || take_channel(op, request)) &&
                        (kind < OP_PUBLISH || take_data(op, request));
        if (complete && kind == OP_SUBSCRIBE) take_since(op, request);
        if (complete) op_start(op);
        else op_abandon(op, "Invalid request");
        return;
    }
    refuse(s, e, false, "Invalid request");
}

static void remote_call(struct socket *s, const struct envelope *e) {
    const struct limits *limits = s->site->limits;
    struct op *op = op_of(s, OP_RPC, e);
    op->name = json_string(op->rpc, &op->names);
    if (op->name.n > limits->rpc_name) op_abandon(op, "Function not found");
    else op_start(op);
}

static void pong(struct socket *s, const struct envelope *e) {
    struct text t = {0};
    text_char(&t, '{');
    add_member(&t, "rpc", e->values[RPC].raw);
    add_member(&t, "uuid", e->values[UUID].raw);
    add_member(&t, "resp", SLICE("{\"message\":\"pong\"}"));
    text_char(&t, '}');
    frame_send(s, &t);
}

static void dispatch(struct socket *s, const struct envelope *e) {
    static const struct {
        const char *name;
        enum op_kind kind;
    } commands[] = {{"_subscribe", OP_SUBSCRIBE},
                    {"_unsubscribe", OP_UNSUBSCRIBE},
                    {"_publish", OP_PUBLISH},
                    {"_broadcast", OP_BROADCAST}};
    if (!e->rpc.n) {
        refuse(s, e, false, "Invalid request");
        return;
    }
    if (e->rpc.p[0] != '_') {
        remote_call(s, e);
        return;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (!slice_is(e->rpc, commands[i].name)) continue;
        command(s, e, commands[i].kind);
        return;
    }
    if (slice_is(e->rpc, "_rpc")) answer_call(s, e);
    else if (slice_is(e->rpc, "_ping")) pong(s, e);
    else remote_call(s, e);
}

/* ---- the dialect ---- */

static void invalid(struct socket *s) {
    struct text t = {0};
    text_add(&t, SLICE("{\"error\":\"Invalid message\"}"));
    metrics_count(s->site->core->metrics, "bad_messages_total", "reason", "json", s->site->name);
    frame_send(s, &t);
    socket_strike(s);
}

static void received(struct session *session, struct slice data, bool binary) {
    struct socket *s = session->socket;
    const struct limits *limits = s->site->limits;
    struct json_limits bounds = {limits->json_depth, limits->json_values, limits->json_keys, false};
    struct envelope e = {.text = data};
    struct json_value value;
    struct text room = {0};
    if (binary) {
        socket_close(s, 1003, "text only");
        return;
    }
    if (!socket_on_probation(s, data.n)) return;
    if (json_envelope(data, &bounds, &value, member_names, e.values, MEMBERS)) {
        invalid(s);
        return;
    }
    if (e.values[RPC].type == JSON_STRING) e.rpc = json_string(e.values[RPC].raw, &room);
    if (slice_is(e.rpc, "auth") && is_truthy(&e.values[TOKEN])) {
        login(s, &e);
    } else if (!socket_is_admitted(s)) {
        refuse(s, &e, true, "Forbidden");
        socket_close(s, 4401, "not authenticated");
    } else {
        dispatch(s, &e);
    }
    text_fini(&room);
}

static void answer(struct op *op) {
    if (op->kind == OP_AUTH) {
        auth_answer(op);
        return;
    }
    if (!op->error && op->kind == OP_SUBSCRIBE) {
        subscribed_send(op);
        return;
    }
    if (!op->error && op->kind == OP_UNSUBSCRIBE) {
        left(op->socket, op->channel);
        return;
    }
    if (!op->error && op->kind != OP_RPC) return;
    struct text t = {0};
    text_char(&t, '{');
    add_member(&t, "rpc", op->rpc);
    add_member(&t, "uuid", op->uuid);
    if (op->error) add_member(&t, "error", buf_slice(op->error));
    else if (op->result) add_member(&t, "resp", buf_slice(op->result));
    text_char(&t, '}');
    frame_send(op->socket, &t);
}

const struct dialect token_dialect = {
    .name = "token",
    .opened = sole_socket_opened,
    .received = received,
    .ended = sole_socket_ended,
    .close = sole_socket_close,
    .answer = answer,
    .render = msg_json,
    .joined = joined,
    .left = left,
    .gap = gap,
    .call = call,
};
