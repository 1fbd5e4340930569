/* SPDX-License-Identifier: MIT */
/* The HTTP server over a socket pair: what the peer writes, what the handler sees, what returns. */
#include "net/http.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
    struct loop *loop;
    struct net net;
    struct limits limits;
    int peer;
    struct text seen;   /* requests, one per line */
    struct text output; /* what the peer got */
    bool closed;        /* the peer saw the end */
    size_t handed, aborted;
    struct request *later; /* waits for its answer */
    bool tell_aborted;
    struct text raw; /* what came behind an upgrade */
    size_t raw_closed;
};

/* ---- the handler ---- */

static void on_aborted(struct request *r) {
    struct bench *b = r->user;
    b->aborted++;
    b->later = NULL;
}

static void raw_received(struct conn *c, char *data, size_t n) {
    struct bench *b = c->user;
    text_add(&b->raw, slice_make(data, n));
}

static void raw_closed(struct conn *c, const char *reason) {
    (void)reason;
    struct bench *b = c->user;
    b->raw_closed++;
}

static const struct conn_ops raw_ops = {.received = raw_received, .closed = raw_closed};

static void stream(struct request *r) {
    struct buf *one = buf_copy(SLICE("first\n")), *two = buf_copy(SLICE("second\n"));
    struct buf *none = buf_new(0);
    http_begin(r, 200, NULL);
    http_write(r, one);
    http_write(r, none);
    http_write(r, two);
    http_end(r);
    buf_unref(one);
    buf_unref(two);
    buf_unref(none);
}

static void handler(void *arg, struct request *r) {
    struct bench *b = arg;
    b->handed++;
    text_format(&b->seen, "%d %.*s [%.*s] %.*s\n", (int)r->method, (int)r->path.n, r->path.p,
                (int)r->query.n, r->query.p, (int)r->body.n, r->body.n ? r->body.p : "");
    if (slice_is(r->path, "/later")) {
        b->later = r;
        r->user = b;
        if (b->tell_aborted) r->aborted = on_aborted;
    } else if (slice_is(r->path, "/stream")) {
        stream(r);
    } else if (slice_is(r->path, "/none")) {
        http_reply(r, 204, NULL, SLICE(""));
    } else if (slice_is(r->path, "/same")) {
        http_reply(r, 304, NULL, SLICE(""));
    } else if (slice_is(r->path, "/missing")) {
        http_error(r, 404, "no such thing");
    } else if (slice_is(r->path, "/drop")) {
        http_drop(r, "test");
    } else if (slice_is(r->path, "/upgrade")) {
        if (r->upgrade) http_upgrade(r, "websocket", NULL, &raw_ops, b);
        else http_error(r, r->bad_upgrade ? 405 : 400, NULL);
    } else {
        http_reply(r, 200, NULL, r->body.n ? r->body : SLICE("ok"));
    }
}

/* ---- the bench ---- */

/* A loop that is told to stop does not wait in its turns. */
static void bench_init(struct bench *b) {
    *b = (struct bench){.loop = loop_new(), .peer = -1};
    limits_init(&b->limits);
    net_init(&b->net, b->loop, NULL, NULL, NULL, &b->limits);
    loop_stop(b->loop);
}

static void bench_connect(struct bench *b) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    b->peer = pair[0];
    b->closed = false;
    struct ip none = {{0}};
    http_accept(&b->net, pair[1], &none, handler, b);
}

static void bench_read(struct bench *b) {
    char chunk[4096];
    ssize_t n;
    while ((n = read(b->peer, chunk, sizeof chunk)) > 0)
        text_add(&b->output, slice_make(chunk, (size_t)n));
    if (n == 0 || errno != EAGAIN) b->closed = true;
}

static void bench_turn(struct bench *b) {
    for (int i = 0; i < 3; i++) loop_turn(b->loop);
    bench_read(b);
}

static void feed(struct bench *b, struct slice s) {
    while (s.n) {
        ssize_t n = send(b->peer, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return; /* refused already */
        if (n > 0) s = slice_from(s, (size_t)n);
        bench_turn(b);
    }
}

static void feed_str(struct bench *b, const char *s) { feed(b, slice_of(s)); }

static void bench_disconnect(struct bench *b) {
    close(b->peer);
    while (!list_empty(&b->net.conns)) loop_turn(b->loop);
}

static void bench_clear(struct bench *b) {
    text_clear(&b->seen);
    text_clear(&b->output);
    b->handed = 0;
}

static void bench_fini(struct bench *b) {
    if (b->later) http_drop(b->later, "test over");
    bench_disconnect(b);
    net_fini(&b->net);
    loop_stop(b->loop);
    loop_free(b->loop);
    text_fini(&b->seen);
    text_fini(&b->output);
    text_fini(&b->raw);
}

/* Waits for what a timer brings. */
static void await_closed(struct bench *b) {
    for (int i = 0; i < 2000 && !b->closed; i++) {
        usleep(1000);
        bench_turn(b);
    }
    assert_true(b->closed);
}

static size_t count(const struct bench *b, const char *needle) {
    struct text copy = {0};
    text_add(&copy, text_slice(&b->output));
    text_char(&copy, 0);
    size_t n = 0;
    for (const char *at = text_slice(&copy).p; (at = strstr(at, needle)); at++) n++;
    text_fini(&copy);
    return n;
}

static int first_status(const struct bench *b) {
    struct slice out = text_slice(&b->output);
    if (out.n < 12 || memcmp(out.p, "HTTP/1.1 ", 9)) return 0;
    return (out.p[9] - '0') * 100 + (out.p[10] - '0') * 10 + out.p[11] - '0';
}

static void has(const struct bench *b, const char *needle) {
    if (!count(b, needle))
        fail_msg("no \"%s\" in:\n%.*s", needle, (int)b->output.n, text_slice(&b->output).p);
}

static void saw(const struct bench *b, const char *lines) {
    struct slice seen = text_slice(&b->seen);
    if (!slice_is(seen, lines)) fail_msg("seen:\n%.*sinstead of:\n%s", (int)seen.n, seen.p, lines);
}

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

static void text_repeat(struct text *t, const char *s, size_t times) {
    while (times--) text_str(t, s);
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

/* ---- queries ---- */

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
        cmocka_unit_test(requests_are_the_same_in_every_split),
        cmocka_unit_test(headers_and_cookies_are_found),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(what_is_unusual_is_accepted),
        cmocka_unit_test(every_byte_has_a_clear_answer_everywhere),
        cmocka_unit_test(lengths_and_numbers_are_bounded),
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
        cmocka_unit_test(queries_are_split_and_not_decoded),
        cmocka_unit_test(escapes_are_decoded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
