/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_CONF_LINES_H
#define SCRIPT_CONF_LINES_H

#include "base/buf.h"
#include "base/map.h"

/* Where the keys of a conf file stand. Lua forgets that, so the source is read once more. */
struct conf_lines {
    struct map_link link; /* private: in the parent's items, under name */
    char *name;           /* private */
    int line;
    struct map items; /* private */
};

/* The lines of the table that the chunk returns, for the caller to free. source must have compiled.
 * A key that stands twice in any table constructor adds a line to errors. */
struct conf_lines *conf_lines_scan(const char *file, struct slice source, struct text *errors)
    __attribute__((returns_nonnull, warn_unused_result));
void conf_lines_free(struct conf_lines *lines);

/* The lines of a member: of key, or of the list's item at index where key is NULL. NULL when the
 * source does not tell; table may be NULL. */
const struct conf_lines *conf_lines_at(const struct conf_lines *table, const char *key,
                                       size_t index);

#endif
