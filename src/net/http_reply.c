/* SPDX-License-Identifier: MIT */
/* Answers: heads, whole bodies, chunks. A whole answer is one buffer and leaves as one piece; a
 * chunk is its size line, the shared bytes and a CRLF, so that what many get is encoded once. */
#include "net/http_inner.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

static const struct http_header no_headers[] = {{{NULL, 0}, {NULL, 0}}};

const char *http_status_text(int status) {
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].status == status) return texts[i].text;
    return "Unknown";
}

/* ---- heads ---- */

static bool header_valid(struct slice s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == 0) return false;
    return true;
}

static void header_write(struct text *t, struct slice name, struct slice value) {
    assert(header_valid(name) && header_valid(value));
    text_add(t, name);
    text_str(t, ": ");
    text_add(t, value);
    text_str(t, "\r\n");
}

static void status_write(struct text *t, int status) {
    assert(status >= 100 && status <= 999);
    text_str(t, "HTTP/1.1 ");
    text_u64(t, (uint64_t)status);
    text_char(t, ' ');
    text_str(t, http_status_text(status));
    text_str(t, "\r\n");
}

static void headers_write(struct text *t, const struct http_header *headers) {
    for (const struct http_header *h = headers ? headers : no_headers; h->name.n; h++)
        header_write(t, h->name, h->value);
}

static void date_write(struct text *t) {
    char date[40];
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    size_t n = strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    header_write(t, SLICE("Date"), slice_make(date, n));
}

/* Up to the headers that say how the body comes. */
static void head_write(struct text *t, struct exchange *x, int status,
                       const struct http_header *headers) {
    status_write(t, status);
    headers_write(t, headers);
    date_write(t);
    if (x->close) text_str(t, "Connection: close\r\n");
    else if (x->request.minor == 0) text_str(t, "Connection: keep-alive\r\n");
}

static bool has_no_body(const struct exchange *x, int status) {
    return x->request.method == HTTP_HEAD || status < 200 || status == 204 || status == 304;
}

static void length_write(struct text *t, int status, size_t n) {
    if (status >= 200 && status != 204 && status != 304) {
        text_str(t, "Content-Length: ");
        text_u64(t, n);
        text_str(t, "\r\n");
    }
    text_str(t, "\r\n");
}

/* ---- whole answers ---- */

static void text_send(struct conn *c, struct text *t) {
    struct buf *buf = text_take(t);
    conn_send(c, (struct slice){NULL, 0}, buf);
    buf_unref(buf);
}

/* With the bytes of body behind the head, or shared after it. */
static void reply(struct exchange *x, int status, const struct http_header *headers,
                  struct slice body, struct buf *shared) {
    if (x->state == EXCHANGE_ABORTED) return;
    assert(x->state == EXCHANGE_HANDED);
    struct text t = {0};
    text_reserve(&t, 256 + body.n);
    head_write(&t, x, status, headers);
    length_write(&t, status, shared ? shared->n : body.n);
    bool bodiless = has_no_body(x, status);
    if (!bodiless) text_add(&t, body);
    text_send(x->request.conn, &t);
    if (shared && !bodiless) conn_send(x->request.conn, (struct slice){NULL, 0}, shared);
    exchange_end(x);
}

void http_reply(struct request *r, int status, const struct http_header *headers,
                struct slice body) {
    reply(exchange_of(r), status, headers, body, NULL);
}

void http_reply_buf(struct request *r, int status, const struct http_header *headers,
                    struct buf *body) {
    reply(exchange_of(r), status, headers, (struct slice){NULL, 0}, body);
}

/* allow is for 405, which must say what would have been allowed; else NULL. */
static void error_write(struct exchange *x, int status, const char *text, const char *allow) {
    const char *name = http_status_text(status);
    char body[160];
    int n = text ? snprintf(body, sizeof body, "%s: %s\n", name, text)
                 : snprintf(body, sizeof body, "%s\n", name);
    const struct http_header headers[] = {
        {SLICE("Content-Type"), SLICE("text/plain; charset=UTF-8")},
        {SLICE("X-Content-Type-Options"), SLICE("nosniff")},
        {SLICE("Cache-Control"), SLICE("no-store")},
        {allow ? SLICE("Allow") : SLICE(""), slice_of(allow)},
        {{NULL, 0}, {NULL, 0}},
    };
    size_t length = n < (int)sizeof body ? (size_t)n : sizeof body - 1;
    reply(x, status, headers, slice_make(body, length), NULL);
}

void http_error(struct request *r, int status, const char *text) {
    error_write(exchange_of(r), status, text, NULL);
}

void error_reply(struct exchange *x, const struct refusal *why) {
    const char *methods = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";
    error_write(x, why->status, why->text, why->status == 405 ? methods : NULL);
}

/* ---- answers in pieces ---- */

void http_begin(struct request *r, int status, const struct http_header *headers) {
    struct exchange *x = exchange_of(r);
    if (x->state == EXCHANGE_ABORTED) return;
    assert(x->state == EXCHANGE_HANDED);
    x->state = EXCHANGE_STREAMING;
    x->bodiless = has_no_body(x, status);
    x->chunked = !x->bodiless && r->minor == 1;
    if (!x->bodiless && !x->chunked) x->close = true;
    struct text t = {0};
    head_write(&t, x, status, headers);
    if (x->chunked) text_str(&t, "Transfer-Encoding: chunked\r\n");
    text_str(&t, "\r\n");
    text_send(r->conn, &t);
}

void http_write(struct request *r, struct buf *piece) {
    struct exchange *x = exchange_of(r);
    if (x->state == EXCHANGE_ABORTED) return;
    assert(x->state == EXCHANGE_STREAMING);
    if (x->bodiless || !piece->n) return; /* a chunk of no bytes would be the last */
    if (!x->chunked) {
        conn_send(r->conn, (struct slice){NULL, 0}, piece);
        return;
    }
    char size[12];
    int n = snprintf(size, sizeof size, "%x\r\n", (unsigned)piece->n);
    conn_send(r->conn, slice_make(size, (size_t)n), piece);
    conn_send(r->conn, SLICE("\r\n"), NULL);
}

void http_end(struct request *r) {
    struct exchange *x = exchange_of(r);
    if (x->state == EXCHANGE_ABORTED) return;
    assert(x->state == EXCHANGE_STREAMING);
    if (x->chunked) conn_send(r->conn, SLICE("0\r\n\r\n"), NULL);
    exchange_end(x);
}

void http_close_after(struct request *r) { exchange_of(r)->close = true; }

/* ---- upgrades ---- */

void upgrade_reply(struct exchange *x, const char *protocol, const struct http_header *headers) {
    struct text t = {0};
    status_write(&t, 101);
    header_write(&t, SLICE("Upgrade"), slice_of(protocol));
    header_write(&t, SLICE("Connection"), SLICE("Upgrade"));
    headers_write(&t, headers);
    text_str(&t, "\r\n");
    text_send(x->request.conn, &t);
}
