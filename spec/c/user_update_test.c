/* SPDX-License-Identifier: MIT */
#include "core/user_update.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_text(const char *expected, struct text *t) {
    text_char(t, 0);
    assert_string_equal(expected, text_slice(t).p);
    text_fini(t);
}

static void the_id_is_the_second_part_of_the_room(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"user_5", "5"},   {"user_5_admin", "5"}, {"user_", ""},
                                          {"user", ""},      {"user__5", ""},       {"user_..", ""},
                                          {"user_.", ""},    {"_x", "x"},           {"", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice id = user_update_id(slice_of(rows[i][0]));
        if (!slice_is(id, rows[i][1])) fail_msg("%s", rows[i][0]);
    }
}

/* Whatever a client's room is called, the request stays on the path that the conf names. */
static void the_id_stays_one_segment(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"5", "http://a/users/5?x=1"},
        {"../../admin", "http://a/users/..%2F..%2Fadmin?x=1"},
        {"1?x=2#y", "http://a/users/1%3Fx%3D2%23y?x=1"},
        {"a@evil:80", "http://a/users/a%40evil%3A80?x=1"},
        {"%2e%2e", "http://a/users/%252e%252e?x=1"},
        {"a\r\nb", "http://a/users/a%0D%0Ab?x=1"},
        {"\xc3\xa4", "http://a/users/%C3%A4?x=1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text url = {0};
        user_update_url(&url, "http://a/users/:id?x=1", slice_of(rows[i][0]));
        assert_text(rows[i][1], &url);
    }
}

static void the_body_says_when(void **state) {
    (void)state;
    struct text body = {0};
    user_update_body(&body, SLICE("5"), true, 1795227682418);
    assert_text("{\"id\":\"5\",\"user\":{\"last_connected\":\"2026-11-21T02:21:22.418Z\"}}", &body);
    user_update_body(&body, SLICE("\""), false, 7);
    assert_text("{\"id\":\"\\\"\",\"user\":{\"last_disconnected\":\"1970-01-01T00:00:00.007Z\"}}",
                &body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_id_is_the_second_part_of_the_room),
        cmocka_unit_test(the_id_stays_one_segment),
        cmocka_unit_test(the_body_says_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
