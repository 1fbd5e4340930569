/* SPDX-License-Identifier: MIT */
#ifndef CORE_POSITION_H
#define CORE_POSITION_H

#include "base/slice.h"

/* Where a message stands in the history of its channel (history.h). An empty epoch: nowhere. */
#define EPOCH_LENGTH 8
struct position {
    uint64_t offset;
    char epoch[EPOCH_LENGTH + 1];
};

/* Whether at is the very next after before. */
static inline bool position_follows(const struct position *before, const struct position *at) {
    return at->offset == before->offset + 1 && !strcmp(at->epoch, before->epoch);
}

/* Reads one from two members of a checked object; false when they are not of this form. */
struct json_value;
bool position_read(const struct json_value *epoch, const struct json_value *offset,
                   struct position *at);

#endif
