/* SPDX-License-Identifier: MIT */
#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

void digest_sha1(struct slice s, unsigned char out[20]) {
    SHA1((const unsigned char *)(s.p ? s.p : ""), s.n, out);
}

void digest_sha256(struct slice s, unsigned char out[32]) {
    SHA256((const unsigned char *)(s.p ? s.p : ""), s.n, out);
}

void digest_hmac_sha256(struct slice key, struct slice s, unsigned char out[32]) {
    unsigned int n = 32;
    HMAC(EVP_sha256(), key.p ? key.p : "", (int)key.n, (const unsigned char *)(s.p ? s.p : ""), s.n,
         out, &n);
}

void hex_encode(struct text *out, struct slice s) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < s.n; i++) {
        text_char(out, digits[(unsigned char)s.p[i] >> 4]);
        text_char(out, digits[(unsigned char)s.p[i] & 15]);
    }
}

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct text *out, struct slice s, const char *alphabet, bool pad) {
    const unsigned char *p = (const unsigned char *)s.p;
    for (size_t i = 0; i < s.n; i += 3) {
        size_t left = s.n - i;
        uint32_t v = (uint32_t)p[i] << 16;
        if (left > 1) v |= (uint32_t)p[i + 1] << 8;
        if (left > 2) v |= p[i + 2];
        text_char(out, alphabet[v >> 18]);
        text_char(out, alphabet[v >> 12 & 63]);
        if (left > 1) text_char(out, alphabet[v >> 6 & 63]);
        else if (pad) text_char(out, '=');
        if (left > 2) text_char(out, alphabet[v & 63]);
        else if (pad) text_char(out, '=');
    }
}

void base64_encode(struct text *out, struct slice s) { encode(out, s, standard, true); }
void base64url_encode(struct text *out, struct slice s) { encode(out, s, url_safe, false); }

static int digit_value(char c, bool url) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == (url ? '-' : '+')) return 62;
    if (c == (url ? '_' : '/')) return 63;
    return -1;
}

bool base64_decode(struct text *out, struct slice s, bool url) {
    if (!url) {
        if (s.n % 4) return false;
        for (int pad = 0; pad < 2 && s.n && s.p[s.n - 1] == '='; pad++) s.n--;
    }
    if (s.n % 4 == 1) return false;
    uint32_t v = 0;
    int bits = 0;
    for (size_t i = 0; i < s.n; i++) {
        int digit = digit_value(s.p[i], url);
        if (digit < 0) return false;
        v = v << 6 | (uint32_t)digit;
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        text_char(out, (char)(v >> bits & 255));
    }
    /* bits that no byte has must be zero: one text, one value */
    return (v & ((1u << bits) - 1)) == 0;
}

bool digest_equal(struct slice a, struct slice b) {
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}
