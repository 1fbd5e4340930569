/* SPDX-License-Identifier: MIT */
#include "net/deflate.h"

#include "ws_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <zlib.h>

#include <cmocka.h>

#define BYTES(literal) SLICE(literal)

/* ---- offers ---- */

struct offer_case {
    const char *offers;
    int window_bits;
    bool takeover;
    const char *answer; /* NULL: none */
};

static const struct offer_case offer_cases[] = {
    {"permessage-deflate", 15, true, "permessage-deflate"},
    {"permessage-deflate", 12, true, "permessage-deflate"},
    {"  permessage-deflate  ", 15, true, "permessage-deflate"},
    {"permessage-deflate", 15, false,
     "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
    {"permessage-deflate; server_no_context_takeover", 15, true,
     "permessage-deflate; server_no_context_takeover"},
    {"permessage-deflate;client_no_context_takeover", 15, true,
     "permessage-deflate; client_no_context_takeover"},
    {"permessage-deflate; client_max_window_bits", 15, true, "permessage-deflate"},
    {"permessage-deflate; client_max_window_bits", 12, true,
     "permessage-deflate; client_max_window_bits=12"},
    {"permessage-deflate; client_max_window_bits=10", 12, true,
     "permessage-deflate; client_max_window_bits=10"},
    {"permessage-deflate; client_max_window_bits=8", 15, true,
     "permessage-deflate; client_max_window_bits=8"},
    {"permessage-deflate; client_max_window_bits=15", 15, true,
     "permessage-deflate; client_max_window_bits=15"},
    {"permessage-deflate; server_max_window_bits=15", 12, true,
     "permessage-deflate; server_max_window_bits=12"},
    {"permessage-deflate; server_max_window_bits=9", 12, true,
     "permessage-deflate; server_max_window_bits=9"},
    {"permessage-deflate; server_max_window_bits=\"10\"", 15, true,
     "permessage-deflate; server_max_window_bits=10"},
    {"permessage-deflate; server_max_window_bits = 10 ; client_max_window_bits", 11, true,
     "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11"},
    {"permessage-deflate; server_max_window_bits=8", 15, true, NULL},
    {"permessage-deflate; server_max_window_bits=8, permessage-deflate", 15, true,
     "permessage-deflate"},
    {"permessage-deflate; server_max_window_bits", 15, true, NULL},
    {"permessage-deflate; server_max_window_bits=", 15, true, NULL},
    {"permessage-deflate; server_max_window_bits=7", 15, true, NULL},
    {"permessage-deflate; server_max_window_bits=16", 15, true, NULL},
    {"permessage-deflate; server_max_window_bits=010", 15, true, NULL},
    {"permessage-deflate; server_max_window_bits=+10", 15, true, NULL},
    {"permessage-deflate; server_max_window_bits=1e1", 15, true, NULL},
    {"permessage-deflate; server_max_window_bits=99999999999999999999", 15, true, NULL},
    {"permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", 15, true, NULL},
    {"permessage-deflate; client_max_window_bits=0", 15, true, NULL},
    {"permessage-deflate; client_max_window_bits=\"\"", 15, true, NULL},
    {"permessage-deflate; client_max_window_bits=\"12", 15, true, NULL},
    {"permessage-deflate; client_max_window_bits; client_max_window_bits", 15, true, NULL},
    {"permessage-deflate; server_no_context_takeover=1", 15, true, NULL},
    {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", 15, true, NULL},
    {"permessage-deflate; client_no_context_takeover=true", 15, true, NULL},
    {"permessage-deflate; unknown", 15, true, NULL},
    {"permessage-deflate; unknown=\"a, permessage-deflate\"", 15, true, NULL},
    {"permessage-deflate; unknown=\"a\\\", permessage-deflate\"", 15, true, NULL},
    {"permessage-deflate; unknown=\"a\", permessage-deflate", 15, true, "permessage-deflate"},
    {"permessage-deflate;", 15, true, NULL},
    {"permessage-deflate; ; client_max_window_bits", 15, true, NULL},
    {"permessage-deflate client_max_window_bits", 15, true, NULL},
    {"permessage-deflat", 15, true, NULL},
    {"permessage-deflates", 15, true, NULL},
    {"x-webkit-deflate-frame, permessage-deflate", 15, true, "permessage-deflate"},
    {"permessage-bzip2; x=y, foo, permessage-deflate; client_max_window_bits, permessage-deflate",
     13, true, "permessage-deflate; client_max_window_bits=13"},
    {"constructor", 15, true, NULL},
    {"__proto__; toString", 15, true, NULL},
    {"", 15, true, NULL},
    {",", 15, true, NULL},
    {", ,permessage-deflate", 15, true, "permessage-deflate"},
};

static void takes_the_first_offer_it_can_keep(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof offer_cases / sizeof *offer_cases; i++) {
        const struct offer_case *c = &offer_cases[i];
        struct deflate_terms terms;
        struct text answer = {0};
        bool agreed = deflate_negotiate(slice_of(c->offers), c->window_bits, c->takeover, &terms);
        if (agreed != !!c->answer) fail_msg("%s: %d", c->offers, agreed);
        if (!agreed) continue;
        deflate_answer(&terms, &answer);
        text_char(&answer, 0);
        assert_string_equal(answer.buf->data, c->answer);
        text_fini(&answer);
    }
}

static void a_long_list_of_offers_is_read_once(void **state) {
    (void)state;
    struct text t = {0};
    struct deflate_terms terms;
    for (int i = 0; i < 20000; i++) text_str(&t, "a; b=\"c\", ");
    assert_false(deflate_negotiate(text_slice(&t), 15, true, &terms));
    text_str(&t, "permessage-deflate");
    assert_true(deflate_negotiate(text_slice(&t), 15, true, &terms));
    text_fini(&t);
}

static void what_is_not_said_is_not_asked_of_the_peer(void **state) {
    (void)state;
    struct deflate_terms terms;
    assert_true(deflate_negotiate(SLICE("permessage-deflate"), 10, true, &terms));
    assert_int_equal(terms.server_bits, 10); /* ours may always be smaller */
    assert_int_equal(terms.client_bits, 15);
}

/* ---- streams ---- */

static struct deflate *new_deflate(int bits, bool takeover) {
    struct deflate_terms terms = {.server_bits = (uint8_t)bits,
                                  .client_bits = (uint8_t)bits,
                                  .server_no_takeover = !takeover,
                                  .client_no_takeover = !takeover};
    return deflate_new(&terms, 6);
}

/* Inflates a message in pieces, into rooms of the given size. False for a bad one. */
static bool inflate_all(struct deflate *d, struct slice in, size_t piece, size_t room,
                        struct text *out) {
    while (in.n) {
        struct slice part = slice_upto(in, piece);
        in = slice_from(in, part.n);
        for (;;) {
            ssize_t n = inflate_piece(d, &part, text_reserve(out, room), room);
            if (n < 0) return false;
            text_commit(out, (size_t)n);
            if ((size_t)n < room) break;
        }
        assert_int_equal(part.n, 0);
    }
    for (;;) {
        ssize_t n = inflate_end(d, text_reserve(out, room), room);
        if (n < 0) return false;
        text_commit(out, (size_t)n);
        if ((size_t)n < room) return true;
    }
}

static void fill(struct text *t, size_t n, int kind) {
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        text_char(t, kind == 0 ? 'a' : kind == 1 ? (char)('a' + (i * i) % 17) : (char)(x >> 24));
    }
}

