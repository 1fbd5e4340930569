/* SPDX-License-Identifier: MIT */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* Memory, or the end of the process: what a peer can make us allocate is bounded where it comes
 * in, so a failing malloc is the machine's fault and no caller carries a branch for it. */

/* n zeroed bytes, owned by the caller until mem_free. Aborts when there are none. */
void *mem_new(size_t n) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* n bytes with indeterminate content. */
void *mem_raw(size_t n) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* p (may be NULL) moved to a block of n bytes, content kept. */
void *mem_grow(void *p, size_t n) __attribute__((returns_nonnull, warn_unused_result));

/* Frees p; NULL does nothing. */
void mem_free(void *p);

/* The struct of the given type whose member is at ptr. */
/* clang-format off */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
/* clang-format on */

#endif
