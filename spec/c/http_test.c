/* SPDX-License-Identifier: MIT */
/* The HTTP connection: requests in every split, one after the other; ends, answers, upgrades. */
#include "http_bench.h"

/* ---- reading ---- */

static void requests_are_the_same_in_every_split(void **state) {
    (void)state;
    const char *text = "POST /a?x=1 HTTP/1.1\r\nHost: a.example:80\r\nX-Empty:\r\nX-Y:  z \r\n"
                       "Content-Length: 5\r\n\r\nhello"
                       "\r\nPOST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
                       "GET /c HTTP/1.1\r\nHost: a\r\n\r\n";
    const char *lines = "2 /a [x=1] hello\n2 /b [] abcde\n0 /c [] \n";
    struct bench b;
    bench_init(&b);
    struct slice whole = slice_of(text);
    for (size_t at = 0; at <= whole.n; at++) {
        bench_connect(&b);
        feed(&b, slice_upto(whole, at));
        feed(&b, slice_from(whole, at));
        saw(&b, lines);
        assert_int_equal(count(&b, "HTTP/1.1 200 OK"), 3);
        bench_disconnect(&b);
        bench_clear(&b);
    }
    bench_connect(&b);
    for (size_t at = 0; at < whole.n; at++) feed(&b, slice_make(whole.p + at, 1));
    saw(&b, lines);
    bench_fini(&b);
}

/* ---- one after the other ---- */