static void what_it_deflates_it_inflates(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 20, 300, 5000, 70000};
    static const size_t rooms[] = {1, 2, 7, 100, 100000};
    for (int bits = 9; bits <= 15; bits += 2)
        for (int takeover = 0; takeover < 2; takeover++) {
            struct deflate *ours = new_deflate(bits, takeover), *peer = new_deflate(bits, takeover);
            for (size_t i = 0; i < 18; i++) {
                struct text message = {0}, out = {0};
                fill(&message, sizes[i % 6], (int)(i / 6));
                struct buf *wire = deflate_message(ours, text_slice(&message));
                size_t room = rooms[(i + (size_t)bits) % 5];
                assert_true(inflate_all(peer, buf_slice(wire), i % 2 ? 1 : 1000, room, &out));
                assert_true(slice_eq(text_slice(&out), text_slice(&message)));
                buf_unref(wire);
                text_fini(&message);
                text_fini(&out);
            }
            deflate_free(ours);
            deflate_free(peer);
        }
}

static void takeover_makes_the_second_message_smaller(void **state) {
    (void)state;
    struct text message = {0};
    fill(&message, 500, 2);
    struct deflate *with = new_deflate(15, true), *without = new_deflate(15, false);
    for (int i = 0; i < 2; i++) {
        struct buf *a = deflate_message(with, text_slice(&message));
        struct buf *b = deflate_message(without, text_slice(&message));
        if (i) assert_true(a->n < 50);
        assert_true(b->n > 450);
        buf_unref(a);
        buf_unref(b);
    }
    deflate_free(with);
    deflate_free(without);
    text_fini(&message);
}

