/* SPDX-License-Identifier: MIT */
/* Dials to sockets of the test itself: each ends in exactly one done, with an open connection or a
 * reason, or in none when it is cancelled, at whichever stage that is. */
#include "net/dial.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
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
    struct timer tick; /* so that no turn waits for ever */
};

static void on_tick(struct timer *t) {
    timer_start(container_of(t, struct world, tick)->loop, t, 1);
}

static void received(struct conn *c, char *data, size_t n) {
    text_add(&((struct world *)c->user)->received, slice_make(data, n));
}
static void closed(struct conn *c, const char *reason) {
    struct world *w = c->user;
    w->closed++;
    w->conn = NULL;
    w->reason = reason;
}
static const struct conn_ops ops = {.received = received, .closed = closed};

static void done(void *arg, struct conn *c, const char *reason) {
    struct world *w = arg;
    w->done++;
    w->dial = NULL;
    w->reason = reason;
    assert_true(!c == !!reason);
    if (c && w->close_in_done) conn_close(c, "not wanted");
    else if ((w->conn = c)) conn_hand_over(c, &ops, w);
}

static int setup(void **state) {
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

static int teardown(void **state) {
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

static void listen_tcp(struct world *w, int backlog) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&at, n), 0);
    if (backlog >= 0) assert_int_equal(listen(w->listener, backlog), 0);
    getsockname(w->listener, (struct sockaddr *)&at, &n);
    w->port = ntohs(at.sin_port);
}

/* Connects until the kernel takes no more: a dial then gets no answer. */
static size_t fill_backlog(const struct world *w, int *fds, size_t max) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)w->port)};
    size_t n = 0;
    for (; n < max; n++) {
        fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fds[n], (struct sockaddr *)&at, sizeof at);
    }
    return n;
}

static void dial(struct world *w, struct dial_target target, uint64_t timeout_ms) {
    w->dial = dial_open(&w->net, &target, timeout_ms, done, w);
    assert_int_equal(w->done, 0);
}

static void dial_host(struct world *w, const char *host, uint64_t timeout_ms) {
    dial(w, (struct dial_target){.host = host, .port = w->port}, timeout_ms);
}

static void until_done(struct world *w) {
    while (!w->done) loop_turn(w->loop);
    for (int i = 0; i < 3; i++) loop_turn(w->loop);
    assert_int_equal(w->done, 1);
}

/* The dialed connection and the accepted one carry bytes both ways. */
static void bytes_pass(struct world *w) {
    char got[8];
    assert_non_null(w->conn);
    w->peer = accept(w->listener, NULL, NULL);
    assert_true(w->peer >= 0);
    conn_send_copy(w->conn, SLICE("ask"));
    loop_settle(w->loop);
    assert_int_equal(recv(w->peer, got, sizeof got, 0), 3);
    assert_int_equal(send(w->peer, "answer", 6, 0), 6);
    while (w->received.n < 6) loop_turn(w->loop);
    assert_true(slice_is(text_slice(&w->received), "answer"));
}

/* ---- the tests ---- */

static void an_address_is_dialed(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1);
    dial_host(w, "127.0.0.1", LONG_MS);
    until_done(w);
    bytes_pass(w);
    char text[IP_TEXT_MAX];
    assert_string_equal(ip_format(&w->conn->peer, text), "127.0.0.1");
}

static void a_name_is_looked_up(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1); /* where localhost is ::1 as well, that is refused first */
    dial_host(w, "localhost", LONG_MS);
    until_done(w);
    bytes_pass(w);
}

static void an_address_may_have_brackets(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1);
    dial_host(w, "[::ffff:127.0.0.1]", LONG_MS);
    until_done(w);
    if (w->conn) bytes_pass(w);
    else assert_string_equal(w->reason, "unreachable"); /* a machine without IPv6 */
}

static void a_unix_socket_is_dialed(void **state) {
    struct world *w = *state;
    char dir[] = "/tmp/dial_test_XXXXXX";
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(dir));
    snprintf(at.sun_path, sizeof at.sun_path, "%s/s", dir);
    w->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(w->listener, 1), 0);
    dial(w, (struct dial_target){.path = at.sun_path}, LONG_MS);
    until_done(w);
    bytes_pass(w);
    unlink(at.sun_path);
    rmdir(dir);
}

static void expect_failure(struct world *w, const char *reason) {
    until_done(w);
    assert_null(w->conn);
    assert_string_equal(w->reason, reason);
}

static void a_missing_unix_socket_fails(void **state) {
    struct world *w = *state;
    dial(w, (struct dial_target){.path = "/nonexistent/socket"}, LONG_MS);
    expect_failure(w, "no such socket");
}

static void a_path_that_no_socket_can_have_fails(void **state) {
    struct world *w = *state;
    char path[200];
    memset(path, 'a', sizeof path);
    path[sizeof path - 1] = 0;
    dial(w, (struct dial_target){.path = path}, LONG_MS);
    expect_failure(w, "path too long");
}

