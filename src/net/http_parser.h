/* SPDX-License-Identifier: MIT */
#ifndef NET_HTTP_PARSER_H
#define NET_HTTP_PARSER_H

#include "base/buf.h"
#include "base/limits.h"

/* Reads one request from bytes that come in any pieces: llhttp in strict mode, never lenient,
 * behind a scan of our own for what llhttp does not judge: the lengths of lines and headers, their
 * number, and folded headers. Knows nothing of connections and answers. Serves for one request.
 * llhttp.h stays inside: its names collide with ours. */
struct http_parser;

/* A piece of the head, as offsets, because the block moves while it grows. */
struct span {
    uint32_t at, n;
};

struct header_span {
    struct span name, value;
};

/* What has been read; all zeros before. Owned by the caller. */
struct http_parsed {
    struct text block; /* the head as it came */
    struct text body;
    struct span target;
    uint8_t minor; /* HTTP/1.minor */
    bool chunked;
    bool upgrade_asked;      /* Connection: upgrade, with an Upgrade header */
    uint64_t content_length; /* 0: none */
    uint64_t max_body;       /* at first http_max_body; may be changed when the head is complete */
};

/* Why a request is refused: the status, the text for the peer, the limit that was reached (NULL:
 * none). Static. */
struct refusal {
    int status;
    const char *text;
    const char *limit;
};

enum parser_step {
    PARSER_MORE,    /* all bytes used, more are needed */
    PARSER_HEAD,    /* the head is complete; comes once */
    PARSER_DONE,    /* the body is complete; does not come when there is none */
    PARSER_REFUSED /* see parser_refusal; nothing may be fed any more */
};

/* Fills out, which must outlive the parser, as do limits. */
struct http_parser *parser_new(struct http_parsed *out, const struct limits *limits)
    __attribute__((returns_nonnull, warn_unused_result));
void parser_free(struct http_parser *p);

/* Reads from data and says in *used how many bytes it took: none behind the end of a head or of a
 * body. */
enum parser_step parser_feed(struct http_parser *p, struct slice data, size_t *used)
    __attribute__((warn_unused_result));

const struct refusal *parser_refusal(const struct http_parser *p);

/* The headers, once the head is complete; valid until the parser is freed. */
const struct header_span *parser_headers(const struct http_parser *p, size_t *count);

static inline bool parsed_has_body(const struct http_parsed *out) {
    return out->chunked || out->content_length > 0;
}

static inline struct slice parsed_slice(const struct http_parsed *out, struct span s) {
    return slice_make(text_slice(&out->block).p + s.at, s.n);
}

#endif
