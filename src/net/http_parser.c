/* SPDX-License-Identifier: MIT */
/* Two readers side by side. scan() walks the lines of the head: it counts, refuses what is too long
 * or folded, and finds where the head ends. llhttp gets the same bytes, piece by piece, so that
 * nonsense is refused as soon as it comes. Both must agree on where the head ends; otherwise the
 * request is refused, because whoever sent it may have meant it for two readers who do not.
 *
 * The head is kept as it came, in one block, and llhttp reads it from there: names and values are
 * places in the block and need no copies of their own. */
#include "net/http_parser.h"

#include "base/mem.h"

#include <assert.h>
#include <llhttp.h>

_Static_assert(LLHTTP_STRICT_MODE, "without it llhttp 8.1.0 lets smuggled headers through");

struct http_parser {
    llhttp_t llhttp;
    struct http_parsed *out;
    const struct limits *limits;
    const struct refusal *refusal;
    struct header_span *headers;
    uint32_t header_count, header_cap;
    uint32_t lines;       /* complete lines of the head */
    uint32_t line_bytes;  /* of the line that is being read */
    uint32_t header_bytes;
    uint64_t body_bytes;  /* as they come: with the framing of chunks */
    bool version_seen;    /* and one that we speak */
    bool value_complete;  /* the next name begins another header */
    bool scan_ended;      /* scan() has seen the end of the head */
    bool head_complete;   /* llhttp has */
    bool body_complete;
};

static const struct refusal malformed = {400, "malformed request", NULL};
static const struct refusal folded = {400, "folded header", NULL};
static const struct refusal version_unknown = {505, "this is HTTP/1.0 and HTTP/1.1", NULL};
static const struct refusal line_long = {414, "request line too long", "http_max_request_line"};
static const struct refusal headers_long = {431, "headers too long", "http_max_header_bytes"};
static const struct refusal headers_many = {431, "too many headers", "http_max_header_count"};
static const struct refusal body_long = {413, "body too long", "http_max_body"};

/* ---- what llhttp finds ---- */

static struct span span_of(const struct http_parser *p, const char *at, size_t n) {
    return (struct span){(uint32_t)(at - text_slice(&p->out->block).p), (uint32_t)n};
}

/* A name or value that arrives in pieces: they lie side by side in the block. */
static void span_extend(struct span *s, struct span more) {
    if (s->n == 0) *s = more;
    else s->n += more.n;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t n) {
    struct http_parser *p = llhttp->data;
    span_extend(&p->out->target, span_of(p, at, n));
    return 0;
}

/* llhttp takes RTSP/1.0 and ICE/1.0 for versions too. */
static int on_version_complete(llhttp_t *llhttp) {
    struct http_parser *p = llhttp->data;
    struct span target = p->out->target;
    struct slice behind = slice_from(text_slice(&p->out->block), target.at + target.n);
    p->version_seen = slice_starts(behind, SLICE(" HTTP/1.")) && llhttp->http_minor <= 1;
    p->out->minor = llhttp->http_minor;
    return 0;
}

static struct header_span *header_add(struct http_parser *p) {
    if (p->header_count == p->header_cap) {
        p->header_cap = p->header_cap ? p->header_cap * 2 : 16;
        p->headers = mem_grow(p->headers, p->header_cap * sizeof *p->headers);
    }
    struct header_span *h = &p->headers[p->header_count++];
    *h = (struct header_span){{0, 0}, {0, 0}};
    p->value_complete = false;
    return h;
}

/* The header that is being read. Fields behind a chunked body are read away. */
static struct header_span *header_current(struct http_parser *p) {
    if (!p->header_count || p->value_complete) return header_add(p);
    return &p->headers[p->header_count - 1];
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t n) {
    struct http_parser *p = llhttp->data;
    if (!p->head_complete) span_extend(&header_current(p)->name, span_of(p, at, n));
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t n) {
    struct http_parser *p = llhttp->data;
    if (!p->head_complete) span_extend(&header_current(p)->value, span_of(p, at, n));
    return 0;
}

static int on_header_value_complete(llhttp_t *llhttp) {
    struct http_parser *p = llhttp->data;
    p->value_complete = true;
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp) {
    struct http_parser *p = llhttp->data;
    p->head_complete = true;
    p->out->chunked = llhttp->flags & F_CHUNKED;
    p->out->content_length = llhttp->flags & F_CONTENT_LENGTH ? llhttp->content_length : 0;
    p->out->upgrade_asked = llhttp->flags & F_UPGRADE && llhttp->flags & F_CONNECTION_UPGRADE;
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t n) {
    struct http_parser *p = llhttp->data;
    if (n > p->out->max_body - p->out->body.n) {
        p->refusal = &body_long;
        return HPE_USER;
    }
    text_add(&p->out->body, slice_make(at, n));
    return 0;
}

