/* SPDX-License-Identifier: MIT */
#include "core/socket.h"

#include "core/call.h"
#include "core/hooks.h"
#include "core/hub.h"
#include "core/push_client.h"
#include "core/user.h"

#include <time.h>

struct probation {
    struct timer timer;
    struct socket *socket;
    uint64_t messages, bytes;
};

struct socket_work *socket_work(struct socket *s) {
    if (s->work) return s->work;
    s->work = mem_new(sizeof *s->work);
    list_init(&s->work->ops);
    list_init(&s->work->calls);
    return s->work;
}

/* ---- before authentication ---- */

static void on_probation_over(struct timer *t) {
    struct probation *p = container_of(t, struct probation, timer);
    site_limit(p->socket->site, "unauth_timeout");
    socket_close(p->socket, 4408, "authentication timeout");
}

static void probation_start(struct socket *s) {
    struct probation *p = s->probation = mem_new(sizeof *p);
    p->socket = s;
    p->timer.fired = on_probation_over;
    if (s->site->limits->unauth_timeout != LIMIT_OFF)
        timer_start(s->site->core->loop, &p->timer, s->site->limits->unauth_timeout);
}

static void probation_end(struct socket *s) {
    if (!s->probation) return;
    timer_stop(s->site->core->loop, &s->probation->timer);
    mem_free(s->probation);
    s->probation = NULL;
}

bool socket_on_probation(struct socket *s, size_t bytes) {
    struct probation *p = s->probation;
    if (!p) return true;
    p->messages++;
    p->bytes += bytes;
    if (p->messages <= s->site->limits->unauth_frames && p->bytes <= s->site->limits->unauth_bytes)
        return true;
    site_limit(s->site, "unauth_frames");
    socket_close(s, 4401, "not authenticated");
    return false;
}

bool socket_strike(struct socket *s) {
    if (++socket_work(s)->strikes < s->site->limits->json_strikes) return true;
    site_limit(s->site, "json_strikes");
    socket_close(s, 1008, "not JSON");
    return false;
}

/* ---- life ---- */

/* Whoever reads it on another node knows where to ask for the socket. */
static void make_sid(struct socket *s) {
    struct core *core = s->site->core;
    memcpy(s->sid, core->node, NODE_LENGTH);
    random_name(core->random, s->sid + NODE_LENGTH, SID_LENGTH - NODE_LENGTH);
}

struct socket *socket_new(struct session *session, struct endpoint *endpoint,
                          struct handshake *handshake) {
    struct socket *s = mem_new(sizeof *s);
    s->refs = 1;
    s->session = session;
    s->endpoint = endpoint;
    s->site = endpoint->site;
    s->dialect = endpoint->dialect;
    s->handshake = handshake;
    s->created_s = (uint32_t)time(NULL);
    make_sid(s);
    map_add(&s->site->sockets, &s->by_sid, slice_make(s->sid, SID_LENGTH));
    return s;
}

void socket_enter(struct socket *s, struct buf *auth) {
    if (auth) {
        if (!socket_authenticate(s, auth)) socket_close(s, SOCKET_TOO_MANY, "too_many");
        else if (s->site->has & HOOK_AUTHENTICATION) s->site->hooks->authenticated(s, NULL);
    } else if (s->endpoint->conf->auth == AUTH_NONE) {
        socket_admit(s);
    } else {
        probation_start(s);
    }
}

void socket_admit(struct socket *s) {
    if (s->connected) return;
    s->connected = true;
    push_client_enter(s);
    if (s->site->has & HOOK_CONNECT) s->site->hooks->connect(s);
}

bool socket_authenticate(struct socket *s, struct buf *auth) {
    buf_unref(s->auth);
    s->auth = auth;
    user_leave(s); /* a second login may be another's */
    if (!user_enter(s)) return false;
    probation_end(s);
    socket_admit(s);
    return true;
}

void socket_ended(struct socket *s, int code, const char *reason) {
    socket_ref(s); /* the hooks below may let the last of the others go */
    s->session = NULL;
    map_remove(&s->site->sockets, &s->by_sid);
    probation_end(s);
    user_leave(s);
    calls_close(s);
    push_client_leave(s);
    hub_leave(s);
    ops_close(s);
    if (s->connected && s->site->has & HOOK_DISCONNECT) s->site->hooks->disconnect(s, code, reason);
    socket_unref(s);
    socket_unref(s); /* the session's */
}

void socket_resume(struct socket *s, struct slice sid) {
    struct map *sockets = &s->site->sockets;
    if (sid.n != SID_LENGTH || map_find(sockets, sid)) return;
    map_remove(sockets, &s->by_sid);
    memcpy(s->sid, sid.p, SID_LENGTH);
    map_add(sockets, &s->by_sid, slice_make(s->sid, SID_LENGTH));
}

void sole_socket_opened(struct session *s, struct handshake *handshake, struct buf *auth) {
    s->socket = socket_new(s, s->endpoint, handshake);
    socket_enter(s->socket, auth);
}

void sole_socket_ended(struct session *s, int code, const char *reason) {
    struct socket *socket = s->socket;
    s->socket = NULL;
    socket_ended(socket, code, reason);
}

void sole_socket_close(struct socket *s, int code, const char *reason, bool whole) {
    (void)whole;
    session_close(s->session, code, reason);
}

void socket_unref(struct socket *s) {
    if (--s->refs) return;
    if (s->script) s->site->hooks->forget(s);
    mem_free(s->work);
    handshake_unref(s->handshake);
    buf_unref(s->auth);
    mem_free(s);
}

/* ---- use ---- */

void socket_close(struct socket *s, int code, const char *reason) {
    if (s->session) s->dialect->close(s, code, reason, false);
}

void socket_close_whole(struct socket *s, int code, const char *reason) {
    if (s->session) s->dialect->close(s, code, reason, true);
}

struct socket *socket_find(struct site *site, struct slice sid) {
    struct map_link *l = map_find(&site->sockets, sid);
    return l ? container_of(l, struct socket, by_sid) : NULL;
}

void socket_send(struct socket *s, struct buf *text) {
    if (socket_is_open(s)) session_send(s->session, text);
}

bool socket_send_binary(struct socket *s, struct buf *data) {
    if (!s->session || !s->session->ops->binary) return false;
    if (socket_is_open(s)) s->session->ops->send(s->session, data, true);
    return true;
}

const char *socket_protocol(const struct socket *s) {
    return s->session ? s->session->ops->protocol(s->session) : "";
}
