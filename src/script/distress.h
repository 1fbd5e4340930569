/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_DISTRESS_H
#define SCRIPT_DISTRESS_H

#include "base/log.h"

/* A line of the log that a signal handler can make and write while the loop stands still: no heap,
 * no stdio, no locks, nothing but clock_gettime, poll and write. It has the form of the log's own
 * lines, and goes past its queue and its rate.
 *
 *   distress_begin -> distress_text, distress_number -> distress_send */
struct distress {
    const struct log *log;
    size_t n;
    char line[512]; /* what does not fit is cut off */
};

/* Starts a line of level error; log may be NULL: then nothing is sent. */
void distress_begin(struct distress *d, const struct log *log, const char *message);

/* Adds a field. Bytes that would need an escape are shown as '?'. */
void distress_text(struct distress *d, const char *name, struct slice text);
void distress_number(struct distress *d, const char *name, uint64_t number);

/* Writes it, unless that would block. */
void distress_send(struct distress *d);

#endif
