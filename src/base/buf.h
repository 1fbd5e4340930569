/* SPDX-License-Identifier: MIT */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

#include <stdint.h>

/* Bytes that several owners share. Immutable from the moment a second owner has it; whoever made
 * it may fill data before that. Not atomic: a buf stays on its worker's thread. At most 4 GiB. */
struct buf {
    uint32_t refs;
    uint32_t n;
    char data[];
};

/* A buf of n bytes to fill, with one reference, the caller's. */
struct buf *buf_new(size_t n) __attribute__((returns_nonnull, warn_unused_result));

/* A buf that holds a copy of s. */
struct buf *buf_copy(struct slice s) __attribute__((returns_nonnull, warn_unused_result));

static inline struct buf *buf_ref(struct buf *b) {
    b->refs++;
    return b;
}

/* Gives one reference back; the last one frees. NULL does nothing. */
void buf_unref(struct buf *b);

/* Borrows the bytes; NULL gives an empty slice. */
static inline struct slice buf_slice(const struct buf *b) {
    return b ? (struct slice){b->data, b->n} : (struct slice){NULL, 0};
}

/* Text that grows at its end and becomes a buf. All zeros is an empty text. */
struct text {
    struct buf *buf; /* private: n is set by text_take */
    size_t n;
    size_t cap;
};

void text_grow(struct text *t, size_t n); /* private to text_reserve */

/* Room for n more bytes, to be filled and then counted with text_commit. */
static inline char *text_reserve(struct text *t, size_t n) {
    if (t->cap - t->n < n || !t->buf) text_grow(t, n);
    return t->buf->data + t->n;
}
static inline void text_commit(struct text *t, size_t n) { t->n += n; }

static inline void text_char(struct text *t, char c) {
    *text_reserve(t, 1) = c;
    t->n++;
}

static inline void text_add(struct text *t, struct slice s) {
    if (!s.n) return;
    memcpy(text_reserve(t, s.n), s.p, s.n);
    t->n += s.n;
}

static inline void text_str(struct text *t, const char *cstr) { text_add(t, slice_of(cstr)); }
void text_u64(struct text *t, uint64_t value);
void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What is in it so far; valid until it grows. */
static inline struct slice text_slice(const struct text *t) {
    return (struct slice){t->buf ? t->buf->data : NULL, t->n};
}

/* The content as a buf with one reference, the caller's. The text is empty again. */
struct buf *text_take(struct text *t) __attribute__((returns_nonnull, warn_unused_result));

/* Empties it and keeps the memory for more. */
static inline void text_clear(struct text *t) { t->n = 0; }

/* Keeps the first n bytes; n is at most what it has. */
static inline void text_cut(struct text *t, size_t n) { t->n = n; }

/* Frees what was not taken. The text is empty again. */
void text_fini(struct text *t);

#endif