static void a_closed_port_refuses(void **state) {
    struct world *w = *state;
    listen_tcp(w, -1); /* bound, so that nobody else listens on it */
    dial_host(w, "127.0.0.1", LONG_MS);
    expect_failure(w, "refused");
}

static void of_a_name_whose_addresses_all_refuse_the_last_is_told(void **state) {
    struct world *w = *state;
    listen_tcp(w, -1);
    dial_host(w, "localhost", LONG_MS);
    until_done(w);
    assert_null(w->conn);
}

static void an_unknown_name_fails(void **state) {
    struct world *w = *state;
    w->port = 1;
    dial_host(w, "no-such-host.invalid", LONG_MS);
    until_done(w);
    assert_null(w->conn);
    assert_non_null(w->reason); /* what it is depends on the resolver */
}

static void nonsense_is_refused(void **state) {
    struct world *w = *state;
    char name[300];
    memset(name, 'a', sizeof name);
    name[254] = 0;
    dial(w, (struct dial_target){.host = name, .port = 1}, LONG_MS);
    expect_failure(w, "name too long");
    w->done = 0;
    dial(w, (struct dial_target){.host = "127.0.0.1", .port = 65536}, LONG_MS);
    expect_failure(w, "no such port");
    w->done = 0;
    dial(w, (struct dial_target){.host = "", .port = 1}, LONG_MS);
    expect_failure(w, "name not found");
}

static void no_answer_is_a_timeout(void **state) {
    struct world *w = *state;
    int fds[8];
    listen_tcp(w, 0);
    size_t n = fill_backlog(w, fds, 8);
    dial_host(w, "127.0.0.1", 30);
    expect_failure(w, "timeout");
    while (n) close(fds[--n]);
}

static void a_cancelled_dial_says_nothing(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1);
    for (int turns = 0; turns < 4; turns++) {
        dial_host(w, "127.0.0.1", LONG_MS);
        for (int i = 0; i < turns && w->dial; i++) loop_turn(w->loop);
        if (!w->dial) break; /* as far as it goes */
        dial_cancel(w->dial);
        w->dial = NULL;
        for (int i = 0; i < 3; i++) loop_turn(w->loop);
        assert_int_equal(w->done, 0);
    }
}

static void a_dial_that_connects_is_cancelled(void **state) {
    struct world *w = *state;
    int fds[8];
    listen_tcp(w, 0);
    size_t n = fill_backlog(w, fds, 8);
    dial_host(w, "127.0.0.1", LONG_MS);
    for (int i = 0; i < 3; i++) loop_turn(w->loop);
    dial_cancel(w->dial);
    w->dial = NULL;
    while (n) close(fds[--n]);
    for (int i = 0; i < 3; i++) loop_turn(w->loop);
    assert_int_equal(w->done, 0);
}

static void a_cancelled_lookup_finds_nobody(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1);
    for (int i = 0; i < 20; i++) { /* more than there are threads: some are still queued */
        dial_host(w, "localhost", LONG_MS);
        loop_settle(w->loop);
        dial_cancel(w->dial);
        w->dial = NULL;
    }
    for (int i = 0; i < 10; i++) loop_turn(w->loop);
    assert_int_equal(w->done, 0);
}

static void a_lookup_may_time_out(void **state) {
    struct world *w = *state;
    w->port = 1;
    dial_host(w, "no-such-host.invalid", 1);
    until_done(w);
    assert_null(w->conn);
}

static void done_may_close(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1);
    w->close_in_done = true;
    dial_host(w, "127.0.0.1", LONG_MS);
    until_done(w);
    assert_true(list_empty(&w->net.outgoing));
}

static void what_we_opened_is_no_client(void **state) {
    struct world *w = *state;
    struct buf *large = buf_new(8000000);
    memset(large->data, 'x', large->n);
    listen_tcp(w, 1);
    w->net.unsent_most = 1000;
    w->net.count_private = true;
    dial_host(w, "127.0.0.1", LONG_MS);
    until_done(w);
    assert_int_equal(w->net.open, 0);
    assert_true(list_empty(&w->net.conns));
    conn_send(w->conn, (struct slice){NULL, 0}, large);
    loop_settle(w->loop);
    assert_true(conn_backlog(w->conn) > 1000);
    assert_int_equal(w->net.unsent, 0);
    assert_int_equal(w->closed, 0);
    buf_unref(large);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_address_is_dialed),
        T(a_name_is_looked_up),
        T(an_address_may_have_brackets),
        T(a_unix_socket_is_dialed),
        T(a_missing_unix_socket_fails),
        T(a_path_that_no_socket_can_have_fails),
        T(a_closed_port_refuses),
        T(of_a_name_whose_addresses_all_refuse_the_last_is_told),
        T(an_unknown_name_fails),
        T(nonsense_is_refused),
        T(no_answer_is_a_timeout),
        T(a_cancelled_dial_says_nothing),
        T(a_dial_that_connects_is_cancelled),
        T(a_cancelled_lookup_finds_nobody),
        T(a_lookup_may_time_out),
        T(done_may_close),
        T(what_we_opened_is_no_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
