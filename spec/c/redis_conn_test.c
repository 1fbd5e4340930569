/* SPDX-License-Identifier: MIT */
/* The connection to Redis against a server that says whatever a test wants: SECURITY.md B2, and the
 * bounds of LIMITS.md section 8. */
#include "net/listener.h"
#include "store/redis_conn.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 5000

struct rig {
    struct loop *loop;
    struct metrics *metrics;
    struct random random;
    struct limits limits;
    struct net net;
    struct listener *listener;
    struct redis_url url;
    struct redis_conn conn;
    int fd; /* the server's end of the newest connection; -1: none */
    unsigned accepted, up, down, pushed;
    int statuses[64]; /* of the answers, in their order */
    long long integers[64];
    size_t answers;
};

static struct rig *rig_of(struct redis_conn *r) { return container_of(r, struct rig, conn); }

static void on_accepted(void *arg, int fd, const struct ip *peer) {
    struct rig *rig = arg;
    (void)peer;
    if (rig->fd >= 0) close(rig->fd);
    rig->fd = fd;
    rig->accepted++;
}

static void on_up(struct redis_conn *r) { rig_of(r)->up++; }
static void on_down(struct redis_conn *r) { rig_of(r)->down++; }

static void on_push(struct redis_conn *r, const redisReply *reply) {
    (void)reply;
    rig_of(r)->pushed++;
}

static const struct redis_conn_ops call_ops = {.up = on_up, .down = on_down};
static const struct redis_conn_ops push_ops = {.up = on_up, .down = on_down, .push = on_push};

static void on_answer(void *arg, int status, const redisReply *reply) {
    struct rig *rig = arg;
    assert_true(rig->answers < 64);
    rig->integers[rig->answers] = reply ? reply->integer : -1;
    rig->statuses[rig->answers++] = status;
}

static int setup(void **state) {
    struct rig *rig = mem_new(sizeof *rig);
    const char *error;
    char url[64];
    rig->fd = -1;
    rig->loop = loop_new();
    rig->metrics = metrics_new();
    limits_init(&rig->limits);
    rig->limits.store_timeout = 100;
    rig->limits.redis_backoff = 20;
    net_init(&rig->net, rig->loop, NULL, rig->metrics, &rig->random, &rig->limits);
    rig->listener = listener_open(&rig->net, SLICE("127.0.0.1:0"), on_accepted, rig, &error);
    assert_non_null(rig->listener);
    snprintf(url, sizeof url, "redis%s", listener_url(rig->listener) + strlen("http"));
    assert_true(redis_url_parse(&rig->url, slice_of(url)));
    *state = rig;
    return 0;
}

static int teardown(void **state) {
    struct rig *rig = *state;
    redis_conn_close(&rig->conn);
    listener_close(rig->listener);
    if (rig->fd >= 0) close(rig->fd);
    redis_url_fini(&rig->url);
    loop_settle(rig->loop);
    net_fini(&rig->net);
    metrics_free(rig->metrics);
    loop_free(rig->loop);
    mem_free(rig);
    return 0;
}

static void rig_open(struct rig *rig, const struct redis_conn_ops *ops) {
    redis_conn_open(&rig->conn, &rig->net, &rig->url, NULL, "test", ops);
}

/* Turns until *figure is at least n. */
static void await(struct rig *rig, const unsigned *figure, unsigned n) {
    uint64_t end = loop_now_ms(rig->loop) + WAIT_MS;
    while (*figure < n) {
        assert_true(loop_now_ms(rig->loop) < end);
        loop_turn(rig->loop);
    }
}

static void await_answers(struct rig *rig, size_t n) {
    uint64_t end = loop_now_ms(rig->loop) + WAIT_MS;
    while (rig->answers < n) {
        assert_true(loop_now_ms(rig->loop) < end);
        loop_turn(rig->loop);
    }
}

