/* SPDX-License-Identifier: MIT */
#include "ws_oracle.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BYTES(literal) SLICE(literal)
#define WAIT_MS 5000 /* the longest that any wait may take before a test fails */

static void assert_messages(struct rig *rig, const char *expected) {
    text_char(&rig->messages, 0);
    assert_string_equal(rig->messages.buf->data, expected);
    rig->messages.n--;
}

static int setup(void **state) {
    struct rig *rig = malloc(sizeof *rig);
    rig_init(rig);
    *state = rig;
    return 0;
}

static int teardown(void **state) {
    rig_fini(*state);
    free(*state);
    return 0;
}

/* ---- the handshake ---- */

static void answers_the_handshake_of_the_rfc(void **state) {
    struct rig *rig = *state;
    rig_start(rig);
    assert_non_null(strstr(rig->head.buf->data, "HTTP/1.1 101 "));
    assert_non_null(
        strstr(rig->head.buf->data, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_null(strstr(rig->head.buf->data, "Sec-WebSocket-Protocol"));
    assert_null(strstr(rig->head.buf->data, "Sec-WebSocket-Extensions"));
    assert_int_equal(rig->ws.state, WS_OPEN);
}

static void confirms_the_first_subprotocol_that_it_speaks(void **state) {
    struct rig *rig = *state;
    rig->settings.protocols = SLICE("chat.v2, chat.v1");
    rig_connect(rig, "Sec-WebSocket-Protocol: a, chat.v1\r\nSec-WebSocket-Protocol: chat.v2\r\n",
                (struct slice){NULL, 0});
    assert_non_null(strstr(rig->head.buf->data, "Sec-WebSocket-Protocol: chat.v1\r\n"));
}

static void confirms_any_subprotocol_for_a_star(void **state) {
    struct rig *rig = *state;
    rig->settings.protocols = SLICE("*");
    rig_connect(rig, "Sec-WebSocket-Protocol: , one, two\r\n", (struct slice){NULL, 0});
    assert_non_null(strstr(rig->head.buf->data, "Sec-WebSocket-Protocol: one\r\n"));
}

static void confirms_no_subprotocol_it_does_not_speak(void **state) {
    struct rig *rig = *state;
    rig->settings.protocols = SLICE("chat");
    rig_connect(rig, "Sec-WebSocket-Protocol: chat2, cha\r\n", (struct slice){NULL, 0});
    assert_null(strstr(rig->head.buf->data, "Sec-WebSocket-Protocol"));
}

static void agrees_on_compression_where_the_endpoint_has_it(void **state) {
    struct rig *rig = *state;
    rig->settings.compress = true;
    rig->settings.context_takeover = true;
    rig_connect(rig,
                "Sec-WebSocket-Extensions: x-webkit-deflate-frame\r\n"
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
                (struct slice){NULL, 0});
    assert_non_null(
        strstr(rig->head.buf->data, "Sec-WebSocket-Extensions: permessage-deflate\r\n"));
}

static struct http_header header(const char *name, const char *value) {
    return (struct http_header){slice_of(name), slice_of(value)};
}

static void refuses_what_is_no_handshake(void **state) {
    (void)state;
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
    struct {
        enum http_method method;
        const char *upgrade, *connection, *version, *key;
        int expected, with_8;
    } cases[] = {
        {HTTP_GET, "websocket", "Upgrade", "13", key, 0, 0},
        {HTTP_GET, "WebSocket", "keep-alive, upgrade", "13", key, 0, 0},
        {HTTP_GET, "websocket", "Upgrade", "13", "AAAAAAAAAAAAAAAAAAAAAB==", 0, 0},
        {HTTP_POST, "websocket", "Upgrade", "13", key, 405, 405},
        {HTTP_GET, "h2c", "Upgrade", "13", key, 400, 400},
        {HTTP_GET, "websocket", "close", "13", key, 400, 400},
        {HTTP_GET, "websocket", "Upgrade", "8", key, 426, 0},
        {HTTP_GET, "websocket", "Upgrade", "99", key, 426, 426},
        {HTTP_GET, "websocket", "Upgrade", "", key, 426, 426},
        {HTTP_GET, "websocket", "Upgrade", "13", "", 400, 400},
        {HTTP_GET, "websocket", "Upgrade", "13", "dGhlIHNhbXBsZSBub25jZQ=", 400, 400},
        {HTTP_GET, "websocket", "Upgrade", "13", "dGhlIHNhbXBsZSBub25jZQAA", 400, 400},
        {HTTP_GET, "websocket", "Upgrade", "13", "dGhlIHNhbXBsZSBub25j*Q==", 400, 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_header headers[] = {
            header("Upgrade", cases[i].upgrade),
            header("Connection", cases[i].connection),
            header("Sec-WebSocket-Version", cases[i].version),
            header("Sec-WebSocket-Key", cases[i].key),
        };
        struct request r = {
            .method = cases[i].method, .headers = headers, .header_count = 4, .upgrade = true};
        assert_int_equal(ws_check(&r), cases[i].expected);
        assert_int_equal(ws_check_versions(&r, true), cases[i].with_8);
    }
}

static void refuses_a_doubled_key_and_a_request_without_upgrade(void **state) {
    (void)state;
    struct http_header headers[] = {
        header("Upgrade", "websocket"),
        header("Connection", "Upgrade"),
        header("Sec-WebSocket-Version", "13"),
        header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    };
    struct request r = {.method = HTTP_GET, .headers = headers, .header_count = 5, .upgrade = true};
    assert_int_equal(ws_check(&r), 400);
    r.header_count = 4;
    assert_int_equal(ws_check(&r), 0);
    r.upgrade = false;
    assert_int_equal(ws_check(&r), 400);
}

static void hands_over_frames_that_came_with_the_handshake(void **state) {
    struct rig *rig = *state;
    struct text first = {0};
    rig->echo = true;
    frame_add(&first, WS_FIN | WS_TEXT, SLICE("we"));
    frame_add(&first, WS_FIN | WS_TEXT, SLICE("sooner"));
    rig_connect(rig, "", text_slice(&first));
    assert_messages(rig, "T2:weT6:sooner");
    assert_true(slice_eq(text_slice(&rig->wire), BYTES("\x81\x02we\x81\x06sooner")));
    rig_write(rig, first.buf->data, first.n);
    rig_turn(rig);
    assert_messages(rig, "T2:weT6:soonerT2:weT6:sooner");
    text_fini(&first);
}

static void refuses_a_wrong_frame_that_came_with_the_handshake(void **state) {
    struct rig *rig = *state;
    rig_connect(rig, "", BYTES("\xa1\x81\1\2\3\4x"));
    assert_int_equal(sent_close(rig), 1002);
}

/* ---- messages ---- */

static void echoes_every_size_with_the_shortest_header(void **state) {
    struct rig *rig = *state;
    static const size_t sizes[] = {0, 1, 7, 8, 9, 125, 126, 127, 128, 65535, 65536};
    rig->echo = true;
    rig_start(rig);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct text in = {0}, data = {0};
        for (size_t k = 0; k < sizes[i]; k++) text_char(&data, (char)('a' + k % 23));
        frame_add(&in, WS_FIN | (i % 2 ? WS_TEXT : WS_BINARY), text_slice(&data));
        text_clear(&rig->wire);
        rig_write(rig, in.buf->data, in.n);
        rig_turn(rig);
        struct slice wire = text_slice(&rig->wire), payload;
        unsigned first;
        char head[10];
        assert_int_equal(wire.n, ws_head_write(head, 0, sizes[i]) + sizes[i]);
        assert_true(frame_take(&wire, &first, &payload));
        assert_int_equal(first, WS_FIN | (i % 2 ? WS_TEXT : WS_BINARY));
        assert_true(slice_eq(payload, text_slice(&data)));
        text_fini(&in);
        text_fini(&data);
    }
}

/* A bit of everything that a peer may send. */
static void add_session(struct text *t) {
    frame_add(t, WS_FIN | WS_TEXT, SLICE("whole"));
    frame_add(t, WS_TEXT, SLICE("gr\xc3"));
    frame_add(t, WS_FIN | WS_PING, SLICE("while"));
    frame_add(t, WS_CONTINUATION, SLICE(""));
    frame_add(t, WS_CONTINUATION, SLICE("\xbc\xc3\x9f \xf0\x9f"));
    frame_add(t, WS_FIN | WS_PONG, SLICE("unasked"));
    frame_add(t, WS_FIN | WS_CONTINUATION, SLICE("\x98\x80"));
    frame_add(t, WS_FIN | WS_BINARY, SLICE("\x01\xff\xfe"));
    frame_add(t, WS_FIN | WS_TEXT, SLICE(""));
    struct text data = {0};
    for (int i = 0; i < 130; i++) text_char(&data, (char)('a' + i % 26));
    frame_add(t, WS_BINARY, text_slice(&data));
    frame_add(t, WS_FIN | WS_CONTINUATION, SLICE(""));
    text_fini(&data);
    frame_add(t, WS_FIN | WS_CLOSE, SLICE("\x0b\xb8so \xc3\xbc"));
    frame_add(t, WS_FIN | WS_TEXT, SLICE("too late"));
}

static const char session_messages[] =
    "T5:wholeT11:gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"
    "B3:\x01\xff\xfeT0:B130:"
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";

static void assert_session(struct rig *rig) {
    assert_messages(rig, session_messages);
    assert_true(slice_eq(text_slice(&rig->wire), BYTES("\x8a\x05while\x88\x02\x0b\xb8")));
    assert_true(rig->eof); /* we close first */
    shutdown(rig->fd, SHUT_WR);
    rig_turn(rig);
    assert_true(rig->closed);
    assert_int_equal(rig->closed_code, 3000);
    assert_string_equal(rig->closed_reason, "so \xc3\xbc");
}

static void reads_the_same_in_pieces_of_every_size(void **state) {
    (void)state;
    struct text t = {0};
    add_session(&t);
    for (size_t step = 1; step <= t.n; step = step < 40 ? step + 1 : step * 2) {
        struct rig rig;
        rig_init(&rig);
        rig_start(&rig);
        rig_feed(&rig, text_slice(&t), step);
        assert_session(&rig);
        rig_fini(&rig);
    }
    text_fini(&t);
}

static void reads_the_same_when_cut_anywhere(void **state) {
    (void)state;
    struct text t = {0};
    add_session(&t);
    for (size_t cut = 1; cut < t.n; cut++) {
        struct rig rig;
        rig_init(&rig);
        rig_start(&rig);
        rig_feed(&rig, slice_upto(text_slice(&t), cut), SIZE_MAX);
        if (!rig.closed && conn_is_open(rig.ws.conn))
            rig_feed(&rig, slice_from(text_slice(&t), cut), SIZE_MAX);
        assert_session(&rig);
        rig_fini(&rig);
    }
    text_fini(&t);
}

static void holds_nothing_between_messages(void **state) {
    struct rig *rig = *state;
    struct text t = {0};
    rig_start(rig);
    frame_add(&t, WS_TEXT, SLICE("abc"));
    frame_add(&t, WS_FIN | WS_CONTINUATION, SLICE("def"));
    rig_feed(rig, slice_upto(text_slice(&t), t.n - 1), 1);
    assert_non_null(rig->ws.inbound);
    rig_feed(rig, slice_from(text_slice(&t), t.n - 1), 1);
    assert_null(rig->ws.inbound);
    assert_null(rig->ws.extra);
    assert_messages(rig, "T6:abcdef");
    text_fini(&t);
}

/* ---- what no peer may send ---- */

struct violation {
    const char *name;
    struct slice bytes;
    int code;
    size_t seen_at; /* after how many bytes it must be noticed; 0: all */
};

#define M "\x01\x02\x03\x04" /* a mask; its first four payload bytes are xored with these */
#define Z "\0\0\0\0"         /* a mask that changes nothing */

static const struct violation violations[] = {
    {"unmasked", BYTES("\x81\x01x"), 1002, 2},
    {"unmasked and empty", BYTES("\x81\x00"), 1002, 2},
    {"rsv1 without extension", BYTES("\xc1\x81" Z "x"), 1002, 1},
    {"rsv2", BYTES("\xa1\x81" Z "x"), 1002, 1},
    {"rsv3", BYTES("\x91\x81" Z "x"), 1002, 1},
    {"rsv1 in a ping", BYTES("\xc9\x80" Z), 1002, 1},
    {"opcode 3", BYTES("\x83\x81" Z "x"), 1002, 1},
    {"opcode 4", BYTES("\x84\x80" Z), 1002, 1},
    {"opcode 5", BYTES("\x85\x80" Z), 1002, 1},
    {"opcode 6", BYTES("\x86\x80" Z), 1002, 1},
    {"opcode 7", BYTES("\x87\x80" Z), 1002, 1},
    {"opcode 11", BYTES("\x8b\x80" Z), 1002, 1},
    {"opcode 12", BYTES("\x8c\x80" Z), 1002, 1},
    {"opcode 13", BYTES("\x8d\x80" Z), 1002, 1},
    {"opcode 14", BYTES("\x8e\x80" Z), 1002, 1},
    {"opcode 15", BYTES("\x8f\x80" Z), 1002, 1},
    {"fragmented ping", BYTES("\x09\x80" Z), 1002, 1},
    {"ping of 126 bytes", BYTES("\x89\xfe\x00\x7e" Z), 1002, 2},
    {"ping with a long length", BYTES("\x89\xff\0\0\0\0\0\0\0\x05" Z), 1002, 2},
    {"close of 126 bytes", BYTES("\x88\xfe\x00\x7e" Z), 1002, 2},
    {"length 5 in two bytes", BYTES("\x81\xfe\x00\x05" Z), 1002, 4},
    {"length 125 in two bytes", BYTES("\x81\xfe\x00\x7d" Z), 1002, 4},
    {"length 65535 in eight bytes", BYTES("\x82\xff\0\0\0\0\0\0\xff\xff" Z), 1002, 10},
    {"length bit 63", BYTES("\x82\xff\x80\0\0\0\0\0\0\0" Z), 1002, 10},
    {"length 2^64-1", BYTES("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" Z), 1002, 10},
    {"length 2^63-1", BYTES("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" Z), 1009, 10},
    {"length 1 GiB", BYTES("\x82\xff\0\0\0\0\x40\0\0\0" Z), 1009, 10},
    {"one byte too many", BYTES("\x82\xff\0\0\0\0\0\x01\0\x01" Z), 1009, 10},
    {"continuation of nothing", BYTES("\x80\x80" Z), 1002, 1},
    {"unfinished continuation of nothing", BYTES("\x00\x81" Z "x"), 1002, 1},
    {"continuation after a whole message", BYTES("\x81\x81" Z "x\x80\x81" Z "y"), 1002, 8},
    {"message inside a message", BYTES("\x01\x81" Z "x\x81\x81" Z "y"), 1002, 8},
    {"close with one byte", BYTES("\x88\x81" Z "\x03"), 1002, 0},
    {"close code 0", BYTES("\x88\x82" Z "\x00\x00"), 1002, 0},
    {"close code 999", BYTES("\x88\x82" Z "\x03\xe7"), 1002, 0},
    {"close code 1004", BYTES("\x88\x82" Z "\x03\xec"), 1002, 0},
    {"close code 1005", BYTES("\x88\x82" Z "\x03\xed"), 1002, 0},
    {"close code 1006", BYTES("\x88\x82" Z "\x03\xee"), 1002, 0},
    {"close code 1015", BYTES("\x88\x82" Z "\x03\xf7"), 1002, 0},
    {"close code 1016", BYTES("\x88\x82" Z "\x03\xf8"), 1002, 0},
    {"close code 1100", BYTES("\x88\x82" Z "\x04\x4c"), 1002, 0},
    {"close code 2000", BYTES("\x88\x82" Z "\x07\xd0"), 1002, 0},
    {"close code 2999", BYTES("\x88\x82" Z "\x0b\xb7"), 1002, 0},
    {"close code 5000", BYTES("\x88\x82" Z "\x13\x88"), 1002, 0},
    {"close code 65535", BYTES("\x88\x82" Z "\xff\xff"), 1002, 0},
    {"close reason not UTF-8",
     BYTES("\x88\x86" Z "\x03\xe8"
           "xy\xffz"),
     1007, 0},
    {"close reason that ends in a character", BYTES("\x88\x84" Z "\x03\xe8\xe2\x82"), 1007, 0},
    {"lone continuation byte", BYTES("\x81\x81" Z "\x80"), 1007, 0},
    {"byte that is never valid", BYTES("\x81\x85" Z "\xffwxyz"), 1007, 7},
    {"overlong slash", BYTES("\x81\x84" Z "\xc0\xafxy"), 1007, 7},
    {"overlong in three", BYTES("\x81\x84" Z "\xe0\x80\xafx"), 1007, 8},
    {"surrogate", BYTES("\x81\x84" Z "\xed\xa0\x80x"), 1007, 8},
    {"above U+10FFFF", BYTES("\x81\x85" Z "\xf4\x90\x80\x80x"), 1007, 8},
    {"text that ends in a character", BYTES("\x81\x82" Z "\xe2\x82"), 1007, 0},
    {"fragmented text that ends in a character", BYTES("\x01\x82" Z "\xe2\x82\x80\x80" Z), 1007, 0},
    {"character broken by the next fragment", BYTES("\x01\x82" Z "\xe2\x82\x80\x82" Z "a\xac"),
     1007, 15},
    {"masked byte that is never valid", BYTES("\x81\x85" M "a\xfdxyz"), 1007, 8},
};

static void check_violation(const struct violation *v, struct slice bytes, size_t step) {
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    rig_feed(&rig, bytes, step);
    int code = sent_close(&rig);
    if (code != v->code || !rig.eof)
        fail_msg("%s (%zu bytes, by %zu): sent %d", v->name, bytes.n, step, code);
    rig_write(&rig, "\x81\x80\0\0\0\0", 6); /* nobody listens */
    shutdown(rig.fd, SHUT_WR);
    rig_turn(&rig);
    assert_true(rig.closed);
    assert_int_equal(rig.closed_code, v->code);
    rig_fini(&rig);
}

static void every_broken_rule_has_its_close_code(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof violations / sizeof *violations; i++) {
        const struct violation *v = &violations[i];
        struct slice bytes = v->bytes;
        check_violation(v, bytes, SIZE_MAX);
        check_violation(v, bytes, 1);
        if (v->seen_at) check_violation(v, slice_upto(bytes, v->seen_at), 1);
    }
}

static void accepts_every_valid_close_code_and_echoes_it(void **state) {
    (void)state;
    static const int codes[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct rig rig;
        struct text t = {0};
        char payload[] = {(char)(codes[i] >> 8), (char)codes[i], 'w', 'h', 'y'};
        rig_init(&rig);
        rig_start(&rig);
        frame_add(&t, WS_FIN | WS_CLOSE, slice_make(payload, 5));
        rig_feed(&rig, text_slice(&t), SIZE_MAX);
        assert_int_equal(sent_close(&rig), codes[i]);
        close(rig.fd);
        rig.fd = -1;
        loop_stop(rig.loop);
        loop_turn(rig.loop);
        loop_turn(rig.loop);
        assert_true(rig.closed);
        assert_int_equal(rig.closed_code, codes[i]);
        assert_string_equal(rig.closed_reason, "why");
        text_fini(&t);
        rig_fini(&rig);
    }
}

static void echoes_an_empty_close_without_a_code(void **state) {
    struct rig *rig = *state;
    rig_start(rig);
    rig_feed(rig, BYTES("\x88\x80" M), 1);
    assert_true(slice_eq(text_slice(&rig->wire), BYTES("\x88\x00")));
    shutdown(rig->fd, SHUT_WR);
    rig_turn(rig);
    assert_int_equal(rig->closed_code, 1005);
}

static void takes_a_close_reason_of_123_bytes_and_refuses_a_bad_last_one(void **state) {
    struct rig *rig = *state;
    struct text t = {0};
    char payload[125] = {0x03, (char)0xe8};
    memset(payload + 2, 'r', 123);
    payload[124] = (char)0xc3;
    rig_start(rig);
    frame_add(&t, WS_FIN | WS_CLOSE, slice_make(payload, 125));
    rig_feed(rig, text_slice(&t), 3);
    assert_int_equal(sent_close(rig), 1007);
    text_fini(&t);
}

/* ---- limits ---- */

static void grows_with_what_comes_not_with_what_is_announced(void **state) {
    struct rig *rig = *state;
    rig->settings.max_message = 16 << 20;
    rig_start(rig);
    rig_feed(rig, BYTES("\x82\xff\0\0\0\0\x01\0\0\0" M "abc"), SIZE_MAX); /* 16 MiB announced */
    assert_int_equal(sent_close(rig), 0);
    assert_non_null(rig->ws.inbound);
    assert_int_equal(rig->ws.state, WS_OPEN);
}

static void closes_with_1009_above_the_size(void **state) {
    struct rig *rig = *state;
    struct text t = {0};
    rig->settings.max_message = 10;
    rig_start(rig);
    frame_add(&t, WS_FIN | WS_TEXT, SLICE("0123456789"));
    frame_add(&t, WS_TEXT, SLICE("012345"));
    frame_add(&t, WS_FIN | WS_CONTINUATION, SLICE("6789"));
    frame_add(&t, WS_TEXT, SLICE("012345"));
    frame_add(&t, WS_FIN | WS_CONTINUATION, SLICE("67890"));
    rig_feed(rig, text_slice(&t), 7);
    assert_messages(rig, "T10:0123456789T10:0123456789");
    assert_int_equal(sent_close(rig), 1009);
    text_fini(&t);
}

static void counts_fragments_empty_ones_too(void **state) {
    struct rig *rig = *state;
    struct text t = {0};
    rig->settings.max_fragments = 4;
    rig_start(rig);
    for (int round = 0; round < 2; round++) {
        frame_add(&t, WS_TEXT, SLICE("a"));
        frame_add(&t, WS_CONTINUATION, SLICE(""));
        frame_add(&t, WS_CONTINUATION, SLICE("b"));
        if (round) frame_add(&t, WS_CONTINUATION, SLICE(""));
        frame_add(&t, WS_FIN | WS_CONTINUATION, SLICE("c"));
    }
    rig_feed(rig, text_slice(&t), SIZE_MAX);
    assert_messages(rig, "T3:abc");
    assert_int_equal(sent_close(rig), 1009);
    text_fini(&t);
}

static void closes_with_1008_above_the_rate_of_control_frames(void **state) {
    struct rig *rig = *state;
    struct text t = {0};
    rig->limits.ws_control_rate = 1;
    rig->limits.ws_control_burst = 3;
    rig_start(rig);
    for (int i = 0; i < 5; i++) frame_add(&t, WS_FIN | (i % 2 ? WS_PING : WS_PONG), SLICE("p"));
    rig_feed(rig, text_slice(&t), SIZE_MAX);
    assert_int_equal(sent_close(rig), 1008);
    assert_true(slice_starts(text_slice(&rig->wire), BYTES("\x8a\x01p\x88")));
    text_fini(&t);
}

static void closes_with_1008_when_a_message_takes_too_long(void **state) {
    struct rig *rig = *state;
    rig->limits.ws_message_time = 20;
    rig_start(rig);
    rig_feed(rig, BYTES("\x01\x81" M "x"), 1);
    assert_int_equal(sent_close(rig), 0);
    rig_wait(rig, 21, NULL);
    assert_int_equal(sent_close(rig), 1008);
    assert_true(rig->eof);
}

static void a_message_in_time_is_no_long_one(void **state) {
    struct rig *rig = *state;
    rig->limits.ws_message_time = 20;
    rig_start(rig);
    rig_feed(rig, BYTES("\x01\x81" M "x"), 1);
    rig_feed(rig, BYTES("\x80\x80" M), 1);
    rig_wait(rig, 30, NULL);
    assert_int_equal(sent_close(rig), 0);
    assert_int_equal(rig->count, 1);
}

static void feed_messages(struct rig *rig, int n) {
    struct text t = {0};
    for (int i = 0; i < n; i++) frame_add(&t, WS_FIN | WS_TEXT, SLICE("m"));
    rig_feed(rig, text_slice(&t), SIZE_MAX);
    text_fini(&t);
}

static bool has_ten(const struct rig *rig) { return rig->count >= 10; }

static void messages_above_the_rate_wait(void **state) {
    struct rig *rig = *state;
    rig->limits.ws_message_rate = 100;
    rig->limits.ws_message_burst = 4;
    rig_start(rig);
    uint64_t before = loop_now_ms(rig->loop); /* not later: the feed itself may take a while */
    feed_messages(rig, 10);
    assert_int_equal(rig->count, 5); /* the one too many is handed over, and paid for */
    assert_true(rig_wait(rig, WAIT_MS, has_ten));
    assert_true(loop_now_ms(rig->loop) - before >= 50);
    assert_int_equal(sent_close(rig), 0);
    feed_messages(rig, 1);
    rig_wait(rig, 60, NULL);
    assert_int_equal(rig->count, 11);
}

static void a_peer_that_stays_above_the_rate_is_closed(void **state) {
    struct rig *rig = *state;
    rig->limits.ws_message_rate = 1;
    rig->limits.ws_message_burst = 1;
    rig_start(rig);
    feed_messages(rig, 100);
    assert_true(rig_wait(rig, 7000, rig_is_closed));
    assert_int_equal(rig->closed_code, 1008);
    assert_string_equal(rig->closed_reason, "rate");
    assert_true(rig->count <= 8);
}

static void closes_after_its_lifetime(void **state) {
    struct rig *rig = *state;
    rig->limits.max_lifetime = 20;
    rig_start(rig);
    rig_wait(rig, 25, NULL);
    assert_int_equal(sent_close(rig), 1001);
    assert_int_equal(rig->ws.state, WS_CLOSING);
}

/* ---- pings ---- */

static bool has_ping(const struct rig *rig) {
    return rig->wire.n >= 2 && !memcmp(rig->wire.buf->data, "\x89\x00", 2);
}

static void pings_and_goes_on_while_there_are_pongs(void **state) {
    struct rig *rig = *state;
    rig->settings.ping = true;
    rig->limits.ws_ping_interval = 20;
    rig->limits.ws_pong_timeout = 200;
    rig_start(rig);
    for (int i = 0; i < 3; i++) {
        uint64_t before = loop_now_ms(rig->loop);
        assert_true(rig_wait(rig, WAIT_MS, has_ping));
        assert_true(loop_now_ms(rig->loop) - before >= 15);
        text_clear(&rig->wire);
        rig_feed(rig, BYTES("\x8a\x80" M), SIZE_MAX);
    }
    assert_int_equal(rig->ws.state, WS_OPEN);
}

static void drops_a_peer_that_does_not_pong(void **state) {
    struct rig *rig = *state;
    rig->settings.ping = true;
    rig->settings.ping_interval_ms = 20; /* goes before the site's */
    rig->limits.ws_pong_timeout = 30;
    rig_start(rig);
    assert_true(rig_wait(rig, WAIT_MS, has_ping));
    feed_messages(rig, 1); /* is no pong */
    assert_true(rig_wait(rig, WAIT_MS, rig_is_closed));
    assert_int_equal(rig->closed_code, 1006);
    assert_int_equal(rig->wire.n, 2); /* no close frame */
}

/* Fills the way out until the kernel takes no more. */
static void block_output(struct rig *rig) {
    struct buf *b = buf_new(65536);
    memset(b->data, 'o', b->n);
    while (!conn_is_blocked(rig->ws.conn)) {
        ws_send(&rig->ws, b, true);
        loop_stop(rig->loop);
        loop_turn(rig->loop);
    }
    buf_unref(b);
}

static void keeps_only_the_newest_pong_for_a_peer_that_does_not_read(void **state) {
    struct rig *rig = *state;
    struct text t = {0};
    rig_start(rig);
    block_output(rig);
    size_t before = ws_backlog(&rig->ws);
    char name[2] = "a";
    for (; name[0] < 'z'; name[0]++) frame_add(&t, WS_FIN | WS_PING, slice_make(name, 1));
    struct conn *c = rig->ws.conn;
    c->ops->received(c, t.buf->data, t.n);
    assert_int_equal(ws_backlog(&rig->ws), before);
    rig_turn(rig); /* now it reads */
    struct slice wire = text_slice(&rig->wire), payload;
    unsigned first, pongs = 0;
    while (frame_take(&wire, &first, &payload)) {
        if (first != (WS_FIN | WS_PONG)) continue;
        pongs++;
        assert_true(slice_is(payload, "y"));
    }
    assert_int_equal(pongs, 1);
    text_fini(&t);
}

/* ---- closing ---- */

static void close_waits_for_the_peers_half(void **state) {
    struct rig *rig = *state;
    rig_start(rig);
    ws_close(&rig->ws, 4000, SLICE("over"));
    ws_close(&rig->ws, 4001, SLICE("twice"));
    struct buf *b = buf_copy(SLICE("late"));
    ws_send(&rig->ws, b, false);
    buf_unref(b);
    rig_turn(rig);
    assert_true(slice_eq(text_slice(&rig->wire), BYTES("\x88\x06\x0f\xa0over")));
    assert_false(rig->eof);
    struct text t = {0};
    frame_add(&t, WS_FIN | WS_TEXT, SLICE("ignored"));
    frame_add(&t, WS_BINARY, SLICE("and this"));
    frame_add(&t, WS_FIN | WS_PING, SLICE("no answer"));
    frame_add(&t, WS_FIN | WS_CLOSE, SLICE("\x0f\xa0"));
    rig_feed(rig, text_slice(&t), 1);
    text_fini(&t);
    assert_true(rig->eof);
    assert_int_equal(rig->count, 0);
    assert_false(rig->closed);
    shutdown(rig->fd, SHUT_WR);
    rig_turn(rig);
    assert_int_equal(rig->closed_code, 4000);
    assert_string_equal(rig->closed_reason, "over");
    assert_int_equal(sent_close(rig), 4000);
}

static void a_peer_that_never_closes_is_cut_off(void **state) {
    struct rig *rig = *state;
    rig->limits.ws_close_wait = 20;
    rig_start(rig);
    ws_close(&rig->ws, 0, (struct slice){NULL, 0});
    assert_true(rig_wait(rig, WAIT_MS, rig_is_closed));
    assert_int_equal(rig->closed_code, 1005);
    assert_true(slice_eq(text_slice(&rig->wire), BYTES("\x88\x00")));
}

static void drops_tcp_within_a_second_of_the_closing_handshake(void **state) {
    struct rig *rig = *state;
    rig_start(rig);
    rig_feed(rig, BYTES("\x88\x80" M), SIZE_MAX);
    assert_true(rig->eof);
    assert_false(rig->closed); /* the peer keeps its side open */
    assert_true(rig_wait(rig, 1000, rig_is_closed));
}

static void cuts_a_long_close_reason_at_a_character(void **state) {
    struct rig *rig = *state;
    char reason[200];
    for (size_t i = 0; i < sizeof reason; i += 2) memcpy(reason + i, "\xc3\xbc", 2);
    rig_start(rig);
    ws_close(&rig->ws, 1000, slice_make(reason, sizeof reason));
    rig_turn(rig);
    assert_int_equal(rig->wire.n, 2 + 2 + 122);
    assert_true(slice_starts(text_slice(&rig->wire), BYTES("\x88\x7c")));
}

static void an_end_without_close_frame_is_1006(void **state) {
    struct rig *rig = *state;
    rig->echo = true;
    rig_start(rig);
    struct text t = {0};
    frame_add(&t, WS_FIN | WS_TEXT, SLICE("last words"));
    rig_write(rig, t.buf->data, t.n);
    shutdown(rig->fd, SHUT_WR);
    rig_turn(rig);
    assert_true(rig->closed);
    assert_int_equal(rig->closed_code, 1006);
    assert_true(slice_eq(text_slice(&rig->wire), BYTES("\x81\x0alast words"))); /* still answered */
    text_fini(&t);
}

static void drop_says_nothing(void **state) {
    struct rig *rig = *state;
    rig_start(rig);
    ws_drop(&rig->ws, "test");
    ws_drop(&rig->ws, "twice");
    assert_false(rig->closed);
    rig_turn(rig);
    assert_true(rig->closed && rig->eof);
    assert_int_equal(rig->closed_code, 1006);
    assert_int_equal(rig->wire.n, 0);
}

static void heard_close(struct rig *rig, struct slice data, bool binary) {
    (void)data;
    (void)binary;
    ws_close(&rig->ws, 1003, SLICE("unsupported"));
}

static void heard_drop(struct rig *rig, struct slice data, bool binary) {
    (void)data;
    (void)binary;
    ws_drop(&rig->ws, "heard enough");
}

static void may_be_closed_from_the_message(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct rig rig;
        struct text t = {0};
        rig_init(&rig);
        rig_start(&rig);
        rig.heard = i % 2 ? heard_close : heard_drop;
        for (int k = 0; k < 3; k++) frame_add(&t, WS_FIN | WS_TEXT, SLICE("one is enough"));
        rig_feed(&rig, text_slice(&t), i < 2 ? SIZE_MAX : 1);
        assert_int_equal(rig.count, 1);
        if (i % 2) assert_int_equal(sent_close(&rig), 1003);
        else assert_true(rig.closed);
        text_fini(&t);
        rig_fini(&rig);
    }
}

