/* SPDX-License-Identifier: MIT */
#include "base/limits.h"

const struct limit_row limit_rows[] = {
/* clang-format off */
#define LIMIT(name, kind, standard, least, greatest, scope, help)                                  \
    {#name, LIMIT_##kind, standard, least, greatest, LIMIT_##scope, help, offsetof(struct limits, name)},
#include "base/limits.def"
#undef LIMIT
    /* clang-format on */
    {0},
};

void limits_init(struct limits *l) {
    for (const struct limit_row *row = limit_rows; row->name; row++)
        *(uint64_t *)(void *)((char *)l + row->offset) = row->standard;
}