static int on_message_complete(llhttp_t *llhttp) {
    struct http_parser *p = llhttp->data;
    p->body_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_version_complete = on_version_complete,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- feeding ---- */

static enum parser_step refuse(struct http_parser *p, const struct refusal *why) {
    if (!p->refusal) p->refusal = why;
    return PARSER_REFUSED;
}

/* Walks the lines in data up to the end of the head; *take is how far it came. A line of one stray
 * byte before its LF is taken for the empty line; llhttp refuses it, as all lines without CR. */
static const struct refusal *scan(struct http_parser *p, struct slice data, size_t *take) {
    const struct limits *limits = p->limits;
    size_t at = 0;
    while (at < data.n && !p->scan_ended) {
        if (p->lines && !p->line_bytes && (data.p[at] == ' ' || data.p[at] == '\t')) return &folded;
        struct slice rest = slice_from(data, at);
        size_t lf = slice_find(rest, '\n');
        bool complete = lf < rest.n;
        size_t n = complete ? lf + 1 : rest.n;
        if (!p->lines && p->line_bytes + n > limits->http_max_request_line) return &line_long;
        if (p->lines && p->header_bytes + n > limits->http_max_header_bytes) return &headers_long;
        p->line_bytes += (uint32_t)n;
        if (p->lines) p->header_bytes += (uint32_t)n;
        at += n;
        if (!complete) break;
        p->scan_ended = p->lines && p->line_bytes <= 2;
        if (!p->scan_ended && p->lines++ > limits->http_max_header_count) return &headers_many;
        p->line_bytes = 0;
    }
    *take = at;
    return NULL;
}

/* NULL when llhttp has no complaint. */
static const struct refusal *complaint(enum llhttp_errno error) {
    switch (error) {
    case HPE_OK:
    case HPE_PAUSED: /* by on_message_complete */
    case HPE_PAUSED_UPGRADE: return NULL;
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE: return &version_unknown;
    default: return &malformed;
    }
}

static enum parser_step feed_head(struct http_parser *p, struct slice data, size_t *used) {
    const struct refusal *why = scan(p, data, used);
    if (why) return refuse(p, why);
    size_t from = p->out->block.n;
    text_add(&p->out->block, slice_upto(data, *used));
    struct slice piece = slice_from(text_slice(&p->out->block), from);
    why = complaint(llhttp_execute(&p->llhttp, piece.p, piece.n));
    if (why) return refuse(p, why);
    if (p->lines && !p->version_seen) return refuse(p, &version_unknown);
    if (p->head_complete != p->scan_ended) return refuse(p, &malformed);
    return p->head_complete ? PARSER_HEAD : PARSER_MORE;
}

/* The framing of a chunked body may be as long as the longest body. */
static enum parser_step feed_body(struct http_parser *p, struct slice data, size_t *used) {
    const struct refusal *why = complaint(llhttp_execute(&p->llhttp, data.p, data.n));
    if (why) return refuse(p, why);
    *used = p->body_complete ? (size_t)(llhttp_get_error_pos(&p->llhttp) - data.p) : data.n;
    assert(*used <= data.n);
    p->body_bytes += *used;
    if (p->body_bytes / 2 > p->out->max_body) return refuse(p, &body_long);
    return p->body_complete ? PARSER_DONE : PARSER_MORE;
}

enum parser_step parser_feed(struct http_parser *p, struct slice data, size_t *used) {
    *used = 0;
    if (data.n == 0) return PARSER_MORE;
    return p->head_complete ? feed_body(p, data, used) : feed_head(p, data, used);
}

const struct refusal *parser_refusal(const struct http_parser *p) { return p->refusal; }

const struct header_span *parser_headers(const struct http_parser *p, size_t *count) {
    *count = p->header_count;
    return p->headers;
}

/* ---- life ---- */

struct http_parser *parser_new(struct http_parsed *out, const struct limits *limits) {
    struct http_parser *p = mem_new(sizeof *p);
    llhttp_init(&p->llhttp, HTTP_REQUEST, &settings);
    p->llhttp.data = p;
    p->out = out;
    p->limits = limits;
    out->max_body = limits->http_max_body;
    return p;
}

void parser_free(struct http_parser *p) {
    if (!p) return;
    mem_free(p->headers);
    mem_free(p);
}
