/* SPDX-License-Identifier: MIT */
#include "base/slice.h"

#include "base/mem.h"

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

bool slice_ieq(struct slice a, struct slice b) {
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

struct slice slice_trim(struct slice s) {
    while (s.n && is_blank(s.p[0])) s = slice_from(s, 1);
    while (s.n && is_blank(s.p[s.n - 1])) s.n--;
    return s;
}

bool slice_next(struct slice *rest, char sep, struct slice *part) {
    if (!rest->p) return false;
    size_t at = slice_find(*rest, sep);
    *part = slice_upto(*rest, at);
    *rest = at < rest->n ? slice_from(*rest, at + 1) : (struct slice){NULL, 0};
    return true;
}

bool slice_u64(struct slice s, uint64_t *value) {
    uint64_t v = 0;
    if (s.n == 0 || s.n > 20) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        if (__builtin_mul_overflow(v, 10u, &v)) return false;
        if (__builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) return false;
    }
    *value = v;
    return true;
}

int slice_compare(struct slice a, struct slice b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    if (order) return order;
    return a.n < b.n ? -1 : a.n > b.n;
}

char *slice_cstr(struct slice s) {
    char *copy = mem_raw(s.n + 1);
    if (s.n) memcpy(copy, s.p, s.n);
    copy[s.n] = 0;
    return copy;
}
