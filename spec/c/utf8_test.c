/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What RFC 3629 says, by decoding: slow and obvious. */
static bool reference(const unsigned char *p, size_t n) {
    while (n) {
        size_t length = *p < 0x80       ? 1
                        : *p >> 5 == 6  ? 2
                        : *p >> 4 == 14 ? 3
                        : *p >> 3 == 30 ? 4
                                        : 0;
        if (!length || length > n) return false;
        static const unsigned char bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
        uint32_t code = *p & bits[length];
        for (size_t i = 1; i < length; i++) {
            if (p[i] >> 6 != 2) return false;
            code = code << 6 | (p[i] & 0x3f);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
        p += length;
        n -= length;
    }
    return true;
}

static void every_text_of_two_and_three_bytes_is_judged_as_the_rfc_does(void **state) {
    (void)state;
    for (uint32_t v = 0x7f0000; v <= 0xffffff; v += v < 0xc00000 ? 251 : 1) {
        unsigned char b[3] = {(unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v};
        if (utf8_valid(slice_make(b, 3)) != reference(b, 3)) fail_msg("%06x", (unsigned)v);
        if (!b[2] && utf8_valid(slice_make(b, 2)) != reference(b, 2)) fail_msg("%06x", (unsigned)v);
    }
}

static void every_code_point_comes_back_and_no_surrogate_does(void **state) {
    (void)state;
    for (uint32_t code = 0; code <= 0x110000; code++) {
        char b[4];
        size_t n = utf8_put(code, b);
        bool valid = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        if (utf8_valid(slice_make(b, n)) != valid) fail_msg("U+%04X", (unsigned)code);
    }
}

static const char text[] =
    "plain ASCII of more than sixteen bytes, \xc3\xa4\xc3\xb6, \xe2\x82\xac, "
    "\xf0\x9f\x98\x80 and again more than sixteen bytes of ASCII";

static void a_text_may_come_in_any_two_pieces(void **state) {
    (void)state;
    struct slice all = slice_of(text);
    for (size_t at = 0; at <= all.n; at++) {
        struct utf8 u = {0};
        assert_true(utf8_feed(&u, slice_upto(all, at)));
        assert_true(utf8_feed(&u, slice_from(all, at)));
        assert_true(utf8_done(&u));
    }
}

static void a_wrong_byte_is_found_wherever_it_stands(void **state) {
    (void)state;
    for (size_t n = 1; n <= 80; n++) {
        for (size_t at = 0; at < n; at++) {
            char b[80];
            memset(b, 'a', n);
            b[at] = '\xff';
            assert_false(utf8_valid(slice_make(b, n)));
            b[at] = '\x7f';
            assert_true(utf8_valid(slice_make(b, n)));
        }
    }
}

static void it_fails_at_the_first_byte_that_cannot_be_made_right(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "\xc0",     "\xc1",     "\xf5",     "\x80",         "\xe0\x9f",        "\xed\xa0",
        "\xf0\x8f", "\xf4\x90", "\xc3\x41", "\xe2\x82\x28", "\xf0\x9f\x98\xc0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct slice s = slice_of(wrong[i]);
        struct utf8 u = {0};
        for (size_t at = 0; at < s.n; at++)
            assert_int_equal(utf8_feed(&u, slice_make(s.p + at, 1)), at + 1 < s.n);
    }
}

static void a_text_that_ends_inside_a_sequence_is_not_done(void **state) {
    (void)state;
    struct utf8 u = {0};
    assert_true(utf8_feed(&u, SLICE("abc\xe2\x82")));
    assert_false(utf8_done(&u));
    assert_true(utf8_feed(&u, SLICE("\xac")));
    assert_true(utf8_done(&u));
    assert_false(utf8_valid(SLICE("abc\xe2\x82")));
    assert_true(utf8_valid((struct slice){NULL, 0}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_of_two_and_three_bytes_is_judged_as_the_rfc_does),
        cmocka_unit_test(every_code_point_comes_back_and_no_surrogate_does),
        cmocka_unit_test(a_text_may_come_in_any_two_pieces),
        cmocka_unit_test(a_wrong_byte_is_found_wherever_it_stands),
        cmocka_unit_test(it_fails_at_the_first_byte_that_cannot_be_made_right),
        cmocka_unit_test(a_text_that_ends_inside_a_sequence_is_not_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
