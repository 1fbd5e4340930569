/* SPDX-License-Identifier: MIT */
/* Names, their queries and those who wait for them: how often the resolver is really asked, who is
 * told what, and what is forgotten when. */
#include "net/names.h"
#include "resolver.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct rig {
    struct loop *loop;
    struct limits limits;
    struct random random;
    struct net net;
    struct timer tick; /* so that no turn waits for ever */
};

struct asker {
    struct name_wait wait;
    int told;
    struct addresses *found;
    const char *why;
    struct asker *cancels; /* when it is told; NULL: nobody */
};

static void on_tick(struct timer *t) { timer_start(container_of(t, struct rig, tick)->loop, t, 1); }

static void asker_fini(struct asker *a) {
    names_cancel(&a->wait);
    addresses_unref(a->found);
    *a = (struct asker){0};
}

static void on_told(struct name_wait *w, struct addresses *found, const char *why) {
    struct asker *a = container_of(w, struct asker, wait);
    assert_true(!found == !!why);
    a->told++;
    a->found = addresses_ref(found);
    a->why = why;
    if (a->cancels) names_cancel(&a->cancels->wait);
}

static int setup(void **state) {
    struct rig *r = mem_new(sizeof *r);
    r->loop = loop_new();
    limits_init(&r->limits);
    net_init(&r->net, r->loop, NULL, NULL, &r->random, &r->limits);
    r->tick.fired = on_tick;
    timer_start(r->loop, &r->tick, 1);
    queries = 0;
    *state = r;
    return 0;
}

static int teardown(void **state) {
    struct rig *r = *state;
    net_fini(&r->net);
    timer_stop(r->loop, &r->tick);
    loop_free(r->loop);
    mem_free(r);
    return 0;
}

static void ask(struct rig *r, struct asker *a, const char *host) {
    a->wait.told = on_told;
    names_ask(r->net.names, host, &a->wait);
}

static void until_told(struct rig *r, const struct asker *a) {
    while (!a->told) loop_turn(r->loop);
    assert_int_equal(a->told, 1);
}

/* A thread is at the last of n queries. */
static void until_queries(struct rig *r, int n) {
    while (queries < n) loop_turn(r->loop);
}

static void expect(const struct asker *a, const char *ip) {
    char text[INET_ADDRSTRLEN];
    assert_non_null(a->found);
    assert_int_equal(a->found->at[0].any.sa_family, AF_INET);
    inet_ntop(AF_INET, &a->found->at[0].v4.sin_addr, text, sizeof text);
    assert_string_equal(text, ip);
}

/* Asks and is told; the name is not to be found then. */
static void expect_why(struct rig *r, const char *host, const char *why) {
    struct asker a = {0};
    ask(r, &a, host);
    until_told(r, &a);
    assert_string_equal(a.why, why);
    asker_fini(&a);
}

static void expect_queries(struct rig *r, const char *host, int n) {
    struct asker a = {0};
    ask(r, &a, host);
    until_told(r, &a);
    assert_int_equal(queries, n);
    asker_fini(&a);
}

/* ---- the tests ---- */

static void numbers_are_told_at_once(void **state) {
    struct rig *r = *state;
    struct asker a = {0};
    ask(r, &a, "127.0.0.9");
    assert_int_equal(a.told, 1);
    expect(&a, "127.0.0.9");
    asker_fini(&a);
    ask(r, &a, "::1");
    assert_int_equal(a.told, 1);
    assert_int_equal(a.found->at[0].any.sa_family, AF_INET6);
    asker_fini(&a);
}

