/* SPDX-License-Identifier: MIT */
/* The payloads of Engine.IO as tables: what clients send, what they are sent, and what is none. */
#include "transport/eio_payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_slice(struct slice s, struct slice expected) {
    assert_int_equal(s.n, expected.n);
    if (s.n) assert_memory_equal(s.p, expected.p, expected.n);
}

/* ---- reading ---- */

/* Writes what a body holds as "4:hello B:\x01 ...": type or B, data, a space. Ends with "!" when it
 * is broken. */
static void list_packets(struct text *out, struct slice body, enum eio_form form,
                         enum eio_text *known) {
    struct eio_reader r;
    struct eio_packet p;
    enum eio_read read;
    eio_reader_init(&r, body, form, known);
    while ((read = eio_reader_next(&r, &p)) == EIO_READ_PACKET) {
        text_char(out, p.binary ? 'B' : (char)('0' + p.type));
        text_char(out, ':');
        text_add(out, p.data);
        text_char(out, ' ');
    }
    if (read == EIO_READ_BROKEN) text_char(out, '!');
    assert_int_equal(eio_reader_next(&r, &p), read); /* and so it stays */
    eio_reader_fini(&r);
}

static void assert_read(struct slice body, enum eio_form form, enum eio_text *known,
                        struct slice expected) {
    struct text out = {0};
    list_packets(&out, body, form, known);
    assert_slice(text_slice(&out), expected);
    text_fini(&out);
}

#define READS(form, body, expected)                                                                \
    do {                                                                                           \
        enum eio_text unknown = EIO_TEXT_UNKNOWN;                                                  \
        assert_read(SLICE(body), form, &unknown, SLICE(expected));                                 \
    } while (0)

static void reads_protocol_4(void **state) {
    (void)state;
    READS(EIO_FORM_4, "4hello", "4:hello ");
    READS(EIO_FORM_4, "4", "4: ");
    READS(EIO_FORM_4,
          "3\x1e"
          "4a\x1e"
          "4\xe2\x82\xac\x1e"
          "1",
          "3: 4:a 4:\xe2\x82\xac 1: ");
    READS(EIO_FORM_4,
          "bAAEC+g==\x1e"
          "beA==",
          "B:\0\1\2\xfa B:x ");
    READS(EIO_FORM_4, "b", "B: ");
}

static void refuses_what_is_no_payload_of_protocol_4(void **state) {
    (void)state;
    READS(EIO_FORM_4, "", "!");
    READS(EIO_FORM_4, "\x1e", "!");
    READS(EIO_FORM_4, "4a\x1e", "4:a !");
    READS(EIO_FORM_4,
          "4a\x1e\x1e"
          "4b",
          "4:a !");
    READS(EIO_FORM_4, "7", "!");
    READS(EIO_FORM_4, "abc", "!");
    READS(EIO_FORM_4, "b=", "!");
    READS(EIO_FORM_4, "bAAEC+g=", "!");
    READS(EIO_FORM_4, "bA-_=", "!");
    READS(EIO_FORM_4,
          "4a\x1e"
          "4\xff",
          "!"); /* no UTF-8: nothing of it is taken */
}

static void counts_utf16_in_texts_of_protocol_3(void **state) {
    (void)state;
    READS(EIO_FORM_3_TEXT, "6:4hello1:2", "4:hello 2: ");
    READS(EIO_FORM_3_TEXT, "10:b4AAEC+g==6:b4eA==", "B:\0\1\2\xfa B:x ");
    READS(EIO_FORM_3_TEXT,
          "2:4\xe2\x82\xac"
          "1:2",
          "4:\xe2\x82\xac 2: ");
    READS(EIO_FORM_3_TEXT,
          "3:4\xf0\x9f\x98\x80"
          "1:2",
          "4:\xf0\x9f\x98\x80 2: ");
    READS(EIO_FORM_3_TEXT, "4:4\x1e:1", "4:\x1e:1 ");
}

