/* SPDX-License-Identifier: MIT */
/* The requests of an endpoint: who may ask for what, in the order in which the reference looks, so
 * that clients read the errors they know; then handshakes, polls, posts and preflights.
 *
 * A post is handed to us when all of it is there, so two of them never overlap, as two polls may.
 */
#include "core/login.h"
#include "core/token.h"
#include "transport/engineio.h"
#include "transport/opening.h"

#include <assert.h>
#include <stdio.h>

#define HTML "text/html"
#define JSON "application/json"

/* ---- headers ---- */

void eio_header(struct eio_headers *h, const char *name, struct slice value) {
    assert(h->n < EIO_HEADERS_MAX);
    h->list[h->n++] = (struct http_header){slice_of(name), value};
}

/* Clients of protocol 3 always send credentials, and a browser refuses "*" for those: so the origin
 * is named. What a page may not have is kept from it by opening_origin. */
static void add_cors(struct eio_headers *h, const struct engineio *e, const struct request *r,
                     const struct eio_query *q) {
    struct slice origin = http_header(r, "Origin");
    bool opaque = slice_is(origin, "null");
    if (origin.n || q->version == 3)
        eio_header(h, "Access-Control-Allow-Origin", origin.n ? origin : SLICE("*"));
    if (origin.n && !(opaque && opening_picks(e->endpoint)))
        eio_header(h, "Access-Control-Allow-Credentials", SLICE("true"));
    eio_header(h, "Vary", SLICE("Origin"));
}

/* With protocol 3 every answer has it, as clients were used to; with 4 the first. */
static void add_cookie(struct eio_headers *h, const struct eio_query *q,
                       const struct eio_session *s) {
    if (q->version != 3 && q->sid.p) return;
    snprintf(h->cookie, sizeof h->cookie, "io=%s; Path=/; HttpOnly%s", s->sid,
             q->version == 3 ? "" : "; SameSite=Lax");
    eio_header(h, "Set-Cookie", slice_of(h->cookie));
}

void eio_headers_fill(struct eio_headers *h, const struct engineio *e, const struct request *r,
                      const struct eio_query *q, const struct eio_session *s, const char *type) {
    if (type) eio_header(h, "Content-Type", slice_of(type));
    eio_header(h, "Cache-Control", SLICE("no-store"));
    eio_header(h, "X-Content-Type-Options", SLICE("nosniff"));
    add_cors(h, e, r, q);
    if (s && e->endpoint->conf->cookie) add_cookie(h, q, s);
}

static void reply(struct engineio *e, struct request *r, const struct eio_query *q,
                  const struct eio_session *s, int status, const char *type, const char *body) {
    struct eio_headers h = {0};
    eio_headers_fill(&h, e, r, q, s, type);
    http_reply(r, status, h.list, slice_of(body));
}

/* ---- errors ---- */

enum eio_error {
    EIO_GOOD = -1,
    EIO_NO_TRANSPORT,
    EIO_NO_SESSION,
    EIO_BAD_METHOD,
    EIO_BAD_REQUEST,
    EIO_FORBIDDEN,
    EIO_BAD_VERSION
};

static const char *error_text(enum eio_error error) {
    static const char *const texts[] = {
        "Transport unknown", "Session ID unknown", "Bad handshake method",
        "Bad request",       "Forbidden",          "Unsupported protocol version"};
    return texts[error];
}

/* Whoever asked for a WebSocket reads no JSON; and what comes behind such a request is no HTTP. */
static void refuse(struct engineio *e, struct request *r, const struct eio_query *q, int status,
                   enum eio_error error) {
    char json[80];
    if (r->upgrade || r->bad_upgrade) {
        http_close_after(r);
        reply(e, r, q, NULL, status, HTML, error_text(error));
        return;
    }
    snprintf(json, sizeof json, "{\"code\":%d,\"message\":\"%s\"}", (int)error, error_text(error));
    reply(e, r, q, NULL, status, JSON, json);
}

static int status_of(enum eio_error error) { return error == EIO_FORBIDDEN ? 403 : 400; }

/* ---- whether it may ---- */

static enum eio_error session_error(const struct eio_session *s, const struct request *r,
                                    const struct eio_query *q) {
    bool websocket = q->transport == EIO_WEBSOCKET;
    if (!s) return EIO_NO_SESSION;
    if (r->upgrade || r->bad_upgrade) return r->upgrade && websocket ? EIO_GOOD : EIO_BAD_REQUEST;
    return websocket || s->socket ? EIO_BAD_REQUEST : EIO_GOOD;
}

static enum eio_error handshake_error(const struct request *r, const struct eio_query *q) {
    bool websocket = q->transport == EIO_WEBSOCKET;
    if (r->method != HTTP_GET) return EIO_BAD_METHOD;
    return r->bad_upgrade || r->upgrade != websocket ? EIO_BAD_REQUEST : EIO_GOOD;
}

