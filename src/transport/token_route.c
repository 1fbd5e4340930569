/* SPDX-License-Identifier: MIT */
#include "transport/token_route.h"

#include "base/json.h"
#include "core/login.h"
#include "core/token.h"
#include "transport/opening.h"

#include <errno.h>

#define CALLBACK_MAX 128
#define ANSWER_HEADERS_MAX 32

/* One request for a token, while it waits for the script and the store. */
struct ask {
    struct site *site;
    struct request *request; /* NULL once the peer is gone */
    struct login *login;     /* while the script is asked */
    struct ip ip;
    bool jsonp;
    char callback[CALLBACK_MAX + 1];
};

/* ---- answers ---- */

static void answer(struct ask *a, int status, struct text *json) {
    struct request *r = a->request;
    struct text body = {0};
    if (a->jsonp) {
        text_format(&body, "/**/ typeof %s === 'function' && %s(", a->callback, a->callback);
        text_add(&body, text_slice(json));
        text_add(&body, SLICE(");"));
        if (a->site->conf->token.jsonp_errors) status = 200;
    } else {
        text_add(&body, text_slice(json));
    }
    struct slice origin = http_header(r, "origin");
    bool cors = a->site->conf->token.cors && origin.n && origin_listed(a->site, r, origin);
    const struct http_header headers[] = {
        {SLICE("Content-Type"), a->jsonp ? SLICE("text/javascript; charset=utf-8")
                                         : SLICE("application/json; charset=utf-8")},
        {SLICE("Cache-Control"), SLICE("no-store")},
        {SLICE("Referrer-Policy"), SLICE("no-referrer")},
        {SLICE("X-Content-Type-Options"), SLICE("nosniff")},
        {cors ? SLICE("Vary") : (struct slice){NULL, 0}, SLICE("Origin")},
        {SLICE("Access-Control-Allow-Origin"), origin},
        {SLICE("Access-Control-Allow-Credentials"), SLICE("true")},
        {{NULL, 0}, {NULL, 0}},
    };
    http_reply(r, status, headers, text_slice(&body));
    text_fini(&body);
    text_fini(json);
}

static void answer_member(struct ask *a, int status, const char *name, struct slice text) {
    struct text json = {0};
    text_format(&json, "{\"%s\":", name);
    json_quote(&json, text);
    text_char(&json, '}');
    answer(a, status, &json);
}

static void answer_error(struct ask *a, int status, const char *text) {
    answer_member(a, status, "error", slice_of(text));
}

/* What the site's middleware said instead of the route. */
static void answer_as_told(struct ask *a, const struct login *l) {
    struct http_header headers[ANSWER_HEADERS_MAX + 1] = {{{NULL, 0}, {NULL, 0}}};
    struct slice name, value;
    size_t n = 0;
    for (size_t at = 0;
         l->headers && n < ANSWER_HEADERS_MAX && handshake_next(l->headers, &at, &name, &value);)
        headers[n++] = (struct http_header){name, value};
    http_reply(a->request, l->status, headers, buf_slice(l->body));
}

/* ---- steps ---- */

static void on_issued(void *arg, int status, const char *token) {
    struct ask *a = arg;
    if (a->request) {
        if (status) answer_error(a, 503, "unavailable");
        else answer_member(a, 200, "token", slice_of(token));
        a->request = NULL;
    }
    mem_free(a);
}

static void issue(struct ask *a, const struct login *l) {
    uint64_t ttl_ms = a->site->conf->token.ttl_ms;
    int status = token_issue(a->site, l->auth, l->request, ttl_ms, on_issued, a);
    if (!status) return;
    answer_error(a, 413, "too_large");
    a->request = NULL;
    mem_free(a);
}

static void on_login(struct login *l) {
    struct ask *a = l->asker;
    a->login = NULL;
    if (l->outcome == LOGIN_ADMITTED) {
        issue(a, l);
        login_free(l);
        return;
    }
    if (l->outcome == LOGIN_ANSWERED) {
        answer_as_told(a, l);
    } else if (l->outcome == LOGIN_REFUSED) {
        auth_failed(a->site, &a->ip);
        answer_member(a, 403, "error", l->error ? buf_slice(l->error) : SLICE("Forbidden"));
    } else {
        answer_member(a, 500, "error", buf_slice(l->error));
    }
    a->request = NULL;
    mem_free(a);
    login_free(l);
}

