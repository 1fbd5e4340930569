/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static const struct json_limits standard = {32, 10000, 1000, false};
static const struct json_limits wide = {512, 10000000, 1000000, false};

static enum json_error check(struct slice text) {
    struct json_value v;
    return json_check(text, &standard, &v);
}

struct judgement {
    struct slice text;
    enum json_error error;
};
#define OK(text) {SLICE(text), JSON_OK}
#define NO(text) {SLICE(text), JSON_SYNTAX}

static void judge_all(const struct judgement *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        /* a copy of its own size, so that a sanitizer sees a byte read too many */
        struct slice s = rows[i].text;
        char *copy = malloc(s.n ? s.n : 1);
        memcpy(copy, s.p, s.n);
        enum json_error e = check(slice_make(copy, s.n));
        free(copy);
        if (e != rows[i].error) fail_msg("%s: %s", s.p, json_error_text(e));
    }
}
#define JUDGE(rows) judge_all(rows, sizeof(rows) / sizeof *(rows))

static void structures(void **state) {
    (void)state;
    static const struct judgement rows[] = {
        OK("[]"), OK("{}"), OK("null"), OK("true"), OK("false"), OK("0"), OK("\"\""), OK(" [] "),
        OK("\t\r\n {} \n"), OK("[ ]"), OK("{ }"), OK("[1,2]"), OK("[ 1 , 2 ]"), OK("[[],[[]],{}]"),
        OK("{\"a\":1}"), OK("{ \"a\" : 1 , \"b\" : [ ] }"), OK("{\"\":0}"), OK("[null,true,false]"),
        OK("{\"a\":{\"a\":{\"a\":{}}}}"), OK("[{\"a\":1},{\"a\":1}]"), OK("{\"a\":\"a\"}"), NO(""),
        NO(" "), NO("\n"), NO("["), NO("]"), NO("{"), NO("}"), NO("[}"), NO("{]"), NO("[,]"),
        NO("[1,]"), NO("[,1]"), NO("[1,,2]"), NO("[1 2]"), NO("[1"), NO("[1,"), NO("[[]"),
        NO("[]]"), NO("[] []"), NO("[]x"), NO("1 2"), NO("{\"a\"}"), NO("{\"a\":}"),
        NO("{\"a\":1,}"), NO("{,}"), NO("{:1}"), NO("{1:1}"), NO("{a:1}"), NO("{'a':1}"),
        NO("{\"a\":1"), NO("{\"a\":1,"), NO("{\"a\""), NO("{\"a\":"), NO("{\"a\" 1}"),
        NO("{\"a\"::1}"), NO("{\"a\":1 \"b\":2}"), NO("{\"a\":1,,\"b\":2}"), NO("{null:1}"),
        NO("{[]:1}"), NO("{\"a\",1}"), NO("tru"), NO("truE"), NO("TRUE"), NO("nul"), NO("nulll"),
        NO("falsee"), NO("t"), NO("n"), NO("undefined"), NO("NaN"), NO("Infinity"), NO("-Infinity"),
        NO("/* */1"), NO("1//"), NO("#1"), NO("\xef\xbb\xbf[]"), NO("\f[]"), NO("\v[]"),
        NO("\xc2\xa0[]"),
        NO("[]\0"), NO("\0"), NO("[\0]"), NO("\xe2\x81\xa0[]"), NO("*"), NO("'a'"), NO("`a`"),
        NO("\xff"), NO("[1;2]"), NO("(1)"), NO(","), NO(":"), NO("abc"), NO("[1:2]"),
        NO("{\"a\":1}}"), NO("[\"a\""), NO("[\"a\",")};
    JUDGE(rows);
}

