/* SPDX-License-Identifier: MIT */
#ifndef BASE_WORD_H
#define BASE_WORD_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Text eight bytes at a time, for the loops that every message passes. A test gives a mask with the
 * top bit of each byte that it holds for. A carry may set bits behind the first byte that is meant,
 * never before it, so of a mask of tests (joined with |) only two things may be asked: is it zero,
 * and which is its first byte. */

#define WORD_OF(byte) (UINT64_C(0x0101010101010101) * (byte))
#define WORD_TOPS WORD_OF(0x80)

/* The eight bytes at p, the first one lowest. */
static inline uint64_t word_load(const char *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return le64toh(w);
}

static inline uint64_t word_above_ascii(uint64_t w) { return w & WORD_TOPS; }

/* Bytes less than limit, which is at most 0x80. */
static inline uint64_t word_below(uint64_t w, unsigned char limit) {
    return (w - WORD_OF(limit)) & ~w & WORD_TOPS;
}

static inline uint64_t word_equal(uint64_t w, unsigned char byte) {
    return word_below(w ^ WORD_OF(byte), 1);
}

/* The index of the first byte of a mask that is not zero. */
static inline size_t word_first(uint64_t mask) { return (size_t)__builtin_ctzll(mask) >> 3; }

#endif
