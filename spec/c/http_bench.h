/* SPDX-License-Identifier: MIT */
/* The HTTP server at one end of a socket pair and a peer at the other that may send any bytes. What
 * the handler gets is noted in seen, what the peer gets in output. Turns of the loop do not wait. */
#ifndef SPEC_HTTP_BENCH_H
#define SPEC_HTTP_BENCH_H

#include "net/http.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
    struct loop *loop;
    struct net net;
    struct limits limits;
    int peer;
    struct text seen;   /* requests, one per line */
    struct text output; /* what the peer got */
    bool closed;        /* the peer saw the end */
    size_t handed, aborted;
    struct request *later; /* waits for its answer */
    bool tell_aborted;
    struct text raw; /* what came behind an upgrade */
    size_t raw_closed;
};

/* ---- the handler ---- */

static inline void on_aborted(struct request *r) {
    struct bench *b = r->user;
    b->aborted++;
    b->later = NULL;
}

static inline void raw_received(struct conn *c, char *data, size_t n) {
    struct bench *b = c->user;
    text_add(&b->raw, slice_make(data, n));
}

static inline void raw_closed(struct conn *c, const char *reason) {
    (void)reason;
    struct bench *b = c->user;
    b->raw_closed++;
}

static const struct conn_ops raw_ops = {.received = raw_received, .closed = raw_closed};

static inline void stream(struct request *r) {
    struct buf *one = buf_copy(SLICE("first\n")), *two = buf_copy(SLICE("second\n"));
    struct buf *none = buf_new(0);
    http_begin(r, 200, NULL);
    http_write(r, one);
    http_write(r, none);
    http_write(r, two);
    http_end(r);
    buf_unref(one);
    buf_unref(two);
    buf_unref(none);
}

static inline void handler(void *arg, struct request *r) {
    struct bench *b = arg;
    b->handed++;
    text_format(&b->seen, "%d %.*s [%.*s] %.*s\n", (int)r->method, (int)r->path.n, r->path.p,
                (int)r->query.n, r->query.p, (int)r->body.n, r->body.n ? r->body.p : "");
    if (slice_is(r->path, "/later")) {
        b->later = r;
        r->user = b;
        if (b->tell_aborted) r->aborted = on_aborted;
    } else if (slice_is(r->path, "/stream")) {
        stream(r);
    } else if (slice_is(r->path, "/none")) {
        http_reply(r, 204, NULL, SLICE(""));
    } else if (slice_is(r->path, "/same")) {
        http_reply(r, 304, NULL, SLICE(""));
    } else if (slice_is(r->path, "/missing")) {
        http_error(r, 404, "no such thing");
    } else if (slice_is(r->path, "/drop")) {
        http_drop(r, "test");
    } else if (slice_is(r->path, "/upgrade")) {
        if (r->upgrade) http_upgrade(r, "websocket", NULL, &raw_ops, b);
        else http_error(r, r->bad_upgrade ? 405 : 400, NULL);
    } else {
        http_reply(r, 200, NULL, r->body.n ? r->body : SLICE("ok"));
    }
}

/* ---- the bench ---- */

/* A loop that is told to stop does not wait in its turns. */
static inline void bench_init(struct bench *b) {
    *b = (struct bench){.loop = loop_new(), .peer = -1};
    limits_init(&b->limits);
    net_init(&b->net, b->loop, NULL, NULL, NULL, &b->limits);
    loop_stop(b->loop);
}

static inline void bench_connect(struct bench *b) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    b->peer = pair[0];
    b->closed = false;
    struct ip none = {{0}};
    http_accept(&b->net, pair[1], &none, handler, b);
}

static inline void bench_read(struct bench *b) {
    char chunk[4096];
    ssize_t n;
    while ((n = read(b->peer, chunk, sizeof chunk)) > 0)
        text_add(&b->output, slice_make(chunk, (size_t)n));
    if (n == 0 || errno != EAGAIN) b->closed = true;
}

static inline void bench_turn(struct bench *b) {
    for (int i = 0; i < 3; i++) loop_turn(b->loop);
    bench_read(b);
}

static inline void feed(struct bench *b, struct slice s) {
    while (s.n) {
        ssize_t n = send(b->peer, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return; /* refused already */
        if (n > 0) s = slice_from(s, (size_t)n);
        bench_turn(b);
    }
}

static inline void feed_str(struct bench *b, const char *s) { feed(b, slice_of(s)); }

static inline void bench_disconnect(struct bench *b) {
    close(b->peer);
    while (!list_empty(&b->net.conns)) loop_turn(b->loop);
}

static inline void bench_clear(struct bench *b) {
    text_clear(&b->seen);
    text_clear(&b->output);
    b->handed = 0;
}

static inline void bench_fini(struct bench *b) {
    if (b->later) http_drop(b->later, "test over");
    bench_disconnect(b);
    net_fini(&b->net);
    loop_stop(b->loop);
    loop_free(b->loop);
    text_fini(&b->seen);
    text_fini(&b->output);
    text_fini(&b->raw);
}

/* Waits for what a timer brings. */
static inline void await_closed(struct bench *b) {
    for (int i = 0; i < 2000 && !b->closed; i++) {
        usleep(1000);
        bench_turn(b);
    }
    assert_true(b->closed);
}

static inline size_t count(const struct bench *b, const char *needle) {
    struct text copy = {0};
    text_add(&copy, text_slice(&b->output));
    text_char(&copy, 0);
    size_t n = 0;
    for (const char *at = text_slice(&copy).p; (at = strstr(at, needle)); at++) n++;
    text_fini(&copy);
    return n;
}

static inline int first_status(const struct bench *b) {
    struct slice out = text_slice(&b->output);
    if (out.n < 12 || memcmp(out.p, "HTTP/1.1 ", 9)) return 0;
    return (out.p[9] - '0') * 100 + (out.p[10] - '0') * 10 + out.p[11] - '0';
}

static inline void has(const struct bench *b, const char *needle) {
    if (!count(b, needle))
        fail_msg("no \"%s\" in:\n%.*s", needle, (int)b->output.n, text_slice(&b->output).p);
}

static inline void saw(const struct bench *b, const char *lines) {
    struct slice seen = text_slice(&b->seen);
    if (!slice_is(seen, lines)) fail_msg("seen:\n%.*sinstead of:\n%s", (int)seen.n, seen.p, lines);
}

static inline void text_repeat(struct text *t, const char *s, size_t times) {
    while (times--) text_str(t, s);
}

#endif