static void numbers(void **state) {
    (void)state;
    static const struct judgement rows[] = {
        OK("0"), OK("-0"), OK("1"), OK("-1"), OK("10"), OK("1.0"), OK("1.10"), OK("0.0"),
        OK("-0.0"), OK("1e1"), OK("1E1"), OK("1e+1"), OK("1e-1"), OK("1.5e10"), OK("0e0"),
        OK("0e99999999999"), OK("9223372036854775807"), OK("-9223372036854775808"),
        OK("9223372036854775808"), OK("12345678901234567890123"), OK("1.7976931348623157e308"),
        OK("5e-324"), OK("1e-400"),
        OK("0.00000000000000000000000000000000000000000000000000000000000000000000000000001"),
        OK("1e0000000000000000000000000000000000000000000000000000000000000000000000000001"),
        NO("01"), NO("-01"), NO("00"), NO("-"), NO("+1"), NO(".5"), NO("-.5"), NO("1."), NO("1.e1"),
        NO("1e"), NO("1e+"), NO("1e-"), NO("1e1.5"), NO("0x10"), NO("1_000"), NO("1,000"),
        NO("--1"), NO("1-1"), NO("0e"), NO("0.e1"), NO("1.2.3"), NO("1ee1"), NO("1 e1"), NO("- 1"),
        NO("1f"), NO("\xef\xbc\x91"), NO("0b1"), NO("1e\xff"), NO("-a"), NO("1a"), NO("-NaN"),
        NO("0.1.2"), {SLICE("1e400"), JSON_RANGE}, {SLICE("-1e400"), JSON_RANGE},
        {SLICE("[1e309]"), JSON_RANGE}, {SLICE("1.7976931348623159e308"), JSON_RANGE},
        {SLICE("1e99999999999999999999"), JSON_RANGE}};
    JUDGE(rows);
}

static void strings(void **state) {
    (void)state;
    static const struct judgement rows[] = {
        OK("\"a\""), OK("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), OK("\"\\u0000\""), OK("\"\\uabCD\""),
        OK("\"\\ud83d\\ude00\""), OK("\"\\uD83D\\uDE00x\""), OK("\"\xc3\xa4\""), OK("\"\x7f\""),
        OK("\"\xf0\x9f\x98\x80\""), OK("\"\xe2\x80\xa8\""), OK("\"a/b\""), OK("\"\\\\u0041\""),
        OK("\"\xef\xbf\xbf\""), OK("\"\xf4\x8f\xbf\xbf\""), OK("\"12345678\\n12345678\""), NO("\""),
        NO("\"a"), NO("\"\\"), NO("\"\\\""), NO("\"\\a\""), NO("\"\\x41\""), NO("\"\\U0041\""),
        NO("\"\\u\""), NO("\"\\u12\""), NO("\"\\u123\""), NO("\"\\u123g\""), NO("\"\\u 123\""),
        NO("\"\\'\""), NO("\"\n\""), NO("\"\t\""), NO("\"\0\""), NO("\"\x1f\""),
        NO("\"12345678\x01\""), NO("\"\\\0\""), NO("\"a\"b"), NO("\"a\" \"b\""), NO("\"\\\n\""),
        NO("\"\\u-123\""), NO("\"abcdefg\n\""), {SLICE("\"\xff\""), JSON_UTF8},
        {SLICE("\"\x80\""), JSON_UTF8}, {SLICE("\"\xc0\x80\""), JSON_UTF8},
        {SLICE("\"\xc0\xaf\""), JSON_UTF8}, {SLICE("\"\xe0\x80\xaf\""), JSON_UTF8},
        {SLICE("\"\xed\xa0\x80\""), JSON_UTF8}, {SLICE("\"\xf4\x90\x80\x80\""), JSON_UTF8},
        {SLICE("\"\xc3\""), JSON_UTF8}, {SLICE("\"\xe2\x82\""), JSON_UTF8},
        {SLICE("\"\xe9\""), JSON_UTF8}, {SLICE("\"\xf8\x88\x80\x80\x80\""), JSON_UTF8},
        {SLICE("{\"\xff\":1}"), JSON_UTF8}, {SLICE("\"\\ud800\""), JSON_UTF8},
        {SLICE("\"\\udc00\""), JSON_UTF8}, {SLICE("\"\\ud83dx\""), JSON_UTF8},
        {SLICE("\"\\ud83d\\n\""), JSON_UTF8}, {SLICE("\"\\ud83d\\ud83d\""), JSON_UTF8},
        {SLICE("\"\\ude00\\ud83d\""), JSON_UTF8}, {SLICE("\"\\ud83d\\u0041\""), JSON_UTF8},
        {SLICE("\"\\ud83d\\u12\""), JSON_UTF8}, {SLICE("{\"\\udfff\":1}"), JSON_UTF8}};
    JUDGE(rows);
}

