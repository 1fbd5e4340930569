/* SPDX-License-Identifier: MIT */
#include "config/keys.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

/* What is done with a table of keys as a whole: walking it for a conf table, for --set, for
 * printing, for defaults. What a single value looks like is types.c's business. */

static void *field_of(const struct key *key, void *object) { return (char *)object + key->offset; }

static const void *field_in(const struct key *key, const void *object) {
    return (const char *)object + key->offset;
}

void keys_init(const struct key *keys, void *object) {
    for (const struct key *key = keys; key->name; key++)
        if (key->type->init) key->type->init(key, field_of(key, object));
}

void keys_fini(const struct key *keys, void *object) {
    for (const struct key *key = keys; key->name; key++)
        if (key->type->fini) key->type->fini(field_of(key, object));
}

/* ---- messages ---- */

void reader_complain(struct reader *r, int line, const char *format, ...) {
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    text_str(r->errors, r->file);
    if (line) text_format(r->errors, ":%d", line);
    text_str(r->errors, ": ");
    for (const char *p = message; *p; p++)
        text_char(r->errors, iscntrl((unsigned char)*p) ? '?' : *p);
    text_char(r->errors, '\n');
}

size_t text_distance(struct slice a, struct slice b) {
    enum { MOST = 63 };
    unsigned char cost[MOST + 1][MOST + 1];
    a = slice_upto(a, MOST);
    b = slice_upto(b, MOST);
    for (size_t i = 0; i <= a.n; i++)
        cost[i][0] = (unsigned char)i;
    for (size_t j = 0; j <= b.n; j++)
        cost[0][j] = (unsigned char)j;
    for (size_t i = 1; i <= a.n; i++) {
        for (size_t j = 1; j <= b.n; j++) {
            unsigned least = cost[i - 1][j - 1] + (a.p[i - 1] != b.p[j - 1]);
            if (cost[i - 1][j] + 1u < least) least = cost[i - 1][j] + 1u;
            if (cost[i][j - 1] + 1u < least) least = cost[i][j - 1] + 1u;
            bool swapped = i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1];
            if (swapped && cost[i - 2][j - 2] + 1u < least) least = cost[i - 2][j - 2] + 1u;
            cost[i][j] = (unsigned char)least;
        }
    }
    return cost[a.n][b.n];
}

/* The part of a key's name that stands in the table with this prefix; empty when it does not. */
static struct slice name_at(const struct key *key, struct slice prefix) {
    struct slice name = slice_of(key->name);
    if (!slice_starts(name, prefix)) return (struct slice){NULL, 0};
    name = slice_from(name, prefix.n);
    return slice_upto(name, slice_find(name, '.'));
}

static struct slice last_name(const struct key *key) {
    const char *dot = strrchr(key->name, '.');
    return slice_of(dot ? dot + 1 : key->name);
}

/* What the author may have meant by name: a key of the same table that is spelled nearly so, or one
 * of the same name that belongs into another table. */
static struct slice nearest(const struct key *keys, struct slice prefix, struct slice name) {
    struct slice best = {NULL, 0};
    size_t least = SIZE_MAX;
    for (const struct key *key = keys; key->name; key++) {
        struct slice here = name_at(key, prefix);
        size_t distance = here.n ? 2 * text_distance(here, name) : SIZE_MAX;
        bool elsewhere = distance > 3 && slice_eq(last_name(key), name);
        if (elsewhere) distance = 3;
        if (distance >= least) continue;
        least = distance;
        best = elsewhere ? slice_of(key->name) : here;
    }
    return best;
}

static void complain_unknown(struct reader *r, const struct key *keys, struct slice prefix,
                             const struct conf_value *v) {
    struct slice near = nearest(keys, prefix, slice_of(v->key)), path = text_slice(&r->path);
    reader_complain(r, v->line, "unknown key '%.*s%.*s%.100s'; did you mean '%.*s'?", (int)path.n,
                    path.n ? path.p : "", (int)prefix.n, prefix.p, v->key, (int)near.n, near.p);
}

/* ---- reading ---- */

static const struct key *key_find(const struct key *keys, struct slice name) {
    for (const struct key *key = keys; key->name; key++)
        if (slice_is(name, key->name)) return key;
    return NULL;
}

/* Whether keys below name (with a dot at its end) exist. */
static bool is_group(const struct key *keys, struct slice name) {
    for (const struct key *key = keys; key->name; key++)
        if (slice_starts(slice_of(key->name), name)) return true;
    return false;
}

static void read_group(struct reader *r, const struct key *keys, struct slice prefix,
                       const struct conf_value *table, void *object);

/* A table given for a row that has rows below it: the row is on, and the rows are read. */
static void read_switched(struct reader *r, const struct key *keys, const struct key *key,
                          struct slice group, const struct conf_value *v, void *object) {
    const struct conf_value on = {.line = v->line, .type = CONF_BOOL, .flag = true};
    if (key) key->type->read(r, key, &on, field_of(key, object));
    read_group(r, keys, group, v, object);
}

static void read_item(struct reader *r, const struct key *keys, struct slice prefix,
                      const struct conf_value *v, void *object) {
    struct text name = {0};
    text_add(&name, prefix);
    text_str(&name, v->key);
    bool dotted = strchr(v->key, '.');
    const struct key *key = dotted ? NULL : key_find(keys, text_slice(&name));
    text_char(&name, '.');
    bool group = !dotted && is_group(keys, text_slice(&name));
    if (group && v->type == CONF_TABLE)
        read_switched(r, keys, key, text_slice(&name), v, object);
    else if (key) key->type->read(r, key, v, field_of(key, object));
    else if (group) reader_complain(r, v->line, "%s must be a table", v->key);
    else complain_unknown(r, keys, prefix, v);
    text_fini(&name);
}

