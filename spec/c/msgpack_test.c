/* SPDX-License-Identifier: MIT */
/* MessagePack as JSON: every form of it, what is none, and bytes that are handed out. */
#include "base/json.h"
#include "base/msgpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ROW(bytes, json) {{bytes, sizeof(bytes) - 1}, json}

/* Joins what is handed out, each with its length before it. */
static bool note(void *arg, struct slice bytes) {
    text_format(arg, "%zu:", bytes.n);
    text_add(arg, bytes);
    return true;
}

static bool refuse(void *arg, struct slice bytes) {
    (void)arg, (void)bytes;
    return false;
}

static void reads_every_form(void **state) {
    static const struct {
        struct slice in;
        const char *json;
    } rows[] = {
        ROW("\x00", "0"),
        ROW("\x7f", "127"),
        ROW("\xff", "-1"),
        ROW("\xe0", "-32"),
        ROW("\xcc\xff", "255"),
        ROW("\xcd\x01\x00", "256"),
        ROW("\xce\xff\xff\xff\xff", "4294967295"),
        ROW("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        ROW("\xd0\x80", "-128"),
        ROW("\xd0\x7f", "127"),
        ROW("\xd1\x80\x00", "-32768"),
        ROW("\xd2\x80\x00\x00\x00", "-2147483648"),
        ROW("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808"),
        ROW("\xd3\x00\x00\x00\x00\x00\x00\x00\x05", "5"),
        ROW("\xca\x3f\x80\x00\x00", "1.0"),
        ROW("\xca\xbf\x40\x00\x00", "-0.75"),
        ROW("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", "0.1"),
        ROW("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
        ROW("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00", "null"),
        ROW("\xca\x7f\x80\x00\x00", "null"),
        ROW("\xc0", "null"),
        ROW("\xc2", "false"),
        ROW("\xc3", "true"),
        ROW("\xa0", "\"\""),
        ROW("\xa3" "a\"\n", "\"a\\\"\\n\""),
        ROW("\xd9\x02\xc3\xa9", "\"\xc3\xa9\""),
        ROW("\xda\x00\x01x", "\"x\""),
        ROW("\xdb\x00\x00\x00\x01x", "\"x\""),
        ROW("\x90", "[]"),
        ROW("\x80", "{}"),
        ROW("\x93\x01\x90\x92\x02\x80", "[1,[],[2,{}]]"),
        ROW("\x82\xa1" "a\x91\x01\xa1" "b\x81\xa1[\xa1{", "{\"a\":[1],\"b\":{\"[\":\"{\"}}"),
        ROW("\x92\xa1[\xa1{", "[\"[\",\"{\"]"),
        ROW("\x82\x05\x01\xff\x02", "{\"5\":1,\"-1\":2}"),
        ROW("\xdc\x00\x02\xc0\xc0", "[null,null]"),
        ROW("\xdd\x00\x00\x00\x01\xc0", "[null]"),
        ROW("\xde\x00\x01\xa1" "a\xc0", "{\"a\":null}"),
        ROW("\xdf\x00\x00\x00\x01\xa1" "a\xc0", "{\"a\":null}"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text json = {0};
        if (!msgpack_to_json(&json, rows[i].in, 8, NULL, NULL)) fail_msg("no %s", rows[i].json);
        text_char(&json, '\0');
        assert_string_equal(text_slice(&json).p, rows[i].json);
        text_fini(&json);
    }
}

static void reads_dates_and_other_extensions(void **state) {
    static const struct {
        struct slice in;
        const char *json;
    } rows[] = {
        ROW("\xd6\xff\x00\x00\x00\x00", "\"1970-01-01T00:00:00.000Z\""),
        ROW("\xd6\xff\x5e\x5b\x01\x80", "\"2020-03-01T00:27:44.000Z\""),
        ROW("\xd6\xff\xff\xff\xff\xff", "\"2106-02-07T06:28:15.000Z\""),
        ROW("\xd7\xff\x1d\xcd\x65\x00\x00\x00\x00\x01", "\"1970-01-01T00:00:01.125Z\""),
        ROW("\xd7\xff\xff\xff\xff\xff\x00\x00\x00\x01", "null"), /* over 999999999 nanoseconds */
        ROW("\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
            "\"1969-12-31T23:59:59.000Z\""),
        ROW("\xc7\x0c\xff\x00\x0f\x42\x40\xff\xff\xff\xff\xff\xff\xff\xff",
            "\"1969-12-31T23:59:59.001Z\""),
        ROW("\xc7\x0c\xff\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00", "null"),
        ROW("\xc7\x0c\xff\x00\x00\x00\x00\x00\x00\x07\xdb\xa8\x21\x80\x00",
            "\"+275760-09-13T00:00:00.000Z\""),
        ROW("\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xf1\x86\x8b\x84\x00",
            "\"0000-01-01T00:00:00.000Z\""),
        ROW("\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xf1\x86\x8b\x83\xff",
            "\"-000001-12-31T23:59:59.000Z\""),
        ROW("\xd7\x00\xff\xff\xff\xff\xff\xff\xff\xff", "\"1969-12-31T23:59:59.999Z\""),
        ROW("\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "null"),
        ROW("\xd4\x00\x00", "null"),
        ROW("\xd4\x07\x00", "null"),
        ROW("\xd5\x00\x00\x00", "null"),
        ROW("\xc7\x03\x05" "abc", "null"),
        ROW("\xc7\x00\xff", "null"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text json = {0};
        if (!msgpack_to_json(&json, rows[i].in, 8, NULL, NULL)) fail_msg("no %s", rows[i].json);
        text_char(&json, '\0');
        assert_string_equal(text_slice(&json).p, rows[i].json);
        text_fini(&json);
    }
}

static void hands_bytes_out_in_their_order(void **state) {
    static const char in[] = "\x93\xc4\x02" "ab\x81\xa1x\xc5\x00\x00\x92\xc7\x03\x00" "abc"
                             "\xc6\x00\x00\x00\x01z";
    struct text json = {0}, bytes = {0};
    (void)state;
    assert_true(msgpack_to_json(&json, slice_make(in, sizeof in - 1), 8, note, &bytes));
    text_char(&json, '\0');
    text_char(&bytes, '\0');
    assert_string_equal(text_slice(&json).p,
                        "[{\"_placeholder\":true,\"num\":0},{\"x\":{\"_placeholder\":true,\"num\":1}},"
                        "[{\"_placeholder\":true,\"num\":2},{\"_placeholder\":true,\"num\":3}]]");
    assert_string_equal(text_slice(&bytes).p, "2:ab0:3:abc1:z");
    text_fini(&json);
    text_fini(&bytes);
}

static void refuses_what_is_none(void **state) {
    static const struct {
        struct slice in;
        const char *why;
    } rows[] = {
        ROW("", "nothing"),
        ROW("\xc1", "never used"),
        ROW("\xc0\xc0", "more than one value"),
        ROW("\xa2" "a", "a short text"),
        ROW("\xa1\xff", "no UTF-8"),
        ROW("\xa3\xed\xa0\x80", "a surrogate"),
        ROW("\x92\x01", "a short array"),
        ROW("\x81\xa1" "a", "a name without value"),
        ROW("\x81\xc0\x01", "a name that is nil"),
        ROW("\x81\x90\x01", "a name that is an array"),
        ROW("\x81\xca\x00\x00\x00\x00\x01", "a name that is a float"),
        ROW("\x81\xc4\x01" "a\x01", "a name that is bytes"),
        ROW("\xdd\xff\xff\xff\xff\x01", "a huge array"),
        ROW("\xdf\xff\xff\xff\xff\x01", "a huge map"),
        ROW("\xdb\xff\xff\xff\xff" "a", "a huge text"),
        ROW("\xc6\xff\xff\xff\xff" "a", "huge bytes"),
        ROW("\xc9\xff\xff\xff\xff\x00" "a", "a huge extension"),
        ROW("\xcb\x00", "a short float"),
        ROW("\xcf\x00", "a short integer"),
        ROW("\xd9", "no length"),
        ROW("\xd6\xff\x00", "a short date"),
        ROW("\xd6", "no type"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text json = {0}, bytes = {0};
        if (msgpack_to_json(&json, rows[i].in, 8, note, &bytes)) fail_msg("%s", rows[i].why);
        text_fini(&json);
        text_fini(&bytes);
    }
}

static void takes_bytes_only_where_they_are_wanted(void **state) {
    struct text json = {0};
    (void)state;
    assert_false(msgpack_to_json(&json, SLICE("\xc4\x01z"), 8, NULL, NULL));
    assert_false(msgpack_to_json(&json, SLICE("\xc4\x01z"), 8, refuse, NULL));
    text_fini(&json);
}

static void keeps_to_the_depth(void **state) {
    char deep[JSON_DEPTH_MAX + 2];
    struct text json = {0};
    (void)state;
    assert_true(msgpack_to_json(&json, SLICE("\x91\x91\x90"), 3, NULL, NULL));
    assert_false(msgpack_to_json(&json, SLICE("\x91\x91\x90"), 2, NULL, NULL));
    assert_true(msgpack_to_json(&json, SLICE("\x01"), 0, NULL, NULL));
    assert_false(msgpack_to_json(&json, SLICE("\x90"), 0, NULL, NULL));
    memset(deep, '\x91', sizeof deep);
    deep[JSON_DEPTH_MAX - 1] = deep[JSON_DEPTH_MAX] = '\x90';
    assert_true(msgpack_to_json(&json, slice_make(deep, JSON_DEPTH_MAX), 9999, NULL, NULL));
    deep[JSON_DEPTH_MAX - 1] = '\x91';
    assert_false(msgpack_to_json(&json, slice_make(deep, JSON_DEPTH_MAX + 1), 9999, NULL, NULL));
    text_fini(&json);
}

static void every_beginning_of_a_value_is_refused(void **state) {
    static const char in[] = "\x85\xa1" "a\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a\xa1" "b\xc4\x01z\xa1" "c"
                             "\x92\xc0\xcf\x00\x00\x00\x00\x00\x00\x00\x01\xd9\x01" "d\xd6\xff\x00\x00"
                             "\x00\x00\xa1" "e\xdc\x00\x01\xa1z";
    (void)state;
    for (size_t n = 0; n < sizeof in; n++) {
        struct text json = {0}, bytes = {0};
        struct buf *exact = buf_copy(slice_make(in, n));
        assert_int_equal(msgpack_to_json(&json, buf_slice(exact), 8, note, &bytes),
                         n == sizeof in - 1);
        buf_unref(exact);
        text_fini(&json);
        text_fini(&bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form),
        cmocka_unit_test(reads_dates_and_other_extensions),
        cmocka_unit_test(hands_bytes_out_in_their_order),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(takes_bytes_only_where_they_are_wanted),
        cmocka_unit_test(keeps_to_the_depth),
        cmocka_unit_test(every_beginning_of_a_value_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
