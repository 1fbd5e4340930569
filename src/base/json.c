/* SPDX-License-Identifier: MIT */
/* Checking is one pass of recursive descent, bounded by limits->depth. The members of all open
 * objects lie on one stack of keys. The names of a small object are compared as they come; a larger
 * object is looked through when it ends, with a table hashed under the process's random key.
 * Walking comes after checking: it trusts the text and looks at as little of it as it can. */
#include "base/json.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "base/word.h"

#include <assert.h>
#include <math.h>

#define KEYS_COMPARED 16 /* members of an object that are compared one by one */
#define KEYS_ON_STACK 64

/* The name of a member: where it stands in the text, or in names when it had escapes. */
struct key {
    uint32_t at;
    uint32_t n : 31;
    uint32_t escaped : 1;
};

struct scan {
    const char *text, *p, *end;
    const struct json_limits *limits;
    enum json_error error;
    uint64_t depth, values;
    struct key *keys; /* of the open objects, innermost last */
    size_t keys_n, keys_cap;
    struct key *keys_heap; /* what keys is when the stack did not do */
    struct text names;
    const struct slice *wanted; /* of the outermost object; found, as many, is where they go */
    struct json_value *found;
    size_t wanted_n;
};

static bool fail(struct scan *s, enum json_error error) {
    s->error = error;
    return false;
}

/* ---- scalars ---- */

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_hex(char c) { return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f'); }

static void skip_space(struct scan *s) {
    while (s->p < s->end && is_space(*s->p)) s->p++;
}

static bool at(const struct scan *s, char c) { return s->p < s->end && *s->p == c; }

/* The first byte from p on that is not plain ASCII within a string. */
static const char *plain_end(const char *p, const char *end) {
    for (; end - p >= 8; p += 8) {
        uint64_t w = word_load(p);
        uint64_t stop =
            word_equal(w, '"') | word_equal(w, '\\') | word_below(w, 0x20) | word_above_ascii(w);
        if (stop) return p + word_first(stop);
    }
    while (p < end && *p >= 0x20 && *p != '"' && *p != '\\') p++;
    return p;
}

/* "u" and four hexadecimal digits. */
static bool is_unit(const char *p, const char *end) {
    return end - p >= 5 && p[0] == 'u' && is_hex(p[1]) && is_hex(p[2]) && is_hex(p[3]) &&
           is_hex(p[4]);
}
static bool is_surrogate(const char *unit) { return (unit[1] | 32) == 'd' && unit[2] >= '8'; }
static bool is_low_surrogate(const char *unit) {
    return (unit[1] | 32) == 'd' && (unit[2] | 32) >= 'c';
}

/* At a backslash. */
static bool scan_escape(struct scan *s) {
    const char *p = s->p + 1;
    if (p == s->end) return fail(s, JSON_SYNTAX);
    if (*p != 'u') {
        if (!memchr("\"\\/bfnrt", *p, 8)) return fail(s, JSON_SYNTAX);
        s->p += 2;
        return true;
    }
    if (!is_unit(p, s->end)) return fail(s, JSON_SYNTAX);
    if (is_surrogate(p) && !s->limits->lone_surrogates) {
        const char *low = p + 6;
        bool paired = !is_low_surrogate(p) && s->end - p > 6 && p[5] == '\\' &&
                      is_unit(low, s->end) && is_low_surrogate(low);
        if (!paired) return fail(s, JSON_UTF8);
        s->p += 6;
    }
    s->p += 6;
    return true;
}

/* At the opening quote. */
static bool scan_string(struct scan *s, bool *escaped) {
    s->p++;
    for (;;) {
        s->p = plain_end(s->p, s->end);
        if (s->p == s->end) return fail(s, JSON_SYNTAX);
        if (*s->p == '"') break;
        if (*s->p == '\\') {
            *escaped = true;
            if (!scan_escape(s)) return false;
        } else if ((unsigned char)*s->p < 0x80) {
            return fail(s, JSON_SYNTAX);
        } else {
            const char *begin = s->p;
            while (s->p < s->end && (unsigned char)*s->p >= 0x80) s->p++;
            if (!utf8_valid(slice_make(begin, (size_t)(s->p - begin)))) return fail(s, JSON_UTF8);
        }
    }
    s->p++;
    return true;
}

static bool scan_digits(struct scan *s) {
    const char *begin = s->p;
    while (s->p < s->end && is_digit(*s->p)) s->p++;
    return s->p > begin || fail(s, JSON_SYNTAX);
}

static bool scan_number(struct scan *s) {
    const char *begin = s->p;
    bool exponent = false;
    if (*s->p == '-') s->p++;
    if (at(s, '0')) s->p++;
    else if (!scan_digits(s)) return false;
    size_t whole = (size_t)(s->p - begin);
    if (at(s, '.')) {
        s->p++;
        if (!scan_digits(s)) return false;
    }
    if (at(s, 'e') || at(s, 'E')) {
        exponent = true;
        s->p++;
        if (at(s, '+') || at(s, '-')) s->p++;
        if (!scan_digits(s)) return false;
    }
    if (!exponent && whole < 309) return true; /* below 1e309 digits alone are always finite */
    bool is_integer;
    int64_t i;
    double d = 0;
    json_number(slice_make(begin, (size_t)(s->p - begin)), &is_integer, &i, &d);
    return isfinite(d) || fail(s, JSON_RANGE);
}

static bool scan_word(struct scan *s, const char *word, size_t n) {
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n)) return fail(s, JSON_SYNTAX);
    s->p += n;
    return true;
}

