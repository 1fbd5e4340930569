/* SPDX-License-Identifier: MIT */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"

/* JSON as RFC 8259 has it, read strictly: UTF-8 only, no NaN, no leading zeros, no text behind the
 * value, no duplicate members, no lone surrogate escapes (\ud800 without its other half) unless
 * asked for. What passes json_check may be spliced into other JSON as it is. Lua is not known
 * here. */

#define JSON_DEPTH_MAX 512

struct json_limits {
    uint64_t depth;       /* nested containers, at most JSON_DEPTH_MAX; a scalar has 0, [] has 1 */
    uint64_t values;      /* values in the whole text, containers included */
    uint64_t keys;        /* members of one object */
    bool lone_surrogates; /* accept them (SockJS bodies); json_unescape gives them as WTF-8 */
};

enum json_type {
    JSON_NONE,
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

enum json_error {
    JSON_OK,
    JSON_SYNTAX, /* not JSON */
    JSON_UTF8,   /* bytes that are no UTF-8, or an escape that stands for none */
    JSON_DEPTH,  /* a limit, as below */
    JSON_VALUES,
    JSON_KEYS,
    JSON_DUPLICATE, /* two members of one object with the same (unescaped) name */
    JSON_RANGE      /* a number beyond the finite doubles */
};

/* "not JSON", "nested too deeply", ...: for error answers and logs. */
const char *json_error_text(enum json_error e);

/* Where a value stands in the text: raw is its very bytes, without space around it. */
struct json_value {
    enum json_type type; /* JSON_NONE: absent */
    struct slice raw;
};

/* Checks the whole text (below 2 GiB) and reports its value; on an error the value has type
 * JSON_NONE and raw begins where the reading stopped. Time is linear in the text; memory is on the
 * stack and, for objects of more than a few members, at most 24 bytes a member; nothing is kept. */
enum json_error json_check(struct slice text, const struct json_limits *limits,
                           struct json_value *value);

/* As json_check, and when the value is an object, fills values[i] with the member names[i] for each
 * of the n names (JSON_NONE where there is none); on an error they mean nothing. Names are compared
 * after unescaping. One pass. */
enum json_error json_envelope(struct slice text, const struct json_limits *limits,
                              struct json_value *value, const struct slice *names,
                              struct json_value *values, size_t n);

/* Looks up one member of an object that was checked before (raw of a JSON_OBJECT). */
struct json_value json_member(struct slice object, struct slice name);

/* Walks the items of an array that was checked before: start with *rest = its raw. False at its
 * end. */
bool json_next(struct slice *rest, struct json_value *item);

/* The same for the members of an object; name is a raw JSON_STRING. */
bool json_next_member(struct slice *rest, struct slice *name, struct json_value *value);

/* Walks checked text token by token; *rest is what was not read yet. The beginning of a container
 * gives its type, its end (and the end of the text) JSON_NONE, a scalar or a member's name its type
 * and raw. */
enum json_type json_token(struct slice *rest, struct slice *raw);

/* Appends the string that raw (a checked JSON_STRING, quotes included) stands for, as UTF-8. */
void json_unescape(struct text *out, struct slice raw);

/* The same into out, which has room for raw.n bytes; returns how many it wrote. */
size_t json_unescape_into(char *out, struct slice raw);

/* As json_unescape without a copy where there is no escape: the slice points into raw or into
 * *room, which the caller finishes with text_fini. A room has place for one string: what it held is
 * gone. */
struct slice json_string(struct slice raw, struct text *room);

/* Appends s (UTF-8, not checked here) as a JSON string with its quotes: ", \ and controls escaped,
 * and U+2028 and U+2029, so that the text is JavaScript as well. */
void json_quote(struct text *out, struct slice s);

/* Reads a checked JSON_NUMBER. An integer (no fraction, no exponent, and not -0) within int64 gives
 * true in *is_integer and *i; everything else gives *d, which is finite. */
void json_number(struct slice raw, bool *is_integer, int64_t *i, double *d);

/* Appends the shortest decimal text that reads back as d (finite) and is no integer's text, so that
 * a double stays a double: 1.0, 0.1, 1e+300. */
void json_double(struct text *out, double d);

#endif
