/* SPDX-License-Identifier: MIT */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes. A slice belongs to nobody and is dead when the function that got it returns;
 * who wants to keep the bytes makes a buf of them. Not terminated; p may be NULL when n is 0. */
struct slice {
    const char *p;
    size_t n;
};

/* A slice of a string literal, usable in initialisers. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})

static inline struct slice slice_make(const void *p, size_t n) {
    return (struct slice){(const char *)p, n};
}

/* The bytes of a C string; NULL gives an empty slice. */
static inline struct slice slice_of(const char *cstr) {
    return (struct slice){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_is(struct slice a, const char *cstr) {
    return slice_eq(a, slice_of(cstr));
}

static inline struct slice slice_from(struct slice s, size_t at) {
    if (at > s.n) at = s.n;
    return s.n ? (struct slice){s.p + at, s.n - at} : s;
}

static inline struct slice slice_upto(struct slice s, size_t n) {
    return (struct slice){s.p, n < s.n ? n : s.n};
}

static inline bool slice_starts(struct slice s, struct slice prefix) {
    return s.n >= prefix.n && slice_eq(slice_upto(s, prefix.n), prefix);
}

static inline bool slice_ends(struct slice s, struct slice suffix) {
    return s.n >= suffix.n && slice_eq(slice_from(s, s.n - suffix.n), suffix);
}

/* The offset of the first c in s, or s.n. */
static inline size_t slice_find(struct slice s, char c) {
    const char *hit = s.n ? (const char *)memchr(s.p, c, s.n) : NULL;
    return hit ? (size_t)(hit - s.p) : s.n;
}

/* Equality that ignores the case of ASCII letters, as HTTP wants it for names and tokens. */
bool slice_ieq(struct slice a, struct slice b);

/* Without the spaces and tabs at both ends. */
struct slice slice_trim(struct slice s);

/* Takes the text before the next sep (or all) off *rest and puts it into *part. False when *rest
 * has ended; "a," gives "a" and then "". Start with an untouched slice; p becomes NULL at the end.
 */
bool slice_next(struct slice *rest, char sep, struct slice *part);

/* A decimal number of digits only, as a whole. False when it is anything else or does not fit. */
bool slice_u64(struct slice s, uint64_t *value);

/* Order as memcmp has it, shorter first. */
int slice_compare(struct slice a, struct slice b);

/* A copy with a NUL behind it; the caller owns it (mem_free). */
char *slice_cstr(struct slice s) __attribute__((warn_unused_result));

#endif