static void a_slow_peer_gets_4503_and_nothing_of_what_waited(void **state) {
    struct rig *rig = *state;
    rig->limits.send_buffer_hard = 100000;
    rig->limits.send_buffer_soft = 50000;
    rig->limits.ws_close_wait = 300;
    rig_start(rig);
    struct buf *b = buf_new(60000);
    memset(b->data, 'o', b->n);
    while (!rig->closed && rig->ws.state == WS_OPEN) {
        ws_send(&rig->ws, b, true);
        loop_stop(rig->loop);
        loop_turn(rig->loop);
    }
    buf_unref(b);
    assert_true(ws_backlog(&rig->ws) < 60200);
    assert_true(rig_wait(rig, WAIT_MS, rig_is_closed));
    assert_int_equal(rig->closed_code, 4503);
    assert_int_equal(sent_close(rig), 4503);
}

/* ---- pausing ---- */

static void heard_pause(struct rig *rig, struct slice data, bool binary) {
    text_format(&rig->messages, "%c%zu:", binary ? 'B' : 'T', data.n);
    text_add(&rig->messages, data);
    ws_pause(&rig->ws);
}

static void hands_over_nothing_while_paused(void **state) {
    struct rig *rig = *state;
    struct text t = {0};
    rig_start(rig);
    rig->heard = heard_pause;
    frame_add(&t, WS_FIN | WS_TEXT, SLICE("1"));
    frame_add(&t, WS_FIN | WS_TEXT, SLICE("2"));
    frame_add(&t, WS_FIN | WS_TEXT, SLICE("3"));
    rig_write(rig, t.buf->data, t.n - 1);
    rig_turn(rig);
    assert_messages(rig, "T1:1");
    ws_resume(&rig->ws);
    assert_messages(rig, "T1:1"); /* not inside the call */
    rig_turn(rig);
    assert_messages(rig, "T1:1T1:2");
    ws_resume(&rig->ws);
    rig_turn(rig);
    assert_messages(rig, "T1:1T1:2");
    rig_write(rig, t.buf->data + t.n - 1, 1);
    rig_turn(rig);
    assert_messages(rig, "T1:1T1:2T1:3");
    rig_write(rig, t.buf->data, t.n);
    rig_turn(rig);
    assert_messages(rig, "T1:1T1:2T1:3");
    ws_close(&rig->ws, 1000, (struct slice){NULL, 0});
    rig_write(rig, "\x88\x80\0\0\0\0", 6); /* is read though messages waited before it */
    rig_turn(rig);
    assert_true(rig->eof);
    assert_messages(rig, "T1:1T1:2T1:3");
    text_fini(&t);
}

