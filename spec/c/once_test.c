/* SPDX-License-Identifier: MIT */
#include "core/once.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const unsigned char one[32] = {1}, other[32] = {2};

struct waiter {
    struct once_waiter waiter;
    int told, result;
};

static void on_done(struct once_waiter *w, int result) {
    struct waiter *x = container_of(w, struct waiter, waiter);
    x->told++;
    x->result = result;
}

static enum once_state begin(struct once_table *t, uint64_t now_ms, const char *key,
                             const unsigned char *digest, struct waiter *w, int *result) {
    *w = (struct waiter){.waiter = {.done = on_done}};
    return once_begin(t, now_ms, slice_of(key), digest, &w->waiter, result);
}

static void who_asks_again_waits_and_is_told(void **state) {
    struct once_table t;
    struct waiter a, b, c;
    int result = -1;
    (void)state;
    once_init(&t, 10, 1000);
    assert_int_equal(ONCE_FIRST, begin(&t, 0, "k", one, &a, &result));
    assert_int_equal(ONCE_WAIT, begin(&t, 1, "k", one, &b, &result));
    assert_int_equal(ONCE_WAIT, begin(&t, 1, "k", one, &c, &result));
    assert_int_equal(ONCE_OTHER, begin(&t, 1, "k", other, &a, &result));
    once_forget(&c.waiter);
    once_end(&t, SLICE("k"), 1);
    assert_int_equal(1, b.told);
    assert_int_equal(1, b.result);
    assert_int_equal(0, c.told);
    assert_int_equal(ONCE_DONE, begin(&t, 2, "k", one, &a, &result));
    assert_int_equal(1, result);
    once_fini(&t);
}

static void a_failure_is_told_and_not_kept(void **state) {
    struct once_table t;
    struct waiter a, b;
    int result = 0;
    (void)state;
    once_init(&t, 10, 1000);
    begin(&t, 0, "k", one, &a, &result);
    begin(&t, 0, "k", one, &b, &result);
    once_end(&t, SLICE("k"), -5);
    assert_int_equal(-5, b.result);
    assert_int_equal(ONCE_FIRST, begin(&t, 0, "k", other, &a, &result));
    once_fini(&t);
}

static void the_old_and_the_many_are_given_up(void **state) {
    struct once_table t;
    struct waiter w;
    int result;
    (void)state;
    once_init(&t, 2, 1000);
    for (int i = 0; i < 4; i++) {
        char key[2] = {(char)('a' + i), 0};
        assert_int_equal(ONCE_FIRST, begin(&t, 0, key, one, &w, &result));
        once_end(&t, slice_of(key), 0);
    }
    assert_int_equal(ONCE_DONE, begin(&t, 0, "d", one, &w, &result));
    assert_int_equal(ONCE_FIRST, begin(&t, 0, "a", one, &w, &result));
    once_end(&t, SLICE("a"), 0);
    assert_int_equal(ONCE_FIRST, begin(&t, 1000, "d", one, &w, &result));
    once_end(&t, SLICE("d"), 0);
    once_fini(&t);
}

/* What is being done is not forgotten: it would be done twice. */
static void what_is_being_done_is_kept(void **state) {
    struct once_table t;
    struct waiter w;
    int result;
    (void)state;
    once_init(&t, 1, 1000);
    begin(&t, 0, "slow", one, &w, &result);
    for (int i = 0; i < 4; i++) {
        char key[2] = {(char)('a' + i), 0};
        begin(&t, 5000, key, one, &w, &result);
        once_end(&t, slice_of(key), 0);
    }
    assert_int_equal(ONCE_WAIT, begin(&t, 9000, "slow", one, &w, &result));
    once_end(&t, SLICE("slow"), 0);
    assert_int_equal(1, w.told);
    once_fini(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_asks_again_waits_and_is_told),
        cmocka_unit_test(a_failure_is_told_and_not_kept),
        cmocka_unit_test(the_old_and_the_many_are_given_up),
        cmocka_unit_test(what_is_being_done_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
