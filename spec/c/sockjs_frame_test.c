/* SPDX-License-Identifier: MIT */
/* The texts of SockJS as tables: frames, framings, bodies, URLs. */
#include "transport/sockjs_frame.h"
#include "transport/sockjs_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- frames ---- */

static void assert_slice(struct slice s, const char *expected) {
    assert_int_equal(s.n, strlen(expected));
    assert_memory_equal(s.p, expected, s.n);
}

static void assert_wrapped(const char *text, const char *expected) {
    struct buf *frame = sockjs_wrap(slice_of(text));
    assert_slice(buf_slice(frame), expected);
    buf_unref(frame);
}

static void escapes_what_transports_mangle(void **state) {
    (void)state;
    assert_wrapped("", "a[\"\"]");
    assert_wrapped("plain / text\x7f", "a[\"plain / text\x7f\"]");
    assert_wrapped("\"\\", "a[\"\\\"\\\\\"]");
    assert_wrapped("\x01\b\t\n\x0b\f\r\x1f", "a[\"\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\"]");
    assert_wrapped("\u200b\u200c\u200f\u2010", "a[\"\u200b\\u200c\\u200f\u2010\"]");
    assert_wrapped("\u2027\u2028\u202f\u2030", "a[\"\u2027\\u2028\\u202f\u2030\"]");
    assert_wrapped("\u205f\u2060\u206f\u2070", "a[\"\u205f\\u2060\\u206f\u2070\"]");
    assert_wrapped("\uffef\ufff0\uffff", "a[\"\uffef\\ufff0\\uffff\"]");
    assert_wrapped("\xc3\xa9\xe2\x82\xac", "a[\"\xc3\xa9\xe2\x82\xac\"]");
    assert_wrapped("\U0001f600\U00010000\U0010ffff",
                   "a[\"\\ud83d\\ude00\\ud800\\udc00\\udbff\\udfff\"]");
    struct buf *nul = sockjs_wrap(SLICE("a\0b"));
    assert_slice(buf_slice(nul), "a[\"a\\u0000b\"]");
    buf_unref(nul);
}

static void keeps_lone_surrogates_and_replaces_what_is_no_utf8(void **state) {
    (void)state;
    assert_wrapped("\xed\xa0\x80x\xed\xbf\xbf", "a[\"\\ud800x\\udfff\"]");
    assert_wrapped("\xff", "a[\"\\ufffd\"]");
    assert_wrapped("\x80z", "a[\"\\ufffdz\"]");
    assert_wrapped("\xc0\xaf", "a[\"\\ufffd\\ufffd\"]"); /* overlong */
    assert_wrapped("\xe0\x80\x80", "a[\"\\ufffd\\ufffd\\ufffd\"]");
    assert_wrapped("\xf0\x80\x80\x80", "a[\"\\ufffd\\ufffd\\ufffd\\ufffd\"]");
    assert_wrapped("\xf4\x90\x80\x80", "a[\"\\ufffd\\ufffd\\ufffd\\ufffd\"]"); /* too large */
    assert_wrapped("\xe2\x82", "a[\"\\ufffd\\ufffd\"]");                       /* cut */
    assert_wrapped("\xe2\x82q", "a[\"\\ufffd\\ufffdq\"]");
}

static void escapes_alike_at_every_offset(void **state) {
    (void)state;
    char text[100], expected[200];
    for (size_t before = 0; before < 80; before++) {
        memset(text, 'x', before);
        strcpy(text + before, "\U0001f600\n");
        snprintf(expected, sizeof expected, "a[\"%.*s\\ud83d\\ude00\\n\"]", (int)before, text);
        assert_wrapped(text, expected);
    }
}

static void merges_frames_in_order(void **state) {
    (void)state;
    struct buf *frames[] = {sockjs_wrap(SLICE("a")), sockjs_wrap(SLICE("")),
                            sockjs_wrap(SLICE("]"))};
    struct buf *all = sockjs_merge(frames, 3), *one = sockjs_merge(frames, 1);
    assert_slice(buf_slice(all), "a[\"a\",\"\",\"]\"]");
    assert_slice(buf_slice(one), "a[\"a\"]");
    buf_unref(all);
    buf_unref(one);
    for (int i = 0; i < 3; i++) buf_unref(frames[i]);
}

static void writes_close_frames(void **state) {
    (void)state;
    struct buf *frame = sockjs_close_frame(3000, "Go \"away\"!\n");
    assert_slice(buf_slice(frame), "c[3000,\"Go \\\"away\\\"!\\n\"]");
    buf_unref(frame);
}

static void assert_framed(const struct sockjs_way *way, const char *frame, const char *expected) {
    struct text t = {0};
    way->frame(&t, slice_of(frame), SLICE("cb"));
    assert_slice(text_slice(&t), expected);
    text_fini(&t);
}

