/* SPDX-License-Identifier: MIT */
/* A net that dials, and what came of it. */
#ifndef SPEC_DIAL_RIG_H
#define SPEC_DIAL_RIG_H

#include "net/dial.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS 20000

struct world {
    struct loop *loop;
    struct limits limits;
    struct random random;
    struct net net;
    int listener, peer; /* -1: none */
    unsigned port;
    struct dial *dial;
    /* what happened */
    int done, closed;
    struct conn *conn;
    const char *reason;
    struct text received;
    bool close_in_done;
    void (*beside)(struct world *w); /* what the other side does in each turn; NULL: nothing */
    void *other;
    struct timer tick; /* so that no turn waits for ever */
};

static inline void on_tick(struct timer *t) {
    timer_start(container_of(t, struct world, tick)->loop, t, 1);
}

static inline void received(struct conn *c, char *data, size_t n) {
    text_add(&((struct world *)c->user)->received, slice_make(data, n));
}
static inline void closed(struct conn *c, const char *reason) {
    struct world *w = c->user;
    w->closed++;
    w->conn = NULL;
    w->reason = reason;
}
static const struct conn_ops ops = {.received = received, .closed = closed};

static inline void done(void *arg, struct conn *c, const char *reason) {
    struct world *w = arg;
    w->done++;
    w->dial = NULL;
    w->reason = reason;
    assert_true(!c == !!reason);
    if (c && w->close_in_done) conn_close(c, "not wanted");
    else if ((w->conn = c)) conn_hand_over(c, &ops, w);
}

static inline int setup(void **state) {
    struct world *w = mem_new(sizeof *w);
    w->loop = loop_new();
    limits_init(&w->limits);
    net_init(&w->net, w->loop, NULL, NULL, &w->random, &w->limits);
    w->listener = w->peer = -1;
    w->tick.fired = on_tick;
    timer_start(w->loop, &w->tick, 1);
    *state = w;
    return 0;
}

static inline int teardown(void **state) {
    struct world *w = *state;
    if (w->dial) dial_cancel(w->dial);
    if (w->conn) conn_close(w->conn, "test over");
    loop_settle(w->loop);
    assert_null(w->conn);
    assert_int_equal(w->net.open, 0);
    assert_int_equal(w->net.unsent, 0);
    net_fini(&w->net);
    timer_stop(w->loop, &w->tick);
    loop_free(w->loop);
    text_fini(&w->received);
    if (w->listener >= 0) close(w->listener);
    if (w->peer >= 0) close(w->peer);
    mem_free(w);
    return 0;
}

/* ---- what is dialed ---- */

static inline void listen_tcp(struct world *w, int backlog) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&at, n), 0);
    if (backlog >= 0) assert_int_equal(listen(w->listener, backlog), 0);
    getsockname(w->listener, (struct sockaddr *)&at, &n);
    w->port = ntohs(at.sin_port);
}

static inline void dial(struct world *w, struct dial_target target, uint64_t timeout_ms) {
    w->dial = dial_open(&w->net, &target, timeout_ms, done, w);
    assert_int_equal(w->done, 0);
}

static inline void dial_host(struct world *w, const char *host, uint64_t timeout_ms) {
    dial(w, (struct dial_target){.host = host, .port = w->port}, timeout_ms);
}

static inline void turn(struct world *w) {
    loop_turn(w->loop);
    if (w->beside) w->beside(w);
}

static inline void turns(struct world *w, int n) {
    while (n--) turn(w);
}

static inline void until_done(struct world *w) {
    while (!w->done) turn(w);
    turns(w, 3);
    assert_int_equal(w->done, 1);
}

static inline void expect_failure(struct world *w, const char *reason) {
    until_done(w);
    assert_null(w->conn);
    assert_string_equal(w->reason, reason);
}

#endif
