/* SPDX-License-Identifier: MIT */
/* A message is a JSON string inside a frame, and on some transports the frame is a string once more
 * inside JavaScript. The inner string escapes what browsers and proxies have been seen to mangle:
 * controls, some format characters, the last of the basic plane, and all surrogates. So nothing
 * above U+FFFF and no line end is ever on the wire, and the outer forms have little left to do. */
#include "transport/sockjs_frame.h"

#include "base/word.h"

#include <assert.h>

#define REPLACEMENT 0xfffdu

static const char hex[] = "0123456789abcdef";

/* ---- the inner string ---- */

static char *put_unit(char *p, uint32_t unit) {
    *p++ = '\\';
    *p++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4) *p++ = hex[unit >> shift & 15];
    return p;
}

static char *put_ascii(char *p, unsigned char c) {
    static const char shorts[] = "btn?fr"; /* from U+0008 on; U+000B has none */
    if (c == '"' || c == '\\' || (c >= 8 && c <= 13 && c != 11)) {
        *p++ = '\\';
        *p++ = c < ' ' ? shorts[c - 8] : (char)c;
        return p;
    }
    return put_unit(p, c);
}

/* The code point at the start of s (not ASCII) and how many bytes it takes. Surrogates pass. */
static uint32_t code_point(struct slice s, size_t *length) {
    const unsigned char *p = (const unsigned char *)s.p;
    size_t want = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    *length = 1;
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.n < want) return REPLACEMENT;
    uint32_t point = p[0] & (0xffu >> (want + 1));
    for (size_t i = 1; i < want; i++) {
        if ((p[i] & 0xc0) != 0x80) return REPLACEMENT;
        point = point << 6 | (p[i] & 0x3f);
    }
    if ((want == 3 && point < 0x800) || (want == 4 && (point < 0x10000 || point > 0x10ffff)))
        return REPLACEMENT;
    *length = want;
    return point;
}

static bool is_fragile(uint32_t point) {
    if (point < 0x200c) return false;
    return point <= 0x200f || (point >= 0x2028 && point <= 0x202f) ||
           (point >= 0x2060 && point <= 0x206f) || (point >= 0xd800 && point <= 0xdfff) ||
           point >= 0xfff0;
}

/* Writes the character at the start of s and returns how many bytes it took. */
static size_t put_wide(char **p, struct slice s) {
    size_t length;
    uint32_t point = code_point(s, &length);
    if (!is_fragile(point)) {
        memcpy(*p, s.p, length);
        *p += length;
    } else if (point < 0x10000) {
        *p = put_unit(*p, point);
    } else {
        *p = put_unit(*p, 0xd800 + ((point - 0x10000) >> 10));
        *p = put_unit(*p, 0xdc00 + (point & 0x3ff));
    }
    return length;
}

/* Bytes between two looks at the room left, each of which may become six. A step may go on for STEP
 * plain bytes, a word of slack and a character (twelve bytes) beyond that. */
#define STEP 32
#define STEP_ROOM ((STEP + 12) * 6)

/* Copies what can stand as it is, a word at a time, and returns how much that was. */
static size_t copy_plain(char *p, struct slice s) {
    size_t at = 0;
    while (s.n - at >= 8 && at < STEP) {
        uint64_t w = word_load(s.p + at);
        uint64_t stop =
            word_equal(w, '"') | word_equal(w, '\\') | word_below(w, ' ') | word_above_ascii(w);
        memcpy(p + at, s.p + at, 8);
        if (stop) return at + word_first(stop);
        at += 8;
    }
    return at;
}

/* Writes the character at the start of s and returns how many bytes it took. */
static size_t put_character(char **p, struct slice s) {
    unsigned char c = (unsigned char)*s.p;
    if (c >= 0x80) return put_wide(p, s);
    if (c >= ' ' && c != '"' && c != '\\')
        *(*p)++ = (char)c;
    else
        *p = put_ascii(*p, c);
    return 1;
}

/* Writes the next step of s and returns how many bytes of s it took. */
static size_t quote_step(char **p, struct slice s) {
    size_t at = 0;
    while (at < s.n && at < STEP) {
        size_t plain = copy_plain(*p, slice_from(s, at));
        *p += plain;
        at += plain;
        if (at < s.n) at += put_character(p, slice_from(s, at));
    }
    return at;
}

