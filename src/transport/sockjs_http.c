/* SPDX-License-Identifier: MIT */
/* The requests of an endpoint: finds out what each wants, checks method and origin, and answers the
 * plain ones itself: greeting, info, iframe page, preflights, sends. */
#include "base/digest.h"
#include "core/token.h"
#include "transport/opening.h"
#include "transport/sockjs.h"
#include "transport/sockjs_url.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#define PLAIN SLICE("text/plain; charset=UTF-8")
#define YEAR_S 31536000

/* ---- headers ---- */

void sockjs_header(struct sockjs_headers *h, const char *name, struct slice value) {
    assert(h->n < SOCKJS_HEADERS_MAX);
    h->list[h->n++] = (struct http_header){slice_of(name), value};
}

static bool cookie_value_valid(struct slice s) {
    if (s.n == 0 || s.n > 64) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

/* For load balancers that stick to it: what the browser has, or anything. */
static void add_cookie(struct sockjs_headers *h, const struct request *r) {
    struct slice value = http_cookie(r, "JSESSIONID");
    if (!cookie_value_valid(value)) value = SLICE("dummy");
    snprintf(h->cookie, sizeof h->cookie, "JSESSIONID=%.*s; path=/", (int)value.n, value.p);
    sockjs_header(h, "Set-Cookie", slice_of(h->cookie));
}

static void add_no_cache(struct sockjs_headers *h) {
    sockjs_header(h, "Cache-Control",
                  SLICE("no-store, no-cache, no-transform, must-revalidate, max-age=0"));
}

static void add_cache_for_a_year(struct sockjs_headers *h) {
    time_t then = time(NULL) + YEAR_S;
    struct tm tm;
    gmtime_r(&then, &tm);
    strftime(h->expires, sizeof h->expires, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    sockjs_header(h, "Cache-Control", SLICE("public, max-age=31536000"));
    sockjs_header(h, "Expires", slice_of(h->expires));
}

void sockjs_session_headers(struct sockjs_headers *h, const struct sockjs *k,
                            const struct request *r) {
    add_no_cache(h);
    if (k->endpoint->conf->jsessionid) add_cookie(h, r);
}

/* Clients always send credentials, and a browser refuses "*" for those: so the origin is named.
 * What a page may not have is kept from it by opening_origin, not by leaving a header out. */
void sockjs_cors_headers(struct sockjs_headers *h, const struct sockjs *k, const struct request *r,
                         bool event_source) {
    struct slice origin = http_header(r, "Origin");
    bool opaque = slice_is(origin, "null");
    bool named = origin.n && !(opaque && event_source);
    sockjs_header(h, "Access-Control-Allow-Origin", named ? origin : SLICE("*"));
    if (named && !(opaque && opening_picks(k->endpoint)))
        sockjs_header(h, "Access-Control-Allow-Credentials", SLICE("true"));
    sockjs_header(h, "Vary", SLICE("Origin"));
    struct slice wanted = http_header(r, "Access-Control-Request-Headers");
    if (wanted.n) sockjs_header(h, "Access-Control-Allow-Headers", wanted);
}

/* ---- who may open a session ---- */

int sockjs_opening_status(const struct sockjs *k, const struct request *r) {
    struct site *site = k->endpoint->site;
    struct ip ip = opening_ip(r);
    return auth_blocked(site, &ip) ? 429 : site_admits(site);
}

int sockjs_judged_status(const struct sockjs *k, const struct request *r, const struct login *l) {
    struct site *site = k->endpoint->site;
    if (l->outcome == LOGIN_ADMITTED) return site_admits(site);
    if (l->outcome == LOGIN_FAILED) return 503;
    struct ip ip = opening_ip(r);
    auth_failed(site, &ip);
    return 403;
}

/* ---- pages ---- */

static void reply_not_found(struct request *r) {
    struct sockjs_headers h = {0};
    sockjs_header(&h, "Content-Type", PLAIN);
    http_reply(r, 404, h.list, SLICE("404 Error: Page not found\n"));
}

static void reply_greeting(struct request *r) {
    struct sockjs_headers h = {0};
    sockjs_header(&h, "Content-Type", PLAIN);
    http_reply(r, 200, h.list, SLICE("Welcome to SockJS!\n"));
}

static void reply_info(struct sockjs *k, struct request *r) {
    const struct endpoint_conf *conf = k->endpoint->conf;
    struct sockjs_headers h = {0};
    struct text body = {0};
    sockjs_header(&h, "Content-Type", SLICE("application/json; charset=UTF-8"));
    add_no_cache(&h);
    sockjs_cors_headers(&h, k, r, false);
    text_format(&body,
                "{\"websocket\":%s,\"origins\":[\"*:*\"],\"cookie_needed\":%s,\"entropy\":%lu}",
                conf->websocket ? "true" : "false", conf->jsessionid ? "true" : "false",
                (unsigned long)random_u32(k->net->random));
    http_reply(r, 200, h.list, text_slice(&body));
    text_fini(&body);
}

/* The page that clients of another origin load into a frame: its script comes from sockjs_url, and
 * clients look at every byte of the rest. */
static void write_iframe(struct text *page, const char *sockjs_url) {
    text_str(page, "<!DOCTYPE html>\n"
                   "<html>\n"
                   "<head>\n"
                   "  <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n"
                   "  <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n"
                   "  <script src=\"");
    text_str(page, sockjs_url);
    text_str(page, "\"></script>\n"
                   "  <script>\n"
                   "    document.domain = document.domain;\n"
                   "    SockJS.bootstrap_iframe();\n"
                   "  </script>\n"
                   "</head>\n"
                   "<body>\n"
                   "  <h2>Don't panic!</h2>\n"
                   "  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>\n"
                   "</body>\n"
                   "</html>");
}

static void write_etag(struct text *etag, struct slice page) {
    unsigned char digest[20];
    digest_sha1(page, digest);
    text_char(etag, '"');
    hex_encode(etag, slice_make(digest, sizeof digest));
    text_char(etag, '"');
}

static void reply_iframe(struct sockjs *k, struct request *r) {
    struct sockjs_headers h = {0};
    struct text page = {0}, etag = {0};
    write_iframe(&page, k->endpoint->conf->sockjs_url);
    write_etag(&etag, text_slice(&page));
    add_cache_for_a_year(&h);
    sockjs_header(&h, "ETag", text_slice(&etag));
    if (slice_eq(http_header(r, "If-None-Match"), text_slice(&etag))) {
        http_reply(r, 304, h.list, SLICE(""));
    } else {
        sockjs_header(&h, "Content-Type", SLICE("text/html; charset=UTF-8"));
        http_reply(r, 200, h.list, text_slice(&page));
    }
    text_fini(&page);
    text_fini(&etag);
}

static void reply_preflight(struct sockjs *k, struct request *r, bool info) {
    struct sockjs_headers h = {0};
    add_cache_for_a_year(&h);
    sockjs_header(&h, "Access-Control-Max-Age", SLICE("31536000"));
    sockjs_header(&h, "Access-Control-Allow-Methods",
                  info ? SLICE("OPTIONS, GET") : SLICE("OPTIONS, POST"));
    sockjs_cors_headers(&h, k, r, false);
    if (!info && k->endpoint->conf->jsessionid) add_cookie(&h, r);
    http_reply(r, 204, h.list, SLICE(""));
}

/* ---- sends ---- */

static void reply_send(struct sockjs *k, struct request *r, bool jsonp, int status,
                       struct slice body) {
    struct sockjs_headers h = {0};
    sockjs_header(&h, "Content-Type", PLAIN);
    sockjs_session_headers(&h, k, r);
    if (!jsonp) sockjs_cors_headers(&h, k, r, false);
    http_reply(r, status, h.list, body);
}

static struct slice media_type(const struct request *r) {
    struct slice type = http_header(r, "Content-Type");
    return slice_trim(slice_upto(type, slice_find(type, ';')));
}

/* What clients have been seen to label the body of an xhr_send with: "T" is no slip. */
static bool takes_type(struct slice type) {
    static const struct slice types[] = {SLICE("text/plain"), SLICE("T"), SLICE("application/json"),
                                         SLICE("application/xml"), SLICE("text/xml")};
    if (type.n == 0) return true;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (slice_ieq(type, types[i])) return true;
    return false;
}

/* The JSON of a send. It may lie in *room. */
static enum sockjs_body find_payload(const struct request *r, bool jsonp, struct text *room,
                                     struct slice *payload) {
    bool form = slice_ieq(media_type(r), SLICE("application/x-www-form-urlencoded"));
    *payload = r->body;
    if (!jsonp) return takes_type(media_type(r)) ? SOCKJS_BODY_GOOD : SOCKJS_BODY_EMPTY;
    if (!form) return SOCKJS_BODY_GOOD;
    struct slice raw;
    if (!http_query(r->body, "d", &raw)) return SOCKJS_BODY_EMPTY;
    if (!url_decode(room, raw, true)) return SOCKJS_BODY_BROKEN;
    *payload = text_slice(room);
    return SOCKJS_BODY_GOOD;
}

/* Any of the messages may close the session: the rest is dropped then. */
static void hand_over(struct sockjs_session *s, struct sockjs_messages *messages) {
    struct slice message;
    while (s->state == SOCKJS_OPEN && sockjs_body_next(messages, &message) &&
           session_admits(&s->session, &s->messages))
        session_received(&s->session, message, false);
}

static enum sockjs_body receive_body(struct sockjs *k, struct sockjs_session *s,
                                     const struct request *r, bool jsonp) {
    const struct limits *limits = k->endpoint->site->limits;
    struct sockjs_messages messages = {0};
    struct text room = {0};
    struct slice payload;
    enum sockjs_body body = find_payload(r, jsonp, &room, &payload);
    if (body == SOCKJS_BODY_GOOD)
        body =
            sockjs_body_check(&messages, payload, limits, limits->sockjs_messages_per_body, false);
    if (body == SOCKJS_BODY_GOOD) hand_over(s, &messages);
    sockjs_body_fini(&messages);
    text_fini(&room);
    return body;
}

static void serve_send(struct sockjs *k, struct request *r, struct slice id, bool jsonp) {
    struct sockjs_session *s = sockjs_find(k, id);
    if (!s || s->state == SOCKJS_JUDGED) {
        reply_send(k, r, jsonp, 404, SLICE("404 Error: Page not found\n"));
        return;
    }
    switch (receive_body(k, s, r, jsonp)) {
    case SOCKJS_BODY_GOOD:
        reply_send(k, r, jsonp, jsonp ? 200 : 204, jsonp ? SLICE("ok") : SLICE(""));
        break;
    case SOCKJS_BODY_EMPTY: reply_send(k, r, jsonp, 500, SLICE("Payload expected.")); break;
    case SOCKJS_BODY_BROKEN: reply_send(k, r, jsonp, 500, SLICE("Broken JSON encoding.")); break;
    case SOCKJS_BODY_TOO_MANY:
        site_limit(k->endpoint->site, "sockjs_messages_per_body");
        reply_send(k, r, jsonp, 500, SLICE("Broken JSON encoding. Too many messages."));
        break;
    }
}

/* ---- what a request wants ---- */

static bool is_socket(enum sockjs_action action) {
    return action == SOCKJS_SOCKET || action == SOCKJS_RAW_SOCKET;
}

/* The methods an URL takes, as an Allow header has them. */
static const char *allowed(const struct sockjs_url *url) {
    switch (url->action) {
    case SOCKJS_INFO: return "OPTIONS, GET";
    case SOCKJS_RECEIVE: return url->way->post ? "POST, OPTIONS" : "GET";
    case SOCKJS_SEND: return "POST, OPTIONS";
    case SOCKJS_JSONP_SEND: return "POST";
    default: return "GET";
    }
}

static bool method_fits(const struct sockjs_url *url, enum http_method method) {
    const char *name = method == HTTP_GET       ? "GET"
                       : method == HTTP_POST    ? "POST"
                       : method == HTTP_OPTIONS ? "OPTIONS"
                                                : "?";
    return strstr(allowed(url), name) != NULL;
}

static void reply_not_allowed(struct request *r, const struct sockjs_url *url) {
    struct sockjs_headers h = {0};
    sockjs_header(&h, "Allow", slice_of(allowed(url)));
    http_reply(r, 405, h.list, SLICE(""));
}

static bool origin_fits(const struct sockjs *k, const struct request *r,
                        const struct sockjs_url *url) {
    if (url->action == SOCKJS_GREETING || url->action == SOCKJS_IFRAME) return true;
    if (!opening_origin(k->endpoint, r)) return false;
    return url->way != &sockjs_jsonp || opening_script(k->endpoint, r);
}

static void answer(struct sockjs *k, struct request *r, const struct sockjs_url *url) {
    switch (url->action) {
    case SOCKJS_NOTHING: reply_not_found(r); break;
    case SOCKJS_GREETING: reply_greeting(r); break;
    case SOCKJS_INFO: reply_info(k, r); break;
    case SOCKJS_IFRAME: reply_iframe(k, r); break;
    case SOCKJS_RECEIVE: sockjs_receive(k, r, url->way, url->session); break;
    case SOCKJS_SEND: serve_send(k, r, url->session, false); break;
    case SOCKJS_JSONP_SEND: serve_send(k, r, url->session, true); break;
    case SOCKJS_SOCKET: sockjs_ws_serve(k, r, false); break;
    case SOCKJS_RAW_SOCKET: sockjs_ws_serve(k, r, true); break;
    }
}

static void serve(struct endpoint *ep, struct request *r, struct slice rest) {
    struct sockjs *k = ep->state;
    struct sockjs_url url = sockjs_url_parse(rest);
    if (is_socket(url.action) && !ep->conf->websocket) url.action = SOCKJS_NOTHING;
    if (url.action == SOCKJS_NOTHING)
        reply_not_found(r);
    else if (!method_fits(&url, r->method))
        reply_not_allowed(r, &url);
    else if (!origin_fits(k, r, &url))
        http_error(r, 403, "origin not allowed");
    else if (r->method == HTTP_OPTIONS)
        reply_preflight(k, r, url.action == SOCKJS_INFO);
    else
        answer(k, r, &url);
}

const struct transport sockjs_transport = {
    .name = "sockjs", .open = sockjs_open, .serve = serve, .close = sockjs_close};
