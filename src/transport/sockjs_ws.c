/* SPDX-License-Identifier: MIT */
/* The WebSocket endpoints. Under a session's URL frames are spoken as over HTTP, but the session is
 * the connection: its id means nothing, any number may share one. The raw endpoint carries messages
 * as they are. Heartbeats are pings of the protocol below, for both. */
#include "core/login.h"
#include "transport/opening.h"
#include "transport/sockjs.h"
#include "transport/websocket.h"

struct sockjs_ws {
    struct session session;
    struct ws ws;
    struct sockjs *sockjs;
    struct request *request; /* while the script judges it; else NULL */
    struct login *login;     /* likewise */
    char *close_reason;      /* the first heard of; NULL: it is open */
    int close_code;
    bool raw;
};

static struct sockjs_ws *of_session(const struct session *session) {
    return container_of(session, struct sockjs_ws, session);
}

static struct sockjs_ws *of_ws(struct ws *w) { return container_of(w, struct sockjs_ws, ws); }

/* ---- what the core asks of it ---- */

static void on_send(struct session *session, struct buf *wire, bool binary) {
    ws_send(&of_session(session)->ws, wire, binary);
}

static size_t on_backlog(const struct session *session) {
    return ws_backlog(&of_session(session)->ws);
}

static void on_pause(struct session *session) { ws_pause(&of_session(session)->ws); }
static void on_resume(struct session *session) { ws_resume(&of_session(session)->ws); }

/* What the core is told in the end: the other side of a framed session hears of it in the c frame,
 * and its WebSocket always closes normally. */
static void keep_reason(struct sockjs_ws *sw, int code, struct slice reason) {
    if (sw->close_reason) return;
    sw->close_code = code;
    sw->close_reason = slice_cstr(reason);
}

static void on_close(struct session *session, int code, const char *reason, bool slow) {
    struct sockjs_ws *sw = of_session(session);
    keep_reason(sw, code, slice_of(reason));
    if (slow) {
        ws_close_slow(&sw->ws, code, slice_of(reason));
    } else if (sw->raw) {
        ws_close(&sw->ws, code, slice_of(reason));
    } else {
        struct buf *frame = sockjs_close_frame(code, reason);
        ws_send(&sw->ws, frame, false);
        buf_unref(frame);
        ws_close(&sw->ws, 1000, SLICE("Normal closure"));
    }
}

static const char *on_protocol(const struct session *session) {
    return of_session(session)->raw ? "websocket-raw" : "websocket";
}

static const struct session_ops framed_session = {.wrap = sockjs_wrap,
                                                  .send = on_send,
                                                  .backlog = on_backlog,
                                                  .pause = on_pause,
                                                  .resume = on_resume,
                                                  .close = on_close,
                                                  .protocol = on_protocol,
                                                  .surrogates = true};

static const struct session_ops raw_session = {.send = on_send,
                                               .backlog = on_backlog,
                                               .pause = on_pause,
                                               .resume = on_resume,
                                               .close = on_close,
                                               .protocol = on_protocol,
                                               .binary = true};

/* ---- what comes in ---- */

static void on_raw_message(struct ws *w, struct slice data, bool binary) {
    session_received(&of_ws(w)->session, data, binary);
}

static void on_framed_message(struct ws *w, struct slice data, bool binary) {
    struct sockjs_ws *sw = of_ws(w);
    struct sockjs_messages messages;
    (void)binary; /* parsed as if it were text */
    if (sockjs_body_check(&messages, data, w->settings->limits, UINT64_MAX, true)) {
        keep_reason(sw, 3000, SLICE("Broken framing."));
        ws_close(w, 3000, SLICE("Broken framing."));
        return;
    }
    uint64_t n = 0;
    for (struct slice message; sockjs_body_next(&messages, &message); n++)
        session_received(&sw->session, message, false);
    if (n > 1) ws_count_messages(w, n - 1); /* the frame itself was counted */
    sockjs_body_fini(&messages);
}

