/* SPDX-License-Identifier: MIT */
#ifndef NET_HTTP_RESPONSE_H
#define NET_HTTP_RESPONSE_H

#include "base/buf.h"

/* Reads the answer of an HTTP/1.1 server from bytes that come in any pieces: llhttp in strict mode,
 * with bounds. Interim answers (100 and the like, but 101) are read over. */

struct http_response {
    int status;
    struct text head; /* name, NUL, value, NUL, and so on; names in lower case */
    struct text body;
    bool keep_alive; /* another request may follow on the connection */
};

void http_response_fini(struct http_response *r);

struct response_parser;

enum response_step {
    RESPONSE_MORE,
    RESPONSE_DONE,  /* keep_alive says whether the connection is as good as new */
    RESPONSE_LARGE, /* more head or body than allowed */
    RESPONSE_BROKEN /* not HTTP */
};

/* Fills out, zeroed, which must outlive it. head: the answer to a HEAD request, without a body. */
struct response_parser *response_parser_new(struct http_response *out, bool head, size_t max_head,
                                            size_t max_body)
    __attribute__((returns_nonnull, warn_unused_result));
void response_parser_free(struct response_parser *p);

/* Reads bytes. What comes behind a complete answer makes the connection useless: keep_alive is then
 * false. */
enum response_step response_feed(struct response_parser *p, struct slice bytes)
    __attribute__((warn_unused_result));

/* The server has closed: DONE when that is how the answer ends, else BROKEN. */
enum response_step response_end(struct response_parser *p) __attribute__((warn_unused_result));

/* Whether any byte has come. */
bool response_begun(const struct response_parser *p);

#endif
