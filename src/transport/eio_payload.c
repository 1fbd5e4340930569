/* SPDX-License-Identifier: MIT */
/* Three forms of the same list. Protocol 4 puts U+001E between its packets, which JSON never has.
 * Protocol 3 counts: in its text form UTF-16 code units, because that is what a JavaScript string's
 * length is, in its binary form bytes, with the digits as bytes 0 to 9 and 255 behind them. */
#include "transport/eio_payload.h"

#include "base/digest.h"
#include "base/json.h"
#include "base/utf8.h"

#define SEPARATOR '\x1e'
#define LENGTH_END '\xff'

/* Longer numbers are no lengths of anything that fits into a body. */
#define DIGITS_MAX 9

static bool is_ascii(struct slice s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80) return false;
    return true;
}

/* ---- one packet ---- */

static bool type_read(struct eio_packet *p, char c) {
    if (c < '0' || c > '0' + EIO_NOOP) return false;
    p->type = (enum eio_type)(c - '0');
    return true;
}

/* The rest of "bAAEC" or "b4AAEC". */
static bool base64_read(struct eio_packet *p, struct slice rest, bool v3, struct text *room) {
    if (v3 && (!rest.n || !type_read(p, rest.p[0]) || p->type != EIO_MESSAGE)) return false;
    text_clear(room);
    if (!base64_decode(room, slice_from(rest, v3), false)) return false;
    *p = (struct eio_packet){EIO_MESSAGE, true, text_slice(room)};
    return true;
}

bool eio_packet_read(struct eio_packet *p, struct slice text, bool v3, struct text *room) {
    if (!text.n) return false;
    if (text.p[0] == 'b') return base64_read(p, slice_from(text, 1), v3, room);
    p->binary = false;
    p->data = slice_from(text, 1);
    return type_read(p, text.p[0]);
}

bool eio_binary_read(struct eio_packet *p, struct slice data, bool v3) {
    if (v3 && (!data.n || data.p[0] != EIO_MESSAGE)) return false;
    *p = (struct eio_packet){EIO_MESSAGE, true, slice_from(data, v3)};
    return true;
}

/* ---- texts that were encoded twice ---- */

/* Appends the characters of s (UTF-8), all of them below U+0100, as a byte each; false when one is
 * not. */
static bool put_bytes(struct text *out, struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c > 0xc3) return false;
        if (c >= 0x80) c = (unsigned char)(c << 6 | ((unsigned char)s.p[++i] & 0x3f));
        text_char(out, (char)c);
    }
    return true;
}

/* Undoes what clients of 1.x do to a text, where this is one of them; s otherwise. One text that is
 * not ASCII shows which it is: hardly anything that was meant as it stands is UTF-8 again. */
static struct slice text_once(struct eio_reader *r, struct slice s) {
    if (*r->known == EIO_TEXT_ONCE || is_ascii(s)) return s;
    text_clear(&r->once);
    bool twice = put_bytes(&r->once, s) && utf8_valid(text_slice(&r->once));
    if (*r->known == EIO_TEXT_UNKNOWN) *r->known = twice ? EIO_TEXT_TWICE : EIO_TEXT_ONCE;
    return twice ? text_slice(&r->once) : s;
}

/* ---- the walk ---- */

void eio_reader_init(struct eio_reader *r, struct slice body, enum eio_form form,
                     enum eio_text *known) {
    *r = (struct eio_reader){.rest = body, .form = form, .known = known};
    bool text = form != EIO_FORM_3_BINARY;
    if (text && !utf8_valid(body)) r->rest.n = 0; /* nothing in it can be believed */
}

void eio_reader_fini(struct eio_reader *r) {
    text_fini(&r->once);
    text_fini(&r->room);
}

static bool next_4(struct eio_reader *r, struct eio_packet *p) {
    struct slice packet = slice_upto(r->rest, slice_find(r->rest, SEPARATOR));
    r->last = packet.n == r->rest.n;
    r->rest = slice_from(r->rest, packet.n + 1);
    return eio_packet_read(p, packet, false, &r->room);
}

/* Takes a length off the rest: digits from zero up, and what ends them. */
static bool take_length(struct eio_reader *r, char zero, char end, size_t *length) {
    size_t digits = slice_find(slice_upto(r->rest, DIGITS_MAX + 1), end);
    if (!digits || digits > DIGITS_MAX || digits >= r->rest.n) return false;
    *length = 0;
    for (size_t i = 0; i < digits; i++) {
        unsigned digit = (unsigned char)(r->rest.p[i] - zero);
        if (digit > 9) return false;
        *length = *length * 10 + digit;
    }
    r->rest = slice_from(r->rest, digits + 1);
    return *length > 0;
}