static void each_way_has_its_framing(void **state) {
    (void)state;
    assert_framed(&sockjs_xhr, "o", "o\n");
    assert_framed(&sockjs_xhr_streaming, "a[\"x\"]", "a[\"x\"]\n");
    assert_framed(&sockjs_eventsource, "a[\"5%\"]", "data: a[\"5%25\"]\r\n\r\n");
    assert_framed(&sockjs_eventsource, "\r\n", "data: %0D%0A\r\n\r\n");
    assert_framed(&sockjs_htmlfile, "a[\"x\"]", "<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n");
    assert_framed(&sockjs_htmlfile, "a[\"</script><!--\"]",
                  "<script>\np(\"a[\\\"\\u003c/script>\\u003c!--\\\"]\");\n</script>\r\n");
    assert_framed(&sockjs_jsonp, "a[\"\\\\\"]", "/**/cb(\"a[\\\"\\\\\\\\\\\"]\");\r\n");
}

static void streams_begin_with_a_prelude(void **state) {
    (void)state;
    struct text t = {0};
    sockjs_xhr_streaming.prelude(&t, SLICE(""));
    assert_int_equal(t.n, 2049);
    for (size_t i = 0; i < 2048; i++) assert_int_equal(text_slice(&t).p[i], 'h');
    assert_int_equal(text_slice(&t).p[2048], '\n');
    text_clear(&t);
    sockjs_eventsource.prelude(&t, SLICE(""));
    assert_slice(text_slice(&t), "\r\n");
    text_clear(&t);
    sockjs_htmlfile.prelude(&t, SLICE("_jp.a-1"));
    assert_true(t.n > 1024 && slice_ends(text_slice(&t), SLICE(" \r\n\r\n")));
    text_char(&t, 0);
    assert_non_null(strstr(text_slice(&t).p, "    var c = parent._jp.a-1;\n    c.start();\n"));
    text_fini(&t);
}