static void quote(struct text *out, struct slice s) {
    text_char(out, '"');
    while (s.n) {
        char *start = text_reserve(out, STEP_ROOM), *p = start;
        s = slice_from(s, quote_step(&p, s));
        text_commit(out, (size_t)(p - start));
    }
    text_char(out, '"');
}

/* ---- frames ---- */

/* Most messages are short: these are written on the stack and get a buf of their size. */
#define SHORT 256

static struct buf *wrap_short(struct slice text) {
    char room[4 + SHORT * 6 + STEP_ROOM], *p = room;
    memcpy(p, "a[\"", 3);
    for (p += 3; text.n;) text = slice_from(text, quote_step(&p, text));
    memcpy(p, "\"]", 2);
    return buf_copy(slice_make(room, (size_t)(p + 2 - room)));
}

struct buf *sockjs_wrap(struct slice text) {
    if (text.n <= SHORT) return wrap_short(text);
    struct text out = {0};
    text_reserve(&out, text.n + text.n / 8 + 16);
    text_str(&out, "a[");
    quote(&out, text);
    text_char(&out, ']');
    return text_take(&out);
}

static struct slice inside(const struct buf *frame) {
    assert(frame->n > 3 && frame->data[0] == 'a');
    return slice_make(frame->data + 2, frame->n - 3);
}

struct buf *sockjs_merge(struct buf *const *frames, size_t n) {
    if (n == 1) return buf_ref(frames[0]);
    struct text out = {0};
    for (size_t i = 0; i < n; i++) {
        text_str(&out, i ? "," : "a[");
        text_add(&out, inside(frames[i]));
    }
    text_char(&out, ']');
    return text_take(&out);
}

struct buf *sockjs_close_frame(int code, const char *reason) {
    struct text out = {0};
    text_format(&out, "c[%d,", code);
    quote(&out, slice_of(reason));
    text_char(&out, ']');
    return text_take(&out);
}

/* ---- how transports write them ---- */

/* A frame as a JavaScript string. '<' is escaped too, so that no message ends a script element. */
static void quote_frame(struct text *out, struct slice frame) {
    text_char(out, '"');
    for (size_t i = 0; i < frame.n; i++) {
        char c = frame.p[i];
        if (c == '<') {
            text_str(out, "\\u003c");
            continue;
        }
        if (c == '"' || c == '\\') text_char(out, '\\');
        text_char(out, c);
    }
    text_char(out, '"');
}

static void frame_line(struct text *out, struct slice frame, struct slice callback) {
    (void)callback;
    text_add(out, frame);
    text_char(out, '\n');
}

static void prelude_xhr(struct text *out, struct slice callback) {
    (void)callback;
    memset(text_reserve(out, 2048), 'h', 2048);
    text_commit(out, 2048);
    text_char(out, '\n');
}

/* Browsers decode percent signs in events, and end one at a line's end. */
static void frame_event(struct text *out, struct slice frame, struct slice callback) {
    (void)callback;
    text_str(out, "data: ");
    for (size_t i = 0; i < frame.n; i++) {
        char c = frame.p[i];
        if (c == '%' || c == '\r' || c == '\n' || c == 0)
            text_format(out, "%%%02X", (unsigned)c);
        else
            text_char(out, c);
    }
    text_str(out, "\r\n\r\n");
}

static void prelude_event(struct text *out, struct slice callback) {
    (void)callback;
    text_str(out, "\r\n");
}

static void frame_html(struct text *out, struct slice frame, struct slice callback) {
    (void)callback;
    text_str(out, "<script>\np(");
    quote_frame(out, frame);
    text_str(out, ");\n</script>\r\n");
}

/* Padded so that browsers begin to show, and run, what they have. */
#define HTML_PRELUDE_LEAST 1024

