/* SPDX-License-Identifier: MIT */
/* The loop with its timers, descriptors, deferred work and guest, and the log that writes from it.
 */
#include "base/buf.h"
#include "base/log.h"
#include "base/loop.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

/* ---- timers ---- */

struct alarm {
    struct timer timer;
    struct loop *loop;
    struct text *seen;
    struct alarm *other; /* stopped when this one fires */
    char name;
    int again; /* times that it starts itself anew */
};

static void on_alarm(struct timer *t) {
    struct alarm *a = container_of(t, struct alarm, timer);
    assert_false(timer_active(t));
    assert_true(loop_now_ms(a->loop) >= t->due_ms);
    text_char(a->seen, a->name);
    if (a->other) timer_stop(a->loop, &a->other->timer);
    if (a->again-- > 0) timer_start(a->loop, t, 0);
}

static struct alarm alarm_make(struct loop *loop, struct text *seen, char name) {
    return (struct alarm){.timer = {.fired = on_alarm}, .loop = loop, .seen = seen, .name = name};
}

static void timers_fire_once_in_the_order_they_are_due(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    struct text seen = {0};
    struct alarm alarms[6];
    static const uint64_t delays[] = {9, 3, 6, 1, 12, 4};
    for (int i = 0; i < 6; i++) {
        alarms[i] = alarm_make(loop, &seen, (char)('a' + i));
        timer_start(loop, &alarms[i].timer, delays[i]);
        assert_true(timer_active(&alarms[i].timer));
    }
    timer_stop(loop, &alarms[2].timer);
    timer_stop(loop, &alarms[2].timer);
    timer_start(loop, &alarms[1].timer, 20);
    alarms[0].other = &alarms[4];
    while (seen.n < 4) loop_turn(loop);
    assert_true(slice_is(text_slice(&seen), "dfab"));
    for (int i = 0; i < 6; i++) assert_false(timer_active(&alarms[i].timer));
    text_fini(&seen);
    loop_free(loop);
}

static void a_timer_may_start_itself_again_and_lets_others_run(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    struct text seen = {0};
    struct alarm busy = alarm_make(loop, &seen, 'x'), end = alarm_make(loop, &seen, '.');
    busy.again = 5;
    timer_start(loop, &busy.timer, 0);
    timer_start(loop, &end.timer, 30);
    while (timer_active(&end.timer)) loop_turn(loop);
    assert_true(slice_is(text_slice(&seen), "xxxxxx."));
    text_fini(&seen);
    loop_free(loop);
}

static void many_timers_keep_their_order(void **state) {
    (void)state;
    enum { N = 2000 };
    struct loop *loop = loop_new();
    struct text seen = {0};
    struct alarm *alarms = mem_new(N * sizeof *alarms);
    uint32_t random = 1;
    for (int i = 0; i < N; i++) {
        random = random * 1664525 + 1013904223;
        alarms[i] = alarm_make(loop, &seen, 'x');
        timer_start(loop, &alarms[i].timer, 1 + (random >> 24) % 20);
    }
    for (int i = 0; i < N; i += 3) timer_stop(loop, &alarms[i].timer);
    uint64_t before = 0;
    size_t fired = 0;
    while (fired < N - (N + 2) / 3) {
        loop_turn(loop);
        for (int i = 0; i < N; i++) {
            if (timer_active(&alarms[i].timer))
                assert_true(alarms[i].timer.due_ms > loop_now_ms(loop));
        }
        assert_true(loop_now_ms(loop) >= before);
        before = loop_now_ms(loop);
        fired = seen.n;
    }
    text_fini(&seen);
    mem_free(alarms);
    loop_free(loop);
}

/* ---- deferred work ---- */

struct work {
    struct deferred deferred;
    struct loop *loop;
    struct text *seen;
    char name;
    struct work *next; /* deferred by run, in phase */
    enum loop_phase phase;
    bool frees;
};

static void on_work(struct deferred *d) {
    struct work *w = container_of(d, struct work, deferred);
    text_char(w->seen, w->name);
    if (w->next) loop_defer(w->loop, w->phase, &w->next->deferred);
    if (w->frees) mem_free(w);
}

static void work_init(struct work *w, struct loop *loop, struct text *seen, char name) {
    *w = (struct work){.loop = loop, .seen = seen, .name = name};
    deferred_init(&w->deferred, on_work);
}

/* A turn that has nothing to wait for. */
static void turn(struct loop *loop) {
    struct text seen = {0};
    struct alarm soon = alarm_make(loop, &seen, '.');
    timer_start(loop, &soon.timer, 0);
    while (timer_active(&soon.timer)) loop_turn(loop);
    text_fini(&seen);
}

