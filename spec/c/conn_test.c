/* SPDX-License-Identifier: MIT */
/* Connections over socket pairs: what is queued comes out whole and in order, however little the
 * kernel takes; the peer's end, slow peers and closes from every callback end in one closed. */
#include "net/conn.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct world {
    struct loop *loop;
    struct limits limits;
    struct random random;
    struct net net;
    struct conn *conn;
    int peer;
    /* what happened */
    struct text received;
    int ended, drained, slow, closed;
    const char *reason;
    bool close_in_received, finish_in_slow;
    struct timer tick; /* so that no turn waits for ever */
};

static void on_tick(struct timer *t) {
    timer_start(container_of(t, struct world, tick)->loop, t, 1);
}

static void received(struct conn *c, char *data, size_t n) {
    struct world *w = c->user;
    text_add(&w->received, slice_make(data, n));
    if (w->close_in_received) conn_close(c, "enough");
}
static void ended(struct conn *c) { ((struct world *)c->user)->ended++; }
static void drained(struct conn *c) { ((struct world *)c->user)->drained++; }
static void slow(struct conn *c) {
    struct world *w = c->user;
    w->slow++;
    if (!w->finish_in_slow) return;
    conn_drop_output(c);
    conn_send_copy(c, SLICE("bye"));
    conn_finish(c, 1000, "slow");
}
static void closed(struct conn *c, const char *reason) {
    struct world *w = c->user;
    w->closed++;
    w->reason = reason;
}

static const struct conn_ops ops = {received, ended, drained, slow, closed};
static const struct conn_ops ops_without = {received, NULL, NULL, NULL, closed};

static int setup(void **state) {
    struct world *w = mem_new(sizeof *w);
    struct ip ip = {{0}};
    int pair[2];
    w->loop = loop_new();
    limits_init(&w->limits);
    net_init(&w->net, w->loop, NULL, NULL, &w->random, &w->limits);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    int small = 4096;
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    w->peer = pair[1];
    w->conn = conn_open(&w->net, pair[0], &ip, &ops, w);
    w->tick.fired = on_tick;
    timer_start(w->loop, &w->tick, 1);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    if (!w->closed) conn_close(w->conn, "test over");
    loop_settle(w->loop);
    assert_int_equal(w->closed, 1);
    assert_int_equal(w->net.open, 0);
    net_fini(&w->net);
    timer_stop(w->loop, &w->tick);
    loop_free(w->loop);
    text_fini(&w->received);
    if (w->peer >= 0) close(w->peer);
    mem_free(w);
    return 0;
}

/* Reads what is there. */
static size_t peer_read(struct world *w, struct text *into) {
    char part[1000];
    ssize_t n = recv(w->peer, part, sizeof part, MSG_DONTWAIT);
    if (n > 0) text_add(into, slice_make(part, (size_t)n));
    return n > 0 ? (size_t)n : 0;
}

static void what_is_queued_comes_whole_and_in_order(void **state) {
    struct world *w = *state;
    struct text expected = {0}, got = {0};
    struct buf *large = buf_new(70000);
    memset(large->data, 'L', large->n);
    for (int i = 0; i < 300; i++) {
        char head[CONN_HEAD_MAX], body[600];
        size_t head_n = (size_t)snprintf(head, sizeof head, "<%d>", i);
        size_t body_n = (size_t)(i * 7 % 599);
        memset(body, 'a' + i % 26, body_n);
        struct buf *b = i % 50 == 49 ? buf_ref(large) : buf_copy(slice_make(body, body_n));
        conn_send(w->conn, slice_make(head, head_n), i % 3 ? b : NULL);
        text_add(&expected, slice_make(head, head_n));
        if (i % 3) text_add(&expected, buf_slice(b));
        buf_unref(b);
    }
    assert_int_equal(conn_backlog(w->conn), expected.n);
    while (got.n < expected.n) {
        loop_turn(w->loop);
        while (peer_read(w, &got)) continue;
    }
    loop_turn(w->loop);
    assert_true(slice_eq(text_slice(&got), text_slice(&expected)));
    assert_int_equal(conn_backlog(w->conn), 0);
    assert_int_equal(w->drained, 1);
    buf_unref(large);
    text_fini(&got);
    text_fini(&expected);
}

