/* SPDX-License-Identifier: MIT */
#ifndef BASE_FLAKE_H
#define BASE_FLAKE_H

#include <stdint.h>

/* Ids that grow: 42 bits of milliseconds since 1970, 10 of whoever makes them, 12 of a counter, as
 * the flake ids that queues of the push service have always had. */
struct flake {
    uint64_t ms;       /* private, as the rest */
    uint32_t maker, count;
};

/* maker: its lower 10 bits tell it from others. */
void flake_init(struct flake *f, uint32_t maker);

/* Greater than all before it, also where the clock went back; never 0. */
uint64_t flake_next(struct flake *f);

#endif