static void pipelined_requests_are_answered_in_order(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    b.limits.http_requests_per_connection = LIMIT_OFF;
    bench_connect(&b);
    struct text raw = {0}, expected = {0};
    for (int i = 0; i < 2000; i++) {
        text_format(&raw, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n%04d", i, i);
        text_format(&expected, "2 /%d [] %04d\n", i, i);
    }
    feed(&b, text_slice(&raw));
    for (int i = 0; i < 100; i++) bench_turn(&b);
    assert_true(slice_eq(text_slice(&b.seen), text_slice(&expected)));
    assert_int_equal(count(&b, "HTTP/1.1 200 OK"), 2000);
    struct slice out = text_slice(&b.output);
    assert_true(slice_ends(out, SLICE("1999")));
    text_fini(&raw);
    text_fini(&expected);
    bench_fini(&b);
}

static void a_request_waits_for_the_answer_to_the_one_before(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_connect(&b);
    feed_str(&b, "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /then HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(b.handed, 1);
    feed_str(&b, "GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(b.handed, 1);
    http_reply(b.later, 200, NULL, SLICE("one"));
    b.later = NULL;
    assert_int_equal(b.handed, 1); /* not from inside */
    for (int i = 0; i < 4; i++) bench_turn(&b);
    saw(&b, "0 /later [] \n0 /then [] \n0 /last [] \n");
    bench_fini(&b);
}

static void a_peer_that_does_not_read_is_not_read(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    b.limits.http_requests_per_connection = LIMIT_OFF;
    bench_connect(&b);
    struct text raw = {0};
    text_str(&raw, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
    text_repeat(&raw, "x", 60000);
    size_t sent = 0;
    for (int i = 0; i < 400; i++) {
        ssize_t n = send(b.peer, text_slice(&raw).p + sent, raw.n - sent, MSG_NOSIGNAL);
        if (n > 0) sent = (sent + (size_t)n) % raw.n;
        loop_turn(b.loop);
    }
    struct conn *c = container_of(b.net.conns.next, struct conn, link);
    assert_true(b.handed < 100);
    assert_true(conn_backlog(c) <= 9 * 61000);
    size_t before = b.handed;
    for (int i = 0; i < 50; i++) bench_turn(&b);
    assert_true(b.handed > before);
    text_fini(&raw);
    bench_fini(&b);
}

static void the_last_request_of_a_connection_closes_it(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    b.limits.http_requests_per_connection = 2;
    bench_connect(&b);
    feed_str(&b, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                 "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    saw(&b, "0 /1 [] \n0 /2 [] \n");
    assert_int_equal(count(&b, "Connection: close"), 1);
    assert_true(b.closed);
    bench_fini(&b);
}

/* ---- ends ---- */

static void a_half_closed_peer_gets_its_answer(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_connect(&b);
    feed_str(&b, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(b.peer, SHUT_WR);
    bench_turn(&b);
    assert_false(b.closed);
    http_reply(b.later, 200, NULL, SLICE("still here"));
    b.later = NULL;
    bench_turn(&b);
    has(&b, "still here");
    assert_true(b.closed);
    bench_fini(&b);
}

static void all_pipelined_requests_of_a_half_closed_peer_are_answered(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_connect(&b);
    struct text raw = {0};
    text_repeat(&raw, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 40);
    text_str(&raw, "GET / HT");
    assert_int_equal(write(b.peer, text_slice(&raw).p, raw.n), raw.n);
    shutdown(b.peer, SHUT_WR);
    for (int i = 0; i < 20; i++) bench_turn(&b);
    assert_int_equal(count(&b, "HTTP/1.1 200 OK"), 40);
    assert_true(b.closed);
    text_fini(&raw);
    bench_fini(&b);
}

static void a_handler_hears_of_a_peer_that_left(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    b.tell_aborted = true;
    bench_connect(&b);
    feed_str(&b, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(b.peer, SHUT_WR);
    bench_turn(&b);
    assert_int_equal(b.aborted, 1);
    assert_true(b.closed);
    bench_disconnect(&b);
    bench_connect(&b);
    feed_str(&b, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    bench_disconnect(&b);
    assert_int_equal(b.aborted, 2);
    bench_connect(&b);
    bench_fini(&b);
}

static void a_dropped_request_has_no_answer(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_connect(&b);
    feed_str(&b, "GET /drop HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(b.closed);
    assert_int_equal(b.output.n, 0);
    assert_int_equal(b.handed, 1);
    bench_fini(&b);
}

static void slow_requests_end_in_time(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    b.limits.http_header_timeout = b.limits.http_body_timeout = 20;
    b.limits.http_keepalive_timeout = 20;
    bench_connect(&b);
    await_closed(&b); /* said nothing */
    assert_int_equal(b.output.n, 0);
    bench_disconnect(&b);

    bench_connect(&b);
    feed_str(&b, "GET / HT");
    await_closed(&b);
    assert_int_equal(first_status(&b), 408);
    bench_disconnect(&b);
    bench_clear(&b);

    bench_connect(&b);
    feed_str(&b, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
    await_closed(&b);
    assert_int_equal(first_status(&b), 408);
    bench_disconnect(&b);
    bench_clear(&b);

    bench_connect(&b);
    feed_str(&b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await_closed(&b); /* idle */
    assert_int_equal(count(&b, "HTTP/1.1"), 1);
    assert_int_equal(first_status(&b), 200);
    bench_disconnect(&b);
    bench_clear(&b);

    bench_connect(&b); /* a handler has all the time it wants */
    feed_str(&b, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 50; i++) {
        usleep(1000);
        bench_turn(&b);
    }
    assert_false(b.closed);
    bench_fini(&b);
}

static void a_drain_closes_what_is_idle_and_ends_what_is_not(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_connect(&b);
    feed_str(&b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    http_drain(&b.net);
    bench_turn(&b);
    assert_true(b.closed);
    bench_disconnect(&b);
    bench_clear(&b);
    bench_connect(&b);
    feed_str(&b, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    http_drain(&b.net);
    bench_turn(&b);
    assert_false(b.closed);
    http_reply(b.later, 200, NULL, SLICE("bye"));
    b.later = NULL;
    bench_turn(&b);
    has(&b, "Connection: close");
    has(&b, "bye");
    assert_true(b.closed);
    bench_fini(&b);
}

/* ---- answers ---- */

static void answer_is(const char *request, const char *const *needles, bool closes) {
    struct bench b;
    bench_init(&b);
    bench_connect(&b);
    feed_str(&b, request);
    for (; *needles; needles++) {
        if (**needles != '!') has(&b, *needles);
        else if (count(&b, *needles + 1))
            fail_msg("\"%s\" in:\n%.*s", *needles + 1, (int)b.output.n, text_slice(&b.output).p);
    }
    assert_int_equal(b.closed, closes);
    bench_fini(&b);
}

#define ANSWER(request, closes, ...) answer_is(request, (const char *[]){__VA_ARGS__, NULL}, closes)

static void answers_have_the_form_their_request_can_read(void **state) {
    (void)state;
    ANSWER("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, "HTTP/1.1 200 OK\r\n",
           "Content-Length: 2\r\n", "Date: ", " GMT\r\n", "\r\n\r\nok", "!Connection",
           "!Transfer-Encoding");
    ANSWER("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", false, "Content-Length: 2\r\n", "!\r\n\r\nok");
    ANSWER("GET /none HTTP/1.1\r\nHost: a\r\n\r\n", false, "204 No Content", "!Content-Length");
    ANSWER("GET /same HTTP/1.1\r\nHost: a\r\n\r\n", false, "304 Not Modified", "!Content-Length");
    ANSWER("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", true, "Connection: close");
    ANSWER("GET / HTTP/1.0\r\n\r\n", true, "Connection: close", "Content-Length: 2");
    ANSWER("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", false, "Connection: keep-alive");
    ANSWER("GET /missing HTTP/1.1\r\nHost: a\r\n\r\n", false, "HTTP/1.1 404 Not Found\r\n",
           "X-Content-Type-Options: nosniff\r\n", "Cache-Control: no-store\r\n",
           "Not Found: no such thing\n");
    ANSWER("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", true, "Allow: GET, HEAD, POST");
    ANSWER("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", false, "Transfer-Encoding: chunked\r\n",
           "\r\n\r\n6\r\nfirst\n\r\n7\r\nsecond\n\r\n0\r\n\r\n", "!Content-Length");
    ANSWER("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n", false, "!first", "!0\r\n\r\n");
    ANSWER("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, "Connection: close\r\n",
           "\r\n\r\nfirst\nsecond\n", "!Transfer-Encoding", "!Content-Length", "!keep-alive");
#define EXPECTING "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
    ANSWER(EXPECTING "Content-Length: 2\r\n\r\n", false, "HTTP/1.1 100 Continue\r\n\r\n", "!200");
    ANSWER(EXPECTING "Content-Length: 2\r\n\r\nhi", false, "200 OK", "!100 Continue");
    ANSWER(EXPECTING "Content-Length: 99999\r\n\r\n", true, "413", "!100 Continue");
}

/* ---- upgrades ---- */

#define ASKS_UPGRADE "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
#define SWITCHED                                                                                   \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

static void bytes_behind_an_upgrade_belong_to_the_new_owner(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    struct slice whole =
        SLICE("GET /upgrade HTTP/1.1\r\nHost: a\r\n" ASKS_UPGRADE "GET / HTTP/1.1\r\n");
    for (size_t at = 1; at < whole.n; at++) {
        bench_connect(&b);
        feed(&b, slice_upto(whole, at));
        feed(&b, slice_from(whole, at));
        has(&b, SWITCHED);
        assert_true(slice_is(text_slice(&b.raw), "GET / HTTP/1.1\r\n"));
        text_clear(&b.raw);
        bench_disconnect(&b);
        bench_clear(&b);
    }
    assert_int_equal(b.raw_closed, whole.n - 1);
    bench_connect(&b);
    bench_fini(&b);
}

static void an_upgrade_may_be_answered_later(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    bench_connect(&b);
    feed_str(&b, "GET /later HTTP/1.1\r\nHost: a\r\n" ASKS_UPGRADE "abc");
    feed_str(&b, "def"); /* not read yet: the rest is kept, the connection paused */
    struct conn *c = http_upgrade(b.later, "websocket", NULL, &raw_ops, &b);
    b.later = NULL;
    assert_true(conn_is_open(c));
    assert_true(slice_is(text_slice(&b.raw), "abc"));
    bench_turn(&b);
    assert_true(slice_is(text_slice(&b.raw), "abcdef"));
    bench_fini(&b);
}

static void a_refused_upgrade_ends_the_connection(void **state) {
    (void)state;
    static const char *const cases[] = {
        "POST /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET /upgrade HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET /missing HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    };
    struct bench b;
    bench_init(&b);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench_connect(&b);
        struct text raw = {0};
        text_str(&raw, cases[i]);
        text_str(&raw, "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n");
        feed(&b, text_slice(&raw));
        assert_true(b.closed);
        assert_int_equal(b.handed, 1);
        assert_true(first_status(&b) >= 400);
        assert_int_equal(count(&b, "HTTP/1.1 "), 1);
        text_fini(&raw);
        bench_disconnect(&b);
        bench_clear(&b);
    }
    bench_connect(&b);
    bench_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_the_same_in_every_split),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_request_waits_for_the_answer_to_the_one_before),
        cmocka_unit_test(a_peer_that_does_not_read_is_not_read),
        cmocka_unit_test(the_last_request_of_a_connection_closes_it),
        cmocka_unit_test(a_half_closed_peer_gets_its_answer),
        cmocka_unit_test(all_pipelined_requests_of_a_half_closed_peer_are_answered),
        cmocka_unit_test(a_handler_hears_of_a_peer_that_left),
        cmocka_unit_test(a_dropped_request_has_no_answer),
        cmocka_unit_test(slow_requests_end_in_time),
        cmocka_unit_test(a_drain_closes_what_is_idle_and_ends_what_is_not),
        cmocka_unit_test(answers_have_the_form_their_request_can_read),
        cmocka_unit_test(bytes_behind_an_upgrade_belong_to_the_new_owner),
        cmocka_unit_test(an_upgrade_may_be_answered_later),
        cmocka_unit_test(a_refused_upgrade_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
