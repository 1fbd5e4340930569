/* SPDX-License-Identifier: MIT */
/* From an HTTP request to a WebSocket: what may be one, and what both sides agree on. */
#include "net/ws_inner.h"

#include "base/digest.h"

#define KEY_LENGTH 24 /* 16 bytes in base64 */

/* The value of the only header of this name; p NULL when there is none, or more than one. */
static struct slice only_header(const struct request *r, const char *name) {
    struct slice value = {NULL, 0};
    for (size_t i = 0; i < r->header_count; i++) {
        if (!slice_ieq(r->headers[i].name, slice_of(name))) continue;
        if (value.p) return (struct slice){NULL, 0};
        value = r->headers[i].value;
    }
    return value;
}

static bool is_base64(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* The spare bits of the last character do not matter to anybody. */
static bool key_valid(struct slice key) {
    if (key.n != KEY_LENGTH || !slice_ends(key, SLICE("=="))) return false;
    for (size_t i = 0; i < KEY_LENGTH - 2; i++)
        if (!is_base64(key.p[i])) return false;
    return true;
}

int ws_check_versions(const struct request *r, bool also_8) {
    if (r->method != HTTP_GET) return 405;
    if (!r->upgrade || !http_header_has(r, "upgrade", "websocket") ||
        !http_header_has(r, "connection", "upgrade"))
        return 400;
    struct slice version = only_header(r, "sec-websocket-version");
    if (!slice_is(version, "13") && !(also_8 && slice_is(version, "8"))) return 426;
    return key_valid(only_header(r, "sec-websocket-key")) ? 0 : 400;
}

void ws_refuse(struct request *r, int status) {
    const struct http_header headers[] = {
        {SLICE("Content-Type"), SLICE("text/plain; charset=UTF-8")},
        {SLICE("X-Content-Type-Options"), SLICE("nosniff")},
        {SLICE("Cache-Control"), SLICE("no-store")},
        status == 426   ? (struct http_header){SLICE("Sec-WebSocket-Version"), SLICE("13")}
        : status == 405 ? (struct http_header){SLICE("Allow"), SLICE("GET")}
                        : (struct http_header){{NULL, 0}, {NULL, 0}},
        {{NULL, 0}, {NULL, 0}},
    };
    http_close_after(r);
    http_reply(r, status, headers,
               status == 400 ? SLICE("Not a WebSocket request\n")
                             : slice_of(http_status_text(status)));
}

/* ---- what is agreed on ---- */

static void accept_key(struct slice key, struct text *out) {
    char both[KEY_LENGTH + 36];
    unsigned char digest[20];
    memcpy(both, key.p, KEY_LENGTH);
    memcpy(both + KEY_LENGTH, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    digest_sha1(slice_make(both, sizeof both), digest);
    base64_encode(out, slice_make(digest, sizeof digest));
}

static bool list_has(struct slice list, struct slice item) {
    struct slice part;
    while (slice_next(&list, ',', &part))
        if (slice_eq(slice_trim(part), item)) return true;
    return false;
}

/* The first subprotocol offered that we speak; p NULL when there is none. */
static struct slice choose_protocol(const struct request *r, struct slice ours) {
    bool any = slice_is(ours, "*");
    for (size_t i = 0; i < r->header_count && ours.n; i++) {
        struct slice offers = r->headers[i].value, part;
        if (!slice_ieq(r->headers[i].name, SLICE("sec-websocket-protocol"))) continue;
        while (slice_next(&offers, ',', &part)) {
            struct slice offer = slice_trim(part);
            if (offer.n && (any || list_has(ours, offer))) return offer;
        }
    }
    return (struct slice){NULL, 0};
}

static bool choose_extension(const struct request *r, const struct ws_settings *s,
                             struct deflate_terms *terms) {
    for (size_t i = 0; i < r->header_count && s->compress; i++)
        if (slice_ieq(r->headers[i].name, SLICE("sec-websocket-extensions")) &&
            deflate_negotiate(r->headers[i].value, s->window_bits, s->context_takeover, terms))
            return true;
    return false;
}

void ws_accept(struct ws *w, struct request *r, const struct ws_settings *settings,
               const struct ws_ops *ops) {
    struct http_header headers[4] = {0};
    size_t n = 0;
    struct text key = {0}, extension = {0};
    accept_key(only_header(r, "sec-websocket-key"), &key);
    headers[n++] = (struct http_header){SLICE("Sec-WebSocket-Accept"), text_slice(&key)};
    struct slice protocol = choose_protocol(r, settings->protocols);
    if (protocol.p) headers[n++] = (struct http_header){SLICE("Sec-WebSocket-Protocol"), protocol};
    struct deflate_terms terms;
    if (choose_extension(r, settings, &terms)) {
        w->deflate = deflate_new(&terms, settings->compress_level);
        deflate_answer(&terms, &extension);
        headers[n++] =
            (struct http_header){SLICE("Sec-WebSocket-Extensions"), text_slice(&extension)};
    }
    w->conn = r->conn;
    w->ops = ops;
    w->settings = settings;
    w->flags = WS_PAUSED; /* what came behind the request is held */
    http_upgrade(r, "websocket", headers, &ws_conn_ops, w);
    ws_start(w);
    ws_resume(w);
    text_fini(&key);
    text_fini(&extension);
}
