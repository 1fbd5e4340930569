/* SPDX-License-Identifier: MIT */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* "off" in a conf file. Larger than anything that is counted. */
#define LIMIT_OFF UINT64_MAX

/* One member for each limit of limits.def: times in milliseconds, sizes in bytes. There is one for
 * the gateway and one for each site. */
struct limits {
#define LIMIT(name, kind, standard, least, greatest, scope, help) uint64_t name;
#include "base/limits.def"
#undef LIMIT
};

enum limit_kind { LIMIT_COUNT, LIMIT_SIZE, LIMIT_TIME, LIMIT_RATE };
enum limit_scope { LIMIT_PROCESS, LIMIT_SITE };

/* The row of a limit, for conf files and their help. */
struct limit_row {
    const char *name;
    enum limit_kind kind;
    uint64_t standard, least, greatest;
    enum limit_scope scope;
    const char *help;
    size_t offset; /* of its uint64_t in struct limits */
};

/* All rows; the last has a NULL name. */
extern const struct limit_row limit_rows[];

/* Everything at its default. */
void limits_init(struct limits *l);

#endif
