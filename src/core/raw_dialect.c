/* SPDX-License-Identifier: MIT */
/* The dialect without a protocol: every message goes to the script as it is, and what the script
 * sends goes out as it is. Channel messages arrive as {"channel":...,"message":...}, and before the
 * next, when some may be missing, {"channel":...,"gap":true}. On an endpoint with auth = "token" the
 * first message is the token, bare. */
#include "base/json.h"
#include "core/hooks.h"
#include "core/msg.h"
#include "core/token.h"

#include <errno.h>

static void on_taken(void *arg, int status, struct buf *auth) {
    struct socket *s = arg;
    s->logging_in = false;
    if (!socket_is_open(s)) {
        /* it went away meanwhile */
    } else if (status && status != -ENOENT) {
        socket_close(s, SOCKET_UNAVAILABLE, "unavailable");
    } else if (status) {
        auth_failed(s->site, &s->handshake->ip);
        token_log_unknown(s->site, &s->handshake->ip);
        socket_close(s, 4401, "token not found");
    } else if (!socket_authenticate(s, buf_ref(auth))) {
        socket_close(s, SOCKET_TOO_MANY, "too_many");
    } else if (s->site->has & HOOK_AUTHENTICATION) {
        s->site->hooks->authenticated(s, NULL);
    }
    if (s->session && s->session->ops->resume) s->session->ops->resume(s->session);
    socket_unref(s);
}

/* What stands behind the token waits until it is known whom it is from, where the transport can. */
static void login(struct socket *s, struct slice token) {
    if (!socket_on_probation(s, token.n)) return;
    if (!s->logging_in && uuid_v4_valid(token)) {
        s->logging_in = true;
        if (s->session->ops->pause) s->session->ops->pause(s->session);
        token_take(s->site, token, on_taken, socket_ref(s));
    } else {
        auth_failed(s->site, &s->handshake->ip);
        token_log_malformed(s->site, &s->handshake->ip);
        socket_close(s, 4401, "no token");
    }
}

static void received(struct session *session, struct slice data, bool binary) {
    struct socket *s = session->socket;
    if (!socket_is_admitted(s)) login(s, data);
    else if (s->site->has & HOOK_MESSAGE) s->site->hooks->message(s, data, binary);
}

static void answer(struct op *op) { (void)op; }

/* {"channel":...,"gap":true} */
static void gap(struct socket *s, struct slice channel) {
    struct text t = {0};
    text_add(&t, SLICE("{\"channel\":"));
    json_quote(&t, channel);
    text_add(&t, SLICE(",\"gap\":true}"));
    struct buf *frame = text_take(&t);
    socket_send(s, frame);
    buf_unref(frame);
}

static void ignore(struct socket *s, struct slice channel) {
    (void)s;
    (void)channel;
}

const struct dialect raw_dialect = {
    .name = "raw",
    .opened = sole_socket_opened,
    .received = received,
    .ended = sole_socket_ended,
    .close = sole_socket_close,
    .answer = answer,
    .render = msg_json,
    .joined = ignore,
    .left = ignore,
    .gap = gap,
};
