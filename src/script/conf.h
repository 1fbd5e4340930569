/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_CONF_H
#define SCRIPT_CONF_H

#include "base/buf.h"
#include "base/list.h"

/* Reads a conf file: a Lua chunk that returns a table, run in an empty environment with
 * env("NAME", default) only, for at most a second, with 8 MiB. The result is a tree of plain values
 * that knows its lines; what the keys mean is src/config's business. */

enum conf_type { CONF_BOOL, CONF_INTEGER, CONF_NUMBER, CONF_STRING, CONF_TABLE };

struct conf_value {
    struct list link; /* in the parent's items */
    char *key;        /* NULL for items of a list */
    int line;         /* of the key, or of the item, in the file; of the table when unknown */
    enum conf_type type;
    bool flag;
    int64_t integer;
    double number;     /* finite; set for integers too */
    char *string;      /* for strings */
    struct list items; /* of a table: first those of the list part, in order, then keys sorted */
    size_t list_count;
};

/* The tree of the file, owned by the caller; NULL when there is none. errors gets a line
 * "file:line: reason" for everything that is wrong: without a line number where the file cannot be
 * read at all, and also for keys that stand twice in one table constructor, which do not prevent
 * the tree. */
struct conf_value *conf_read(const char *file, struct text *errors)
    __attribute__((warn_unused_result));

/* As conf_read, with the file's content; file is its name in messages. */
struct conf_value *conf_read_text(const char *file, struct slice source, struct text *errors)
    __attribute__((warn_unused_result));

/* NULL does nothing. */
void conf_free(struct conf_value *v);

/* The value under key in a table, or NULL; table may be NULL. */
struct conf_value *conf_get(const struct conf_value *table, const char *key);

/* Where to point for something about key: its line, else the table's; 0 without a table. */
int conf_line(const struct conf_value *table, const char *key);

#endif