/* Takes a packet of so many bytes off the rest. */
static bool take_packet(struct eio_reader *r, size_t bytes, struct slice *packet) {
    if (bytes > r->rest.n) return false;
    *packet = slice_upto(r->rest, bytes);
    r->rest = slice_from(r->rest, bytes);
    r->last = !r->rest.n;
    return true;
}

/* Whether this byte of UTF-8 begins a character. */
static bool is_first(char c) { return ((unsigned char)c & 0xc0) != 0x80; }

/* How many UTF-16 code units the character takes that this byte begins. */
static size_t units_of(char c) { return (unsigned char)c >= 0xf0 ? 2 : 1; }

/* The bytes that so many UTF-16 code units at the start of s (UTF-8) take; more than s has when
 * there are not so many, or the last would be half a character. */
static size_t bytes_of_units(struct slice s, size_t units) {
    size_t at = 0;
    while (units && at < s.n) {
        size_t taken = units_of(s.p[at]);
        if (taken > units) return s.n + 1;
        units -= taken;
        do at++;
        while (at < s.n && !is_first(s.p[at]));
    }
    return units ? s.n + 1 : at;
}

static bool next_3_text(struct eio_reader *r, struct eio_packet *p) {
    size_t units;
    struct slice packet;
    if (!take_length(r, '0', ':', &units)) return false;
    if (!take_packet(r, bytes_of_units(r->rest, units), &packet)) return false;
    return eio_packet_read(p, text_once(r, packet), true, &r->room);
}

static bool next_3_binary(struct eio_reader *r, struct eio_packet *p) {
    size_t bytes;
    struct slice packet;
    char kind = r->rest.p[0];
    r->rest = slice_from(r->rest, 1);
    if (kind != 0 && kind != 1) return false;
    if (!take_length(r, 0, LENGTH_END, &bytes)) return false;
    if (!take_packet(r, bytes, &packet)) return false;
    if (kind == 1) return eio_binary_read(p, packet, true);
    return utf8_valid(packet) && eio_packet_read(p, packet, true, &r->room);
}

enum eio_read eio_reader_next(struct eio_reader *r, struct eio_packet *p) {
    if (r->last) return EIO_READ_END;
    bool good = r->rest.n && (r->form == EIO_FORM_4        ? next_4(r, p)
                              : r->form == EIO_FORM_3_TEXT ? next_3_text(r, p)
                                                           : next_3_binary(r, p));
    if (!good) {
        r->rest.n = 0; /* broken it stays */
        r->last = false;
    }
    return good ? EIO_READ_PACKET : EIO_READ_BROKEN;
}

void eio_jsonp_unescape(struct text *out, struct slice field) {
    for (size_t i = 0; i < field.n; i++) {
        struct slice rest = slice_from(field, i);
        if (slice_starts(rest, SLICE("\\\\n"))) {
            text_add(out, SLICE("\\n"));
            i += 2;
        } else if (slice_starts(rest, SLICE("\\n"))) {
            text_char(out, '\n');
            i++;
        } else {
            text_char(out, field.p[i]);
        }
    }
}

/* ---- writing ---- */

static size_t skip_digits(struct slice data, size_t at) {
    while (at < data.n && data.p[at] >= '0' && data.p[at] <= '9') at++;
    return at;
}

/* What stands before the JSON of a message in Socket.IO: "2", "51-/chat,17". */
static size_t head_of(struct slice data) {
    size_t at = skip_digits(data, 0);
    if (!at) return 0;
    if (at < data.n && data.p[at] == '-') at++;
    if (at < data.n && data.p[at] == '/') at += slice_find(slice_from(data, at), ',') + 1;
    at = skip_digits(data, at);
    return at < data.n && strchr("[{\"", data.p[at]) ? at : 0;
}

/* Whether the packet is a message whose data is JSON, but for its head. */
static bool is_json(struct slice packet) {
    static const struct json_limits any = {
        .depth = JSON_DEPTH_MAX, .values = UINT64_MAX, .keys = UINT64_MAX};
    struct json_value value;
    struct slice data = slice_from(packet, 1);
    if (packet.p[0] != '0' + EIO_MESSAGE) return false;
    return json_check(slice_from(data, head_of(data)), &any, &value) == JSON_OK;
}

