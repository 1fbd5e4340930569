/* SPDX-License-Identifier: MIT */
/* One loop: read an item, which may open a level; close the levels that are complete; write what
 * stands between two items. Every item has a byte at least, so a container that announces more
 * items than there are bytes is refused before anything is done for it. */
#include "base/msgpack.h"

#include "base/json.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>

#define DATE_MAX_MS 8640000000000000 /* JavaScript's */

struct level {
    uint64_t left; /* items to come; of a map names and values, so that a name comes when it is even */
    bool is_map;
};

struct reader {
    struct slice rest;
    struct text *json;
    msgpack_bytes *take;
    void *arg;
    uint64_t taken;
    size_t depth, depth_max;
    struct level levels[JSON_DEPTH_MAX];
};

/* ---- bytes ---- */

/* Takes n bytes off the text. */
static bool cut(struct reader *r, uint64_t n, struct slice *bytes) {
    if (n > r->rest.n) return false;
    *bytes = slice_upto(r->rest, (size_t)n);
    r->rest = slice_make(r->rest.p + n, r->rest.n - (size_t)n);
    return true;
}

static uint64_t big_endian(struct slice bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.n; i++) value = value << 8 | (uint8_t)bytes.p[i];
    return value;
}

/* Takes a number of so many bytes. */
static bool cut_number(struct reader *r, size_t width, uint64_t *value) {
    struct slice bytes;
    if (!cut(r, width, &bytes)) return false;
    *value = big_endian(bytes);
    return true;
}

static int64_t sign_extended(uint64_t value, size_t width) {
    unsigned shift = (unsigned)(64 - 8 * width);
    uint64_t sign = UINT64_C(1) << 63 >> shift;
    return (int64_t)((value ^ sign) - sign);
}

/* ---- scalars ---- */

static bool write_word(struct reader *r, const char *word) {
    text_str(r->json, word);
    return true;
}

static bool write_double(struct reader *r, double d) {
    if (!isfinite(d)) return write_word(r, "null");
    json_double(r->json, d);
    return true;
}

static bool read_float(struct reader *r, size_t width) {
    uint64_t bits;
    double d;
    float f;
    if (!cut_number(r, width, &bits)) return false;
    uint32_t low = (uint32_t)bits;
    memcpy(&f, &low, sizeof f);
    memcpy(&d, &bits, sizeof d);
    return write_double(r, width == sizeof f ? (double)f : d);
}

static bool read_unsigned(struct reader *r, size_t width) {
    uint64_t value;
    if (!cut_number(r, width, &value)) return false;
    text_u64(r->json, value);
    return true;
}

static bool read_signed(struct reader *r, size_t width) {
    uint64_t value;
    if (!cut_number(r, width, &value)) return false;
    text_format(r->json, "%" PRId64, sign_extended(value, width));
    return true;
}

static bool write_string(struct reader *r, uint64_t n) {
    struct slice s;
    if (!cut(r, n, &s) || !utf8_valid(s)) return false;
    json_quote(r->json, s);
    return true;
}

static bool write_bytes(struct reader *r, uint64_t n) {
    struct slice bytes;
    if (!cut(r, n, &bytes) || !r->take || !r->take(r->arg, bytes)) return false;
    text_format(r->json, "{\"_placeholder\":true,\"num\":%" PRIu64 "}", r->taken++);
    return true;
}

/* ---- dates ---- */

/* The day of the calendar that is so many days after the first of 1970; years begin in March here,
 * so that the odd day is their last. */
static void date_of(int64_t days, int64_t *year, int *month, int *day) {
    int64_t since = days + 719468, era = (since >= 0 ? since : since - 146096) / 146097;
    int64_t in_era = since - era * 146097;
    int64_t y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int in_year = (int)(in_era - (365 * y + y / 4 - y / 100)), m = (5 * in_year + 2) / 153;
    *day = in_year - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = y + era * 400 + (*month <= 2);
}

/* As Date.toJSON has it. */
static bool write_date(struct reader *r, int64_t ms) {
    int64_t days = ms / 86400000, in_day = ms % 86400000, year;
    int month, day;
    if (ms > DATE_MAX_MS || ms < -DATE_MAX_MS) return write_word(r, "null");
    if (in_day < 0) days--, in_day += 86400000;
    date_of(days, &year, &month, &day);
    bool plain = year >= 0 && year <= 9999;
    text_format(r->json, plain ? "\"%04" PRId64 : "\"%+07" PRId64, year);
    text_format(r->json, "-%02d-%02dT%02d:%02d:%02d.%03dZ\"", month, day, (int)(in_day / 3600000),
                (int)(in_day / 60000 % 60), (int)(in_day / 1000 % 60), (int)(in_day % 1000));
    return true;
}

/* Seconds, and nanoseconds of any sign of these. */
static bool write_timestamp(struct reader *r, int64_t seconds, uint64_t nanoseconds) {
    bool in_range = seconds <= DATE_MAX_MS / 1000 && seconds >= -DATE_MAX_MS / 1000;
    if (!in_range || nanoseconds >= 1000000000) return write_word(r, "null");
    return write_date(r, seconds * 1000 + (int64_t)(nanoseconds / 1000000));
}

/* ---- extensions ---- */