static void members_with_one_name_are_refused(void **state) {
    (void)state;
    static const struct judgement rows[] = {
        {SLICE("{\"a\":1,\"a\":2}"), JSON_DUPLICATE}, {SLICE("{\"\":1,\"\":2}"), JSON_DUPLICATE},
        {SLICE("{\"a\":1,\"b\":0,\"\\u0061\":2}"), JSON_DUPLICATE},
        {SLICE("{\"\\u0061\":1,\"a\":2}"), JSON_DUPLICATE},
        {SLICE("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"), JSON_DUPLICATE},
        {SLICE("[{\"a\":{\"b\":1,\"c\":2,\"b\":3}}]"), JSON_DUPLICATE},
        {SLICE("{\"a\":{\"b\":1},\"a\":{}}"), JSON_DUPLICATE},
        {SLICE("{\"\\/\":1,\"/\":2}"), JSON_DUPLICATE},
        OK("{\"a\":1,\"A\":2}"), OK("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"), OK("{\"a\":1,\"a \":2}"),
        OK("{\"a\":1,\"aa\":2,\"\":3}"), OK("{\"__proto__\":1,\"constructor\":2}"),
        OK("{\"\\\\u0061\":1,\"a\":2}"), OK("{\"\\u0000\":1,\"\":2,\"\\u0000\\u0000\":3}")};
    JUDGE(rows);
}

static void add_members(struct text *t, int n, const char *format) {
    text_clear(t);
    for (int i = 0; i < n; i++) {
        text_char(t, i ? ',' : '{');
        text_format(t, format, i);
    }
}

static void members_with_one_name_are_found_among_any_number(void **state) {
    (void)state;
    struct text t = {0};
    for (int n = 1; n < 200; n++) {
        add_members(&t, n, "\"k%d\":{\"k0\":[]}");
        text_char(&t, '}');
        assert_int_equal(check(text_slice(&t)), JSON_OK);
        t.n--;
        text_format(&t, ",\"\\u006b%d\":0}", n / 2);
        assert_int_equal(check(text_slice(&t)), JSON_DUPLICATE);
    }
    text_fini(&t);
}

static void limits_hold_to_the_last_one(void **state) {
    (void)state;
    static const struct json_limits few = {2, 4, 3, false};
    static const struct judgement rows[] = {
        OK("[[]]"), OK("[{}]"), OK("[1,2,3]"), OK("[1,[]]"), OK("{\"a\":1,\"b\":2,\"c\":3}"),
        OK("7"), {SLICE("[[[]]]"), JSON_DEPTH}, {SLICE("[[{}]]"), JSON_DEPTH},
        {SLICE("[1,2,3,4]"), JSON_VALUES}, {SLICE("[1,[],{},4]"), JSON_VALUES},
        {SLICE("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}"), JSON_KEYS}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_value v;
        assert_int_equal(json_check(rows[i].text, &few, &v), rows[i].error);
    }
    static const struct json_limits none = {0, 10, 10, false};
    struct json_value v;
    assert_int_equal(json_check(SLICE("[]"), &none, &v), JSON_DEPTH);
    assert_int_equal(json_check(SLICE("1"), &none, &v), JSON_OK);
}

static void the_value_and_the_place_of_an_error_are_told(void **state) {
    (void)state;
    struct slice s = SLICE(" [1, 2] ");
    struct json_value v;
    assert_int_equal(json_check(s, &standard, &v), JSON_OK);
    assert_int_equal(v.type, JSON_ARRAY);
    assert_true(slice_is(v.raw, "[1, 2]"));
    s = SLICE("{\"a\": tru}");
    assert_int_equal(json_check(s, &standard, &v), JSON_SYNTAX);
    assert_int_equal(v.type, JSON_NONE);
    assert_int_equal(v.raw.p - s.p, 6);
}

