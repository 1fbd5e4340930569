/* SPDX-License-Identifier: MIT */
/* The plain WebSocket: a session is a connection, a message is a message. */
#include "transport/websocket.h"

#include "core/token.h"
#include "transport/opening.h"

/* Larger messages would not fit into a buf. */
#define MAX_MESSAGE (UINT64_C(1) << 30)

struct websocket {
    struct session session;
    struct ws ws;
};

/* ---- the session ---- */

static struct websocket *of_session(const struct session *s) {
    return container_of(s, struct websocket, session);
}

static struct websocket *of_ws(struct ws *w) { return container_of(w, struct websocket, ws); }

static void session_send_ws(struct session *s, struct buf *wire, bool binary) {
    ws_send(&of_session(s)->ws, wire, binary);
}

static size_t session_backlog_ws(const struct session *s) { return ws_backlog(&of_session(s)->ws); }
static void session_pause_ws(struct session *s) { ws_pause(&of_session(s)->ws); }
static void session_resume_ws(struct session *s) { ws_resume(&of_session(s)->ws); }

static void session_close_ws(struct session *s, int code, const char *reason, bool slow) {
    struct ws *w = &of_session(s)->ws;
    if (slow) ws_close_slow(w, code, slice_of(reason));
    else ws_close(w, code, slice_of(reason));
}

static const char *session_protocol_ws(const struct session *s) {
    (void)s;
    return "websocket";
}

static const struct session_ops session_ops = {.send = session_send_ws,
                                               .backlog = session_backlog_ws,
                                               .pause = session_pause_ws,
                                               .resume = session_resume_ws,
                                               .close = session_close_ws,
                                               .protocol = session_protocol_ws,
                                               .binary = true};

static void on_message(struct ws *w, struct slice data, bool binary) {
    session_received(&of_ws(w)->session, data, binary);
}

static void on_closed(struct ws *w, int code, struct slice reason) {
    struct websocket *x = of_ws(w);
    char *text = slice_cstr(reason);
    session_ended(&x->session, code, text);
    mem_free(text);
    mem_free(x);
}

static const struct ws_ops ws_ops = {.message = on_message, .closed = on_closed};

/* Takes auth. */
static void admit(struct endpoint *ep, struct request *r, struct buf *auth) {
    struct websocket *x = mem_new(sizeof *x);
    struct handshake *handshake = opening_handshake(r, HANDSHAKE_SOCKET);
    ws_accept(&x->ws, r, ep->state, &ws_ops);
    session_open(&x->session, &session_ops, ep, handshake, auth);
}

/* ---- a request that the script judges ---- */

struct judged {
    struct endpoint *ep;
    struct request *request;
    struct login *login;
};

/* The client did not wait. */
static void on_aborted(struct request *r) {
    struct judged *j = r->user;
    j->login->asker = NULL;
    mem_free(j);
}

static void refuse_client(struct site *site, struct request *r) {
    struct ip ip = opening_ip(r);
    auth_failed(site, &ip);
    ws_refuse(r, 403);
}

static void on_judged(struct login *l) {
    struct judged *j = l->asker;
    struct request *r = j->request;
    r->aborted = NULL;
    int full = site_admits(j->ep->site);
    if (l->outcome == LOGIN_FAILED) {
        ws_refuse(r, 503);
    } else if (l->outcome != LOGIN_ADMITTED) {
        refuse_client(j->ep->site, r);
    } else if (full) {
        ws_refuse(r, full);
    } else {
        admit(j->ep, r, l->auth);
        l->auth = NULL; /* taken */
    }
    login_free(l);
    mem_free(j);
}

static void judge(struct endpoint *ep, struct request *r) {
    struct judged *j = mem_new(sizeof *j);
    j->ep = ep;
    j->request = r;
    r->user = j;
    r->aborted = on_aborted;
    j->login = login_start(ep->site, opening_handshake(r, HANDSHAKE_ALL), false, on_judged, j);
}

/* ---- the transport ---- */

/* 0, or the status to refuse r with. */
static int refusal(struct endpoint *ep, const struct request *r) {
    int status = ws_check(r);
    if (status) return status;
    if (!opening_origin(ep, r)) return 403;
    struct ip ip = opening_ip(r);
    return auth_blocked(ep->site, &ip) ? 429 : site_admits(ep->site);
}

static void websocket_serve(struct endpoint *ep, struct request *r, struct slice rest) {
    if (rest.n && !slice_is(rest, "/")) {
        http_error(r, 404, "no such path");
        return;
    }
    int status = refusal(ep, r);
    if (status) ws_refuse(r, status);
    else if (ep->conf->auth == AUTH_REQUEST) judge(ep, r);
    else admit(ep, r, NULL);
}

struct ws_settings websocket_settings(const struct endpoint *ep) {
    const struct endpoint_conf *conf = ep->conf;
    return (struct ws_settings){
        .max_message = conf->max_message < MAX_MESSAGE ? conf->max_message : MAX_MESSAGE,
        .max_fragments = conf->max_fragments,
        .compress = conf->compress,
        .compress_level = conf->compress_level,
        .compress_min = conf->compress_min,
        .window_bits = conf->window_bits,
        .context_takeover = conf->context_takeover,
        .protocols = slice_of(conf->protocols),
        .patient = ep->site->conf->slow == SLOW_DROP,
        .ping = conf->ping,
        .limits = ep->site->limits,
        .site = ep->site->name,
    };
}

static void websocket_open(struct endpoint *ep, struct net *net) {
    (void)net;
    struct ws_settings *settings = mem_new(sizeof *settings);
    *settings = websocket_settings(ep);
    ep->state = settings;
}

static void websocket_close(struct endpoint *ep) {
    mem_free(ep->state);
    ep->state = NULL;
}

const struct transport websocket_transport = {.name = "websocket",
                                              .open = websocket_open,
                                              .serve = websocket_serve,
                                              .close = websocket_close};