static void small_output_leaves_in_one_write(void **state) {
    struct world *w = *state;
    struct text got = {0};
    for (int i = 0; i < 10; i++) conn_send_copy(w->conn, SLICE("12345"));
    loop_settle(w->loop);
    assert_int_equal(peer_read(w, &got), 50);
    assert_int_equal(w->drained, 0);
    text_fini(&got);
}

static void dropping_keeps_a_half_written_entry(void **state) {
    struct world *w = *state;
    struct text got = {0};
    struct buf *large = buf_new(300000);
    memset(large->data, 'x', large->n);
    conn_send(w->conn, SLICE("head"), large);
    for (int i = 0; i < 40; i++) conn_send(w->conn, SLICE("never"), large);
    loop_settle(w->loop);
    conn_drop_output(w->conn);
    conn_send_copy(w->conn, SLICE("end"));
    while (got.n < large->n + 7) {
        while (peer_read(w, &got)) continue;
        loop_turn(w->loop);
    }
    assert_int_equal(got.n, large->n + 7);
    assert_true(slice_ends(text_slice(&got), SLICE("xend")));
    buf_unref(large);
    text_fini(&got);
}

static void input_is_received_and_the_end_told(void **state) {
    struct world *w = *state;
    assert_int_equal(send(w->peer, "hello", 5, 0), 5);
    shutdown(w->peer, SHUT_WR);
    while (!w->ended) loop_turn(w->loop);
    assert_true(slice_is(text_slice(&w->received), "hello"));
    conn_send_copy(w->conn, SLICE("answer")); /* our side is still open */
    loop_settle(w->loop);
    struct text got = {0};
    assert_int_equal(peer_read(w, &got), 6);
    text_fini(&got);
}

static void without_ended_the_end_closes(void **state) {
    struct world *w = *state;
    conn_hand_over(w->conn, &ops_without, w);
    shutdown(w->peer, SHUT_WR);
    while (!w->closed) loop_turn(w->loop);
    assert_string_equal(w->reason, "closed by peer");
}

static void after_close_nothing_but_closed_comes(void **state) {
    struct world *w = *state;
    w->close_in_received = true;
    assert_int_equal(send(w->peer, "a", 1, 0), 1);
    while (!w->closed) loop_turn(w->loop);
    assert_string_equal(w->reason, "enough");
    assert_int_equal(w->ended + w->drained + w->slow, 0);
}

static void closing_twice_keeps_the_first_reason(void **state) {
    struct world *w = *state;
    conn_close(w->conn, "first");
    conn_close(w->conn, "second");
    conn_send_copy(w->conn, SLICE("lost"));
    conn_finish(w->conn, 10, "third");
    assert_int_equal(w->closed, 0); /* only at the end of the turn */
    loop_settle(w->loop);
    assert_string_equal(w->reason, "first");
}

static void finishing_flushes_and_waits_for_the_peer(void **state) {
    struct world *w = *state;
    struct text got = {0};
    conn_send_copy(w->conn, SLICE("last words"));
    conn_finish(w->conn, 60000, "done");
    loop_settle(w->loop);
    assert_int_equal(peer_read(w, &got), 10);
    assert_int_equal(send(w->peer, "ignored", 7, 0), 7);
    loop_turn(w->loop);
    assert_int_equal(w->closed, 0);
    close(w->peer);
    w->peer = -1;
    while (!w->closed) loop_turn(w->loop);
    assert_int_equal(w->received.n, 0);
    text_fini(&got);
}

static void lingering_has_an_end(void **state) {
    struct world *w = *state;
    conn_finish(w->conn, 5, "done");
    while (!w->closed) loop_turn(w->loop);
    assert_string_equal(w->reason, "done");
}