static void refuses_what_is_no_text_payload_of_protocol_3(void **state) {
    (void)state;
    READS(EIO_FORM_3_TEXT, "", "!");
    READS(EIO_FORM_3_TEXT, "4hello", "!");
    READS(EIO_FORM_3_TEXT, ":4", "!");
    READS(EIO_FORM_3_TEXT, "0:", "!");
    READS(EIO_FORM_3_TEXT, "1:", "!");
    READS(EIO_FORM_3_TEXT, "-1:4", "!");
    READS(EIO_FORM_3_TEXT, "+1:4", "!");
    READS(EIO_FORM_3_TEXT, "1e1:4", "!");
    READS(EIO_FORM_3_TEXT, "7:4hello", "!");
    READS(EIO_FORM_3_TEXT, "5:4hello", "4:hell !");
    READS(EIO_FORM_3_TEXT, "99999999:4", "!");
    READS(EIO_FORM_3_TEXT, "99999999999999999999999:4", "!");
    READS(EIO_FORM_3_TEXT, "1", "!");
    READS(EIO_FORM_3_TEXT, "2:4\xf0\x9f\x98\x80", "!"); /* half a character */
    READS(EIO_FORM_3_TEXT, "2:b5", "!");
    READS(EIO_FORM_3_TEXT, "1:b", "!");
    READS(EIO_FORM_3_TEXT, "3:b1A", "!");
}

static void reads_binary_payloads_of_protocol_3(void **state) {
    (void)state;
    READS(EIO_FORM_3_BINARY,
          "\0\6\xff"
          "4hello"
          "\1\5\xff\4\0\1\2\xfa",
          "4:hello B:\0\1\2\xfa ");
    READS(EIO_FORM_3_BINARY,
          "\0\1\0\xff"
          "4123456789",
          "4:123456789 ");
    READS(EIO_FORM_3_BINARY,
          "\0\3\xff"
          "4\xc3\xa9",
          "4:\xc3\xa9 ");
    READS(EIO_FORM_3_BINARY, "\1\1\xff\4", "B: ");
    READS(EIO_FORM_3_BINARY,
          "\0\6\xff"
          "b4eA==",
          "B:x ");
}

static void refuses_what_is_no_binary_payload_of_protocol_3(void **state) {
    (void)state;
    READS(EIO_FORM_3_BINARY, "", "!");
    READS(EIO_FORM_3_BINARY, "\0", "!");
    READS(EIO_FORM_3_BINARY, "\0\1", "!");
    READS(EIO_FORM_3_BINARY, "\0\xff", "!");
    READS(EIO_FORM_3_BINARY, "\0\0\xff", "!");
    READS(EIO_FORM_3_BINARY,
          "\2\1\xff"
          "4",
          "!");
    READS(EIO_FORM_3_BINARY,
          "\0\2\xff"
          "4",
          "!");
    READS(EIO_FORM_3_BINARY,
          "\0\x0a\xff"
          "4123456789",
          "!");
    READS(EIO_FORM_3_BINARY,
          "\0\x31\xff"
          "4",
          "!");
    READS(EIO_FORM_3_BINARY,
          "\0\2\xff"
          "4\xff",
          "!");
    READS(EIO_FORM_3_BINARY,
          "\1\2\xff"
          "4x",
          "!"); /* a type is a byte there */
    READS(EIO_FORM_3_BINARY,
          "\0\1\1\1\1\1\1\1\1\1\1\xff"
          "4",
          "!");
}

/* "é" as clients of 1.x send it: c3 a9, each a character. */
#define TWICE "3:4\xc3\x83\xc2\xa9"

static void decodes_what_clients_of_1x_encode_twice(void **state) {
    (void)state;
    enum eio_text known = EIO_TEXT_UNKNOWN;
    assert_read(SLICE("2:4a"), EIO_FORM_3_TEXT, &known, SLICE("4:a "));
    assert_int_equal(known, EIO_TEXT_UNKNOWN);
    assert_read(SLICE(TWICE "2:4a"), EIO_FORM_3_TEXT, &known, SLICE("4:\xc3\xa9 4:a "));
    assert_int_equal(known, EIO_TEXT_TWICE);
    /* U+1F600: four bytes, four characters */
    assert_read(SLICE("5:4\xc3\xb0\xc2\x9f\xc2\x98\xc2\x80"), EIO_FORM_3_TEXT, &known,
                SLICE("4:\xf0\x9f\x98\x80 "));
}

