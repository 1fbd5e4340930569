/* SPDX-License-Identifier: MIT */
#include "core/session.h"

#include "core/site.h"

#include <assert.h>

/* A session goes NEW -> OPEN -> CLOSING -> ENDED, and from OPEN straight to ENDED when it is lost.
 */
static void set_state(struct session *s, enum session_state to) {
    assert(to > s->state);
    s->state = (uint8_t)to;
}

void session_open(struct session *s, const struct session_ops *ops, struct endpoint *endpoint,
                  struct handshake *handshake, struct buf *auth) {
    s->ops = ops;
    s->endpoint = endpoint;
    set_state(s, SESSION_OPEN);
    endpoint->dialect->opened(s, handshake, auth);
}

void session_received(struct session *s, struct slice data, bool binary) {
    if (s->state == SESSION_OPEN) s->endpoint->dialect->received(s, data, binary);
}

bool session_admits(struct session *s, struct rate *messages) {
    struct site *site = s->endpoint->site;
    const struct limits *l = site->limits;
    uint64_t now = loop_now_ms(site->core->loop);
    if (rate_allow(messages, now, l->ws_message_rate, l->ws_message_burst)) return true;
    site_limit(site, "ws_message_rate");
    session_close(s, 4429, "rate");
    return false;
}

void session_ended(struct session *s, int code, const char *reason) {
    if (s->state == SESSION_NEW || s->state == SESSION_ENDED) return;
    set_state(s, SESSION_ENDED);
    s->endpoint->dialect->ended(s, code, reason);
}

void session_send(struct session *s, struct buf *text) {
    if (s->state != SESSION_OPEN) return;
    if (!s->ops->wrap) {
        s->ops->send(s, text, false);
        return;
    }
    struct buf *wire = s->ops->wrap(buf_slice(text));
    s->ops->send(s, wire, false);
    buf_unref(wire);
}

void session_close(struct session *s, int code, const char *reason) {
    if (s->state != SESSION_OPEN) return;
    set_state(s, SESSION_CLOSING);
    s->ops->close(s, code, reason, false);
}
