/* SPDX-License-Identifier: MIT */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/url.h"
#include "net/conn.h"

/* HTTP/1.1 and 1.0, server side (RFC 9110, RFC 9112), on llhttp in strict mode.
 *
 * A connection carries one struct http, which hands each request to the handler when it is complete
 * (its body included, bounded by http_max_body) and has passed the refusals of SECURITY.md 2.1.
 * Requests of a connection are handled one after the other: the next is handed over when the answer
 * to the one before has ended, and while at most http_pipeline_depth answers wait to be sent. What
 * the peer sends meanwhile, at most one read, waits; then the connection is not read.
 *
 * The handler answers now or later, exactly once: http_reply, or http_begin, http_write...,
 * http_end. Or it takes the connection over with http_upgrade. */
struct http;

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS
};

struct http_header {
    struct slice name;
    struct slice value;
};

/* One exchange. It and all its slices are valid until the answer has ended, the connection was
 * taken over, or aborted was called. */
struct request {
    enum http_method method;
    struct slice target;               /* as it came: path and query */
    struct slice path;                 /* before '?'; not decoded */
    struct slice query;                /* after it, not decoded; empty when there is none */
    const struct http_header *headers; /* in order; values trimmed */
    size_t header_count;
    struct slice body;
    struct slice host; /* of the Host header, without port, as it came */
    uint8_t minor;     /* HTTP/1.minor */
    bool upgrade;      /* asks to become something else, and may: GET, HTTP/1.1, no body */
    bool bad_upgrade;  /* asked and may not: another method or HTTP/1.0; answer 400 or 405 */
    struct conn *conn; /* borrowed: its peer, its net */
    /* For the handler, while it answers later. aborted is called at most once, when the connection
     * is gone before the answer has ended; the request is dead when it returns. */
    void *user;
    void (*aborted)(struct request *r);
};

/* Speaks HTTP on fd (taken over). handler may answer before it returns; arg is its first argument.
 */
typedef void http_handler(void *arg, struct request *r);
void http_accept(struct net *net, int fd, const struct ip *peer, http_handler *handler, void *arg);

/* The value of the first header with this name (any case), or a slice with p NULL. */
struct slice http_header(const struct request *r, const char *name);

/* Whether the comma-separated list in any header of this name has the token (any case). */
bool http_header_has(const struct request *r, const char *name, const char *token);

/* The value of a cookie, as it stands, or a slice with p NULL. */
struct slice http_cookie(const struct request *r, const char *name);

/* The raw value of the first parameter with this (raw) name in a query string; false when absent.
 * "a&b=" has a and b, both with empty values. */
bool http_query(struct slice query, const char *name, struct slice *raw);

/* "Not Found" for 404. */
const char *http_status_text(int status);

/* The answer, whole. headers ends with an empty name, or is NULL; Content-Length, Connection and
 * Date are added here. A HEAD request gets no body. Statuses 1xx, 204 and 304 have none either.
 * Header values with CR, LF or NUL are a mistake of ours and assert. */
void http_reply(struct request *r, int status, const struct http_header *headers,
                struct slice body);

/* The same with a body that is shared instead of copied (borrows). For large ones. */
void http_reply_buf(struct request *r, int status, const struct http_header *headers,
                    struct buf *body);

/* An error as plain text: the status text and what is wrong with it. Adds nosniff and no-store. */
void http_error(struct request *r, int status, const char *text);

/* An answer in pieces. Each http_write leaves as one chunk of its own (HTTP/1.0: as bytes, and the
 * connection closes at the end). Borrows the buf. */
void http_begin(struct request *r, int status, const struct http_header *headers);
void http_write(struct request *r, struct buf *piece);
void http_end(struct request *r);

/* After the answer the connection closes, whatever the peer asked. Call before answering. */
void http_close_after(struct request *r);

/* Ends the exchange with no (further) answer and closes the connection. */
void http_drop(struct request *r, const char *reason);

/* Answers 101 with the given headers (Upgrade and Connection are added), frees the struct http and
 * hands the connection to ops and user. Bytes that came behind the request are given to
 * ops->received before this returns. The request is dead. Returns the connection. */
struct conn *http_upgrade(struct request *r, const char *protocol,
                          const struct http_header *headers, const struct conn_ops *ops,
                          void *user);

/* Connections that are between requests are closed, others after their answer: a drain. */
void http_drain(struct net *net);

#endif