static void prelude_html(struct text *out, struct slice callback) {
    size_t start = out->n;
    text_str(out, "<!doctype html>\n"
                  "<html><head>\n"
                  "  <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n"
                  "  <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n"
                  "</head><body><h2>Don't panic!</h2>\n"
                  "  <script>\n"
                  "    document.domain = document.domain;\n"
                  "    var c = parent.");
    text_add(out, callback);
    text_str(out, ";\n"
                  "    c.start();\n"
                  "    function p(d) {c.message(d);};\n"
                  "    window.onload = function() {c.stop();};\n"
                  "  </script>\n");
    while (out->n - start < HTML_PRELUDE_LEAST) text_char(out, ' ');
    text_str(out, "\r\n\r\n");
}

/* The comment in front keeps the answer from being anything else, whatever the callback's name. */
static void frame_jsonp(struct text *out, struct slice frame, struct slice callback) {
    text_str(out, "/**/");
    text_add(out, callback);
    text_char(out, '(');
    quote_frame(out, frame);
    text_str(out, ");\r\n");
}

#define JAVASCRIPT "application/javascript; charset=UTF-8"

const struct sockjs_way sockjs_xhr = {
    .what = "xhr",
    .protocol = "xhr-polling",
    .content_type = JAVASCRIPT,
    .post = true,
    .cors = true,
    .frame = frame_line,
};

const struct sockjs_way sockjs_xhr_streaming = {
    .what = "xhr_streaming",
    .protocol = "xhr-streaming",
    .content_type = JAVASCRIPT,
    .post = true,
    .cors = true,
    .streaming = true,
    .prelude = prelude_xhr,
    .frame = frame_line,
};

const struct sockjs_way sockjs_eventsource = {
    .what = "eventsource",
    .protocol = "eventsource",
    .content_type = "text/event-stream",
    .cors = true,
    .streaming = true,
    .prelude = prelude_event,
    .frame = frame_event,
};

const struct sockjs_way sockjs_htmlfile = {
    .what = "htmlfile",
    .protocol = "htmlfile",
    .content_type = "text/html; charset=UTF-8",
    .streaming = true,
    .callback = true,
    .prelude = prelude_html,
    .frame = frame_html,
};

const struct sockjs_way sockjs_jsonp = {
    .what = "jsonp",
    .protocol = "jsonp-polling",
    .content_type = JAVASCRIPT,
    .callback = true,
    .frame = frame_jsonp,
};

bool sockjs_callback_valid(struct slice name) {
    if (name.n == 0 || name.n > SOCKJS_CALLBACK_MAX) return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

/* ---- bodies ---- */

/* Counts the items, of which last is the last; false when one is no string. */
static bool all_strings(struct slice array, uint64_t *count, struct slice *last) {
    struct json_value item;
    for (*count = 0; json_next(&array, &item); (*count)++) {
        if (item.type != JSON_STRING) return false;
        *last = item.raw;
    }
    return true;
}

enum sockjs_body sockjs_body_check(struct sockjs_messages *m, struct slice body,
                                   const struct limits *limits, uint64_t most, bool bare) {
    *m = (struct sockjs_messages){0};
    if (!body.n) return bare ? SOCKJS_BODY_GOOD : SOCKJS_BODY_EMPTY;
    struct json_limits bounds = {.depth = limits->json_depth,
                                 .values = limits->json_values,
                                 .keys = limits->json_keys,
                                 .lone_surrogates = true};
    struct json_value value;
    enum json_error error = json_check(body, &bounds, &value);
    if (error == JSON_VALUES) return SOCKJS_BODY_TOO_MANY;
    if (error) return SOCKJS_BODY_BROKEN;
    uint64_t count = 1;
    struct slice only = value.raw;
    bool bare_string = bare && value.type == JSON_STRING;
    if (!bare_string && (value.type != JSON_ARRAY || !all_strings(value.raw, &count, &only)))
        return SOCKJS_BODY_EMPTY;
    if (count > most) return SOCKJS_BODY_TOO_MANY;
    m->lone = count == 1; /* then an array is not walked again */
    if (count) m->rest = m->lone ? only : value.raw;
    return SOCKJS_BODY_GOOD;
}

bool sockjs_body_next(struct sockjs_messages *m, struct slice *message) {
    struct json_value item = {JSON_STRING, m->rest};
    if (!m->rest.n) return false;
    if (m->lone)
        m->rest = (struct slice){NULL, 0};
    else if (!json_next(&m->rest, &item))
        return false;
    text_clear(&m->room);
    *message = json_string(item.raw, &m->room);
    return true;
}
