/* SPDX-License-Identifier: MIT */
/* From the head that the parser read to a struct request, past the refusals: everything about a
 * request that two programs in a row might understand differently is refused, never repaired. */
#include "net/http_inner.h"

#include "base/utf8.h"

#include <sys/socket.h>

static const struct refusal bad_method = {405, "method not allowed", NULL};
static const struct refusal bad_target = {400, "bad target", NULL};
static const struct refusal bad_host = {400, "bad host", NULL};
static const struct refusal bad_header = {400, "bad header", NULL};
static const struct refusal bad_framing = {400, "bad body length", NULL};
static const struct refusal bad_upgrade = {400, "an upgrade has no body", NULL};
static const struct refusal bad_expect = {417, "unknown expectation", NULL};
static const struct refusal body_long = {413, "body too long", "http_max_body"};
static const struct refusal query_many = {400, "too many query parameters", "max_query_params"};
static const struct refusal cookies_long = {400, "cookies too long", "max_cookie_bytes"};

/* ---- method ---- */

static bool method_read(struct slice name, enum http_method *method) {
    static const char *const names[] = {
        [HTTP_GET] = "GET",       [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
        [HTTP_PUT] = "PUT",       [HTTP_DELETE] = "DELETE", [HTTP_PATCH] = "PATCH",
        [HTTP_OPTIONS] = "OPTIONS",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_is(name, names[i])) {
            *method = (enum http_method)i;
            return true;
        }
    return false;
}

/* ---- host ---- */

static bool is_host_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

static bool port_valid(struct slice s) {
    uint64_t port;
    return s.n == 0 || (s.n <= 5 && slice_u64(s, &port) && port <= UINT16_MAX);
}

/* Splits "name", "name:80", "[::1]:80"; no userinfo, no escapes. */
static bool host_read(struct slice authority, struct slice *host) {
    size_t n = 0;
    if (authority.n && authority.p[0] == '[') {
        struct ip ip;
        n = slice_find(authority, ']') + 1;
        if (n > authority.n || !ip_parse(slice_upto(authority, n), &ip)) return false;
    } else {
        while (n < authority.n && is_host_char(authority.p[n])) n++;
    }
    *host = slice_upto(authority, n);
    struct slice rest = slice_from(authority, n);
    return n > 0 && (rest.n == 0 || (rest.p[0] == ':' && port_valid(slice_from(rest, 1))));
}

/* ---- target ---- */

/* Whether a host that is an address is the one that the connection came to. Who asks for another
 * takes us for a proxy. */
static bool is_our_address(const struct conn *c, struct slice host) {
    struct ip asked, ours;
    if (!ip_parse(host, &asked)) return true;
    struct sockaddr_storage local = {0};
    socklen_t n = sizeof local;
    if (getsockname(c->watch.fd, (struct sockaddr *)&local, &n)) return false;
    ours = ip_of_sockaddr((struct sockaddr *)&local);
    return !memcmp(&asked, &ours, sizeof ours);
}

/* "http://host/path" becomes "/path"; the authority must be that of the Host header. */
static bool target_from_absolute(struct request *r, struct slice authority) {
    struct slice scheme = SLICE("http://");
    if (!slice_ieq(slice_upto(r->target, scheme.n), scheme)) return false;
    struct slice rest = slice_from(r->target, scheme.n);
    size_t slash = slice_find(rest, '/');
    if (!slice_ieq(slice_upto(rest, slash), authority)) return false;
    if (!is_our_address(r->conn, r->host)) return false;
    r->target = slash < rest.n ? slice_from(rest, slash) : SLICE("/");
    return true;
}

static bool target_read(struct request *r, struct slice authority) {
    for (size_t i = 0; i < r->target.n; i++)
        if (r->target.p[i] <= ' ' || r->target.p[i] > '~' || r->target.p[i] == '#') return false;
    if (slice_is(r->target, "*")) {
        if (r->method != HTTP_OPTIONS) return false;
    } else if (r->target.n == 0 || r->target.p[0] != '/') {
        if (!target_from_absolute(r, authority)) return false;
    }
    size_t mark = slice_find(r->target, '?');
    r->path = slice_upto(r->target, mark);
    r->query = slice_from(r->target, mark + 1);
    return true;
}

static bool query_fits(struct slice query, const struct limits *limits) {
    uint64_t params = query.n > 0;
    for (size_t i = 0; i < query.n; i++) params += query.p[i] == '&';
    return params <= limits->max_query_params;
}

/* ---- headers ---- */

/* What of the headers matters here. */
struct census {
    struct slice host;
    size_t hosts, codings, lengths, cookie_bytes;
    bool coding_known;
};

static struct census headers_count(const struct request *r) {
    struct census c = {.host = {NULL, 0}};
    for (size_t i = 0; i < r->header_count; i++) {
        struct slice name = r->headers[i].name, value = r->headers[i].value;
        if (slice_ieq(name, SLICE("host"))) {
            c.hosts++;
            c.host = value;
        } else if (slice_ieq(name, SLICE("transfer-encoding"))) {
            c.codings++;
            c.coding_known = slice_ieq(value, SLICE("chunked"));
        } else if (slice_ieq(name, SLICE("content-length"))) {
            c.lengths++;
        } else if (slice_ieq(name, SLICE("cookie"))) {
            c.cookie_bytes += value.n;
        }
    }
    return c;
}

/* llhttp has judged the most of this; here it must be unmistakable. */
static bool framing_valid(const struct census *c, const struct http_parsed *parsed) {
    if (!c->codings) return c->lengths <= 1;
    return c->codings == 1 && c->coding_known && !c->lengths && parsed->minor == 1;
}

static bool is_ascii(struct slice s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80) return false;
    return true;
}

