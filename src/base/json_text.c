/* SPDX-License-Identifier: MIT */
/* What strings and numbers stand for, and how they are written. strtod and snprintf do the decimal
 * arithmetic: both are exact in glibc, and the process never leaves the C locale. */
#include "base/json.h"

#include "base/utf8.h"
#include "base/word.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- strings ---- */

static uint32_t hex4(const char *p) {
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (uint32_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
    return v;
}

/* The escape at *p (a backslash), written to out; *p moves behind it. */
static size_t unescape_one(char *out, const char **p, const char *end) {
    char c = (*p)[1];
    if (c == '"' || c == '\\') {
        *out = c;
        *p += 2;
        return 1;
    }
    if (c != 'u') {
        static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
        const char *hit = memchr(from, c, sizeof from - 1);
        *out = hit ? to[hit - from] : c;
        *p += 2;
        return 1;
    }
    uint32_t code = hex4(*p + 2);
    *p += 6;
    if (code >> 10 == 0x36 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        uint32_t low = hex4(*p + 2);
        if (low >> 10 == 0x37) {
            code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
            *p += 6;
        }
    }
    return utf8_put(code, out);
}

/* Copies up to the next backslash or the end; both move behind what was copied. The room is as
 * large as the text, so a word may be written past what counts of it. */
static void copy_run(char **out, const char **from, const char *end) {
    const char *p = *from;
    char *o = *out;
    uint64_t stop = 0;
    while (end - p >= 8 && !stop) {
        stop = word_equal(word_load(p), '\\');
        size_t run = stop ? word_first(stop) : 8;
        memcpy(o, p, 8);
        o += run;
        p += run;
    }
    while (!stop && p < end && *p != '\\') *o++ = *p++;
    *out = o;
    *from = p;
}

size_t json_unescape_into(char *out, struct slice raw) {
    const char *p = raw.p + 1, *end = raw.p + raw.n - 1;
    char *o = out;
    while (p < end) {
        copy_run(&o, &p, end);
        if (p < end) o += unescape_one(o, &p, end);
    }
    return (size_t)(o - out);
}

void json_unescape(struct text *out, struct slice raw) {
    text_commit(out, json_unescape_into(text_reserve(out, raw.n), raw));
}

struct slice json_string(struct slice raw, struct text *room) {
    struct slice inside = slice_make(raw.p + 1, raw.n - 2);
    if (slice_find(inside, '\\') == inside.n) return inside;
    text_clear(room);
    json_unescape(room, raw);
    return text_slice(room);
}

/* The first byte from p on that may have to be escaped: 0xe2 begins U+2028 and U+2029. */
static const char *quiet_end(const char *p, const char *end) {
    for (; end - p >= 8; p += 8) {
        uint64_t w = word_load(p);
        uint64_t stop =
            word_equal(w, '"') | word_equal(w, '\\') | word_below(w, 0x20) | word_equal(w, 0xe2);
        if (stop) return p + word_first(stop);
    }
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\' && *p != '\xe2') p++;
    return p;
}

/* Appends the byte at p, or what must stand for it; returns how many bytes of p that took. */
static size_t escape_one(struct text *out, const char *p, const char *end) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *hit = memchr(from, *p, sizeof from - 1);
    if (hit) {
        text_char(out, '\\');
        text_char(out, to[hit - from]);
    } else if (*p != '\xe2') {
        text_format(out, "\\u%04x", (unsigned)*p);
    } else if (end - p >= 3 && p[1] == '\x80' && (p[2] == '\xa8' || p[2] == '\xa9')) {
        text_str(out, p[2] == '\xa8' ? "\\u2028" : "\\u2029");
        return 3;
    } else {
        text_char(out, *p);
    }
    return 1;
}

void json_quote(struct text *out, struct slice s) {
    const char *p = s.n ? s.p : "", *end = p + s.n, *stop = quiet_end(p, end);
    *text_reserve(out, s.n + 2) = '"';
    text_commit(out, 1);
    for (;;) {
        text_add(out, slice_make(p, (size_t)(stop - p)));
        if (stop == end) break;
        p = stop + escape_one(out, stop, end);
        stop = quiet_end(p, end);
    }
    text_char(out, '"');
}

/* ---- numbers ---- */

/* More digits than the exact decimal expansion of a point between two doubles has: of those behind,
 * it only counts whether one is not zero. */
#define DIGITS_MAX 800

/* The exponent of 10 that is written at p (behind the e). Where it is beyond ten billion, no text
 * of our length can bring the number back among the doubles. */
static int64_t read_exponent(const char *p, const char *end) {
    bool negative = *p == '-';
    int64_t v = 0;
    if (*p == '-' || *p == '+') p++;
    for (; p < end && v < 10000000000; p++) v = v * 10 + (*p - '0');
    return negative ? -v : v;
}

/* Writes a number of any length again, as DIGITS_MAX digits and an exponent, and reads that. */
static double long_to_double(struct slice raw) {
    char text[DIGITS_MAX + 32];
    const char *p = raw.p + (*raw.p == '-'), *end = raw.p + raw.n;
    size_t n = 0;
    int64_t exponent = 0;
    bool fraction = false, rest = false;
    for (; p < end && (*p | 32) != 'e'; p++) {
        if (*p == '.') {
            fraction = true;
        } else if (n == DIGITS_MAX) {
            rest |= *p != '0';
            exponent += !fraction;
        } else {
            if (n || *p != '0') text[n++] = *p;
            exponent -= fraction;
        }
    }
    if (p < end) exponent += read_exponent(p + 1, end);
    text[n++] = rest ? '1' : '0';
    snprintf(text + n, sizeof text - n, "e%lld", (long long)exponent - 1);
    double d = strtod(text, NULL);
    return *raw.p == '-' ? -d : d;
}

static double to_double(struct slice raw) {
    char text[64];
    if (raw.n >= sizeof text) return long_to_double(raw);
    memcpy(text, raw.p, raw.n);
    text[raw.n] = 0;
    return strtod(text, NULL);
}

/* Digits alone that fit. */
static bool to_integer(struct slice raw, int64_t *i) {
    bool negative = *raw.p == '-';
    uint64_t v;
    if (!slice_u64(slice_from(raw, negative), &v)) return false;
    if (v > (uint64_t)INT64_MAX + negative || (negative && v == 0)) return false;
    *i = negative ? -(int64_t)(v - 1) - 1 : (int64_t)v;
    return true;
}

void json_number(struct slice raw, bool *is_integer, int64_t *i, double *d) {
    *is_integer = to_integer(raw, i);
    if (!*is_integer) *d = to_double(raw);
}

void json_double(struct text *out, double d) {
    char digits[40];
    int n = 0;
    /* %g leaves zeros out, so 15 digits are where normal doubles start; subnormals have fewer */
    for (int precision = fabs(d) < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        n = snprintf(digits, sizeof digits - 2, "%.*g", precision, d);
        if (precision == 17 || strtod(digits, NULL) == d) break;
    }
    if (!memchr(digits, '.', (size_t)n) && !memchr(digits, 'e', (size_t)n)) {
        digits[n++] = '.';
        digits[n++] = '0';
    }
    text_add(out, slice_make(digits, (size_t)n));
}