/* ---- members ---- */

static struct slice key_slice(const struct scan *s, struct key k) {
    return slice_make((k.escaped ? text_slice(&s->names).p : s->text) + k.at, k.n);
}

/* Whether two of the keys from first on are the same. */
static bool has_twins(const struct scan *s, size_t first) {
    size_t n = s->keys_n - first, slots = 64;
    while (slots < n * 2) slots *= 2;
    uint32_t *table = mem_new(slots * sizeof *table); /* index from first on, plus one */
    bool twins = false;
    for (size_t i = 0; i < n && !twins; i++) {
        struct slice name = key_slice(s, s->keys[first + i]);
        size_t slot = map_hash(name) & (slots - 1);
        for (; table[slot] && !twins; slot = (slot + 1) & (slots - 1))
            twins = slice_eq(name, key_slice(s, s->keys[first + table[slot] - 1]));
        table[slot] = (uint32_t)i + 1;
    }
    mem_free(table);
    return twins;
}

static void grow_keys(struct scan *s) {
    s->keys_cap *= 4;
    struct key *grown = mem_grow(s->keys_heap, s->keys_cap * sizeof *grown);
    if (!s->keys_heap) memcpy(grown, s->keys, s->keys_n * sizeof *grown);
    s->keys = s->keys_heap = grown;
}

static bool add_key(struct scan *s, size_t first, struct key k) {
    size_t n = s->keys_n - first;
    if (n >= s->limits->keys) return fail(s, JSON_KEYS);
    if (n < KEYS_COMPARED) {
        struct slice name = key_slice(s, k);
        for (size_t i = first; i < s->keys_n; i++)
            if (s->keys[i].n == k.n && slice_eq(name, key_slice(s, s->keys[i])))
                return fail(s, JSON_DUPLICATE);
    }
    if (s->keys_n == s->keys_cap) grow_keys(s);
    s->keys[s->keys_n++] = k;
    return true;
}

/* A name and its colon. */
static bool scan_key(struct scan *s, size_t first) {
    if (!at(s, '"')) return fail(s, JSON_SYNTAX);
    const char *begin = s->p;
    bool escaped = false;
    if (!scan_string(s, &escaped)) return false;
    size_t n = (size_t)(s->p - begin);
    struct key k = {(uint32_t)(begin + 1 - s->text), (uint32_t)(n - 2) & INT32_MAX, 0};
    if (escaped) {
        size_t before = s->names.n;
        json_unescape(&s->names, slice_make(begin, n));
        k = (struct key){(uint32_t)before, (uint32_t)(s->names.n - before) & INT32_MAX, 1};
    }
    if (!add_key(s, first, k)) return false;
    skip_space(s);
    if (!at(s, ':')) return fail(s, JSON_SYNTAX);
    s->p++;
    skip_space(s);
    return true;
}

