/* SPDX-License-Identifier: MIT */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/buf.h"

/* Counters and gauges of one worker, shown in the Prometheus text format. Names and labels come
 * from us and from conf files, never from peers, so their number is bounded. */
struct metrics;

struct metrics *metrics_new(void) __attribute__((returns_nonnull));
void metrics_free(struct metrics *m);

/* The cell of a series, made at its first use with the value 0; it lives as long as m. Hot paths
 * keep the pointer. key NULL: no labels; site may be NULL. */
int64_t *metrics_cell(struct metrics *m, const char *name, const char *key, const char *value,
                      const char *site);

/* Adds one to name{key="value",site="..."}. m may be NULL (tests). */
void metrics_count(struct metrics *m, const char *name, const char *key, const char *value,
                   const char *site);

/* Takes a series out: what it was about is gone. Nobody may have kept its cell. */
void metrics_drop(struct metrics *m, const char *name, const char *key, const char *value,
                  const char *site);

/* A limit of LIMITS.md was reached: limit_hits_total{limit=...,site=...}. */
static inline void metrics_limit(struct metrics *m, const char *limit, const char *site) {
    metrics_count(m, "limit_hits_total", "limit", limit, site);
}

/* What all series of this name add up to that have a label site with this value. */
int64_t metrics_sum(const struct metrics *m, const char *name, const char *site);

/* All series, sorted by name, appended to out. */
void metrics_write(const struct metrics *m, struct text *out);

#endif
