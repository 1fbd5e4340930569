/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_FLOOD_H
#define SCRIPT_FLOOD_H

#include "core/site.h"

/* What a script publishes in one turn of the loop: it is kept until the end of the turn, outside of
 * the script's memory, and handed to members after the script's time, so both have a bound:
 * script_publish_bytes, and script_publish_copies of what members get. What goes over it still
 * goes, so that anything can be published once; then no more in this turn. */
struct flood {
    uint64_t bytes, copies;
    struct deferred over; /* the turn is */
};

void flood_init(struct flood *f);
void flood_fini(struct flood *f);

/* Whether bytes more may be published to so many; counts them, or the limit that is in the way. */
bool flood_admits(struct flood *f, struct site *site, size_t bytes, size_t copies);

#endif