/* Where the value of the newest key belongs, or NULL. */
static struct json_value *wanted_slot(const struct scan *s) {
    if (s->depth != 1) return NULL;
    struct slice name = key_slice(s, s->keys[s->keys_n - 1]);
    for (size_t i = 0; i < s->wanted_n; i++)
        if (slice_eq(name, s->wanted[i])) return &s->found[i];
    return NULL;
}

/* ---- values ---- */

static enum json_type scan_value(struct scan *s);

static bool enter(struct scan *s) {
    if (s->depth >= s->limits->depth || s->depth >= JSON_DEPTH_MAX) return fail(s, JSON_DEPTH);
    s->depth++;
    s->p++;
    skip_space(s);
    return true;
}

static bool leave(struct scan *s) {
    s->depth--;
    s->p++;
    return true;
}

/* Behind an item: true when another follows, with p at it. *closed: the end is there instead. */
static bool scan_comma(struct scan *s, char closing, bool *closed) {
    skip_space(s);
    if (at(s, ',')) {
        s->p++;
        skip_space(s);
        return true;
    }
    *closed = at(s, closing);
    if (!*closed) fail(s, JSON_SYNTAX);
    return false;
}

static bool scan_array(struct scan *s) {
    if (!enter(s)) return false;
    bool closed = at(s, ']');
    if (closed) return leave(s);
    do {
        if (!scan_value(s)) return false;
    } while (scan_comma(s, ']', &closed));
    return closed && leave(s);
}

static bool scan_object(struct scan *s) {
    if (!enter(s)) return false;
    bool closed = at(s, '}');
    if (closed) return leave(s);
    size_t first = s->keys_n;
    do {
        if (!scan_key(s, first)) return false;
        struct json_value *slot = wanted_slot(s);
        const char *begin = s->p;
        enum json_type type = scan_value(s);
        if (!type) return false;
        if (slot) *slot = (struct json_value){type, slice_make(begin, (size_t)(s->p - begin))};
    } while (scan_comma(s, '}', &closed));
    if (!closed) return false;
    if (s->keys_n - first > KEYS_COMPARED && has_twins(s, first)) return fail(s, JSON_DUPLICATE);
    s->keys_n = first;
    return leave(s);
}

/* JSON_NONE when it failed. */
static enum json_type scan_value(struct scan *s) {
    bool escaped = false;
    char c = s->p < s->end ? *s->p : 0;
    if (++s->values > s->limits->values) return fail(s, JSON_VALUES), JSON_NONE;
    switch (c) {
    case '{': return scan_object(s) ? JSON_OBJECT : JSON_NONE;
    case '[': return scan_array(s) ? JSON_ARRAY : JSON_NONE;
    case '"': return scan_string(s, &escaped) ? JSON_STRING : JSON_NONE;
    case 't': return scan_word(s, "true", 4) ? JSON_TRUE : JSON_NONE;
    case 'f': return scan_word(s, "false", 5) ? JSON_FALSE : JSON_NONE;
    case 'n': return scan_word(s, "null", 4) ? JSON_NULL : JSON_NONE;
    default:
        if (!is_digit(c) && c != '-') return fail(s, JSON_SYNTAX), JSON_NONE;
        return scan_number(s) ? JSON_NUMBER : JSON_NONE;
    }
}

enum json_error json_envelope(struct slice text, const struct json_limits *limits,
                              struct json_value *value, const struct slice *names,
                              struct json_value *values, size_t n) {
    assert(text.n <= INT32_MAX);
    if (!text.p) text.p = "";
    struct key first[KEYS_ON_STACK];
    struct scan s = {.text = text.p,
                     .p = text.p,
                     .end = text.p + text.n,
                     .limits = limits,
                     .keys = first,
                     .keys_cap = KEYS_ON_STACK,
                     .wanted = names,
                     .found = values,
                     .wanted_n = n};
    for (size_t i = 0; i < n; i++) values[i] = (struct json_value){0};
    skip_space(&s);
    const char *begin = s.p;
    value->type = scan_value(&s);
    value->raw = slice_make(begin, (size_t)(s.p - begin));
    skip_space(&s);
    if (value->type && s.p < s.end) s.error = JSON_SYNTAX;
    if (s.error) *value = (struct json_value){JSON_NONE, slice_make(s.p, (size_t)(s.end - s.p))};
    mem_free(s.keys_heap);
    text_fini(&s.names);
    return s.error;
}

