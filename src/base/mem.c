/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

static _Noreturn void out_of_memory(size_t n) {
    fprintf(stderr, "moonlatch: out of memory, asked for %zu bytes\n", n);
    abort();
}

void *mem_new(size_t n) {
    void *p = calloc(1, n ? n : 1);
    if (!p) out_of_memory(n);
    return p;
}

void *mem_raw(size_t n) {
    void *p = malloc(n ? n : 1);
    if (!p) out_of_memory(n);
    return p;
}

void *mem_grow(void *p, size_t n) {
    p = realloc(p, n ? n : 1);
    if (!p) out_of_memory(n);
    return p;
}

void mem_free(void *p) { free(p); }
