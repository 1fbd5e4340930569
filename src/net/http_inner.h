/* SPDX-License-Identifier: MIT */
#ifndef NET_HTTP_INNER_H
#define NET_HTTP_INNER_H

#include "net/http.h"
#include "net/http_parser.h"

/* What the files of the HTTP server share: http.c drives the connection, http_request.c judges
 * requests, http_reply.c answers them. For nobody else. */

enum exchange_state {
    EXCHANGE_HEAD,      /* the head is being read */
    EXCHANGE_BODY,      /* the body is */
    EXCHANGE_HANDED,    /* the handler has it; no byte of an answer yet */
    EXCHANGE_STREAMING, /* http_begin was called */
    EXCHANGE_ABORTED    /* its connection is gone, aborted is being called */
};

/* One request and its answer. */
struct exchange {
    struct request request;
    struct http *http;
    struct http_parser *parser; /* NULL once the request is complete */
    struct http_parsed parsed;
    struct http_header *headers;
    uint8_t state;
    bool close;    /* the connection ends with this answer */
    bool bodiless; /* the answer being streamed has no body: HEAD, 204, 304 */
    bool chunked;  /* it is sent in chunks */
};

/* What the timer waits for. */
enum http_stage {
    STAGE_BUSY, /* nothing: the handler works */
    STAGE_IDLE, /* the first byte of the next request */
    STAGE_HEAD, /* the end of a head; from the start of the connection also its first byte */
    STAGE_BODY  /* the end of a body */
};

/* A connection that speaks HTTP. Between requests it holds nothing but this. */
struct http {
    struct conn *conn; /* NULL after an upgrade */
    http_handler *handler;
    void *arg;
    struct exchange *exchange; /* being read or answered; NULL between requests */
    struct slice rest;         /* bytes that came and are not read yet: in stash, or, while running,
                                  in the connection's read buffer */
    struct text stash;
    struct deferred next;      /* goes on with the rest, behind the flush */
    struct timer timer;
    uint64_t body_since_ms;    /* when STAGE_BODY began */
    uint64_t requests;
    uint8_t stage;
    uint8_t ahead;             /* requests handed over since all output was with the kernel */
    bool running;              /* requests are being read: whoever is called from there must not
                                  free this */
    bool ended;                /* the peer has shut its side */
    bool draining;
};

/* Makes the request of a complete head, or says why not. */
const struct refusal *request_read(struct exchange *x, const struct limits *limits);

/* The answer is out, or will not come: frees x, and goes on or ends the connection. */
void exchange_end(struct exchange *x);

/* Answers a request that the handler never sees. */
void error_reply(struct exchange *x, const struct refusal *why);

/* Queues the 101. */
void upgrade_reply(struct exchange *x, const char *protocol, const struct http_header *headers);

static inline struct exchange *exchange_of(struct request *r) {
    return container_of(r, struct exchange, request);
}

#endif