static void reply_n(struct rig *rig, const char *bytes, size_t n) {
    assert_int_equal(send(rig->fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}
static void reply(struct rig *rig, const char *bytes) { reply_n(rig, bytes, strlen(bytes)); }

/* Answers CLIENT SETNAME and PING. */
static void rig_greet(struct rig *rig) {
    unsigned ups = rig->up;
    await(rig, &rig->accepted, rig->accepted + (rig->fd < 0));
    reply(rig, "+OK\r\n+PONG\r\n");
    await(rig, &rig->up, ups + 1);
}

static int call(struct rig *rig) {
    return redis_conn_send(&rig->conn, (struct slice[]){SLICE("GET"), SLICE("a")}, 2, on_answer, rig);
}

/* A connection that was lost comes back. */
static void comes_back(struct rig *rig, unsigned accepted) {
    await(rig, &rig->accepted, accepted + 1);
    unsigned ups = rig->up;
    reply(rig, "+OK\r\n+PONG\r\n");
    await(rig, &rig->up, ups + 1);
}

/* ---- specs ---- */

static void answers_commands_in_their_order(void **state) {
    struct rig *rig = *state;
    rig_open(rig, &call_ops);
    assert_int_equal(call(rig), -ENOTCONN);
    rig_greet(rig);
    for (int i = 0; i < 3; i++) assert_int_equal(call(rig), 0);
    reply(rig, ":1\r\n:2\r\n-ERR three\r\n");
    await_answers(rig, 3);
    assert_int_equal(rig->integers[0], 1);
    assert_int_equal(rig->integers[1], 2);
    assert_int_equal(rig->statuses[2], -EREMOTEIO);
    assert_int_equal(rig->conn.state, REDIS_UP);
}

static void gives_up_what_is_not_answered_in_time(void **state) {
    struct rig *rig = *state;
    rig_open(rig, &call_ops);
    rig_greet(rig);
    for (int i = 0; i < 5; i++) call(rig);
    reply(rig, ":1\r\n");
    unsigned accepted = rig->accepted;
    await_answers(rig, 5);
    assert_int_equal(rig->statuses[0], 0);
    for (int i = 1; i < 5; i++) assert_int_equal(rig->statuses[i], -ENOTCONN);
    await(rig, &rig->down, 1);
    comes_back(rig, accepted);
}

static void does_not_wait_for_a_greeting_for_ever(void **state) {
    struct rig *rig = *state;
    rig_open(rig, &call_ops);
    await(rig, &rig->accepted, 3);
    assert_int_equal(rig->up, 0);
    assert_int_equal(rig->down, 0);
}

static void what_waits_is_bounded(void **state) {
    struct rig *rig = *state;
    rig->limits.redis_pending = 16;
    rig->limits.redis_pending_bytes = 65536;
    rig_open(rig, &call_ops);
    rig_greet(rig);
    for (int i = 0; i < 16; i++) assert_int_equal(call(rig), 0);
    assert_int_equal(call(rig), -ENOBUFS);
    reply(rig, ":1\r\n");
    await_answers(rig, 1);
    char large[65536] = {0};
    struct slice words[] = {SLICE("SET"), SLICE("a"), slice_make(large, sizeof large)};
    assert_int_equal(redis_conn_send(&rig->conn, words, 3, on_answer, rig), 0);
    assert_int_equal(call(rig), -ENOBUFS);
}

static void what_is_no_answer_ends_the_connection(void **state) {
    static const struct {
        const char *bytes;
        size_t n;
    } rows[] = {
#define ROW(text) {text, sizeof(text) - 1}
        ROW("HTTP/1.1 400 Bad Request\r\n\r\n"), ROW("\0\0\0\0\r\n"),     ROW("$-5\r\n"),
        ROW("$abc\r\n"),                         ROW("*2147483647\r\n"),   ROW("*99999999999\r\n"),
        ROW("*-7\r\n"),                          ROW("%1\r\n+a\r\n+b\r\n"), ROW("_\r\n"),
        ROW("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"),
        ROW("$99999999999999999999\r\nx"),       ROW("=15\r\ntxt:Some string\r\n"),
        ROW("(123\r\n"),                         ROW(">1\r\n+x\r\n")};
    struct rig *rig = *state;
    rig_open(rig, &call_ops);
    rig_greet(rig);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned accepted = rig->accepted;
        rig->answers = 0;
        call(rig);
        reply_n(rig, rows[i].bytes, rows[i].n);
        await_answers(rig, 1);
        assert_int_equal(rig->statuses[0], -ENOTCONN);
        comes_back(rig, accepted);
    }
}

static void what_nobody_asked_for_ends_the_connection(void **state) {
    static const char *const rows[] = {"+OK\r\n", ":1\r\n", "*1\r\n:1\r\n", "-ERR max clients\r\n",
                                       "$1\r\nx\r\n"};
    struct rig *rig = *state;
    rig_open(rig, &call_ops);
    rig_greet(rig);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned accepted = rig->accepted, down = rig->down;
        reply(rig, rows[i]);
        await(rig, &rig->down, down + 1);
        comes_back(rig, accepted);
    }
}