bool eio_text_is_plain(struct slice packet) { return is_ascii(packet) || is_json(packet); }

static void put_unit(struct text *out, uint32_t unit) {
    text_format(out, "\\u%04x", (unsigned)unit);
}

/* Appends the character at the start of s (UTF-8, not ASCII) as JSON in ASCII; returns its bytes.
 */
static size_t put_escaped(struct text *out, struct slice s) {
    unsigned char first = (unsigned char)s.p[0];
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    uint32_t point = first & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) point = point << 6 | ((unsigned char)s.p[i] & 0x3f);
    if (point >= 0x10000) {
        put_unit(out, 0xd800 + ((point - 0x10000) >> 10));
        point = 0xdc00 + (point & 0x3ff);
    }
    put_unit(out, point);
    return length;
}

/* Appends a packet whose data is JSON behind its head: there, only strings have characters beyond ASCII. */
static void put_ascii(struct text *out, struct slice packet) {
    for (size_t at = 0; at < packet.n;) {
        size_t plain = at;
        while (plain < packet.n && (unsigned char)packet.p[plain] < 0x80) plain++;
        text_add(out, slice_make(packet.p + at, plain - at));
        at = plain;
        if (at < packet.n) at += put_escaped(out, slice_from(packet, at));
    }
}

/* Appends each byte of a text as a character of its own: its second encoding. */
static void put_twice(struct text *out, struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        char character[4];
        text_add(out, slice_make(character, utf8_put((unsigned char)s.p[i], character)));
    }
}

static size_t utf16_length(struct slice s) {
    size_t units = 0;
    for (size_t i = 0; i < s.n; i++)
        if (is_first(s.p[i])) units += units_of(s.p[i]);
    return units;
}

static void write_3_text(struct text *out, struct slice packet) {
    text_u64(out, utf16_length(packet));
    text_char(out, ':');
    text_add(out, packet);
}

/* The packet, or in *room the one that the client takes instead. */
static struct slice for_clients(struct slice packet, enum eio_text known, struct text *room) {
    if (is_ascii(packet)) return packet;
    if (is_json(packet)) put_ascii(room, packet);
    else if (known == EIO_TEXT_TWICE) put_twice(room, packet);
    else return packet;
    return text_slice(room);
}

static void write_4_separator(struct text *out) {
    if (out->n) text_char(out, SEPARATOR);
}

/* A separator in a text would begin a packet, which whoever wrote the text could make up. */
static void write_4_text(struct text *out, struct slice packet) {
    write_4_separator(out);
    bool separates = slice_find(packet, SEPARATOR) < packet.n;
    if (separates) eio_base64_write(out, slice_from(packet, 1), false);
    else text_add(out, packet);
}

/* The beginning of a packet of so many bytes. */
static void write_3_head(struct text *out, char kind, size_t bytes) {
    char digits[24];
    size_t n = 0;
    do digits[n++] = (char)(bytes % 10);
    while (bytes /= 10);
    text_char(out, kind);
    while (n) text_char(out, digits[--n]);
    text_char(out, LENGTH_END);
}

void eio_text_write(struct text *out, enum eio_form form, struct slice packet,
                    enum eio_text known) {
    struct text room = {0};
    switch (form) {
    case EIO_FORM_4: write_4_text(out, packet); break;
    case EIO_FORM_3_TEXT: write_3_text(out, for_clients(packet, known, &room)); break;
    case EIO_FORM_3_BINARY:
        write_3_head(out, 0, packet.n);
        text_add(out, packet);
        break;
    }
    text_fini(&room);
}

void eio_base64_write(struct text *out, struct slice data, bool v3) {
    text_add(out, v3 ? SLICE("b4") : SLICE("b"));
    base64_encode(out, data);
}

void eio_binary_write(struct text *out, enum eio_form form, struct slice data) {
    switch (form) {
    case EIO_FORM_4:
        write_4_separator(out);
        eio_base64_write(out, data, false);
        break;
    case EIO_FORM_3_TEXT:
        text_u64(out, 2 + (data.n + 2) / 3 * 4);
        text_char(out, ':');
        eio_base64_write(out, data, true);
        break;
    case EIO_FORM_3_BINARY:
        write_3_head(out, 1, data.n + 1);
        text_char(out, EIO_MESSAGE);
        text_add(out, data);
        break;
    }
}
