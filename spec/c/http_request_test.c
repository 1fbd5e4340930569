/* SPDX-License-Identifier: MIT */
/* What is refused and what is not, byte for byte; and what a request brings: headers, cookies,
 * queries. */
#include "http_bench.h"

#include <ctype.h>

/* One answer with this status, nothing handed over, the connection at its end. */
static void refuses(struct bench *b, struct slice raw, int status) {
    bench_connect(b);
    feed(b, raw);
    feed_str(b, "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n");
    if (first_status(b) != status || count(b, "HTTP/1.1 ") != 1 || b->handed || !b->closed)
        fail_msg("%d expected for:\n%.*s\ngot:\n%.*s", status, (int)raw.n, raw.p, (int)b->output.n,
                 text_slice(&b->output).p);
    bench_disconnect(b);
    bench_clear(b);
}

static void accepts(struct bench *b, const char *raw) {
    bench_connect(b);
    feed_str(b, raw);
    if (b->handed != 1)
        fail_msg("not accepted:\n%s\ngot:\n%.*s", raw, (int)b->output.n, text_slice(&b->output).p);
    bench_disconnect(b);
    bench_clear(b);
}

static void what_is_malformed_is_refused(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *raw;
    } cases[] = {
#define H "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\n" H
        {400, POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" H "X:\rXTransfer-Encoding: chunked\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n"},
        {400, POST "X: y\r\n Content-Length: 5\r\n\r\n"},
        {400, POST "Transfer-Encoding:\r\n chunked\r\n\r\n"},
        {400, POST "X: y\r\n\tfolded\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n X: y\r\n" H "\r\n"},
        {400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
        {400, POST "Content-Length : 5\r\n\r\n"},
        {400, "GET / HTTP/1.1\nHost: a\n\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n: a\r\n" H "\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nhello"},
        {400, POST "Transfer-Encoding: chunked\r\n\r\n5;\x01\r\nhello\r\n0\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked, identity\r\n\r\n"},
        {400, POST "Transfer-Encoding: xchunked\r\n\r\n"},
        {400, POST "Transfer-Encoding: identity\r\n\r\n"},
        {400, POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
        {400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
        {400, POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
        {400, POST "Content-Length: +5\r\n\r\nhello"},
        {400, POST "Content-Length: -1\r\n\r\nhello"},
        {400, POST "Content-Length: 5,5\r\n\r\nhello"},
        {400, POST "Content-Length: 18446744073709551616\r\n\r\nhello"},
        {413, POST "Content-Length: 18446744073709551615\r\n\r\nhello"},
        {413, POST "Content-Length: 65537\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: [x]\r\n\r\n"},
        {400, "GET http://169.254.169.254/ HTTP/1.1\r\n" H "\r\n"},
        {400, "GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n"},
        {400, "GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n"},
        {400, "GET ftp://a/ HTTP/1.1\r\n" H "\r\n"},
        {400, "GET https://a/ HTTP/1.1\r\n" H "\r\n"},
        {400, "GET http://b/ HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"},
        {400, "GET * HTTP/1.1\r\n" H "\r\n"},
        {400, "GET foo HTTP/1.1\r\n" H "\r\n"},
        {400, "GET /a#b HTTP/1.1\r\n" H "\r\n"},
        {405, "CONNECT a:80 HTTP/1.1\r\n" H "\r\n"},
        {405, "CONNECT a:80 HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"},
        {405, "TRACE / HTTP/1.1\r\n" H "\r\n"},
        {405, "PROPFIND / HTTP/1.1\r\n" H "\r\n"},
        {400, "FOO / HTTP/1.1\r\n" H "\r\n"},
        {400, "get / HTTP/1.1\r\n" H "\r\n"},
        {400, "\x16\x03\x01\x02"},
        {505, "GET /\r\n"},
        {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
        {505, "GET / HTTP/1.2\r\n" H "\r\n"},
        {505, "GET / HTTP/2.0\r\n" H "\r\n"},
        {505, "GET / HTTP/0.9\r\n" H "\r\n"},
        {505, "OPTIONS / RTSP/1.0\r\n" H "\r\n"},
        {505, "DESCRIBE / RTSP/1.0\r\n" H "\r\n"},
        {505, "SOURCE / ICE/1.0\r\n" H "\r\n"},
        {417, POST "Expect: nothing\r\nContent-Length: 5\r\n\r\nhello"},
        {400, "GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n"
              "Content-Length: 5\r\n\r\nhello"},
    };
    struct bench b;
    bench_init(&b);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(&b, slice_of(cases[i].raw), cases[i].status);
    bench_connect(&b);
    bench_fini(&b);
}

static void what_is_unusual_is_accepted(void **state) {
    (void)state;
    static const char *const cases[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
        "GET / HTTP/1.1\r\nhOsT:a\r\n\r\n",
        "GET http://a:80/x HTTP/1.1\r\nHost: A:80\r\n\r\n",
        "GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n"
        "1;a=\"b\"\r\nx\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
        "POST /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        "Content-Length: 3\r\n\r\nabc",
    };
    struct bench b;
    bench_init(&b);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) accepts(&b, cases[i]);
    bench_connect(&b);
    bench_fini(&b);
}

/* In a method, a target, a header's name, a header's value. A colon ends the name. */
static bool byte_fits(size_t place, int c) {
    if (place == 0 || c > 126 || (c < 32 && c != '\t')) return false;
    if (place == 1) return c > ' ' && c != '#';
    return place == 3 || c == ':' || (c && strchr("!#$%&'*+-.^_`|~", c)) || isalnum(c);
}

/* Refused, or a request like any other. */
static void every_byte_has_a_clear_answer_everywhere(void **state) {
    (void)state;
    static const char *const places[][2] = {
        {"GE", "T / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"GET /a", "b HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX-", "Y: z\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a", "b\r\n\r\n"},
    };
    struct bench b;
    bench_init(&b);
    for (size_t place = 0; place < 4; place++) {
        for (int c = 0; c < 256; c++) {
            struct text raw = {0};
            text_str(&raw, places[place][0]);
            text_char(&raw, (char)c);
            text_str(&raw, places[place][1]);
            bench_connect(&b);
            feed(&b, text_slice(&raw));
            bool good = first_status(&b) == 200;
            if (good != byte_fits(place, c)) fail_msg("byte %d in place %zu", c, place);
            if (good) assert_int_equal(b.handed, 1);
            else assert_true(b.closed && b.handed == 0 && first_status(&b) >= 400);
            assert_int_equal(count(&b, "HTTP/1.1 "), 1);
            bench_disconnect(&b);
            bench_clear(&b);
            text_fini(&raw);
        }
    }
    bench_connect(&b);
    bench_fini(&b);
}

static void lengths_and_numbers_are_bounded(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    struct text raw = {0};

    text_str(&raw, "GET /");
    text_repeat(&raw, "a", 4096 - 5 - 11);
    text_str(&raw, " HTTP/1.1\r\nHost: a\r\n\r\n");
    text_char(&raw, 0);
    accepts(&b, text_slice(&raw).p); /* 4096 with its CRLF */

    text_clear(&raw);
    text_str(&raw, "GET /");
    text_repeat(&raw, "a", 1 << 20);
    refuses(&b, text_slice(&raw), 414);

    text_clear(&raw);
    text_str(&raw, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    text_repeat(&raw, "a", 1 << 20);
    refuses(&b, text_slice(&raw), 431);

    text_clear(&raw);
    text_str(&raw, "GET / HTTP/1.1\r\nHost: a\r\n");
    text_repeat(&raw, "X: y\r\n", 10000);
    refuses(&b, text_slice(&raw), 431);

    text_clear(&raw);
    text_str(&raw, "GET / HTTP/1.1\r\nHost: a\r\n");
    text_repeat(&raw, "X: y\r\n", 63);
    text_str(&raw, "\r\n");
    text_char(&raw, 0);
    accepts(&b, text_slice(&raw).p);

    text_clear(&raw);
    text_str(&raw, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    text_repeat(&raw, "8\r\n12345678\r\n", 8193);
    refuses(&b, text_slice(&raw), 413);

    text_clear(&raw);
    text_str(&raw, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;");
    text_repeat(&raw, "a", 140000);
    refuses(&b, text_slice(&raw), 413);

    text_clear(&raw);
    text_str(&raw, "GET /?a");
    text_repeat(&raw, "&a", 32);
    text_str(&raw, " HTTP/1.1\r\nHost: a\r\n\r\n");
    refuses(&b, text_slice(&raw), 400);

    text_clear(&raw);
    text_str(&raw, "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=");
    text_repeat(&raw, "b", 4096);
    text_str(&raw, "\r\n\r\n");
    refuses(&b, text_slice(&raw), 400);

    text_fini(&raw);
    bench_connect(&b);
    bench_fini(&b);
}

/* ---- what a request brings ---- */

static void header_handler(void *arg, struct request *r) {
    assert_int_equal(r->header_count, 7);
    assert_true(slice_is(http_header(r, "x-empty"), ""));
    assert_non_null(http_header(r, "x-empty").p);
    assert_true(slice_is(http_header(r, "X-TRIMMED"), "a b"));
    assert_true(slice_is(http_header(r, "X-Twice"), "1"));
    assert_null(http_header(r, "x").p);
    assert_true(http_header_has(r, "accept", "GZIP"));
    assert_false(http_header_has(r, "accept", "gz"));
    assert_true(slice_is(r->host, "Example.com"));
    assert_true(slice_is(http_cookie(r, "b"), "2=3"));
    assert_true(slice_is(http_cookie(r, "a"), "\"1\""));
    assert_true(slice_is(http_cookie(r, "bare"), ""));
    assert_null(http_cookie(r, "c").p);
    *(bool *)arg = true;
    http_reply(r, 200, NULL, SLICE(""));
}

static void headers_and_cookies_are_found(void **state) {
    (void)state;
    struct bench b;
    bench_init(&b);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    b.peer = pair[0];
    bool called = false;
    struct ip none = {{0}};
    http_accept(&b.net, pair[1], &none, header_handler, &called);
    feed_str(&b, "GET / HTTP/1.1\r\nHost: Example.com:8000\r\nX-Empty:\r\nX-Trimmed: \t a b \t\r\n"
                 "X-Twice: 1\r\nX-Twice: 2\r\nAccept: br , gzip\r\n"
                 "Cookie: a=\"1\"; b=2=3;bare\r\n\r\n");
    assert_true(called);
    bench_fini(&b);
}

static void queries_are_split_and_not_decoded(void **state) {
    (void)state;
    struct slice query = SLICE("a&b=&c=1&c=2&%64=x&=y&&e=a=b"), raw;
    assert_true(http_query(query, "a", &raw) && raw.n == 0);
    assert_true(http_query(query, "b", &raw) && raw.n == 0);
    assert_true(http_query(query, "c", &raw) && slice_is(raw, "1"));
    assert_true(http_query(query, "%64", &raw) && slice_is(raw, "x"));
    assert_true(http_query(query, "e", &raw) && slice_is(raw, "a=b"));
    assert_true(http_query(query, "", &raw) && slice_is(raw, "y"));
    assert_false(http_query(query, "d", &raw));
    assert_false(http_query(SLICE(""), "", &raw));
    assert_false(http_query((struct slice){NULL, 0}, "a", &raw));
}

static void escapes_are_decoded_once(void **state) {
    (void)state;
    static const struct {
        const char *raw, *plain, *with_plus;
    } cases[] = {
        {"", "", ""},          {"a+b", "a+b", "a b"}, {"%41%6a%6A", "Ajj", "Ajj"},
        {"%2541", "%41", "%41"}, {"%", NULL, NULL},     {"a%4", NULL, NULL},
        {"%4g", NULL, NULL},   {"%zz", NULL, NULL},   {"%2b+", "++", "+ "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int plus = 0; plus < 2; plus++) {
            const char *expected = plus ? cases[i].with_plus : cases[i].plain;
            struct text t = {0};
            text_str(&t, ">");
            bool good = url_decode(&t, slice_of(cases[i].raw), plus);
            assert_int_equal(good, expected != NULL);
            if (expected) assert_true(slice_is(slice_from(text_slice(&t), 1), expected));
            else assert_true(slice_is(text_slice(&t), ">"));
            text_fini(&t);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(what_is_unusual_is_accepted),
        cmocka_unit_test(every_byte_has_a_clear_answer_everywhere),
        cmocka_unit_test(lengths_and_numbers_are_bounded),
        cmocka_unit_test(headers_and_cookies_are_found),
        cmocka_unit_test(queries_are_split_and_not_decoded),
        cmocka_unit_test(escapes_are_decoded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