static void phases_run_in_their_order_and_begin_again_for_new_work(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    struct text seen = {0};
    struct work deliver, flush, last, late;
    work_init(&deliver, loop, &seen, 'd');
    work_init(&flush, loop, &seen, 'w');
    work_init(&last, loop, &seen, 'f');
    work_init(&late, loop, &seen, 'D');
    flush.next = &late;
    flush.phase = LOOP_DELIVER;
    late.next = &flush;
    late.phase = LOOP_FLUSH;
    loop_defer(loop, LOOP_FREE, &last.deferred);
    loop_defer(loop, LOOP_FLUSH, &flush.deferred);
    loop_defer(loop, LOOP_FLUSH, &flush.deferred);
    loop_defer(loop, LOOP_DELIVER, &deliver.deferred);
    late.next = NULL;
    turn(loop);
    assert_true(slice_is(text_slice(&seen), "dwDf"));
    text_fini(&seen);
    loop_free(loop);
}

static void work_may_be_cancelled_and_may_free_itself(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    struct text seen = {0};
    struct work cancelled, *freed = mem_new(sizeof *freed);
    work_init(&cancelled, loop, &seen, 'c');
    work_init(freed, loop, &seen, 'f');
    freed->frees = true;
    loop_defer(loop, LOOP_DELIVER, &cancelled.deferred);
    loop_defer(loop, LOOP_DELIVER, &freed->deferred);
    deferred_cancel(&cancelled.deferred);
    deferred_cancel(&cancelled.deferred);
    turn(loop);
    assert_true(slice_is(text_slice(&seen), "f"));
    text_fini(&seen);
    loop_free(loop);
}

static void work_that_never_ends_does_not_stop_the_timers(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    struct text seen = {0};
    struct work endless;
    work_init(&endless, loop, &seen, 'e');
    endless.next = &endless;
    endless.phase = LOOP_DELIVER;
    loop_defer(loop, LOOP_DELIVER, &endless.deferred);
    turn(loop);
    assert_true(seen.n > 1);
    deferred_cancel(&endless.deferred);
    text_fini(&seen);
    loop_free(loop);
}

/* ---- descriptors ---- */

struct end {
    struct watch watch;
    struct loop *loop;
    uint32_t events;
    struct end *other; /* stopped when this one is ready */
    int calls;
};

static void on_ready(struct watch *w, uint32_t events) {
    struct end *e = container_of(w, struct end, watch);
    e->events = events;
    e->calls++;
    if (e->other) watch_stop(e->loop, &e->other->watch);
}

static void open_pair(struct loop *loop, struct end ends[2]) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    for (int i = 0; i < 2; i++)
        ends[i] = (struct end){.watch = {.fd = fds[i], .ready = on_ready}, .loop = loop};
}

static void a_descriptor_tells_what_it_is_asked_for(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    struct end ends[2];
    open_pair(loop, ends);
    assert_int_equal(watch_set(loop, &ends[0].watch, WATCH_READ), 0);
    turn(loop);
    assert_int_equal(ends[0].calls, 0);
    assert_int_equal(write(ends[1].watch.fd, "x", 1), 1);
    loop_turn(loop);
    assert_int_equal(ends[0].events, WATCH_READ);
    assert_int_equal(watch_set(loop, &ends[0].watch, WATCH_WRITE), 0);
    loop_turn(loop);
    assert_int_equal(ends[0].events, WATCH_WRITE);
    watch_stop(loop, &ends[0].watch);
    watch_stop(loop, &ends[0].watch);
    int calls = ends[0].calls;
    turn(loop);
    assert_int_equal(ends[0].calls, calls);
    assert_int_equal(watch_set(loop, &ends[0].watch, WATCH_READ | WATCH_HANGUP), 0);
    close(ends[1].watch.fd);
    loop_turn(loop);
    assert_true(ends[0].events & WATCH_HANGUP);
    watch_stop(loop, &ends[0].watch);
    close(ends[0].watch.fd);
    loop_free(loop);
}

static void a_descriptor_that_was_stopped_in_this_turn_is_silent(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    struct end ends[2];
    open_pair(loop, ends);
    ends[0].other = &ends[1];
    ends[1].other = &ends[0];
    for (int i = 0; i < 2; i++) assert_int_equal(watch_set(loop, &ends[i].watch, WATCH_WRITE), 0);
    loop_turn(loop);
    assert_int_equal(ends[0].calls + ends[1].calls, 1);
    for (int i = 0; i < 2; i++) {
        watch_stop(loop, &ends[i].watch);
        close(ends[i].watch.fd);
    }
    struct watch wrong = {.fd = -1, .ready = on_ready};
    assert_true(watch_set(loop, &wrong, WATCH_READ) < 0);
    loop_free(loop);
}

/* ---- libuv ---- */

static void on_uv_timer(uv_timer_t *t) {
    struct loop *loop = t->data;
    uv_close((uv_handle_t *)t, NULL);
    loop_stop(loop);
}