/* Browsers send a cookie as a script of the page has set it, in UTF-8: whoever has one with an
 * umlaut must not be shut out. In all other headers bytes beyond ASCII have no agreed meaning. */
static bool value_valid(const struct http_header *h) {
    return is_ascii(h->value) || (slice_ieq(h->name, SLICE("cookie")) && utf8_valid(h->value));
}

/* llhttp lets lines without a name and such bytes through. */
static bool headers_read(struct exchange *x) {
    size_t count;
    const struct header_span *spans = parser_headers(x->parser, &count);
    x->headers = mem_raw((count ? count : 1) * sizeof *x->headers);
    for (size_t i = 0; i < count; i++) {
        x->headers[i].name = parsed_slice(&x->parsed, spans[i].name);
        x->headers[i].value = slice_trim(parsed_slice(&x->parsed, spans[i].value));
        if (!x->headers[i].name.n || !value_valid(&x->headers[i])) return false;
    }
    x->request.headers = x->headers;
    x->request.header_count = count;
    return true;
}

static bool keeps_alive(const struct request *r) {
    if (http_header_has(r, "connection", "close")) return false;
    return r->minor == 1 || http_header_has(r, "connection", "keep-alive");
}

/* Only an upgrade to WebSocket is one; offers of other protocols (h2c) may be ignored, and are. */
static const struct refusal *upgrade_read(struct exchange *x) {
    struct request *r = &x->request;
    if (!x->parsed.upgrade_asked || !http_header_has(r, "upgrade", "websocket")) return NULL;
    if (r->method == HTTP_GET && parsed_has_body(&x->parsed)) return &bad_upgrade;
    r->upgrade = r->method == HTTP_GET && r->minor == 1;
    r->bad_upgrade = !r->upgrade;
    return NULL;
}

static const struct refusal *expect_read(const struct request *r) {
    struct slice expect = http_header(r, "expect");
    return !expect.p || slice_ieq(expect, SLICE("100-continue")) ? NULL : &bad_expect;
}

static bool is_long_path(const struct request *r, const struct http *h) {
    const char *path = h->conn->net->send_path;
    return path && slice_is(r->path, path);
}

const struct refusal *request_read(struct exchange *x, const struct limits *limits) {
    struct request *r = &x->request;
    struct slice block = text_slice(&x->parsed.block);
    r->minor = x->parsed.minor;
    r->target = parsed_slice(&x->parsed, x->parsed.target);
    if (!headers_read(x)) return &bad_header;
    struct census c = headers_count(r);
    if (!method_read(slice_upto(block, slice_find(block, ' ')), &r->method)) return &bad_method;
    if (!framing_valid(&c, &x->parsed)) return &bad_framing;
    if (c.hosts != 1 && (c.hosts || r->minor == 1)) return &bad_host;
    if (c.hosts && !host_read(c.host, &r->host)) return &bad_host;
    if (!target_read(r, c.host)) return &bad_target;
    if (!query_fits(r->query, limits)) return &query_many;
    if (c.cookie_bytes > limits->max_cookie_bytes) return &cookies_long;
    if (is_long_path(r, x->http)) x->parsed.max_body = limits->push_body;
    if (x->parsed.content_length > x->parsed.max_body) return &body_long;
    x->close = !keeps_alive(r);
    const struct refusal *why = upgrade_read(x);
    return why ? why : expect_read(r);
}
