/* SPDX-License-Identifier: MIT */
#ifndef BASE_ID_H
#define BASE_ID_H

#include "base/slice.h"

/* Random bytes from getrandom, a page at a time. */
struct random {
    unsigned char pool[1024]; /* private */
    size_t left;
};

/* Fills p with n bytes nobody can guess. All zeros is a valid struct random. */
void random_bytes(struct random *r, void *p, size_t n);
uint32_t random_u32(struct random *r);

/* A value in 0 .. n-1 (n > 0), for spreading things out in time. */
uint64_t random_below(struct random *r, uint64_t n);

/* n characters of the alphabet of base64url, six random bits each, and a NUL. */
void random_name(struct random *r, char *out, size_t n);

/* A UUID version 4 (RFC 9562 section 5.4) as 36 characters and a NUL, lower case. */
#define UUID_LENGTH 36
void uuid_v4(struct random *r, char out[UUID_LENGTH + 1]);

/* Exactly a lower-case UUID version 4, nothing before it, nothing behind. */
bool uuid_v4_valid(struct slice s);

#endif
