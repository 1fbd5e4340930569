/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include "config/config.h"
#include "script/conf.h"

/* Tables of keys: what may stand in a table of a conf file, what kind of value it has, where the
 * value goes, what it is without one, and what it is for. One table of rows reads, checks, prints,
 * fills in defaults and frees. Keys of tables in tables have names with dots: "log.level". A row
 * "compress" before rows "compress.level" can be given as a plain value or as that table. */

/* What is being read, for messages. */
struct reader {
    const char *file;
    struct text *errors;
    struct text path; /* what stands before a key's name: "endpoints[2]." */
};

struct printer {
    struct text *out;
    int depth;
    const struct config *config;
};

struct key_type;

struct key {
    const char *name;            /* NULL after the last row */
    const struct key_type *type;
    size_t offset;               /* of the field in the object */
    uint64_t standard, least, greatest;
    const char *help;
    const char *text;            /* the default of a text; the names of a choice, "a|b"; or where a
                                    number's default comes from */
    const char *(*check)(char *text); /* NULL when it will do, else "must ..." */
    bool (*omit)(const struct printer *p, const struct key *key, const void *object); /* or NULL */
};

struct key_type {
    const char *name; /* "must be NAME" */
    bool texts;       /* --set gives a text, or a list of texts split at commas */
    bool list;
    void (*init)(const struct key *key, void *field);
    void (*read)(struct reader *r, const struct key *key, const struct conf_value *v, void *field);
    /* Appends the value as Lua. NULL: the row is for reading only. */
    void (*print)(struct printer *p, const struct key *key, const void *field);
    void (*bounds)(struct text *out, const struct key *key); /* for help, or NULL */
    void (*fini)(void *field);                               /* or NULL */
    bool (*is_on)(const void *field); /* of rows with a table behind them: print the table */
};

/* The types that fields of these C types have. */
extern const struct key_type key_bool;   /* bool */
extern const struct key_type key_int;    /* int */
extern const struct key_type key_count;  /* uint64_t */
extern const struct key_type key_rate;   /* uint64_t, may be off */
extern const struct key_type key_size;   /* uint64_t, bytes */
extern const struct key_type key_time;   /* uint64_t, milliseconds */
extern const struct key_type key_choice; /* an enum, values in the order of the names */
extern const struct key_type key_either; /* bool: the second of two names */
extern const struct key_type key_text;   /* char *, NULL only without default */
extern const struct key_type key_maybe;  /* char *, NULL when "off" or false */
extern const struct key_type key_texts;  /* char **, never NULL */

/* What the types of texts do, for types that are nearly so. */
void key_text_init(const struct key *key, void *field);
void key_text_read(struct reader *r, const struct key *key, const struct conf_value *v,
                   void *field);
void key_text_print(struct printer *p, const struct key *key, const void *field);
void key_text_fini(void *field);
void key_maybe_read(struct reader *r, const struct key *key, const struct conf_value *v,
                    void *field);

/* The types of limits, for the rows of limits.def. */
#define KEY_COUNT &key_count
#define KEY_SIZE &key_size
#define KEY_TIME &key_time
#define KEY_RATE &key_rate

/* The limit at this offset of its struct. */
static inline uint64_t limit_at(const struct limits *limits, size_t offset) {
    return *(const uint64_t *)(const void *)((const char *)limits + offset);
}

/* Fills in every default. */
void keys_init(const struct key *keys, void *object);
void keys_fini(const struct key *keys, void *object);

/* Reads a table into the object; complains about what it does not know or like. */
void keys_read(struct reader *r, const struct key *keys, const struct conf_value *table,
               void *object);

/* Reads one key, with its dots, from a text. */
void keys_set(struct reader *r, const struct key *keys, struct slice name, struct slice text,
              void *object);

/* Appends the members of a Lua table, a line for each key with its bounds and help. */
void keys_print(struct printer *p, const struct key *keys, const void *object);

/* One more line in the errors. line 0: no number. Nothing in it breaks the line. */
void reader_complain(struct reader *r, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Complains that the key's value is not what it must be: "limits.x must be ..., not 7". */
void reader_refuse(struct reader *r, const struct key *key, const struct conf_value *v,
                   const char *must);

void print_indent(struct printer *p);

/* Appends s as a Lua string, and a list of texts as a Lua table. */
void print_quoted(struct text *out, struct slice s);
void print_texts(struct text *out, char *const *texts);

/* How many letters to change, add, drop or swap to make b of a. Only the first 63 count. */
size_t text_distance(struct slice a, struct slice b);

/* A list of texts that ends with NULL. */
char **texts_new(void) __attribute__((returns_nonnull, warn_unused_result));
void texts_add(char ***texts, struct slice text);
void texts_free(char **texts);

#endif
