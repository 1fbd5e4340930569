/* SPDX-License-Identifier: MIT */
#include "base/flake.h"

#include <time.h>

#define MAKER_BITS 10
#define COUNT_BITS 12

void flake_init(struct flake *f, uint32_t maker) {
    *f = (struct flake){.maker = maker & ((1u << MAKER_BITS) - 1)};
}

static uint64_t wall_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A millisecond with all its ids given away borrows from the next. */
uint64_t flake_next(struct flake *f) {
    uint64_t now = wall_ms();
    if (now > f->ms) {
        f->ms = now;
        f->count = 0;
    } else if (++f->count >> COUNT_BITS) {
        f->ms++;
        f->count = 0;
    }
    return f->ms << (MAKER_BITS + COUNT_BITS) | (uint64_t)f->maker << COUNT_BITS | f->count;
}