static double elapsed_ms(const struct timespec *from) {
    struct timespec to;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return (double)(to.tv_sec - from->tv_sec) * 1e3 + (double)(to.tv_nsec - from->tv_nsec) / 1e6;
}

/* The bound of a build without sanitizers is 5 ms; theirs is given ten times that. */
static void expect_soon(struct slice text, const struct json_limits *limits,
                        enum json_error error) {
    struct timespec from;
    struct json_value v;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    enum json_error e = json_check(text, limits, &v);
    double ms = elapsed_ms(&from);
    if (e != error) fail_msg("%s instead of %s", json_error_text(e), json_error_text(error));
    if (ms > 50) fail_msg("%f ms", ms);
}

static void bombs_are_refused_soon(void **state) {
    (void)state;
    struct text t = {0};
    for (int i = 0; i < 1000000; i++) text_char(&t, '[');
    expect_soon(text_slice(&t), &standard, JSON_DEPTH);
    expect_soon(text_slice(&t), &wide, JSON_DEPTH);
    expect_soon(slice_upto(text_slice(&t), 33), &standard, JSON_DEPTH);
    static const struct json_limits endless = {UINT64_MAX, UINT64_MAX, UINT64_MAX, false};
    expect_soon(text_slice(&t), &endless, JSON_DEPTH);
    text_clear(&t);
    text_char(&t, '{');
    while (t.n < 65536) text_str(&t, "\"a\":1,");
    expect_soon(text_slice(&t), &standard, JSON_DUPLICATE);
    add_members(&t, 10001, "\"%d\":1");
    expect_soon(text_slice(&t), &standard, JSON_KEYS);
    expect_soon(text_slice(&t), &(struct json_limits){32, 10000, 10000, false}, JSON_VALUES);
    add_members(&t, 30000, "\"k%d\":1");
    text_str(&t, ",\"k7\":1}");
    expect_soon(text_slice(&t), &wide, JSON_DUPLICATE);
    text_clear(&t);
    for (int i = 0; i < 65536; i++) text_str(&t, "9");
    expect_soon(text_slice(&t), &standard, JSON_RANGE);
    text_fini(&t);
}

/* Keys that collide under every multiplicative hash without a secret: "Aa" and "BB" joined. */
static void colliding_names_cost_no_more_than_others(void **state) {
    (void)state;
    struct text t = {0};
    text_char(&t, '{');
    for (unsigned i = 0; i < 1u << 15; i++) {
        text_str(&t, i ? ",\"" : "\"");
        for (int bit = 0; bit < 15; bit++) text_str(&t, i >> bit & 1 ? "Aa" : "BB");
        text_str(&t, "\":1");
    }
    text_char(&t, '}');
    expect_soon(text_slice(&t), &wide, JSON_OK);
    expect_soon(text_slice(&t), &standard, JSON_KEYS);
    text_fini(&t);
}

static void the_deepest_nesting_allowed_is_read(void **state) {
    (void)state;
    struct text t = {0};
    for (int i = 0; i < JSON_DEPTH_MAX; i++) text_str(&t, i % 2 ? "{\"a\":" : "[");
    text_char(&t, '1');
    for (int i = JSON_DEPTH_MAX; i-- > 0;) text_char(&t, i % 2 ? '}' : ']');
    struct json_value v;
    assert_int_equal(json_check(text_slice(&t), &wide, &v), JSON_OK);
    struct slice rest = v.raw;
    struct json_value item;
    assert_true(json_next(&rest, &item));
    assert_int_equal(item.raw.n, v.raw.n - 2);
    text_fini(&t);
}

/* ---- envelopes and walking ---- */

