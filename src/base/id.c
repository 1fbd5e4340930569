/* SPDX-License-Identifier: MIT */
#include "base/id.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static void refill(struct random *r) {
    size_t have = 0;
    while (have < sizeof r->pool) {
        ssize_t n = getrandom(r->pool + have, sizeof r->pool - have, 0);
        if (n < 0 && errno != EINTR) abort(); /* no randomness, no tokens */
        if (n > 0) have += (size_t)n;
    }
    r->left = sizeof r->pool;
}

void random_bytes(struct random *r, void *p, size_t n) {
    for (unsigned char *out = p; n;) {
        if (!r->left) refill(r);
        size_t part = n < r->left ? n : r->left;
        unsigned char *from = r->pool + sizeof r->pool - r->left;
        memcpy(out, from, part);
        memset(from, 0, part); /* handed out once, and not left lying about */
        r->left -= part;
        out += part;
        n -= part;
    }
}

uint32_t random_u32(struct random *r) {
    uint32_t v;
    random_bytes(r, &v, sizeof v);
    return v;
}

uint64_t random_below(struct random *r, uint64_t n) {
    uint64_t v;
    random_bytes(r, &v, sizeof v);
    return v % n; /* the bias is below n / 2^64 */
}

void uuid_v4(struct random *r, char out[UUID_LENGTH + 1]) {
    static const char digits[] = "0123456789abcdef";
    unsigned char b[16];
    random_bytes(r, b, sizeof b);
    b[6] = (unsigned char)(0x40 | (b[6] & 0x0f));
    b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
    char *at = out;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *at++ = '-';
        *at++ = digits[b[i] >> 4];
        *at++ = digits[b[i] & 15];
    }
    *at = 0;
}

static bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool uuid_v4_valid(struct slice s) {
    if (s.n != UUID_LENGTH) return false;
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.p[i] != '-' : !is_hex(s.p[i])) return false;
    }
    return s.p[14] == '4' && strchr("89ab", s.p[19]) != NULL;
}

void random_name(struct random *r, char *out, size_t n) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    random_bytes(r, out, n);
    for (size_t i = 0; i < n; i++) out[i] = alphabet[out[i] & 63];
    out[n] = 0;
}
