/* SPDX-License-Identifier: MIT */
#include "config/options.h"

#include "base/json.h"
#include "base/utf8.h"

/* A site's `options`: any table of plain values. It is kept as JSON, which is what the script layer
 * decodes, and printed as Lua again by going through that JSON piece by piece. */

/* ---- conf values to JSON ---- */

static bool write_value(struct reader *r, const struct conf_value *v, struct text *out);

static bool write_text(struct reader *r, const struct conf_value *v, const char *cstr,
                       struct text *out) {
    if (!utf8_valid(slice_of(cstr))) {
        reader_complain(r, v->line, "options hold a text that is not UTF-8");
        return false;
    }
    json_quote(out, slice_of(cstr));
    return true;
}

static bool write_table(struct reader *r, const struct conf_value *table, struct text *out) {
    bool list = table->list_count, first = true;
    text_char(out, list ? '[' : '{');
    LIST_EACH(&table->items, link) {
        const struct conf_value *v = container_of(link, struct conf_value, link);
        if (list && v->key) {
            reader_complain(r, v->line,
                            "options hold a table that is a list and has the key '%.100s'", v->key);
            return false;
        }
        if (!first) text_char(out, ',');
        first = false;
        if (v->key && !write_text(r, v, v->key, out)) return false;
        if (v->key) text_char(out, ':');
        if (!write_value(r, v, out)) return false;
    }
    text_char(out, list ? ']' : '}');
    return true;
}

static bool write_value(struct reader *r, const struct conf_value *v, struct text *out) {
    switch (v->type) {
    case CONF_BOOL: text_str(out, v->flag ? "true" : "false"); break;
    case CONF_INTEGER: text_format(out, "%lld", (long long)v->integer); break;
    case CONF_NUMBER: json_double(out, v->number); break;
    case CONF_STRING: return write_text(r, v, v->string, out);
    case CONF_TABLE: return write_table(r, v, out);
    }
    return true;
}

static void options_init(const struct key *key, void *field) {
    (void)key;
    *(struct buf **)field = buf_copy(SLICE("{}"));
}

static void options_read(struct reader *r, const struct key *key, const struct conf_value *v,
                         void *field) {
    if (v->type != CONF_TABLE || v->list_count) {
        reader_refuse(r, key, v, "must be a table with keys");
        return;
    }
    struct text json = {0};
    if (write_value(r, v, &json)) {
        buf_unref(*(struct buf **)field);
        *(struct buf **)field = text_take(&json);
    }
    text_fini(&json);
}

static void options_fini(void *field) { buf_unref(*(struct buf **)field); }

/* ---- JSON, as written above, to Lua ---- */

/* How many bytes the JSON string at the start of s has. */
static size_t string_length(struct slice s) {
    size_t n = 1;
    while (s.p[n] != '"')
        n += s.p[n] == '\\' ? 2 : 1;
    return n + 1;
}

static size_t print_string(struct text *out, struct slice s) {
    size_t n = string_length(s);
    bool is_key = n < s.n && s.p[n] == ':';
    struct text plain = {0};
    json_unescape(&plain, slice_upto(s, n));
    if (is_key) text_char(out, '[');
    print_quoted(out, text_slice(&plain));
    if (is_key) text_str(out, "] = ");
    text_fini(&plain);
    return n + is_key;
}

/* One token of the JSON; the rest of the letters (digits, true) are the same in Lua. */
static size_t print_token(struct text *out, struct slice s) {
    switch (s.p[0]) {
    case '"': return print_string(out, s);
    case '{':
    case '[': text_char(out, '{'); return 1;
    case '}':
    case ']': text_char(out, '}'); return 1;
    case ',': text_str(out, ", "); return 1;
    default: text_char(out, s.p[0]); return 1;
    }
}

static void options_print(struct printer *p, const struct key *key, const void *field) {
    (void)key;
    struct slice json = buf_slice(*(struct buf *const *)field);
    while (json.n)
        json = slice_from(json, print_token(p->out, json));
}

const struct key_type key_options = {.name = "a table",
                                     .init = options_init,
                                     .read = options_read,
                                     .print = options_print,
                                     .fini = options_fini};