static void handles_of_libuv_are_served_in_the_same_loop(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    uv_timer_t t;
    uv_timer_init(loop_uv(loop), &t);
    t.data = loop;
    uv_timer_start(&t, on_uv_timer, 2, 0);
    loop_run(loop);
    loop_free(loop);
}

/* ---- log ---- */

static struct text read_all(int fd) {
    struct text t = {0};
    for (ssize_t n; (n = read(fd, text_reserve(&t, 4096), 4096)) > 0;) text_commit(&t, (size_t)n);
    return t;
}

static struct log *log_to_pipe(struct loop *loop, int fds[2]) {
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    fcntl(fds[1], F_SETFL, 0);
    return log_new(loop, fds[1]);
}

/* What a log wrote, behind the time. */
static void expect_lines(struct log *log, int fds[2], const char *expected) {
    struct text all = read_all(fds[0]), seen = {0};
    struct slice rest = text_slice(&all), line;
    while (slice_next(&rest, '\n', &line)) {
        size_t at = slice_find(line, 'Z');
        if (line.n) text_add(&seen, slice_from(line, at + 1));
        if (line.n) text_char(&seen, '\n');
    }
    text_char(&seen, 0);
    assert_string_equal(text_slice(&seen).p, expected);
    log_free(log);
    close(fds[0]);
    close(fds[1]);
    text_fini(&all);
    text_fini(&seen);
}

static void nothing_in_a_field_breaks_a_line(void **state) {
    (void)state;
    int fds[2];
    struct log *log = log_to_pipe(NULL, fds);
    LOG(log, LOG_INFO, "one", log_c("plain", "abc-1.2"), log_n("n", -5), log_c("none", NULL));
    LOG(log, LOG_WARN, "two words", log_s("s", SLICE("a b\"c\\d\n\r\x1b[31m\x7f\0z=\xc3\xa4")));
    LOG(log, LOG_DEBUG, "unwanted", log_n("n", 1));
    LOG(NULL, LOG_ERROR, "nobody", log_n("n", 1));
    expect_lines(
        log, fds,
        " level=info msg=one plain=abc-1.2 n=-5 none=\"\"\n"
        " level=warn msg=\"two words\" s=\"a b\\\"c\\\\d\\u000a\\u000d\\u001b[31m\\u007f\\u0000z="
        "\xc3\xa4\"\n");
}

static void json_lines_are_json(void **state) {
    (void)state;
    int fds[2];
    struct log *log = log_to_pipe(NULL, fds);
    log_set_json(log, true);
    log_set_level(log, LOG_DEBUG);
    LOG(log, LOG_DEBUG, "a \"b\"", log_s("s", SLICE("x\ny")), log_n("n", 7));
    expect_lines(log, fds,
                 "\",\"level\":\"debug\",\"msg\":\"a \\\"b\\\"\",\"s\":\"x\\u000ay\",\"n\":7}\n");
}

static void a_field_without_end_is_cut(void **state) {
    (void)state;
    int fds[2];
    struct log *log = log_to_pipe(NULL, fds);
    struct text long_text = {0};
    for (int i = 0; i < 20000; i++) text_char(&long_text, 'x');
    LOG(log, LOG_INFO, "long", log_s("a", text_slice(&long_text)),
        log_s("b", text_slice(&long_text)));
    struct text all = read_all(fds[0]);
    assert_in_range(all.n, 2000, 2200);
    text_fini(&all);
    text_fini(&long_text);
    log_free(log);
    close(fds[0]);
    close(fds[1]);
}

static void a_log_that_nobody_reads_drops_and_never_blocks(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    int fds[2];
    struct log *log = log_to_pipe(loop, fds);
    for (int i = 0; i < 5000; i++) LOG(log, LOG_INFO, "line", log_n("i", i));
    turn(loop);
    assert_true(log_dropped(log) >= 2000);
    struct text all = read_all(fds[0]);
    assert_true(all.n > 50 * 1000);
    text_fini(&all);
    log_free(log);
    close(fds[0]);
    close(fds[1]);
    loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_once_in_the_order_they_are_due),
        cmocka_unit_test(a_timer_may_start_itself_again_and_lets_others_run),
        cmocka_unit_test(many_timers_keep_their_order),
        cmocka_unit_test(phases_run_in_their_order_and_begin_again_for_new_work),
        cmocka_unit_test(work_may_be_cancelled_and_may_free_itself),
        cmocka_unit_test(work_that_never_ends_does_not_stop_the_timers),
        cmocka_unit_test(a_descriptor_tells_what_it_is_asked_for),
        cmocka_unit_test(a_descriptor_that_was_stopped_in_this_turn_is_silent),
        cmocka_unit_test(handles_of_libuv_are_served_in_the_same_loop),
        cmocka_unit_test(nothing_in_a_field_breaks_a_line),
        cmocka_unit_test(json_lines_are_json),
        cmocka_unit_test(a_field_without_end_is_cut),
        cmocka_unit_test(a_log_that_nobody_reads_drops_and_never_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