static void read_group(struct reader *r, const struct key *keys, struct slice prefix,
                       const struct conf_value *table, void *object) {
    LIST_EACH(&table->items, link) {
        const struct conf_value *v = container_of(link, struct conf_value, link);
        if (v->key) read_item(r, keys, prefix, v, object);
        else reader_complain(r, v->line, "a value without a key; write key = value");
    }
}

void keys_read(struct reader *r, const struct key *keys, const struct conf_value *table,
               void *object) {
    read_group(r, keys, SLICE(""), table, object);
}

/* ---- one key on the command line ---- */

static struct conf_value *item_of_text(struct slice text) {
    struct conf_value *v = mem_new(sizeof *v);
    list_init(&v->link);
    list_init(&v->items);
    v->type = CONF_STRING;
    v->string = slice_cstr(text);
    return v;
}

static struct conf_value *value_of_text(const struct key_type *type, struct slice text) {
    struct conf_value *v = item_of_text(text);
    uint64_t number;
    if (type->list) {
        struct slice part;
        v->type = CONF_TABLE;
        while (text.n && slice_next(&text, ',', &part)) {
            list_push(&v->items, &item_of_text(slice_trim(part))->link);
            v->list_count++;
        }
    } else if (!type->texts && slice_u64(text, &number) && number <= INT64_MAX) {
        v->type = CONF_INTEGER;
        v->integer = (int64_t)number;
        v->number = (double)number;
    } else if (!type->texts && (slice_is(text, "true") || slice_is(text, "false"))) {
        v->type = CONF_BOOL;
        v->flag = text.p[0] == 't';
    }
    return v;
}

void keys_set(struct reader *r, const struct key *keys, struct slice name, struct slice text,
              void *object) {
    const struct key *key = key_find(keys, name);
    if (key && key->type->init) {
        struct conf_value *v = value_of_text(key->type, text);
        key->type->read(r, key, v, field_of(key, object));
        conf_free(v);
        return;
    }
    struct slice near = {NULL, 0};
    for (const struct key *other = keys; other->name; other++) {
        struct slice whole = slice_of(other->name);
        if (!other->type->init) continue;
        if (!near.n || text_distance(whole, name) < text_distance(near, name)) near = whole;
    }
    reader_complain(r, 0, "unknown key '%.*s'; did you mean '%.*s'?", (int)name.n, name.p,
                    (int)near.n, near.p);
}

/* ---- printing ---- */

void print_indent(struct printer *p) {
    for (int i = 0; i < p->depth; i++)
        text_str(p->out, "  ");
}

void print_quoted(struct text *out, struct slice s) {
    text_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') text_format(out, "\\%c", c);
        else if (c == '\n') text_str(out, "\\n");
        else if (iscntrl(c)) text_format(out, "\\%03d", c);
        else text_char(out, (char)c);
    }
    text_char(out, '"');
}

void print_texts(struct text *out, char *const *texts) {
    text_str(out, "{");
    for (size_t i = 0; texts[i]; i++) {
        text_str(out, i ? ", " : " ");
        print_quoted(out, slice_of(texts[i]));
    }
    text_str(out, texts[0] ? " }" : "}");
}

static void print_row(struct printer *p, const struct key *key, const void *object) {
    if (!key->type->print || (key->omit && key->omit(p, key, object))) return;
    struct slice name = last_name(key);
    print_indent(p);
    text_add(p->out, name);
    text_str(p->out, " = ");
    key->type->print(p, key, field_in(key, object));
    text_char(p->out, ',');
    if (key->help) {
        text_format(p->out, " -- %s", key->help);
        if (key->type->bounds) key->type->bounds(p->out, key);
    }
    text_char(p->out, '\n');
}

static bool is_below(const struct key *key, struct slice name) {
    return key->name && slice_starts(slice_of(key->name), name) && key->name[name.n] == '.';
}

static const struct key *print_group(struct printer *p, const struct key *key, size_t prefix,
                                     const void *object);

/* Prints the rows below a name as a table, or nothing when all of them are left out. */
static const struct key *print_nested(struct printer *p, const struct key *key, size_t prefix,
                                      const void *object) {
    struct slice name = slice_from(slice_of(key->name), prefix);
    name = slice_upto(name, slice_find(name, '.'));
    size_t before = p->out->n;
    print_indent(p);
    text_add(p->out, name);
    text_str(p->out, " = {\n");
    size_t empty = p->out->n;
    p->depth++;
    key = print_group(p, key, prefix + name.n + 1, object);
    p->depth--;
    if (p->out->n == empty) {
        p->out->n = before;
        return key;
    }
    print_indent(p);
    text_str(p->out, "},\n");
    return key;
}

/* Prints the rows from key on that share its first prefix letters; returns the first behind. */
static const struct key *print_group(struct printer *p, const struct key *key, size_t prefix,
                                     const void *object) {
    struct slice shared = slice_upto(slice_of(key->name), prefix);
    while (key->name && slice_starts(slice_of(key->name), shared)) {
        if (strchr(key->name + prefix, '.')) {
            key = print_nested(p, key, prefix, object);
            continue;
        }
        const struct key *row = key++;
        if (is_below(key, slice_of(row->name))) {
            if (row->type->is_on(field_in(row, object))) continue;
            while (is_below(key, slice_of(row->name)))
                key++;
        }
        print_row(p, row, object);
    }
    return key;
}

void keys_print(struct printer *p, const struct key *keys, const void *object) {
    print_group(p, keys, 0, object);
}