static void an_envelope_gives_the_members_asked_for(void **state) {
    (void)state;
    static const struct slice names[] = {SLICE("rpc"), SLICE("uuid"), SLICE("req"), SLICE("none")};
    struct slice s = SLICE(" {\"r\\u0070c\" : \"e\" , \"x\":{\"uuid\":1},\"req\": [ 1 ] ,"
                           "\"uuid\":-5e1 } ");
    struct json_value v, found[4];
    assert_int_equal(json_envelope(s, &standard, &v, names, found, 4), JSON_OK);
    assert_int_equal(v.type, JSON_OBJECT);
    assert_int_equal(found[0].type, JSON_STRING);
    assert_true(slice_is(found[0].raw, "\"e\""));
    assert_int_equal(found[1].type, JSON_NUMBER);
    assert_true(slice_is(found[1].raw, "-5e1"));
    assert_int_equal(found[2].type, JSON_ARRAY);
    assert_true(slice_is(found[2].raw, "[ 1 ]"));
    assert_int_equal(found[3].type, JSON_NONE);
}

static void an_envelope_of_something_else_has_no_members(void **state) {
    (void)state;
    static const struct slice names[] = {SLICE("a")};
    static const struct slice texts[] = {
        SLICE("[{\"a\":1}]"), SLICE("null"), SLICE("\"a\""), SLICE("{}")};
    for (size_t i = 0; i < 4; i++) {
        struct json_value v, found[1] = {{JSON_TRUE, {NULL, 0}}};
        assert_int_equal(json_envelope(texts[i], &standard, &v, names, found, 1), JSON_OK);
        assert_int_equal(found[0].type, JSON_NONE);
    }
}

static void a_member_is_found_by_its_name(void **state) {
    (void)state;
    struct slice s = SLICE("{ \"a\\\"b\" : \"}\" , \"c\":{\"d\":[\"]\",{}]},\"\\u0064\":null,"
                           "\"\":false}");
    assert_int_equal(check(s), JSON_OK);
    assert_true(slice_is(json_member(s, SLICE("a\"b")).raw, "\"}\""));
    assert_true(slice_is(json_member(s, SLICE("c")).raw, "{\"d\":[\"]\",{}]}"));
    assert_int_equal(json_member(s, SLICE("d")).type, JSON_NULL);
    assert_int_equal(json_member(s, SLICE("")).type, JSON_FALSE);
    assert_int_equal(json_member(s, SLICE("x")).type, JSON_NONE);
    assert_int_equal(json_member(SLICE("{ }"), SLICE("x")).type, JSON_NONE);
}

static void the_items_of_an_array_come_one_by_one(void **state) {
    (void)state;
    struct slice rest = SLICE("[ [1,[2]] , \"a\\\\\" ,{\"b\":[]},true ,-1.5]");
    static const char *const items[] = {"[1,[2]]", "\"a\\\\\"", "{\"b\":[]}", "true", "-1.5"};
    static const enum json_type types[] = {
        JSON_ARRAY, JSON_STRING, JSON_OBJECT, JSON_TRUE, JSON_NUMBER};
    struct json_value item;
    for (size_t i = 0; i < 5; i++) {
        assert_true(json_next(&rest, &item));
        assert_int_equal(item.type, types[i]);
        assert_true(slice_is(item.raw, items[i]));
    }
    assert_false(json_next(&rest, &item));
    rest = SLICE("[ ]");
    assert_false(json_next(&rest, &item));
}

/* ---- texts ---- */

static void escapes_stand_for_what_they_should(void **state) {
    (void)state;
    static const struct {
        struct slice raw, plain;
    } rows[] = {
        {SLICE("\"\""), SLICE("")},
        {SLICE("\"abc\""), SLICE("abc")},
        {SLICE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), SLICE("\"\\/\b\f\n\r\t")},
        {SLICE("\"a\\u0041\\u00e4\\u20AC\\u0000z\""), SLICE("aA\xc3\xa4\xe2\x82\xac\0z")},
        {SLICE("\"\\ud83d\\ude00\""), SLICE("\xf0\x9f\x98\x80")},
        {SLICE("\"\\udbff\\udfff\""), SLICE("\xf4\x8f\xbf\xbf")},
        {SLICE("\"\\ud83dx\\udc00\""), SLICE("\xed\xa0\xbdx\xed\xb0\x80")},
        {SLICE("\"\\ud83d\\ud83d\\ude00\""), SLICE("\xed\xa0\xbd\xf0\x9f\x98\x80")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text out = {0}, room = {0};
        json_unescape(&out, rows[i].raw);
        assert_true(slice_eq(text_slice(&out), rows[i].plain));
        assert_true(slice_eq(json_string(rows[i].raw, &room), rows[i].plain));
        text_fini(&out);
        text_fini(&room);
    }
}

