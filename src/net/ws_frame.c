/* SPDX-License-Identifier: MIT */
#include "net/ws_frame.h"

#include <errno.h>

static int refuse(const char **wrong, const char *why) {
    *wrong = why;
    return -EPROTO;
}

static uint64_t big_endian(const unsigned char *p, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | p[i];
    return v;
}

/* What the first two bytes alone say. */
static int check_start(const struct ws_head *h, unsigned first, unsigned second,
                       const char **wrong) {
    bool control = ws_is_control(h->opcode);
    if (first & 0x30) return refuse(wrong, "reserved bit");
    if ((h->opcode & 7) > 2) return refuse(wrong, "reserved opcode");
    if (h->rsv1 && (control || !h->opcode)) return refuse(wrong, "reserved bit");
    if (control && !h->fin) return refuse(wrong, "fragmented control frame");
    if (control && (second & 127) > WS_CONTROL_MAX) return refuse(wrong, "long control frame");
    if (!(second & 128)) return refuse(wrong, "frame without mask");
    return 0;
}

int ws_head_read(struct ws_head *h, const char *p, size_t n, const char **wrong) {
    const unsigned char *b = (const unsigned char *)p;
    unsigned second = n > 1 ? b[1] : 128;
    h->length = 0;
    h->opcode = b[0] & 15;
    h->fin = b[0] & WS_FIN;
    h->rsv1 = b[0] & WS_RSV1;
    int rc = check_start(h, b[0], second, wrong);
    if (rc || n < 2) return rc;
    size_t at = 2;
    h->length = second & 127;
    if (h->length > 125) {
        int size = h->length == 126 ? 2 : 8;
        h->length = 0;
        if (n < at + (size_t)size) return 0;
        uint64_t length = big_endian(b + at, size);
        if (length >> 63) return refuse(wrong, "length above 2^63");
        if (length < (size == 2 ? 126 : 65536))
            return refuse(wrong, "length not in its shortest form");
        h->length = length;
        at += (size_t)size;
    }
    if (n < at + 4) return 0;
    memcpy(h->mask, b + at, 4);
    return (int)at + 4;
}

size_t ws_head_write(char out[10], unsigned first, uint64_t length) {
    int size = length < 126 ? 0 : length < 65536 ? 2 : 8;
    out[0] = (char)first;
    out[1] = (char)(size == 0 ? length : size == 2 ? 126 : 127);
    for (int i = 0; i < size; i++) out[2 + i] = (char)(length >> 8 * (size - 1 - i) & 255);
    return 2 + (size_t)size;
}

void ws_unmask(char *p, size_t n, const unsigned char mask[4], uint64_t offset) {
    unsigned char turned[4];
    for (unsigned i = 0; i < 4; i++) turned[i] = mask[(offset + i) & 3];
    uint32_t half;
    memcpy(&half, turned, 4);
    uint64_t key = half | (uint64_t)half << 32, word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        word ^= key;
        memcpy(p, &word, 8);
    }
    for (size_t i = 0; i < n; i++) p[i] = (char)(p[i] ^ turned[i & 3]);
}

bool ws_close_code_valid(unsigned code) {
    if (code >= 3000) return code <= 4999;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}