static bool origin_fits(const struct engineio *e, const struct request *r,
                        const struct eio_query *q) {
    if (!opening_origin(e->endpoint, r)) return false;
    return !q->callback.p || opening_script(e->endpoint, r);
}

static enum eio_error request_error(const struct engineio *e, const struct eio_session *s,
                                    const struct request *r, const struct eio_query *q) {
    if (q->transport == EIO_UNKNOWN) return EIO_NO_TRANSPORT;
    if (q->version != 4 && (q->version != 3 || !e->endpoint->conf->eio3)) return EIO_BAD_VERSION;
    if (q->bad_callback) return EIO_BAD_REQUEST;
    if (!origin_fits(e, r, q)) return EIO_FORBIDDEN;
    return q->sid.p ? session_error(s, r, q) : handshake_error(r, q);
}

/* ---- handshakes ---- */

/* A handshake that the script judges. */
struct judged {
    struct engineio *engineio;
    struct request *request;
    struct eio_query query;
    struct login *login;
};

/* Whether r may open a session now: 0, or the status to refuse it with. */
static int opening_status(const struct engineio *e, const struct request *r,
                          const struct eio_query *q) {
    struct site *site = e->endpoint->site;
    struct ip ip = opening_ip(r), group = waiting_ip(e->net, r);
    if (auth_blocked(site, &ip)) return 429;
    if (q->transport == EIO_POLLING &&
        waiting_is_full(&e->addresses, &group, site->limits->eio_sessions_per_ip)) {
        site_limit(site, "eio_sessions_per_ip");
        return 503;
    }
    return site_admits(site);
}

struct handshake *eio_handshake(const struct engineio *e, const struct request *r,
                                const struct eio_query *q) {
    if (!e->endpoint->dialect->judges) return opening_handshake(r, HANDSHAKE_SOCKET);
    return opening_handshake(r, q->callback.p ? HANDSHAKE_SCRIPT : HANDSHAKE_JUDGED);
}

/* Takes auth. */
static void admit(struct engineio *e, struct request *r, const struct eio_query *q,
                  struct buf *auth) {
    if (q->transport == EIO_WEBSOCKET) {
        eio_socket_open(e, r, q, auth);
        return;
    }
    struct handshake *handshake = eio_handshake(e, r, q);
    struct eio_session *s = eio_session_new(e, r, q);
    eio_session_attach(s, eio_poll_new(e, r, q));
    eio_session_open(s, handshake, auth);
}

/* The client did not wait. */
static void on_aborted(struct request *r) {
    struct judged *j = r->user;
    j->login->asker = NULL;
    mem_free(j);
}

static int judged_status(const struct judged *j) {
    struct site *site = j->engineio->endpoint->site;
    if (j->login->outcome == LOGIN_ADMITTED) return site_admits(site);
    if (j->login->outcome == LOGIN_FAILED) return 503;
    struct ip ip = opening_ip(j->request);
    auth_failed(site, &ip);
    return 403;
}

static void on_judged(struct login *l) {
    struct judged *j = l->asker;
    struct request *r = j->request;
    int status = judged_status(j);
    r->aborted = NULL;
    if (status) {
        refuse(j->engineio, r, &j->query, status, EIO_FORBIDDEN);
    } else {
        admit(j->engineio, r, &j->query, l->auth);
        l->auth = NULL; /* taken */
    }
    login_free(l);
    mem_free(j);
}

static void judge(struct engineio *e, struct request *r, const struct eio_query *q) {
    struct judged *j = mem_new(sizeof *j);
    *j = (struct judged){.engineio = e, .request = r, .query = *q};
    r->user = j;
    r->aborted = on_aborted;
    struct handshake *request = opening_handshake(r, HANDSHAKE_ALL);
    j->login = login_start(e->endpoint->site, request, false, on_judged, j);
}

static void serve_handshake(struct engineio *e, struct request *r, const struct eio_query *q) {
    int status = opening_status(e, r, q);
    if (status) refuse(e, r, q, status, EIO_FORBIDDEN);
    else if (e->endpoint->conf->auth == AUTH_REQUEST && !e->endpoint->dialect->judges)
        judge(e, r, q);
    else admit(e, r, q, NULL);
}

/* ---- polls ---- */

/* A second poll ends the session, unless the first is only a connection that has gone. */
static void serve_poll(struct eio_session *s, struct request *r, const struct eio_query *q) {
    struct engineio *e = s->engineio;
    if (s->poll && eio_poll_is_cut(s->poll)) {
        eio_poll_drop(s->poll, "cut off");
        eio_session_end(s, 1006, "connection interrupted");
        refuse(e, r, q, 400, EIO_NO_SESSION);
    } else if (s->poll) {
        site_limit(e->endpoint->site, "eio_overlap");
        eio_session_end(s, 1002, "overlap");
        reply(e, r, q, NULL, 400, NULL, "");
    } else {
        eio_session_attach(s, eio_poll_new(e, r, q));
    }
}

/* ---- posts ---- */