static void a_paused_connection_is_not_read(void **state) {
    struct world *w = *state;
    conn_pause(w->conn);
    assert_int_equal(send(w->peer, "later", 5, 0), 5);
    conn_send_copy(w->conn, SLICE("x"));
    loop_settle(w->loop);
    assert_int_equal(w->received.n, 0);
    conn_resume(w->conn);
    loop_turn(w->loop);
    assert_true(slice_is(text_slice(&w->received), "later"));
}

static void above_the_hard_mark_it_is_slow(void **state) {
    struct world *w = *state;
    struct buf *large = buf_new(600000);
    memset(large->data, 'x', large->n);
    conn_set_marks(w->conn, 1000, LIMIT_OFF, 500000);
    w->finish_in_slow = true;
    for (int i = 0; i < 3; i++) conn_send(w->conn, (struct slice){NULL, 0}, large);
    loop_settle(w->loop);
    assert_int_equal(w->slow, 1);
    struct text got = {0};
    while (!w->closed && w->peer >= 0) {
        while (peer_read(w, &got)) continue;
        if (slice_ends(text_slice(&got), SLICE("bye"))) {
            close(w->peer);
            w->peer = -1;
        }
        loop_turn(w->loop);
    }
    assert_int_equal(got.n, large->n + 3);
    while (!w->closed) loop_turn(w->loop);
    buf_unref(large);
    text_fini(&got);
}

static void above_the_soft_mark_for_too_long_it_is_slow(void **state) {
    struct world *w = *state;
    struct buf *large = buf_new(600000);
    memset(large->data, 'x', large->n);
    conn_set_marks(w->conn, 1000, 20, LIMIT_OFF);
    conn_send(w->conn, (struct slice){NULL, 0}, large);
    loop_settle(w->loop);
    assert_int_equal(w->slow, 0);
    while (!w->slow) loop_turn(w->loop);
    buf_unref(large);
}

static void who_takes_nothing_is_closed(void **state) {
    struct world *w = *state;
    struct buf *large = buf_new(600000);
    memset(large->data, 'x', large->n);
    w->limits.send_stall_timeout = 20;
    conn_send(w->conn, (struct slice){NULL, 0}, large);
    while (!w->closed) loop_turn(w->loop);
    assert_string_equal(w->reason, "takes no bytes");
    buf_unref(large);
}

static void all_together_have_a_bound(void **state) {
    struct world *w = *state;
    struct buf *large = buf_new(600000);
    memset(large->data, 'x', large->n);
    w->net.unsent_most = 500000;
    conn_send(w->conn, (struct slice){NULL, 0}, large);
    assert_int_equal(w->net.unsent, large->n);
    loop_settle(w->loop);
    assert_int_equal(w->slow, 1); /* told first, then closed: it has dropped nothing */
    assert_int_equal(w->closed, 1);
    assert_string_equal(w->reason, "send buffers are full");
    assert_int_equal(w->net.unsent, 0);
    buf_unref(large);
}

static void a_reset_closes(void **state) {
    struct world *w = *state;
    struct buf *large = buf_new(600000);
    memset(large->data, 'x', large->n);
    conn_hand_over(w->conn, &ops_without, w);
    conn_send(w->conn, (struct slice){NULL, 0}, large);
    loop_settle(w->loop);
    close(w->peer);
    w->peer = -1;
    while (!w->closed) loop_turn(w->loop);
    buf_unref(large);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_queued_comes_whole_and_in_order),
        T(small_output_leaves_in_one_write),
        T(dropping_keeps_a_half_written_entry),
        T(input_is_received_and_the_end_told),
        T(without_ended_the_end_closes),
        T(after_close_nothing_but_closed_comes),
        T(closing_twice_keeps_the_first_reason),
        T(finishing_flushes_and_waits_for_the_peer),
        T(lingering_has_an_end),
        T(a_paused_connection_is_not_read),
        T(above_the_hard_mark_it_is_slow),
        T(above_the_soft_mark_for_too_long_it_is_slow),
        T(who_takes_nothing_is_closed),
        T(all_together_have_a_bound),
        T(a_reset_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