/* ---- a second opinion ---- */

static uint32_t next(uint32_t *seed) { return *seed = *seed * 1664525 + 1013904223, *seed >> 8; }

/* A few frames as a peer of many moods would send them: mostly right. */
static void add_random_session(struct text *t, uint32_t *seed) {
    static const unsigned firsts[] = {0x81, 0x82, 0x01, 0x02, 0x00, 0x80,
                                      0x80, 0x80, 0x89, 0x8a, 0x88};
    static const char *const texts[] = {
        "",     "a",        "plain text",  "\xc3\xbc", "\xe2\x82", "\xac",
        "\xff", "\x03\xe8", "\x03\xf5why", "\x0f\xa0", "\x03\xe7", "\xf0\x9f\x98\x80"};
    for (uint32_t frames = next(seed) % 9; frames; frames--) {
        struct text payload = {0};
        size_t before = t->n;
        for (uint32_t parts = next(seed) % 4; parts; parts--)
            text_str(&payload, texts[next(seed) % (sizeof texts / sizeof *texts)]);
        if (next(seed) % 16 == 0) text_add(&payload, slice_make(session_messages, 120));
        frame_add(t, firsts[next(seed) % (sizeof firsts / sizeof *firsts)], text_slice(&payload));
        if (next(seed) % 8 == 0)
            t->buf->data[before + next(seed) % 3] ^= (char)(1 << next(seed) % 8);
        text_fini(&payload);
    }
}

