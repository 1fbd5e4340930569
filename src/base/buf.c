/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

struct buf *buf_new(size_t n) {
    assert(n <= UINT32_MAX);
    struct buf *b = mem_raw(sizeof *b + n);
    b->refs = 1;
    b->n = (uint32_t)n;
    return b;
}

struct buf *buf_copy(struct slice s) {
    struct buf *b = buf_new(s.n);
    if (s.n) memcpy(b->data, s.p, s.n);
    return b;
}

void buf_unref(struct buf *b) {
    if (b && --b->refs == 0) mem_free(b);
}

void text_grow(struct text *t, size_t n) {
    size_t cap = t->cap ? t->cap : 120;
    while (cap - t->n < n) cap += cap;
    t->buf = mem_grow(t->buf, sizeof *t->buf + cap);
    t->cap = cap;
}

void text_u64(struct text *t, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    text_add(t, slice_make(digits + at, sizeof digits - at));
}

void text_format(struct text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n <= 0) return;
    va_start(args, format);
    vsnprintf(text_reserve(t, (size_t)n + 1), (size_t)n + 1, format, args);
    va_end(args);
    t->n += (size_t)n;
}

struct buf *text_take(struct text *t) {
    if (!t->buf) return buf_new(0);
    struct buf *b = t->buf;
    assert(t->n <= UINT32_MAX);
    if (t->cap - t->n > 1024) b = mem_grow(b, sizeof *b + t->n);
    b->refs = 1;
    b->n = (uint32_t)t->n;
    *t = (struct text){0};
    return b;
}

void text_fini(struct text *t) {
    mem_free(t->buf);
    *t = (struct text){0};
}