/* The peer is gone. A token under way is issued for nobody and dies by its age. */
static void on_aborted(struct request *r) {
    struct ask *a = r->user;
    a->request = NULL;
    if (!a->login) return;
    a->login->asker = NULL;
    mem_free(a);
}

/* ---- admission ---- */

/* Clients send names like token_callback_1795223896989_w856l438ue and jQuery's with brackets; every
 * other character is dropped. */
static bool take_callback(struct ask *a, struct slice query) {
    struct slice raw;
    struct text decoded = {0};
    bool fits = true;
    if (http_query(query, "callback", &raw) && raw.n && url_decode(&decoded, raw, true)) {
        size_t n = 0;
        for (size_t i = 0; i < decoded.n && fits; i++) {
            char c = text_slice(&decoded).p[i];
            bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || (c && strchr("[]_$.", c));
            if (good && n == CALLBACK_MAX) fits = false;
            else if (good) a->callback[n++] = c;
        }
        a->callback[n] = 0;
        a->jsonp = fits && n > 0;
    }
    text_fini(&decoded);
    return fits;
}

/* The origin of the page that asks; p is NULL where it does not say. */
static struct slice page_of(const struct ask *a, const struct request *r) {
    struct slice origin = http_header(r, "origin");
    return !origin.p && a->jsonp ? origin_of_url(http_header(r, "referer")) : origin;
}

/* A script tag sends the victim's cookies and runs the answer, so JSONP is for pages we know; a
 * plain request cannot be read by a strange page, but need not be answered either. */
static bool is_from_known_page(const struct ask *a, const struct request *r) {
    enum jsonp_mode mode = a->site->conf->token.jsonp;
    if (a->jsonp && mode != JSONP_LISTED) return mode == JSONP_ANY;
    struct slice origin = page_of(a, r), fetch_site = http_header(r, "sec-fetch-site");
    if (origin.p) return origin_listed(a->site, r, origin);
    if (a->jsonp) return slice_is(fetch_site, "same-origin");
    return !slice_is(fetch_site, "cross-site");
}

/* The status to refuse r with and its text, or 0. */
static int refusal(struct ask *a, const struct request *r, const char **text) {
    if (!take_callback(a, r->query)) {
        *text = "callback is too long";
        return 400;
    }
    if (!is_from_known_page(a, r)) {
        bool closed = a->jsonp && a->site->conf->token.jsonp == JSONP_OFF;
        site_refuses_origin(a->site, page_of(a, r),
                       closed ? "token.jsonp of the site's conf is false" : NULL);
        *text = "Forbidden";
        return 403;
    }
    if (a->site->core->draining) {
        *text = "unavailable";
        return 503;
    }
    if (auth_blocked(a->site, &a->ip) || !token_rate_allows(a->site, &a->ip)) {
        *text = "too_many";
        return 429;
    }
    return 0;
}

void token_route_serve(struct site *site, struct request *r) {
    if (r->method == HTTP_OPTIONS) {
        const struct http_header allow[] = {{SLICE("Allow"), SLICE("GET,HEAD")},
                                            {{NULL, 0}, {NULL, 0}}};
        http_reply(r, 200, allow, SLICE("GET,HEAD"));
        return;
    }
    if (r->method != HTTP_GET && r->method != HTTP_HEAD) {
        http_error(r, 404, "the token route answers GET");
        return;
    }
    struct ask *a = mem_new(sizeof *a);
    a->site = site;
    a->request = r;
    a->ip = opening_ip(r);
    const char *text = NULL;
    int status = refusal(a, r, &text);
    if (status) {
        if (status == 403) a->jsonp = false;
        answer_error(a, status, text);
        mem_free(a);
        return;
    }
    r->user = a;
    r->aborted = on_aborted;
    a->login = login_start(site, opening_handshake(r, HANDSHAKE_ALL), true, on_login, a);
}