static void lone_surrogates_pass_where_they_are_wanted(void **state) {
    (void)state;
    static const struct json_limits lone = {32, 100, 100, true};
    struct json_value v;
    struct slice s = SLICE("[\"\\ud800\",\"\\udc00x\",\"\\ud83d\\ude00\"]");
    assert_int_equal(json_check(s, &lone, &v), JSON_OK);
    assert_int_equal(json_check(SLICE("\"\xed\xa0\x80\""), &lone, &v), JSON_UTF8);
}

static void quoted_text_is_javascript_too(void **state) {
    (void)state;
    struct text out = {0};
    json_quote(&out, SLICE("a\"b\\c/\b\f\n\r\t\x01\x1f\x7f\0\xc3\xa4 "
                           "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xa7\xe2\x82\xac"));
    assert_true(slice_is(text_slice(&out),
                         "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000\xc3\xa4 "
                         "\\u2028\\u2029"
                         "\xe2\x80\xa7\xe2\x82\xac\""));
    text_clear(&out);
    json_quote(&out, (struct slice){NULL, 0});
    json_quote(&out, SLICE("\xe2\x80"));
    assert_true(slice_is(text_slice(&out), "\"\"\"\xe2\x80\""));
    text_fini(&out);
}

static void quoting_and_reading_again_gives_the_same(void **state) {
    (void)state;
    char all[128];
    for (int i = 0; i < 128; i++) all[i] = (char)i;
    for (size_t from = 0; from < 128; from++) {
        struct slice s = slice_make(all + from, 128 - from);
        struct text quoted = {0}, room = {0};
        json_quote(&quoted, s);
        assert_int_equal(check(text_slice(&quoted)), JSON_OK);
        assert_true(slice_eq(json_string(text_slice(&quoted), &room), s));
        text_fini(&quoted);
        text_fini(&room);
    }
}

static void integers_are_exact(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_integer;
        int64_t i;
        double d;
    } rows[] = {
        {"0", true, 0, 0}, {"-1", true, -1, 0}, {"9007199254740993", true, 9007199254740993, 0},
        {"9223372036854775807", true, INT64_MAX, 0}, {"-9223372036854775808", true, INT64_MIN, 0},
        {"9223372036854775808", false, 0, 9223372036854775808.0},
        {"-9223372036854775809", false, 0, -9223372036854775808.0},
        {"18446744073709551616", false, 0, 18446744073709551616.0},
        {"99999999999999999999999", false, 0, 1e23}, {"1E5", false, 0, 100000.0},
        {"1.0", false, 0, 1.0}, {"0.1", false, 0, 0.1}, {"5e-324", false, 0, 5e-324},
        {"2.2250738585072011e-308", false, 0, 2.2250738585072011e-308}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        bool is_integer;
        int64_t i = 0;
        double d = 0;
        json_number(slice_of(rows[k].text), &is_integer, &i, &d);
        assert_int_equal(is_integer, rows[k].is_integer);
        if (is_integer) assert_true(i == rows[k].i);
        else assert_true(d == rows[k].d);
    }
    bool is_integer;
    int64_t i;
    double d = 1;
    json_number(SLICE("-0"), &is_integer, &i, &d);
    assert_false(is_integer);
    assert_true(d == 0 && signbit(d));
}

static double number(struct slice s) {
    bool is_integer;
    int64_t i;
    double d;
    json_number(s, &is_integer, &i, &d);
    return is_integer ? (double)i : d;
}

