/* SPDX-License-Identifier: MIT */
/* The first continuation byte of a sequence decides whether it is overlong, a surrogate or too
 * large, so the state is how many bytes are to come and the range of the next one (the table of
 * RFC 3629 section 4). */
#include "base/utf8.h"

#include "base/word.h"

static const unsigned char *skip_ascii(const unsigned char *p, const unsigned char *end) {
    for (; end - p >= 32; p += 32) {
        const char *c = (const char *)p;
        uint64_t w = word_load(c) | word_load(c + 8) | word_load(c + 16) | word_load(c + 24);
        if (word_above_ascii(w)) break;
    }
    while (end - p >= 8 && !word_above_ascii(word_load((const char *)p))) p += 8;
    while (p < end && *p < 0x80) p++;
    return p;
}

/* The state behind a first byte. False when no sequence begins with it. */
static bool begin(struct utf8 *u, unsigned char byte) {
    u->least = 0x80;
    u->most = 0xbf;
    if (byte < 0xc2 || byte > 0xf4) return false;
    if (byte < 0xe0) {
        u->left = 1;
    } else if (byte < 0xf0) {
        u->left = 2;
        if (byte == 0xe0) u->least = 0xa0;
        if (byte == 0xed && !u->surrogates) u->most = 0x9f;
    } else {
        u->left = 3;
        if (byte == 0xf0) u->least = 0x90;
        if (byte == 0xf4) u->most = 0x8f;
    }
    return true;
}

bool utf8_feed(struct utf8 *u, struct slice piece) {
    if (!piece.n) return true;
    const unsigned char *p = (const unsigned char *)piece.p, *end = p + piece.n;
    struct utf8 now = *u;
    while (p < end) {
        if (now.left) {
            if (*p < now.least || *p > now.most) return false;
            now.left--;
            now.least = 0x80;
            now.most = 0xbf;
            p++;
        } else if (*p < 0x80) {
            p = skip_ascii(p, end);
        } else if (!begin(&now, *p++)) {
            return false;
        }
    }
    *u = now;
    return true;
}

bool utf8_valid(struct slice s) {
    struct utf8 u = {0};
    return utf8_feed(&u, s) && utf8_done(&u);
}

bool wtf8_valid(struct slice s) {
    struct utf8 u = {.surrogates = true};
    return utf8_feed(&u, s) && utf8_done(&u);
}

size_t utf8_put(uint32_t code_point, char out[4]) {
    size_t n = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; code_point >>= 6) out[i] = (char)(0x80 | (code_point & 0x3f));
    out[0] = (char)(lead[n] | code_point);
    return n;
}
