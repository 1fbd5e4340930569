/* SPDX-License-Identifier: MIT */
#include "base/metrics.h"

#include "base/map.h"

#include <stdlib.h>

struct series {
    struct map_link link; /* key: the series as it is printed, without the prefix */
    int64_t value;
    char name[];
};

struct metrics {
    struct map all;
};

struct metrics *metrics_new(void) {
    return mem_new(sizeof(struct metrics));
}

void metrics_free(struct metrics *m) {
    if (!m) return;
    for (struct map_link *l; (l = map_next(&m->all, NULL));) {
        map_remove(&m->all, l);
        mem_free(container_of(l, struct series, link));
    }
    map_fini(&m->all);
    mem_free(m);
}

static void add_label(struct text *t, const char *key, const char *value) {
    if (text_slice(t).p[t->n - 1] != '{') text_char(t, ',');
    text_format(t, "%s=\"", key);
    for (const char *c = value; *c; c++) {
        if (*c == '"' || *c == '\\') text_char(t, '\\');
        text_char(t, *c == '\n' ? ' ' : *c);
    }
    text_char(t, '"');
}

static void add_name(struct text *t, const char *name, const char *key, const char *value,
                     const char *site) {
    text_str(t, name);
    if (!key && !site) return;
    text_char(t, '{');
    if (key) add_label(t, key, value ? value : "");
    if (site) add_label(t, "site", site);
    text_char(t, '}');
}

int64_t *metrics_cell(struct metrics *m, const char *name, const char *key, const char *value,
                      const char *site) {
    struct text t = {0};
    add_name(&t, name, key, value, site);
    struct slice full = text_slice(&t);
    struct map_link *l = map_find(&m->all, full);
    if (!l) {
        struct series *s = mem_new(sizeof *s + full.n);
        memcpy(s->name, full.p, full.n);
        map_add(&m->all, &s->link, slice_make(s->name, full.n));
        l = &s->link;
    }
    text_fini(&t);
    return &container_of(l, struct series, link)->value;
}

void metrics_count(struct metrics *m, const char *name, const char *key, const char *value,
                   const char *site) {
    if (m) ++*metrics_cell(m, name, key, value, site);
}

void metrics_drop(struct metrics *m, const char *name, const char *key, const char *value,
                  const char *site) {
    struct text t = {0};
    add_name(&t, name, key, value, site);
    struct map_link *l = m ? map_find(&m->all, text_slice(&t)) : NULL;
    text_fini(&t);
    if (!l) return;
    map_remove(&m->all, l);
    mem_free(container_of(l, struct series, link));
}

int64_t metrics_sum(const struct metrics *m, const char *name, const char *site) {
    struct text start = {0}, end = {0};
    int64_t sum = 0;
    text_format(&start, "%s{", name);
    text_str(&end, "{"); /* add_label wants to see what stands before it */
    add_label(&end, "site", site);
    text_char(&end, '}');
    struct slice label = slice_from(text_slice(&end), 1);
    for (struct map_link *l = map_next(&m->all, NULL); l; l = map_next(&m->all, l)) {
        bool meant = slice_starts(l->key, text_slice(&start)) && slice_ends(l->key, label);
        if (meant) sum += container_of(l, struct series, link)->value;
    }
    text_fini(&start);
    text_fini(&end);
    return sum;
}

static int by_name(const void *a, const void *b) {
    struct series *const *x = a, *const *y = b;
    return slice_compare((*x)->link.key, (*y)->link.key);
}

void metrics_write(const struct metrics *m, struct text *out) {
    struct series **sorted = mem_new((m->all.count + 1) * sizeof *sorted);
    size_t n = 0;
    for (struct map_link *l = map_next(&m->all, NULL); l; l = map_next(&m->all, l))
        sorted[n++] = container_of(l, struct series, link);
    qsort(sorted, n, sizeof(struct series *), by_name);
    for (size_t i = 0; i < n; i++) {
        text_str(out, "moonlatch_");
        text_add(out, sorted[i]->link.key);
        text_format(out, " %lld\n", (long long)sorted[i]->value);
    }
    mem_free(sorted);
}