static void all_addresses_come_in_their_order(void **state) {
    struct rig *r = *state;
    struct asker a = {0};
    ask(r, &a, "two.test");
    assert_int_equal(a.told, 0);
    until_told(r, &a);
    assert_int_equal(a.found->count, 2);
    expect(&a, "127.0.0.2");
    assert_int_equal(a.found->at[1].v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    asker_fini(&a);
}

static void only_so_many_addresses_are_kept(void **state) {
    struct rig *r = *state;
    struct asker a = {0};
    ask(r, &a, "many.test");
    until_told(r, &a);
    assert_int_equal(a.found->count, NAMES_ADDRESSES_MAX);
    asker_fini(&a);
}

static void a_name_is_known_for_its_time(void **state) {
    struct rig *r = *state;
    struct asker a = {0}, b = {0};
    r->limits.dns_ttl = 50;
    ask(r, &a, "moving.test");
    until_told(r, &a);
    uint64_t known_ms = loop_now_ms(r->loop);
    ask(r, &b, "moving.test");
    assert_int_equal(b.told, 1);
    expect(&b, "127.0.0.1");
    while (asker_fini(&b), ask(r, &b, "moving.test"), b.told) loop_turn(r->loop);
    assert_true(loop_now_ms(r->loop) - known_ms >= 50);
    until_told(r, &b);
    expect(&b, "127.0.0.2");
    expect(&a, "127.0.0.1"); /* who was told before keeps what it was told */
    asker_fini(&a);
    asker_fini(&b);
}

static void without_a_time_it_is_always_looked_up(void **state) {
    struct rig *r = *state;
    r->limits.dns_ttl = 0;
    for (int i = 1; i <= 3; i++) expect_queries(r, "one.test", i);
}

static void a_failure_is_known_for_a_second(void **state) {
    struct rig *r = *state;
    expect_why(r, "busy.test", "no answer to the name lookup");
    expect_why(r, "away.test", "name not found");
    uint64_t known_ms = loop_now_ms(r->loop);
    struct asker a = {0};
    for (ask(r, &a, "away.test"); a.told; ask(r, &a, "away.test")) {
        assert_string_equal(a.why, "name not found");
        asker_fini(&a);
        loop_turn(r->loop);
    }
    assert_in_range(loop_now_ms(r->loop) - known_ms, 1000, 10000);
    asker_fini(&a);
}

static void who_asks_meanwhile_shares_the_query(void **state) {
    struct rig *r = *state;
    struct asker a[3] = {0};
    for (int i = 0; i < 3; i++) ask(r, &a[i], "late.test");
    until_queries(r, 1);
    sem_post(&answer);
    for (int i = 0; i < 3; i++) until_told(r, &a[i]);
    assert_int_equal(queries, 1);
    for (int i = 0; i < 3; i++) asker_fini(&a[i]);
}

static void who_cancels_is_not_told(void **state) {
    struct rig *r = *state;
    struct asker a[3] = {0};
    a[1].cancels = &a[2]; /* at the last moment */
    for (int i = 0; i < 3; i++) ask(r, &a[i], "late.test");
    until_queries(r, 1);
    names_cancel(&a[0].wait);
    sem_post(&answer);
    until_told(r, &a[1]);
    loop_turn(r->loop);
    assert_int_equal(a[0].told, 0);
    assert_int_equal(a[2].told, 0);
    for (int i = 0; i < 3; i++) asker_fini(&a[i]);
}

static void a_query_that_nobody_waits_for_serves_the_next(void **state) {
    struct rig *r = *state;
    struct asker a = {0};
    ask(r, &a, "late.test");
    until_queries(r, 1);
    names_cancel(&a.wait);
    ask(r, &a, "late.test");
    sem_post(&answer);
    until_told(r, &a);
    assert_int_equal(queries, 1);
    asker_fini(&a);
}

/* libuv has at most half of its threads look names up: what is asked for behind these stays in the
 * queue. */
static void a_query_that_no_thread_is_at_is_taken_back(void **state) {
    static const char *const hosts[] = {"a.late.test", "b.late.test", "c.late.test", "d.late.test"};
    struct rig *r = *state;
    struct asker busy[4] = {0}, a = {0};
    for (int i = 0; i < 4; i++) ask(r, &busy[i], hosts[i]);
    ask(r, &a, "one.test");
    names_cancel(&a.wait);
    ask(r, &a, "one.test"); /* not the one that was taken back */
    for (int i = 0; i < 4; i++) sem_post(&answer);
    until_told(r, &a);
    expect(&a, "127.0.0.1");
    for (int i = 0; i < 4; i++) {
        until_told(r, &busy[i]);
        asker_fini(&busy[i]);
    }
    assert_int_equal(queries, 5);
    asker_fini(&a);
}

static void the_longest_unused_goes(void **state) {
    struct rig *r = *state;
    r->limits.dns_names = 2;
    expect_queries(r, "a.test", 1);
    expect_queries(r, "b.test", 2);
    expect_queries(r, "a.test", 2);
    expect_queries(r, "c.test", 3); /* in b's place */
    expect_queries(r, "a.test", 3);
    expect_queries(r, "b.test", 4);
}

static void only_so_many_are_looked_up(void **state) {
    struct rig *r = *state;
    struct asker a = {0};
    r->limits.dns_names = 1;
    ask(r, &a, "late.test");
    expect_why(r, "one.test", "too many name lookups");
    until_queries(r, 1);
    sem_post(&answer);
    until_told(r, &a);
    expect_queries(r, "one.test", 2);
    asker_fini(&a);
}

static void what_leads_nowhere_is_forgotten_once(void **state) {
    struct rig *r = *state;
    struct asker old = {0}, new = {0};
    ask(r, &old, "moving.test");
    until_told(r, &old);
    names_forget(r->net.names, "moving.test", old.found);
    ask(r, &new, "moving.test");
    until_told(r, &new);
    expect(&new, "127.0.0.2");
    names_forget(r->net.names, "moving.test", old.found); /* somebody else who went there */
    expect_queries(r, "moving.test", 2);
    names_forget(r->net.names, "unknown.test", old.found);
    asker_fini(&old);
    asker_fini(&new);
}

static void it_may_end_while_a_query_is_on_its_way(void **state) {
    struct rig *r = *state;
    struct asker a = {0};
    ask(r, &a, "late.test");
    until_queries(r, 1);
    names_cancel(&a.wait);
    sem_post(&answer); /* teardown comes first */
}

static void a_name_that_cannot_be_asked_for_is_not_found(void **state) {
    expect_why(*state, "", "name not found");
    expect_why(*state, "\xff\xfe", "name not found");
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    sem_init(&answer, 0, 0);
    const struct CMUnitTest tests[] = {
        T(numbers_are_told_at_once),
        T(all_addresses_come_in_their_order),
        T(only_so_many_addresses_are_kept),
        T(a_name_is_known_for_its_time),
        T(without_a_time_it_is_always_looked_up),
        T(a_failure_is_known_for_a_second),
        T(who_asks_meanwhile_shares_the_query),
        T(who_cancels_is_not_told),
        T(a_query_that_nobody_waits_for_serves_the_next),
        T(a_query_that_no_thread_is_at_is_taken_back),
        T(the_longest_unused_goes),
        T(only_so_many_are_looked_up),
        T(what_leads_nowhere_is_forgotten_once),
        T(it_may_end_while_a_query_is_on_its_way),
        T(a_name_that_cannot_be_asked_for_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