static void keeps_what_it_learned_of_a_client(void **state) {
    (void)state;
    enum eio_text known = EIO_TEXT_UNKNOWN;
    assert_read(SLICE("2:4\xc3\xa9"), EIO_FORM_3_TEXT, &known, SLICE("4:\xc3\xa9 "));
    assert_int_equal(known, EIO_TEXT_ONCE);
    assert_read(SLICE(TWICE), EIO_FORM_3_TEXT, &known, SLICE("4:\xc3\x83\xc2\xa9 "));
    known = EIO_TEXT_TWICE;
    assert_read(SLICE("2:4\xe2\x82\xac"), EIO_FORM_3_TEXT, &known, SLICE("4:\xe2\x82\xac "));
    assert_int_equal(known, EIO_TEXT_TWICE);
    /* in bytes it is encoded once, whoever sends it */
    known = EIO_TEXT_UNKNOWN;
    assert_read(SLICE("\0\5\xff"
                      "4\xc3\x83\xc2\xa9"),
                EIO_FORM_3_BINARY, &known, SLICE("4:\xc3\x83\xc2\xa9 "));
    assert_int_equal(known, EIO_TEXT_UNKNOWN);
}

static void reads_packets_of_websockets(void **state) {
    (void)state;
    struct eio_packet p;
    struct text room = {0};
    assert_true(eio_packet_read(&p, SLICE("2probe"), false, &room));
    assert_int_equal(p.type, EIO_PING);
    assert_slice(p.data, SLICE("probe"));
    assert_false(eio_packet_read(&p, SLICE(""), false, &room));
    assert_false(eio_packet_read(&p, SLICE("x"), true, &room));
    assert_true(eio_packet_read(&p, SLICE("b4eA=="), true, &room));
    assert_true(p.binary);
    assert_slice(p.data, SLICE("x"));
    assert_true(eio_binary_read(&p, SLICE("\4xy"), true));
    assert_slice(p.data, SLICE("xy"));
    assert_true(eio_binary_read(&p, SLICE("\4xy"), false));
    assert_slice(p.data, SLICE("\4xy"));
    assert_true(eio_binary_read(&p, SLICE(""), false));
    assert_false(eio_binary_read(&p, SLICE(""), true));
    assert_false(eio_binary_read(&p, SLICE("\5x"), true));
    text_fini(&room);
}

static void reads_the_newlines_of_jsonp(void **state) {
    (void)state;
    static const struct {
        const char *field, *payload;
    } table[] = {{"6:4hello", "6:4hello"}, {"a\\nb", "a\nb"},    {"a\\\\nb", "a\\nb"},
                 {"a\\\\\\nb", "a\\\\nb"}, {"a\\b\\", "a\\b\\"}, {"", ""}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct text out = {0};
        eio_jsonp_unescape(&out, slice_of(table[i].field));
        assert_slice(text_slice(&out), slice_of(table[i].payload));
        text_fini(&out);
    }
}

/* ---- writing ---- */

static void assert_text(enum eio_form form, enum eio_text known, struct slice packet,
                        struct slice expected) {
    struct text out = {0};
    eio_text_write(&out, form, packet, known);
    assert_slice(text_slice(&out), expected);
    text_fini(&out);
}

#define WRITES(form, known, packet, expected)                                                      \
    assert_text(form, known, SLICE(packet), SLICE(expected))

static void writes_each_form(void **state) {
    (void)state;
    static const struct {
        enum eio_form form;
        struct slice expected;
    } table[] = {{EIO_FORM_4, SLICE("4hello\x1e"
                                    "bAAEC+g==\x1e"
                                    "2")},
                 {EIO_FORM_3_TEXT, SLICE("6:4hello10:b4AAEC+g==1:2")},
                 {EIO_FORM_3_BINARY, SLICE("\0\6\xff"
                                           "4hello\1\5\xff\4\0\1\2\xfa\0\1\xff"
                                           "2")}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct text out = {0};
        eio_text_write(&out, table[i].form, SLICE("4hello"), EIO_TEXT_UNKNOWN);
        eio_binary_write(&out, table[i].form, SLICE("\0\1\2\xfa"));
        eio_text_write(&out, table[i].form, SLICE("2"), EIO_TEXT_UNKNOWN);
        assert_slice(text_slice(&out), table[i].expected);
        text_fini(&out);
    }
    WRITES(EIO_FORM_4, EIO_TEXT_UNKNOWN,
           "4a\x1e"
           "1",
           "bYR4x");
    WRITES(EIO_FORM_3_BINARY, EIO_TEXT_UNKNOWN, "4123456789",
           "\0\1\0\xff"
           "4123456789");
}

