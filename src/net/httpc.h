/* SPDX-License-Identifier: MIT */
#ifndef NET_HTTPC_H
#define NET_HTTPC_H

#include "net/http_response.h"
#include "net/net.h"

/* An HTTP/1.1 client: requests of one site to its backends, over connections that are kept for the
 * next. Every site has its own, so that nobody waits for another's backend, or uses its
 * connections.
 *
 *   http_send -> [waits for its turn] -> an idle connection, or dial -> request -> answer -> done
 *
 * A backend that failed ten times in ten seconds is not asked for five; then one request tries. */
struct httpc;
struct tls_context;

/* tls (may be NULL: https cannot be had) and limits are borrowed, as is site, a name for the
 * counters. */
struct httpc *httpc_new(struct net *net, struct tls_context *tls, const struct limits *limits,
                        const char *site) __attribute__((returns_nonnull, warn_unused_result));

/* Ends it: exchanges under way are forgotten, done does not come. NULL does nothing. */
void httpc_free(struct httpc *h);

/* One request and its answer, embedded in what waits for it. The caller fills in what stands before
 * the line; all texts are borrowed for http_send only. */
struct http_exchange {
    const char *host; /* a name or an address, without brackets */
    unsigned port;
    bool tls;
    bool head;       /* the method is HEAD */
    bool idempotent; /* may be sent again, on a new connection, when a kept one turns out closed */
    struct buf *request; /* all bytes; taken */
    uint64_t timeout_ms; /* for everything; at least 1 */
    /* Exactly once, from the loop, never inside http_send. code NULL: response stands; else
     * "timeout", "too_large", "busy" or "unavailable", and why is a constant text. response is gone
     * when it returns; the exchange may be freed in it. */
    void (*done)(struct http_exchange *x, const char *code, const char *why);
    struct http_response response;

    /* private */
    struct list link;
    struct httpc *client;
    struct backend *backend;
    struct http_link *on;
    struct response_parser *parser;
    struct timer timer;
    struct deferred deferred;
    const char *code, *why;
    bool running, retried, over;
};

void http_send(struct httpc *h, struct http_exchange *x);

/* Forgets it: done will not come. */
void http_cancel(struct http_exchange *x);

#endif