static void callbacks_are_short_names(void **state) {
    (void)state;
    assert_true(sockjs_callback_valid(SLICE("callback")));
    assert_true(sockjs_callback_valid(SLICE("_jp.aB3-9")));
    assert_true(sockjs_callback_valid(SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
    assert_false(sockjs_callback_valid(SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
    const char *bad[] = {"", " ", "a b", "abc(", "<script>", "a;", "\xc3\xa9", "a\"", "a$", "a[0]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sockjs_callback_valid(slice_of(bad[i])));
}

/* ---- bodies ---- */

struct body_row {
    const char *body;
    enum sockjs_body result;
    const char *messages; /* each with a newline behind it */
};

static void assert_body(const struct body_row *row, bool bare) {
    struct limits limits;
    struct sockjs_messages m;
    struct text all = {0};
    limits_init(&limits);
    assert_int_equal(sockjs_body_check(&m, slice_of(row->body), &limits, 3, bare), row->result);
    for (struct slice message; sockjs_body_next(&m, &message);) {
        text_add(&all, message);
        text_char(&all, '\n');
    }
    assert_slice(text_slice(&all), row->messages);
    text_fini(&all);
    sockjs_body_fini(&m);
}

static void reads_bodies_of_sends(void **state) {
    (void)state;
    static const struct body_row rows[] = {
        {"[]", SOCKJS_BODY_GOOD, ""},
        {" [ ] ", SOCKJS_BODY_GOOD, ""},
        {"[\"a\"]", SOCKJS_BODY_GOOD, "a\n"},
        {" [\"a\" , \"\",\"c\"]\n", SOCKJS_BODY_GOOD, "a\n\nc\n"},
        {"[\"\\u00e9\\n\\ud83d\\ude00\"]", SOCKJS_BODY_GOOD, "\xc3\xa9\n\U0001f600\n"},
        {"[\"\\ud800\"]", SOCKJS_BODY_GOOD, "\xed\xa0\x80\n"},
        {"", SOCKJS_BODY_EMPTY, ""},
        {"null", SOCKJS_BODY_EMPTY, ""},
        {"{}", SOCKJS_BODY_EMPTY, ""},
        {"1", SOCKJS_BODY_EMPTY, ""},
        {"\"x\"", SOCKJS_BODY_EMPTY, ""},
        {"[1]", SOCKJS_BODY_EMPTY, ""},
        {"[null]", SOCKJS_BODY_EMPTY, ""},
        {"[\"a\",[]]", SOCKJS_BODY_EMPTY, ""},
        {"[\"x", SOCKJS_BODY_BROKEN, ""},
        {"[\"x\"", SOCKJS_BODY_BROKEN, ""},
        {"[\"x\",]", SOCKJS_BODY_BROKEN, ""},
        {"[\"x\"]y", SOCKJS_BODY_BROKEN, ""},
        {"[\"\xff\"]", SOCKJS_BODY_BROKEN, ""},
        {" ", SOCKJS_BODY_BROKEN, ""},
        {"[\"a\",\"b\",\"c\",\"d\"]", SOCKJS_BODY_TOO_MANY, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_body(&rows[i], false);
}

static void reads_messages_of_websockets(void **state) {
    (void)state;
    static const struct body_row rows[] = {
        {"", SOCKJS_BODY_GOOD, ""},
        {"[]", SOCKJS_BODY_GOOD, ""},
        {"\"lone\"", SOCKJS_BODY_GOOD, "lone\n"},
        {" \"lo\\u006ee\" ", SOCKJS_BODY_GOOD, "lone\n"},
        {"\"\"", SOCKJS_BODY_GOOD, "\n"},
        {" [\"a\",\"b\"]", SOCKJS_BODY_GOOD, "a\nb\n"},
        {"[\"a", SOCKJS_BODY_BROKEN, ""},
        {"x", SOCKJS_BODY_BROKEN, ""},
        {"1", SOCKJS_BODY_EMPTY, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_body(&rows[i], true);
}

/* ---- URLs ---- */

static void maps_urls(void **state) {
    (void)state;
    static const struct {
        const char *path;
        enum sockjs_action action;
        const char *session;
    } rows[] = {
        {"", SOCKJS_GREETING, ""},
        {"/", SOCKJS_GREETING, ""},
        {"//", SOCKJS_NOTHING, ""},
        {"///", SOCKJS_NOTHING, ""},
        {"/a", SOCKJS_NOTHING, ""},
        {"/a.html", SOCKJS_NOTHING, ""},
        {"/a/a", SOCKJS_NOTHING, ""},
        {"/a/a/", SOCKJS_NOTHING, ""},
        {"/a/", SOCKJS_NOTHING, ""},
        {"/info", SOCKJS_INFO, ""},
        {"/info/", SOCKJS_INFO, ""},
        {"/info//", SOCKJS_NOTHING, ""},
        {"/iframe.html", SOCKJS_IFRAME, ""},
        {"/iframe.html/", SOCKJS_IFRAME, ""},
        {"/iframe-.html", SOCKJS_IFRAME, ""},
        {"/iframe-0.1.2abc-dirty.2144.html", SOCKJS_IFRAME, ""},
        {"/iframe", SOCKJS_NOTHING, ""},
        {"/iframe.htm", SOCKJS_NOTHING, ""},
        {"/IFRAME.HTML", SOCKJS_NOTHING, ""},
        {"/iframe.HTML", SOCKJS_NOTHING, ""},
        {"/iframe.xml", SOCKJS_NOTHING, ""},
        {"/iframe-/.html", SOCKJS_NOTHING, ""},
        {"/iframe-A.html", SOCKJS_NOTHING, ""},
        {"/websocket", SOCKJS_RAW_SOCKET, ""},
        {"/websocket/", SOCKJS_RAW_SOCKET, ""},
        {"/000/x/websocket", SOCKJS_SOCKET, "x"},
        {"/000/x/xhr", SOCKJS_RECEIVE, "x"},
        {"/000/x/xhr/", SOCKJS_RECEIVE, "x"},
        {"/000/x/xhr//", SOCKJS_NOTHING, ""},
        {"/_/_%20/xhr_streaming", SOCKJS_RECEIVE, "_%20"},
        {"/000/x/eventsource", SOCKJS_RECEIVE, "x"},
        {"/000/x/htmlfile", SOCKJS_RECEIVE, "x"},
        {"/000/x/jsonp", SOCKJS_RECEIVE, "x"},
        {"/000/x/xhr_send", SOCKJS_SEND, "x"},
        {"/000/x/jsonp_send", SOCKJS_JSONP_SEND, "x"},
        {"/000/x/y/xhr", SOCKJS_NOTHING, ""},
        {"//x/xhr", SOCKJS_NOTHING, ""},
        {"/000//xhr", SOCKJS_NOTHING, ""},
        {"/000./x/xhr", SOCKJS_NOTHING, ""},
        {"/000/x./xhr", SOCKJS_NOTHING, ""},
        {"/000/%2e%2e/xhr", SOCKJS_NOTHING, ""},
        {"/000/x%2Fy/xhr", SOCKJS_NOTHING, ""},
        {"/0%2f0/x/xhr", SOCKJS_NOTHING, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sockjs_url url = sockjs_url_parse(slice_of(rows[i].path));
        assert_int_equal(url.action, rows[i].action);
        if (url.action != SOCKJS_NOTHING) assert_slice(url.session, rows[i].session);
        assert_true((url.way != NULL) == (url.action == SOCKJS_RECEIVE));
    }
    char path[200];
    snprintf(path, sizeof path, "/0/%064d/xhr", 1);
    assert_int_equal(sockjs_url_parse(slice_of(path)).action, SOCKJS_RECEIVE);
    snprintf(path, sizeof path, "/0/%065d/xhr", 1);
    assert_int_equal(sockjs_url_parse(slice_of(path)).action, SOCKJS_NOTHING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_what_transports_mangle),
        cmocka_unit_test(keeps_lone_surrogates_and_replaces_what_is_no_utf8),
        cmocka_unit_test(escapes_alike_at_every_offset),
        cmocka_unit_test(merges_frames_in_order),
        cmocka_unit_test(writes_close_frames),
        cmocka_unit_test(each_way_has_its_framing),
        cmocka_unit_test(streams_begin_with_a_prelude),
        cmocka_unit_test(callbacks_are_short_names),
        cmocka_unit_test(reads_bodies_of_sends),
        cmocka_unit_test(reads_messages_of_websockets),
        cmocka_unit_test(maps_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