static void socket_free(struct sockjs_ws *sw) {
    mem_free(sw->close_reason);
    mem_free(sw);
}

static void on_closed(struct ws *w, int code, struct slice reason) {
    struct sockjs_ws *sw = of_ws(w);
    keep_reason(sw, code, reason);
    session_ended(&sw->session, sw->close_code, sw->close_reason);
    socket_free(sw);
}

static const struct ws_ops framed_ws = {.message = on_framed_message, .closed = on_closed};
static const struct ws_ops raw_ws = {.message = on_raw_message, .closed = on_closed};

/* ---- the beginning ---- */

static void socket_start(struct sockjs_ws *sw, struct request *r, struct buf *auth) {
    struct handshake *handshake = opening_handshake(r, HANDSHAKE_NO_COOKIE);
    ws_accept(&sw->ws, r, &sw->sockjs->ws, sw->raw ? &raw_ws : &framed_ws);
    if (!sw->raw) {
        struct buf *open = buf_copy(SLICE("o"));
        ws_send(&sw->ws, open, false);
        buf_unref(open);
    }
    session_open(&sw->session, sw->raw ? &raw_session : &framed_session, sw->sockjs->endpoint,
                 handshake, auth);
}

static void on_aborted(struct request *r) {
    struct sockjs_ws *sw = r->user;
    sw->login->asker = NULL;
    socket_free(sw);
}

static void on_judged(struct login *l) {
    struct sockjs_ws *sw = l->asker;
    struct request *r = sw->request;
    struct buf *auth = l->auth;
    int status = sockjs_judged_status(sw->sockjs, r, l);
    if (!status) l->auth = NULL;
    login_free(l);
    sw->request = NULL;
    sw->login = NULL;
    r->aborted = NULL;
    if (!status) {
        socket_start(sw, r, auth);
    } else {
        socket_free(sw);
        ws_refuse(r, status);
    }
}

/* What is wrong with a handshake, or NULL. */
static const char *fault(const struct request *r) {
    if (!http_header_has(r, "Upgrade", "websocket"))
        return "Can \"Upgrade\" only to \"WebSocket\".\n";
    if (!http_header_has(r, "Connection", "upgrade"))
        return "Not a valid websocket request: \"Connection\" must be \"Upgrade\".\n";
    return ws_check_versions(r, true) ? "Not a valid websocket request\n" : NULL;
}

static void refuse_handshake(struct request *r, const char *text) {
    struct sockjs_headers h = {0};
    sockjs_header(&h, "Content-Type", SLICE("text/plain; charset=UTF-8"));
    sockjs_header(&h, "X-Content-Type-Options", SLICE("nosniff"));
    http_reply(r, 400, h.list, slice_of(text));
}

void sockjs_ws_serve(struct sockjs *k, struct request *r, bool raw) {
    const char *wrong = fault(r);
    if (wrong) {
        refuse_handshake(r, wrong);
        return;
    }
    int status = sockjs_opening_status(k, r);
    if (status) {
        ws_refuse(r, status);
        return;
    }
    struct sockjs_ws *sw = mem_new(sizeof *sw);
    sw->sockjs = k;
    sw->raw = raw;
    if (k->endpoint->conf->auth != AUTH_REQUEST) {
        socket_start(sw, r, NULL);
        return;
    }
    sw->request = r;
    r->user = sw;
    r->aborted = on_aborted;
    struct handshake *request = opening_handshake(r, HANDSHAKE_ALL);
    sw->login = login_start(k->endpoint->site, request, false, on_judged, sw);
}

void sockjs_ws_init(struct sockjs *k) {
    k->ws = websocket_settings(k->endpoint);
    k->ws.protocols = (struct slice){NULL, 0};
    k->ws.ping = true;
    k->ws.ping_interval_ms = k->endpoint->conf->heartbeat_ms;
}
