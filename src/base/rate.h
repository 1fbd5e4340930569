/* SPDX-License-Identifier: MIT */
#ifndef BASE_RATE_H
#define BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* A rate limit in eight bytes: the time at which the next event would be due if all came evenly
 * (the generic cell rate algorithm). All zeros is a fresh limit. */
struct rate {
    uint64_t due_us;
};

/* Whether an event at now_ms is within per_second, with bursts of up to burst events; when it is,
 * it counts. per_second UINT64_MAX: always. */
static inline bool rate_allow(struct rate *r, uint64_t now_ms, uint64_t per_second,
                              uint64_t burst) {
    if (per_second == UINT64_MAX || per_second == 0) return per_second != 0;
    uint64_t now_us = now_ms * 1000, step_us = 1000000 / per_second;
    if (!step_us) step_us = 1;
    if (r->due_us < now_us) r->due_us = now_us;
    if (burst != UINT64_MAX && r->due_us - now_us > step_us * (burst ? burst - 1 : 0)) return false;
    r->due_us += step_us;
    return true;
}

#endif
