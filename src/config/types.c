/* SPDX-License-Identifier: MIT */
#include "config/keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The kinds of values that keys have: how each is read from a conf value, checked, printed as Lua
 * and freed. A field is where a row's offset points. */

/* ---- messages ---- */

static void describe(struct text *out, const struct conf_value *v) {
    switch (v->type) {
    case CONF_BOOL: text_str(out, v->flag ? "true" : "false"); return;
    case CONF_INTEGER: text_format(out, "%lld", (long long)v->integer); return;
    case CONF_NUMBER: text_format(out, "%.14g", v->number); return;
    case CONF_STRING: print_quoted(out, slice_upto(slice_of(v->string), 100)); return;
    case CONF_TABLE: text_str(out, "a table"); return;
    }
}

void reader_refuse(struct reader *r, const struct key *key, const struct conf_value *v,
                   const char *must) {
    struct text found = {0};
    describe(&found, v);
    struct slice path = text_slice(&r->path), what = text_slice(&found);
    reader_complain(r, v->line, "%.*s%s %s, not %.*s", (int)path.n, path.n ? path.p : "", key->name,
                    must, (int)what.n, what.p);
    text_fini(&found);
}

static void refuse_type(struct reader *r, const struct key *key, const struct conf_value *v) {
    char must[200];
    snprintf(must, sizeof must, "must be %s", key->type->name);
    reader_refuse(r, key, v, must);
}

/* ---- true and false ---- */

static void bool_init(const struct key *key, void *field) { *(bool *)field = key->standard; }

static void bool_read(struct reader *r, const struct key *key, const struct conf_value *v,
                      void *field) {
    if (v->type == CONF_BOOL) *(bool *)field = v->flag;
    else refuse_type(r, key, v);
}

static void bool_print(struct printer *p, const struct key *key, const void *field) {
    (void)key;
    text_str(p->out, *(const bool *)field ? "true" : "false");
}

static void bool_bounds(struct text *out, const struct key *key) {
    text_str(out, key->standard ? "; default true" : "; default false");
}

static bool bool_is_on(const void *field) { return *(const bool *)field; }

const struct key_type key_bool = {.name = "true or false",
                                  .init = bool_init,
                                  .read = bool_read,
                                  .print = bool_print,
                                  .bounds = bool_bounds,
                                  .is_on = bool_is_on};

/* ---- numbers, with and without units ---- */

struct unit {
    const char *name;
    uint64_t factor;
};