struct inflate_case {
    const char *name;
    struct slice bytes;
    const char *expected; /* NULL: refused */
};

static const struct inflate_case inflate_cases[] = {
    {"one block (RFC 7692 7.2.3.1)", BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello"},
    {"no compression (7.2.3.3)", BYTES("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "Hello"},
    {"a final block and an empty one (7.2.3.4)", BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
     "Hello"},
    {"two blocks (7.2.3.5)", BYTES("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),
     "Hello"},
    {"an empty message (7.2.3.6)", BYTES("\x00"), ""},
    {"a final block and nothing", BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00"), "Hello"},
    {"the tail not cut off", BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\x00"), "Hello"},
    {"reserved block type", BYTES("\x06"), NULL},
    {"stored length that does not match", BYTES("\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00"),
     NULL},
    {"cut inside a block", BYTES("\xf2\x48\xcd\xc9"), NULL},
    {"cut inside a stored block", BYTES("\x00\x64\x00\x9b\xff\x48\x65"), NULL},
    {"a distance before the beginning", BYTES("\x4b\x04\x42\x00\x00"), NULL},
    {"garbage", BYTES("\xde\xad\xbe\xef\xca\xfe"), NULL},
    {"a zlib header and dictionary", BYTES("\x78\xbb\x00\x00\x00\x01\x4b\x4c\x04\x00"), NULL},
    {"garbage behind a final block", BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\xff\xff"), NULL},
};

static void inflates_what_the_rfc_shows_and_refuses_garbage(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof inflate_cases / sizeof *inflate_cases; i++)
        for (int takeover = 0; takeover < 2; takeover++)
            for (size_t piece = 1; piece < 20; piece += 18) {
                const struct inflate_case *c = &inflate_cases[i];
                struct deflate *d = new_deflate(15, takeover);
                struct text out = {0};
                bool good = inflate_all(d, c->bytes, piece, piece, &out);
                if (good != !!c->expected) fail_msg("%s by %zu: %d", c->name, piece, good);
                if (good) assert_true(slice_is(text_slice(&out), c->expected));
                text_fini(&out);
                deflate_free(d);
            }
}

static void a_final_block_keeps_the_window(void **state) {
    (void)state;
    struct deflate *d = new_deflate(15, true);
    struct text out = {0};
    assert_true(inflate_all(d, BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), 1, 100, &out));
    /* the second Hello of RFC 7692 7.2.3.2: it points into the first */
    assert_true(inflate_all(d, BYTES("\xf2\x00\x11\x00\x00"), 1, 100, &out));
    assert_true(slice_is(text_slice(&out), "HelloHello"));
    text_fini(&out);
    deflate_free(d);
}

/* ---- in a connection ---- */

static const char offer[] = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

static void start(struct rig *rig, bool takeover) {
    rig_init(rig);
    rig->settings.compress = true;
    rig->settings.context_takeover = takeover;
    rig->settings.compress_min = 20;
    rig->echo = true;
    rig_connect(rig, offer, (struct slice){NULL, 0});
    assert_non_null(rig->ws.deflate);
}

/* A compressed text message in fragments of the given size. */
static void add_compressed(struct text *out, struct deflate *d, struct slice message, size_t size) {
    struct buf *wire = deflate_message(d, message);
    struct slice rest = buf_slice(wire);
    unsigned opcode = WS_TEXT | WS_RSV1;
    do {
        struct slice part = slice_upto(rest, size);
        rest = slice_from(rest, part.n);
        frame_add(out, opcode | (rest.n ? 0 : WS_FIN), part);
        opcode = WS_CONTINUATION;
    } while (rest.n);
    buf_unref(wire);
}

static void echoes_compressed_messages(void **state) {
    (void)state;
    for (int takeover = 0; takeover < 2; takeover++)
        for (size_t size = 7; size < 3000; size += 1200) {
            struct rig rig;
            struct text message = {0}, in = {0};
            struct deflate *peer = new_deflate(15, takeover);
            start(&rig, takeover);
            fill(&message, 700, 1);
            for (int i = 0; i < 3; i++) add_compressed(&in, peer, text_slice(&message), size);
            frame_add(&in, WS_FIN | WS_TEXT, SLICE("plain"));
            rig_feed(&rig, text_slice(&in), takeover ? 1 : SIZE_MAX);
            assert_int_equal(rig.count, 4);
            struct slice wire = text_slice(&rig.wire), payload;
            unsigned first;
            for (int i = 0; i < 3; i++) {
                struct text out = {0};
                assert_true(frame_take(&wire, &first, &payload));
                assert_int_equal(first, WS_FIN | WS_RSV1 | WS_TEXT);
                assert_true(inflate_all(peer, payload, 1000, 1000, &out));
                assert_true(slice_eq(text_slice(&out), text_slice(&message)));
                text_fini(&out);
            }
            assert_true(frame_take(&wire, &first, &payload));
            assert_int_equal(first, WS_FIN | WS_TEXT); /* shorter than compress_min */
            text_fini(&message);
            text_fini(&in);
            deflate_free(peer);
            rig_fini(&rig);
        }
}

static void a_bomb_ends_with_1009_and_little_memory(void **state) {
    (void)state;
    struct rig rig;
    struct text message = {0}, in = {0};
    struct deflate *peer = new_deflate(15, true);
    start(&rig, true);
    rig.settings.max_message = 100000;
    char *room = text_reserve(&message, 8 << 20);
    memset(room, 0, 8 << 20);
    text_commit(&message, 8 << 20);
    struct buf *wire = deflate_message(peer, text_slice(&message));
    assert_true(wire->n < 10000);
    frame_add(&in, WS_FIN | WS_TEXT | WS_RSV1, buf_slice(wire));
    rig_feed(&rig, text_slice(&in), 500);
    assert_int_equal(sent_close(&rig), 1009);
    assert_int_equal(rig.count, 0);
    buf_unref(wire);
    text_fini(&message);
    text_fini(&in);
    deflate_free(peer);
    rig_fini(&rig);
}

static int code_for(struct slice bytes, size_t step) {
    struct rig rig;
    start(&rig, false);
    rig_feed(&rig, bytes, step);
    int code = sent_close(&rig);
    rig_fini(&rig);
    return code;
}

#define Z "\0\0\0\0"

static void wrong_compressed_frames_have_their_close_codes(void **state) {
    (void)state;
    struct {
        struct slice bytes;
        int code;
    } cases[] = {
        {BYTES("\xc1\x86" Z "\xde\xad\xbe\xef\xca\xfe"), 1007},         /* garbage */
        {BYTES("\xc1\x84" Z "\xf2\x48\xcd\xc9"), 1007},                 /* cut */
        {BYTES("\xc2\x81" Z "\x06"), 1007},                             /* binary too */
        {BYTES("\xc1\x88" Z "\x00\x01\x00\xfe\xff\xff\x00\x00"), 1007}, /* not UTF-8 inside */
        {BYTES("\x41\x86" Z "\x00\x01\x00\xfe\xff\xff"), 1007},  /* and in the first fragment */
        {BYTES("\x41\x81" Z "\x00\xc0\x81" Z "\x00"), 1002},     /* RSV1 in a continuation */
        {BYTES("\xc9\x80" Z), 1002},                             /* RSV1 in a ping */
        {BYTES("\xe1\x81" Z "\x00"), 1002},                      /* RSV2 */
        {BYTES("\xc1\xff\0\0\0\0\x40\0\0\0"), 1009},             /* 1 GiB announced */
        {BYTES("\xc1\x80" Z), 0},                                /* empty without a block */
        {BYTES("\xc1\x81" Z "\x00"), 0},                         /* empty, with one */
        {BYTES("\xc1\x87" Z "\xf2\x48\xcd\xc9\xc9\x07\x00"), 0}, /* Hello */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(code_for(cases[i].bytes, SIZE_MAX), cases[i].code);
        assert_int_equal(code_for(cases[i].bytes, 1), cases[i].code);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_first_offer_it_can_keep),
        cmocka_unit_test(a_long_list_of_offers_is_read_once),
        cmocka_unit_test(what_is_not_said_is_not_asked_of_the_peer),
        cmocka_unit_test(what_it_deflates_it_inflates),
        cmocka_unit_test(takeover_makes_the_second_message_smaller),
        cmocka_unit_test(inflates_what_the_rfc_shows_and_refuses_garbage),
        cmocka_unit_test(a_final_block_keeps_the_window),
        cmocka_unit_test(echoes_compressed_messages),
        cmocka_unit_test(a_bomb_ends_with_1009_and_little_memory),
        cmocka_unit_test(wrong_compressed_frames_have_their_close_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