static void writes_json_as_ascii_where_clients_differ(void **state) {
    (void)state;
    for (int known = EIO_TEXT_UNKNOWN; known <= EIO_TEXT_TWICE; known++)
        WRITES(EIO_FORM_3_TEXT, (enum eio_text)known, "4[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]",
               "29:4[\"\\u00e9\\u20ac\\ud83d\\ude00\"]");
    WRITES(EIO_FORM_3_TEXT, EIO_TEXT_UNKNOWN, "42/a\"[,17[\"\xc3\xa9\"]",
           "19:42/a\"[,17[\"\\u00e9\"]");
    WRITES(EIO_FORM_3_TEXT, EIO_TEXT_UNKNOWN, "451-[\"\xc3\xa9\"]", "14:451-[\"\\u00e9\"]");
    WRITES(EIO_FORM_3_TEXT, EIO_TEXT_UNKNOWN, "42x[\"\xc3\xa9\"]", "8:42x[\"\xc3\xa9\"]");
    WRITES(EIO_FORM_4, EIO_TEXT_UNKNOWN, "4[\"\xc3\xa9\"]", "4[\"\xc3\xa9\"]");
    WRITES(EIO_FORM_3_BINARY, EIO_TEXT_TWICE, "4\"\xc3\xa9\"",
           "\0\5\xff"
           "4\"\xc3\xa9\"");
}

static void writes_other_texts_as_the_client_does(void **state) {
    (void)state;
    WRITES(EIO_FORM_3_TEXT, EIO_TEXT_UNKNOWN, "4\xc3\xa9", "2:4\xc3\xa9");
    WRITES(EIO_FORM_3_TEXT, EIO_TEXT_ONCE, "4\xf0\x9f\x98\x80", "3:4\xf0\x9f\x98\x80");
    WRITES(EIO_FORM_3_TEXT, EIO_TEXT_TWICE, "4\xc3\xa9", TWICE);
    assert_true(eio_text_is_plain(SLICE("4\"\xc3\xa9\"")));
    assert_true(eio_text_is_plain(SLICE("4hello")));
    assert_false(eio_text_is_plain(SLICE("4\xc3\xa9")));
    assert_false(eio_text_is_plain(SLICE("4[\"\xc3\xa9\"")));
}

static void writes_bytes_for_websockets_that_take_none(void **state) {
    (void)state;
    struct text out = {0};
    eio_base64_write(&out, SLICE("x"), true);
    assert_slice(text_slice(&out), SLICE("b4eA=="));
    text_clear(&out);
    eio_base64_write(&out, SLICE(""), false);
    assert_slice(text_slice(&out), SLICE("b"));
    text_fini(&out);
}

static void lengths_of_base64_are_right(void **state) {
    (void)state;
    char bytes[300] = {0};
    for (size_t n = 0; n < sizeof bytes; n++) {
        struct text out = {0};
        enum eio_text known = EIO_TEXT_UNKNOWN;
        struct eio_reader r;
        struct eio_packet p;
        eio_binary_write(&out, EIO_FORM_3_TEXT, slice_make(bytes, n));
        eio_reader_init(&r, text_slice(&out), EIO_FORM_3_TEXT, &known);
        assert_int_equal(eio_reader_next(&r, &p), EIO_READ_PACKET);
        assert_slice(p.data, slice_make(bytes, n));
        assert_int_equal(eio_reader_next(&r, &p), EIO_READ_END);
        eio_reader_fini(&r);
        text_fini(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_protocol_4),
        cmocka_unit_test(refuses_what_is_no_payload_of_protocol_4),
        cmocka_unit_test(counts_utf16_in_texts_of_protocol_3),
        cmocka_unit_test(refuses_what_is_no_text_payload_of_protocol_3),
        cmocka_unit_test(reads_binary_payloads_of_protocol_3),
        cmocka_unit_test(refuses_what_is_no_binary_payload_of_protocol_3),
        cmocka_unit_test(decodes_what_clients_of_1x_encode_twice),
        cmocka_unit_test(keeps_what_it_learned_of_a_client),
        cmocka_unit_test(reads_packets_of_websockets),
        cmocka_unit_test(reads_the_newlines_of_jsonp),
        cmocka_unit_test(writes_each_form),
        cmocka_unit_test(writes_json_as_ascii_where_clients_differ),
        cmocka_unit_test(writes_other_texts_as_the_client_does),
        cmocka_unit_test(writes_bytes_for_websockets_that_take_none),
        cmocka_unit_test(lengths_of_base64_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