/* The largest first. */
static const struct unit time_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                         {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit size_units[] = {
    {"G", 1024 * 1024 * 1024}, {"M", 1024 * 1024}, {"K", 1024}, {"", 1}, {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(const struct key_type *type) {
    return type == &key_time ? time_units : type == &key_size ? size_units : no_units;
}

/* Digits, perhaps with a fraction, and a unit. */
static bool unit_parse(const struct unit *units, const char *text, uint64_t *out) {
    size_t digits = strspn(text, "0123456789."), whole = strspn(text, "0123456789");
    if (!whole || digits > 20 || strchr(text + whole, '.') != strrchr(text, '.')) return false;
    for (; units->name; units++) {
        if (strcmp(text + digits, units->name)) continue;
        double value = strtod(text, NULL) * (double)units->factor;
        if (value > 9007199254740992.0) return false;
        *out = (uint64_t)llround(value);
        return true;
    }
    return false;
}

static void unit_format(struct text *out, const struct unit *units, uint64_t value) {
    if (value == LIMIT_OFF) {
        text_str(out, "\"off\"");
        return;
    }
    while (value % units->factor)
        units++;
    bool bare = !value || !*units->name;
    text_format(out, bare ? "%llu" : "\"%llu%s\"", (unsigned long long)(value / units->factor),
                units->name);
}

/* A plain number stands for seconds, bytes or things. */
static bool number_parse(const struct key *key, const struct conf_value *v, uint64_t *out) {
    double factor = key->type == &key_time ? 1000 : 1;
    if (v->type == CONF_STRING) return unit_parse(units_of(key->type), v->string, out);
    if (v->type != CONF_INTEGER && v->type != CONF_NUMBER) return false;
    double value = v->number * factor;
    if (value < 0 || value > 9007199254740992.0 || value != floor(value)) return false;
    *out = (uint64_t)value;
    return true;
}

static bool may_be_off(const struct key *key) {
    return key->type == &key_rate || key->standard == LIMIT_OFF;
}

static bool is_off(const struct conf_value *v) {
    return (v->type == CONF_STRING && !strcmp(v->string, "off")) ||
           (v->type == CONF_BOOL && !v->flag);
}

static void refuse_range(struct reader *r, const struct key *key, const struct conf_value *v) {
    struct text must = {0};
    text_str(&must, "must be from ");
    unit_format(&must, units_of(key->type), key->least);
    text_str(&must, " to ");
    unit_format(&must, units_of(key->type), key->greatest);
    if (may_be_off(key)) text_str(&must, " or \"off\"");
    text_char(&must, 0);
    reader_refuse(r, key, v, text_slice(&must).p);
    text_fini(&must);
}

static bool number_take(struct reader *r, const struct key *key, const struct conf_value *v,
                        uint64_t *value) {
    if (is_off(v) && may_be_off(key)) {
        *value = LIMIT_OFF;
        return true;
    }
    bool known = number_parse(key, v, value);
    if (known && *value >= key->least && *value <= key->greatest) return true;
    if (known || is_off(v)) refuse_range(r, key, v);
    else refuse_type(r, key, v);
    return false;
}

static void number_init(const struct key *key, void *field) { *(uint64_t *)field = key->standard; }

static void number_read(struct reader *r, const struct key *key, const struct conf_value *v,
                        void *field) {
    uint64_t value = 0;
    if (number_take(r, key, v, &value)) *(uint64_t *)field = value;
}

static void number_print(struct printer *p, const struct key *key, const void *field) {
    unit_format(p->out, units_of(key->type), *(const uint64_t *)field);
}

static void number_bounds(struct text *out, const struct key *key) {
    text_str(out, "; ");
    unit_format(out, units_of(key->type), key->least);
    text_str(out, " to ");
    unit_format(out, units_of(key->type), key->greatest);
    if (may_be_off(key)) text_str(out, " or \"off\"");
    text_str(out, ", default ");
    if (key->text) text_str(out, key->text);
    else unit_format(out, units_of(key->type), key->standard);
}

static void int_init(const struct key *key, void *field) { *(int *)field = (int)key->standard; }

static void int_read(struct reader *r, const struct key *key, const struct conf_value *v,
                     void *field) {
    uint64_t value = 0;
    if (number_take(r, key, v, &value)) *(int *)field = (int)value;
}

static void int_print(struct printer *p, const struct key *key, const void *field) {
    (void)key;
    text_format(p->out, "%d", *(const int *)field);
}

#define NUMBER(what)                                                                               \
    { .name = what, .init = number_init, .read = number_read, .print = number_print,               \
      .bounds = number_bounds }

const struct key_type key_count = NUMBER("a whole number");
const struct key_type key_rate = NUMBER("a whole number per second, or \"off\"");
const struct key_type key_size = NUMBER("a size such as \"64K\", or a number of bytes");
const struct key_type key_time = NUMBER("a duration such as \"30s\" or \"250ms\", or seconds");
const struct key_type key_int = {.name = "a whole number",
                                 .init = int_init,
                                 .read = int_read,
                                 .print = int_print,
                                 .bounds = number_bounds};

/* ---- one of several names ---- */

static bool choice_find(const char *names, struct slice wanted, int *index) {
    struct slice rest = slice_of(names), name;
    for (*index = 0; slice_next(&rest, '|', &name); ++*index)
        if (slice_eq(name, wanted)) return true;
    return false;
}

static void choice_names(struct text *out, const char *names) {
    struct slice rest = slice_of(names), name;
    for (bool first = true; slice_next(&rest, '|', &name); first = false) {
        if (!first) text_str(out, rest.p ? ", " : " or ");
        print_quoted(out, name);
    }
}

/* true and false stand for the names "any" and "off" where there are such. */
static bool choice_take(struct reader *r, const struct key *key, const struct conf_value *v,
                        int *index) {
    struct slice wanted = slice_of(v->string);
    if (v->type == CONF_BOOL) wanted = v->flag ? SLICE("any") : SLICE("off");
    if (wanted.n && choice_find(key->text, wanted, index)) return true;
    struct text must = {0};
    text_str(&must, "must be ");
    choice_names(&must, key->text);
    text_char(&must, 0);
    reader_refuse(r, key, v, text_slice(&must).p);
    text_fini(&must);
    return false;
}

static void choice_read(struct reader *r, const struct key *key, const struct conf_value *v,
                        void *field) {
    int index;
    if (choice_take(r, key, v, &index)) *(int *)field = index;
}

static void choice_write(struct text *out, const struct key *key, int index) {
    struct slice rest = slice_of(key->text), name = {NULL, 0};
    for (int i = 0; i <= index; i++)
        slice_next(&rest, '|', &name);
    print_quoted(out, name);
}

static void choice_print(struct printer *p, const struct key *key, const void *field) {
    choice_write(p->out, key, *(const int *)field);
}

static void choice_bounds(struct text *out, const struct key *key) {
    text_str(out, "; ");
    choice_names(out, key->text);
    text_str(out, ", default ");
    choice_write(out, key, (int)key->standard);
}

static void either_read(struct reader *r, const struct key *key, const struct conf_value *v,
                        void *field) {
    int index;
    if (choice_take(r, key, v, &index)) *(bool *)field = index;
}

static void either_print(struct printer *p, const struct key *key, const void *field) {
    choice_write(p->out, key, *(const bool *)field);
}

const struct key_type key_choice = {.name = "one of several names",
                                    .init = int_init,
                                    .read = choice_read,
                                    .print = choice_print,
                                    .bounds = choice_bounds};
const struct key_type key_either = {.name = "one of two names",
                                    .init = bool_init,
                                    .read = either_read,
                                    .print = either_print,
                                    .bounds = choice_bounds};

/* ---- texts ---- */

static void text_set(void *field, char *value) {
    mem_free(*(char **)field);
    *(char **)field = value;
}

void key_text_init(const struct key *key, void *field) {
    *(char **)field = key->text ? slice_cstr(slice_of(key->text)) : NULL;
}

void key_text_fini(void *field) { text_set(field, NULL); }

/* Takes a text that passes the key's check; NULL after a complaint. */
static char *text_take_checked(struct reader *r, const struct key *key,
                               const struct conf_value *v) {
    if (v->type != CONF_STRING) {
        refuse_type(r, key, v);
        return NULL;
    }
    char *value = slice_cstr(slice_of(v->string));
    const char *must = key->check ? key->check(value) : *value ? NULL : "must not be empty";
    if (!must) return value;
    reader_refuse(r, key, v, must);
    mem_free(value);
    return NULL;
}

void key_text_read(struct reader *r, const struct key *key, const struct conf_value *v,
                   void *field) {
    char *value = text_take_checked(r, key, v);
    if (value) text_set(field, value);
}

void key_maybe_read(struct reader *r, const struct key *key, const struct conf_value *v,
                    void *field) {
    if (is_off(v)) text_set(field, NULL);
    else key_text_read(r, key, v, field);
}

void key_text_print(struct printer *p, const struct key *key, const void *field) {
    (void)key;
    const char *value = *(char *const *)field;
    print_quoted(p->out, slice_of(value ? value : "off"));
}

static void text_bounds(struct text *out, const struct key *key) {
    if (!key->text) return;
    text_str(out, "; default ");
    print_quoted(out, slice_of(key->text));
}

const struct key_type key_text = {.name = "a text",
                                  .texts = true,
                                  .init = key_text_init,
                                  .read = key_text_read,
                                  .print = key_text_print,
                                  .bounds = text_bounds,
                                  .fini = key_text_fini};
const struct key_type key_maybe = {.name = "a text, or \"off\"",
                                   .texts = true,
                                   .init = key_text_init,
                                   .read = key_maybe_read,
                                   .print = key_text_print,
                                   .bounds = text_bounds,
                                   .fini = key_text_fini};

/* ---- lists of texts ---- */

char **texts_new(void) { return mem_new(sizeof(char *)); }

void texts_add(char ***texts, struct slice text) {
    size_t n = 0;
    while ((*texts)[n])
        n++;
    *texts = mem_grow(*texts, (n + 2) * sizeof(char *));
    (*texts)[n] = slice_cstr(text);
    (*texts)[n + 1] = NULL;
}

void texts_free(char **texts) {
    for (size_t i = 0; texts && texts[i]; i++)
        mem_free(texts[i]);
    mem_free(texts);
}

static void texts_init(const struct key *key, void *field) {
    char **texts = texts_new();
    if (key->text) texts_add(&texts, slice_of(key->text));
    *(char ***)field = texts;
}

static void texts_take(struct reader *r, const struct key *key, const struct conf_value *v,
                       char ***texts) {
    char *text = text_take_checked(r, key, v);
    if (text) texts_add(texts, slice_of(text));
    mem_free(text);
}

/* A list, or one text alone. */
static void texts_read(struct reader *r, const struct key *key, const struct conf_value *v,
                       void *field) {
    char **texts = texts_new();
    if (v->type == CONF_STRING) texts_take(r, key, v, &texts);
    else if (v->type != CONF_TABLE) refuse_type(r, key, v);
    LIST_EACH(&v->items, link) {
        const struct conf_value *item = container_of(link, struct conf_value, link);
        if (!item->key) texts_take(r, key, item, &texts);
        else reader_refuse(r, key, item, "must be a list without keys");
    }
    texts_free(*(char ***)field);
    *(char ***)field = texts;
}

static void texts_print(struct printer *p, const struct key *key, const void *field) {
    (void)key;
    print_texts(p->out, *(char **const *)field);
}

static void texts_end(void *field) { texts_free(*(char ***)field); }

const struct key_type key_texts = {.name = "a list of texts",
                                   .texts = true,
                                   .list = true,
                                   .init = texts_init,
                                   .read = texts_read,
                                   .print = texts_print,
                                   .bounds = text_bounds,
                                   .fini = texts_end};