static bool read_timestamp(struct reader *r, struct slice body) {
    uint64_t bits = big_endian(slice_upto(body, 8));
    switch (body.n) {
    case 4: return write_timestamp(r, (int64_t)bits, 0);
    case 8: return write_timestamp(r, (int64_t)(bits & 0x3ffffffff), bits >> 34);
    case 12:
        return write_timestamp(r, (int64_t)big_endian(slice_from(body, 4)),
                               big_endian(slice_upto(body, 4)));
    default: return write_word(r, "null");
    }
}

/* is_fixed: by a form without a length, which is how notepack.io 2 tells its dates from buffers. */
static bool read_extension(struct reader *r, uint64_t n, bool is_fixed) {
    struct slice type, body;
    if (!cut(r, 1, &type)) return false;
    if (*type.p == 0 && !is_fixed) return write_bytes(r, n);
    if (!cut(r, n, &body)) return false;
    if ((uint8_t)*type.p == 0xff) return read_timestamp(r, body);
    if (*type.p == 0 && n == 8) return write_date(r, (int64_t)big_endian(body));
    return write_word(r, "null");
}

/* ---- items ---- */

static bool open_level(struct reader *r, uint64_t items, bool is_map) {
    if (r->depth == r->depth_max || items > r->rest.n) return false;
    r->levels[r->depth++] = (struct level){items, is_map};
    text_char(r->json, is_map ? '{' : '[');
    return true;
}

/* What its length comes before, in 1, 2 or 4 bytes. */
static bool read_long(struct reader *r, uint8_t first) {
    uint64_t n;
    switch (first) {
    case 0xc4: case 0xc5: case 0xc6:
        return cut_number(r, (size_t)1 << (first - 0xc4), &n) && write_bytes(r, n);
    case 0xc7: case 0xc8: case 0xc9:
        return cut_number(r, (size_t)1 << (first - 0xc7), &n) && read_extension(r, n, false);
    case 0xd9: case 0xda: case 0xdb:
        return cut_number(r, (size_t)1 << (first - 0xd9), &n) && write_string(r, n);
    case 0xdc: case 0xdd:
        return cut_number(r, (size_t)2 << (first - 0xdc), &n) && open_level(r, n, false);
    case 0xde: case 0xdf:
        return cut_number(r, (size_t)2 << (first - 0xde), &n) && open_level(r, 2 * n, true);
    default: return false; /* 0xc1 */
    }
}

static bool read_other(struct reader *r, uint8_t first) {
    switch (first) {
    case 0xc0: return write_word(r, "null");
    case 0xc2: return write_word(r, "false");
    case 0xc3: return write_word(r, "true");
    case 0xca: case 0xcb: return read_float(r, (size_t)4 << (first - 0xca));
    case 0xcc: case 0xcd: case 0xce: case 0xcf: return read_unsigned(r, (size_t)1 << (first - 0xcc));
    case 0xd0: case 0xd1: case 0xd2: case 0xd3: return read_signed(r, (size_t)1 << (first - 0xd0));
    case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
        return read_extension(r, UINT64_C(1) << (first - 0xd4), true);
    default: return read_long(r, first);
    }
}

static bool read_item(struct reader *r) {
    struct slice byte;
    if (!cut(r, 1, &byte)) return false;
    uint8_t first = (uint8_t)*byte.p;
    if (first < 0x80 || first >= 0xe0) {
        text_format(r->json, "%d", (int)(int8_t)first);
        return true;
    }
    if (first < 0x90) return open_level(r, 2 * (first & 0xfu), true);
    if (first < 0xa0) return open_level(r, first & 0xfu, false);
    if (first < 0xc0) return write_string(r, first & 0x1fu);
    return read_other(r, first);
}

/* A member's name: an integer is one as JavaScript makes it one. */
static bool read_name(struct reader *r) {
    uint8_t first = r->rest.n ? (uint8_t)*r->rest.p : 0xc1;
    bool is_text = (first >= 0xa0 && first < 0xc0) || (first >= 0xd9 && first <= 0xdb);
    bool is_integer = first < 0x80 || first >= 0xe0 || (first >= 0xcc && first <= 0xd3);
    if (is_text) return read_item(r);
    text_char(r->json, '"');
    bool good = is_integer && read_item(r);
    text_char(r->json, '"');
    return good;
}

/* Ends the levels that are complete, and goes on to the next item of the one that is not. False when
 * the whole value has been read. */
static bool go_on(struct reader *r) {
    while (r->depth && !r->levels[r->depth - 1].left)
        text_char(r->json, r->levels[--r->depth].is_map ? '}' : ']');
    if (!r->depth) return false;
    char last = text_slice(r->json).p[r->json->n - 1];
    const struct level *top = &r->levels[r->depth - 1];
    if (top->is_map && top->left % 2) text_char(r->json, ':');
    else if (last != '[' && last != '{') text_char(r->json, ',');
    return true;
}

/* The next item of the container that is open. */
static bool read_next(struct reader *r) {
    struct level *top = &r->levels[r->depth - 1];
    bool is_name = top->is_map && top->left % 2 == 0;
    top->left--;
    return is_name ? read_name(r) : read_item(r);
}

bool msgpack_to_json(struct text *json, struct slice in, size_t depth, msgpack_bytes *take,
                     void *arg) {
    struct reader r = {.rest = in, .json = json, .take = take, .arg = arg};
    r.depth_max = depth < JSON_DEPTH_MAX ? depth : JSON_DEPTH_MAX;
    bool good = read_item(&r);
    while (good && go_on(&r)) good = read_next(&r);
    return good && !r.rest.n;
}