static void one_that_is_not_the_master_any_more_is_left(void **state) {
    static const char *const rows[] = {"-READONLY You can't write against a read only replica.\r\n",
                                       "-LOADING Redis is loading the dataset in memory\r\n",
                                       "-MASTERDOWN Link with MASTER is down\r\n"};
    struct rig *rig = *state;
    rig_open(rig, &call_ops);
    rig_greet(rig);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned accepted = rig->accepted;
        rig->answers = 0;
        call(rig);
        reply(rig, rows[i]);
        await_answers(rig, 1);
        assert_int_equal(rig->statuses[0], -EREMOTEIO);
        comes_back(rig, accepted);
    }
}

static void answers_may_come_byte_by_byte(void **state) {
    static const char bytes[] = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n";
    struct rig *rig = *state;
    rig_open(rig, &push_ops);
    rig_greet(rig);
    for (unsigned round = 1; round <= 2; round++) {
        for (size_t i = 0; i < sizeof bytes - 1; i++) {
            assert_int_equal(rig->pushed, round - 1);
            reply_n(rig, bytes + i, 1);
            loop_turn(rig->loop);
        }
        await(rig, &rig->pushed, round);
    }
    assert_int_equal(rig->conn.state, REDIS_UP);
}

static void a_login_that_is_refused_is_tried_again(void **state) {
    struct rig *rig = *state;
    rig->url.password = slice_cstr(SLICE("wrong"));
    rig_open(rig, &call_ops);
    for (unsigned i = 1; i <= 3; i++) {
        await(rig, &rig->accepted, i);
        reply(rig, "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    }
    await(rig, &rig->accepted, 4);
    reply(rig, "+OK\r\n+OK\r\n+PONG\r\n");
    await(rig, &rig->up, 1);
}

static void closing_answers_what_waits(void **state) {
    struct rig *rig = *state;
    rig_open(rig, &call_ops);
    rig_greet(rig);
    for (int i = 0; i < 3; i++) call(rig);
    redis_conn_close(&rig->conn);
    assert_int_equal(rig->answers, 3);
    for (int i = 0; i < 3; i++) assert_int_equal(rig->statuses[i], -ENOTCONN);
    assert_int_equal(call(rig), -ENOTCONN);
    redis_conn_close(&rig->conn);
    assert_int_equal(rig->down, 0);
}

#define SPEC(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        SPEC(answers_commands_in_their_order),
        SPEC(gives_up_what_is_not_answered_in_time),
        SPEC(does_not_wait_for_a_greeting_for_ever),
        SPEC(what_waits_is_bounded),
        SPEC(what_is_no_answer_ends_the_connection),
        SPEC(what_nobody_asked_for_ends_the_connection),
        SPEC(one_that_is_not_the_master_any_more_is_left),
        SPEC(answers_may_come_byte_by_byte),
        SPEC(a_login_that_is_refused_is_tried_again),
        SPEC(closing_answers_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