static bool has_bytes(const struct request *r) {
    struct slice type = http_header(r, "Content-Type");
    type = slice_trim(slice_upto(type, slice_find(type, ';')));
    return slice_ieq(type, SLICE("application/octet-stream"));
}

/* Hands a body's packets over: 200, or the status to refuse it with. Any of them may close the
 * session: the rest is dropped then. */
static int receive(struct eio_session *s, struct eio_reader *reader) {
    struct site *site = s->engineio->endpoint->site;
    struct eio_packet p;
    uint64_t n = 0;
    while (s->state == EIO_LIVE) {
        enum eio_read read = eio_reader_next(reader, &p);
        if (read == EIO_READ_END) break;
        if (read == EIO_READ_BROKEN) {
            eio_session_end(s, 1002, "parse error");
        } else if (++n > site->limits->eio_packets_per_body) {
            site_limit(site, "eio_packets_per_body");
            eio_session_end(s, 1008, "too many packets");
            return 400;
        } else if (session_admits(&s->session, &s->messages)) {
            eio_session_packet(s, &p);
        }
    }
    return 200;
}

static int receive_body(struct eio_session *s, struct slice body, enum eio_form form) {
    struct eio_reader reader;
    eio_reader_init(&reader, body, form, &s->text);
    int status = receive(s, &reader);
    eio_reader_fini(&reader);
    return status;
}

/* A form with the payload in its field d. */
static int receive_form(struct eio_session *s, struct slice form) {
    struct text field = {0}, payload = {0};
    struct slice raw;
    if (http_query(form, "d", &raw) && url_decode(&field, raw, true))
        eio_jsonp_unescape(&payload, text_slice(&field));
    int status = receive_body(s, text_slice(&payload), EIO_FORM_3_TEXT);
    text_fini(&field);
    text_fini(&payload);
    return status;
}

static int receive_post(struct eio_session *s, const struct request *r, const struct eio_query *q) {
    if (r->body.n > s->engineio->endpoint->conf->max_payload) return 413;
    if (q->callback.p) return receive_form(s, r->body);
    if (!has_bytes(r)) return receive_body(s, r->body, s->v3 ? EIO_FORM_3_TEXT : EIO_FORM_4);
    if (s->v3) return receive_body(s, r->body, EIO_FORM_3_BINARY);
    eio_session_end(s, 1002, "bytes in a body of protocol 4");
    return 400;
}

static void serve_post(struct eio_session *s, struct request *r, const struct eio_query *q) {
    int status = receive_post(s, r, q);
    if (status == 200) reply(s->engineio, r, q, s, 200, HTML, "ok");
    else reply(s->engineio, r, q, NULL, status, NULL, "");
}

/* ---- what a request wants ---- */

static void serve_preflight(struct engineio *e, struct request *r, const struct eio_query *q) {
    struct eio_headers h = {0};
    struct slice wanted = http_header(r, "Access-Control-Request-Headers");
    bool v3 = q->version == 3;
    eio_headers_fill(&h, e, r, q, NULL, NULL);
    if (!v3)
        eio_header(&h, "Access-Control-Allow-Methods", SLICE("GET,HEAD,PUT,PATCH,POST,DELETE"));
    if (v3 || wanted.n)
        eio_header(&h, "Access-Control-Allow-Headers", v3 ? SLICE("Content-Type") : wanted);
    http_reply(r, v3 ? 200 : 204, h.list, SLICE(""));
}

static void serve_websocket(struct engineio *e, struct eio_session *s, struct request *r,
                            const struct eio_query *q) {
    int status = ws_check(r);
    if (status) ws_refuse(r, status);
    else if (s) eio_socket_probe(s, r);
    else serve_handshake(e, r, q);
}

static void answer(struct engineio *e, struct eio_session *s, struct request *r,
                   const struct eio_query *q) {
    if (q->transport == EIO_WEBSOCKET) serve_websocket(e, s, r, q);
    else if (!s) serve_handshake(e, r, q);
    else if (r->method == HTTP_GET) serve_poll(s, r, q);
    else if (r->method == HTTP_POST) serve_post(s, r, q);
    else reply(e, r, q, NULL, 500, NULL, "");
}

static void serve(struct endpoint *ep, struct request *r, struct slice rest) {
    struct engineio *e = ep->state;
    struct eio_query q = eio_query_read(r->query);
    struct eio_session *s = q.sid.p ? eio_session_find(e, q.sid) : NULL;
    if (!rest.n) {
        http_error(r, 404, "no such path");
        return;
    }
    if (e->client && rest.n > 1 && !r->upgrade && files_serve(e->client, r, rest)) return;
    if (r->method == HTTP_OPTIONS && opening_origin(ep, r)) {
        serve_preflight(e, r, &q);
        return;
    }
    enum eio_error error = request_error(e, s, r, &q);
    if (error != EIO_GOOD) refuse(e, r, &q, status_of(error), error);
    else answer(e, s, r, &q);
}

const struct transport engineio_transport = {
    .name = "engineio", .open = engineio_open, .serve = serve, .close = engineio_close};