enum json_error json_check(struct slice text, const struct json_limits *limits,
                           struct json_value *value) {
    return json_envelope(text, limits, value, NULL, NULL, 0);
}

const char *json_error_text(enum json_error e) {
    static const char *const texts[] = {
        "no error",        "not JSON",         "not UTF-8",        "nested too deeply",
        "too many values", "too many members", "duplicate member", "number out of range"};
    return texts[e];
}

/* ---- walking what was checked ---- */

/* The first quote or backslash from p on, which is there: the text was checked. */
static const char *quote_or_escape(const char *p, const char *end) {
    for (; end - p >= 8; p += 8) {
        uint64_t w = word_load(p), stop = word_equal(w, '"') | word_equal(w, '\\');
        if (stop) return p + word_first(stop);
    }
    while (p < end && *p != '"' && *p != '\\') p++;
    assert(p < end);
    return p;
}

/* The end of the string that begins at p. */
static const char *string_end(const char *p, const char *end) {
    p = quote_or_escape(p + 1, end);
    while (*p == '\\') p = quote_or_escape(p + 2, end);
    return p + 1;
}

static bool is_between(char c) { return is_space(c) || c == ',' || c == ':'; }

/* Whether c goes on with a word or a number. */
static bool is_inside(char c) { return !is_between(c) && c != ']' && c != '}'; }

static enum json_type word_type(char first) {
    return first == 't'   ? JSON_TRUE
           : first == 'f' ? JSON_FALSE
           : first == 'n' ? JSON_NULL
                          : JSON_NUMBER;
}

enum json_type json_token(struct slice *rest, struct slice *raw) {
    const char *p = rest->p, *end = p + rest->n;
    while (p < end && is_between(*p)) p++;
    const char *q = p < end ? p + 1 : p;
    enum json_type type;
    switch (p < end ? *p : 0) {
    case '{': type = JSON_OBJECT; break;
    case '[': type = JSON_ARRAY; break;
    case '}':
    case ']':
    case 0: type = JSON_NONE; break;
    case '"':
        type = JSON_STRING;
        q = string_end(p, end);
        break;
    default:
        type = word_type(*p);
        while (q < end && is_inside(*q)) q++;
    }
    *raw = slice_make(p, (size_t)(q - p));
    *rest = slice_make(q, (size_t)(end - q));
    return type;
}

/* Takes a whole value off *rest; JSON_NONE at the end of what it is in. */
static struct json_value take_value(struct slice *rest) {
    struct json_value v;
    v.type = json_token(rest, &v.raw);
    size_t open = v.type == JSON_ARRAY || v.type == JSON_OBJECT;
    while (open) {
        struct slice raw;
        enum json_type type = json_token(rest, &raw);
        if (type == JSON_ARRAY || type == JSON_OBJECT) open++;
        else if (type == JSON_NONE) open--;
    }
    v.raw.n = (size_t)(rest->p - v.raw.p);
    return v;
}

bool json_next(struct slice *rest, struct json_value *item) {
    if (rest->n && *rest->p == '[') *rest = slice_from(*rest, 1);
    *item = take_value(rest);
    return item->type != JSON_NONE;
}

bool json_next_member(struct slice *rest, struct slice *name, struct json_value *value) {
    if (rest->n && *rest->p == '{') *rest = slice_from(*rest, 1);
    if (json_token(rest, name) != JSON_STRING) return false;
    *value = take_value(rest);
    return true;
}

struct json_value json_member(struct slice object, struct slice name) {
    struct slice rest = object, raw;
    struct text room = {0};
    struct json_value v, found = {0};
    while (found.type == JSON_NONE && json_next_member(&rest, &raw, &v))
        if (slice_eq(json_string(raw, &room), name)) found = v;
    text_fini(&room);
    return found;
}