static void numbers_of_any_length_are_rounded_right(void **state) {
    (void)state;
    /* half way between 1 and the next double: to even, but up when anything follows */
    struct text t = {0};
    text_str(&t, "1.00000000000000011102230246251565404236316680908203125");
    assert_true(number(text_slice(&t)) == 1.0);
    for (int i = 0; i < 5000; i++) text_char(&t, '0');
    assert_true(number(text_slice(&t)) == 1.0);
    text_char(&t, '1');
    assert_true(number(text_slice(&t)) == 1.0 + DBL_EPSILON);
    text_clear(&t);
    text_str(&t, "-0.");
    for (int i = 0; i < 5000; i++) text_char(&t, '0');
    text_str(&t, "25e5000");
    assert_true(number(text_slice(&t)) == -0.25);
    text_clear(&t);
    text_str(&t, "12");
    for (int i = 0; i < 5000; i++) text_char(&t, '0');
    text_str(&t, ".000E-5001");
    assert_true(number(text_slice(&t)) == 1.2);
    assert_int_equal(check(text_slice(&t)), JSON_OK);
    text_clear(&t);
    text_str(&t, "0.");
    for (int i = 0; i < 5000; i++) text_char(&t, '0');
    assert_true(number(text_slice(&t)) == 0);
    text_fini(&t);
}

static void doubles_are_written_short_and_stay_doubles(void **state) {
    (void)state;
    static const struct {
        double d;
        const char *text;
    } rows[] = {
        {0, "0.0"}, {-0.0, "-0.0"}, {1, "1.0"}, {-3, "-3.0"}, {0.1, "0.1"}, {1e300, "1e+300"},
        {1.0 / 3, "0.3333333333333333"}, {0.1 + 0.2, "0.30000000000000004"}, {1e15, "1e+15"},
        {123456789012345, "123456789012345.0"}, {5e-324, "5e-324"}, {1.5e-310, "1.5e-310"},
        {DBL_MAX, "1.7976931348623157e+308"}, {9007199254740993.0, "9007199254740992.0"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text out = {0};
        json_double(&out, rows[i].d);
        if (!slice_is(text_slice(&out), rows[i].text))
            fail_msg("%s: %.*s", rows[i].text, (int)out.n, text_slice(&out).p);
        text_fini(&out);
    }
}

static void every_double_comes_back_as_it_was(void **state) {
    (void)state;
    uint64_t bits = 88172645463325252u;
    struct text out = {0};
    for (int k = 0; k < 10000; k++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double d;
        memcpy(&d, &bits, sizeof d);
        if (!isfinite(d)) continue;
        text_clear(&out);
        json_double(&out, d);
        assert_int_equal(check(text_slice(&out)), JSON_OK);
        bool is_integer;
        int64_t i;
        double back = 0;
        json_number(text_slice(&out), &is_integer, &i, &back);
        assert_false(is_integer);
        assert_memory_equal(&d, &back, sizeof d);
    }
    text_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structures),
        cmocka_unit_test(numbers),
        cmocka_unit_test(strings),
        cmocka_unit_test(members_with_one_name_are_refused),
        cmocka_unit_test(members_with_one_name_are_found_among_any_number),
        cmocka_unit_test(limits_hold_to_the_last_one),
        cmocka_unit_test(the_value_and_the_place_of_an_error_are_told),
        cmocka_unit_test(bombs_are_refused_soon),
        cmocka_unit_test(colliding_names_cost_no_more_than_others),
        cmocka_unit_test(the_deepest_nesting_allowed_is_read),
        cmocka_unit_test(an_envelope_gives_the_members_asked_for),
        cmocka_unit_test(an_envelope_of_something_else_has_no_members),
        cmocka_unit_test(a_member_is_found_by_its_name),
        cmocka_unit_test(the_items_of_an_array_come_one_by_one),
        cmocka_unit_test(escapes_stand_for_what_they_should),
        cmocka_unit_test(lone_surrogates_pass_where_they_are_wanted),
        cmocka_unit_test(quoted_text_is_javascript_too),
        cmocka_unit_test(quoting_and_reading_again_gives_the_same),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(numbers_of_any_length_are_rounded_right),
        cmocka_unit_test(doubles_are_written_short_and_stay_doubles),
        cmocka_unit_test(every_double_comes_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
