/* SPDX-License-Identifier: MIT */
/* Dials to sockets of the test itself: each ends in exactly one done, with an open connection or a
 * reason, or in none when it is cancelled, at whichever stage that is. */
#include "dial_rig.h"
#include "resolver.h"

#include <stdlib.h>
#include <sys/un.h>

/* ---- what is dialed ---- */

/* Connects until the kernel takes no more: a dial then gets no answer. */
static size_t fill_backlog(const struct world *w, uint32_t ip, int *fds, size_t max) {
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip), .sin_port = htons((uint16_t)w->port)};
    size_t n = 0;
    for (; n < max; n++) {
        fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fds[n], (struct sockaddr *)&at, sizeof at);
    }
    return n;
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
    while (w->received.n < 6) turn(w);
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

static void where_an_address_refuses_the_next_is_tried(void **state) {
    struct world *w = *state;
    char text[IP_TEXT_MAX];
    listen_tcp(w, 1);
    dial_host(w, "two.test", LONG_MS);
    until_done(w);
    bytes_pass(w);
    assert_string_equal(ip_format(&w->conn->peer, text), "127.0.0.1");
}

static void where_an_address_is_silent_the_next_is_tried_in_time(void **state) {
    struct world *w = *state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002)};
    int fds[9];
    listen_tcp(w, 1);
    at.sin_port = htons((uint16_t)w->port);
    fds[8] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fds[8], (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fds[8], 0), 0);
    fill_backlog(w, 0x7f000002, fds, 8);
    uint64_t began_ms = loop_now_ms(w->loop);
    dial_host(w, "two.test", 400);
    until_done(w);
    assert_true(loop_now_ms(w->loop) < began_ms + 400); /* half the time was for the silent one */
    bytes_pass(w);
    for (size_t i = 0; i < 9; i++) close(fds[i]);
}

static void where_all_addresses_refuse_it_fails(void **state) {
    struct world *w = *state;
    listen_tcp(w, -1);
    dial_host(w, "two.test", LONG_MS);
    expect_failure(w, "refused");
}

static void dial_again(struct world *w, const char *host) {
    w->done = 0;
    if (w->conn) conn_close(w->conn, "once more");
    turns(w, 1);
    dial_host(w, host, LONG_MS);
    until_done(w);
}

static void what_was_looked_up_is_dialed_again(void **state) {
    struct world *w = *state;
    char text[IP_TEXT_MAX];
    listen_tcp(w, 3);
    queries = 0;
    dial_host(w, "moving.test", LONG_MS); /* the next query would lead elsewhere */
    until_done(w);
    for (int i = 0; i < 2; i++) {
        dial_again(w, "moving.test");
        assert_non_null(w->conn);
        assert_string_equal(ip_format(&w->conn->peer, text), "127.0.0.1");
    }
    assert_int_equal(queries, 1);
}

static void where_nobody_answered_is_looked_up_anew(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1);
    queries = 1;
    dial_host(w, "moving.test", LONG_MS);
    expect_failure(w, "refused");
    dial_again(w, "moving.test");
    assert_int_equal(queries, 3);
    bytes_pass(w);
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
    size_t n = fill_backlog(w, INADDR_LOOPBACK, fds, 8);
    dial_host(w, "127.0.0.1", 30);
    expect_failure(w, "timeout");
    while (n) close(fds[--n]);
}

static void a_cancelled_dial_says_nothing(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1);
    for (int n = 0; n < 4; n++) {
        dial_host(w, "127.0.0.1", LONG_MS);
        for (int i = 0; i < n && w->dial; i++) turn(w);
        if (!w->dial) break; /* as far as it goes */
        dial_cancel(w->dial);
        w->dial = NULL;
        turns(w, 3);
        assert_int_equal(w->done, 0);
    }
}

static void a_dial_that_connects_is_cancelled(void **state) {
    struct world *w = *state;
    int fds[8];
    listen_tcp(w, 0);
    size_t n = fill_backlog(w, INADDR_LOOPBACK, fds, 8);
    dial_host(w, "127.0.0.1", LONG_MS);
    turns(w, 3);
    dial_cancel(w->dial);
    w->dial = NULL;
    while (n) close(fds[--n]);
    turns(w, 3);
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
    turns(w, 10);
    assert_int_equal(w->done, 0);
}

static void a_lookup_may_time_out(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1);
    dial_host(w, "late.test", 20);
    expect_failure(w, "timeout of the name lookup");
    sem_post(&answer); /* which comes to nobody */
}

static void a_lookup_that_a_thread_is_at_is_cancelled(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1);
    dial_host(w, "late.test", LONG_MS);
    turns(w, 3);
    dial_cancel(w->dial);
    w->dial = NULL;
    sem_post(&answer);
    turns(w, 3);
    assert_int_equal(w->done, 0);
}

static void a_late_answer_is_in_time(void **state) {
    struct world *w = *state;
    listen_tcp(w, 1);
    dial_host(w, "late.test", LONG_MS);
    turns(w, 3);
    assert_int_equal(w->done, 0);
    sem_post(&answer);
    until_done(w);
    bytes_pass(w);
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
    sem_init(&answer, 0, 0);
    const struct CMUnitTest tests[] = {
        T(an_address_is_dialed),
        T(a_name_is_looked_up),
        T(an_address_may_have_brackets),
        T(a_unix_socket_is_dialed),
        T(a_missing_unix_socket_fails),
        T(a_path_that_no_socket_can_have_fails),
        T(a_closed_port_refuses),
        T(where_an_address_refuses_the_next_is_tried),
        T(where_an_address_is_silent_the_next_is_tried_in_time),
        T(where_all_addresses_refuse_it_fails),
        T(what_was_looked_up_is_dialed_again),
        T(where_nobody_answered_is_looked_up_anew),
        T(an_unknown_name_fails),
        T(nonsense_is_refused),
        T(no_answer_is_a_timeout),
        T(a_cancelled_dial_says_nothing),
        T(a_dial_that_connects_is_cancelled),
        T(a_cancelled_lookup_finds_nobody),
        T(a_lookup_may_time_out),
        T(a_lookup_that_a_thread_is_at_is_cancelled),
        T(a_late_answer_is_in_time),
        T(done_may_close),
        T(what_we_opened_is_no_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