static void comes_to_the_same_as_wslay(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (int i = 0; i < 3000; i++) {
        struct rig rig;
        struct text t = {0};
        uint32_t from = seed;
        add_random_session(&t, &seed);
        rig_init(&rig);
        rig_start(&rig);
        rig_feed(&rig, text_slice(&t), i % 3 ? i % 17 + 1 : SIZE_MAX);
        if (!oracle_agrees(&rig, text_slice(&t))) fail_msg("session of seed %u", from);
        text_fini(&t);
        rig_fini(&rig);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_the_handshake_of_the_rfc),
        TEST(confirms_the_first_subprotocol_that_it_speaks),
        TEST(confirms_any_subprotocol_for_a_star),
        TEST(confirms_no_subprotocol_it_does_not_speak),
        TEST(agrees_on_compression_where_the_endpoint_has_it),
        TEST(refuses_what_is_no_handshake),
        TEST(refuses_a_doubled_key_and_a_request_without_upgrade),
        TEST(hands_over_frames_that_came_with_the_handshake),
        TEST(refuses_a_wrong_frame_that_came_with_the_handshake),
        TEST(echoes_every_size_with_the_shortest_header),
        TEST(reads_the_same_in_pieces_of_every_size),
        TEST(reads_the_same_when_cut_anywhere),
        TEST(holds_nothing_between_messages),
        TEST(every_broken_rule_has_its_close_code),
        TEST(accepts_every_valid_close_code_and_echoes_it),
        TEST(echoes_an_empty_close_without_a_code),
        TEST(takes_a_close_reason_of_123_bytes_and_refuses_a_bad_last_one),
        TEST(grows_with_what_comes_not_with_what_is_announced),
        TEST(closes_with_1009_above_the_size),
        TEST(counts_fragments_empty_ones_too),
        TEST(closes_with_1008_above_the_rate_of_control_frames),
        TEST(closes_with_1008_when_a_message_takes_too_long),
        TEST(a_message_in_time_is_no_long_one),
        TEST(messages_above_the_rate_wait),
        TEST(a_peer_that_stays_above_the_rate_is_closed),
        TEST(closes_after_its_lifetime),
        TEST(pings_and_goes_on_while_there_are_pongs),
        TEST(drops_a_peer_that_does_not_pong),
        TEST(keeps_only_the_newest_pong_for_a_peer_that_does_not_read),
        TEST(close_waits_for_the_peers_half),
        TEST(a_peer_that_never_closes_is_cut_off),
        TEST(drops_tcp_within_a_second_of_the_closing_handshake),
        TEST(cuts_a_long_close_reason_at_a_character),
        TEST(an_end_without_close_frame_is_1006),
        TEST(drop_says_nothing),
        TEST(may_be_closed_from_the_message),
        TEST(a_slow_peer_gets_4503_and_nothing_of_what_waited),
        TEST(hands_over_nothing_while_paused),
        TEST(comes_to_the_same_as_wslay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
