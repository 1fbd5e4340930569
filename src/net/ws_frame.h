/* SPDX-License-Identifier: MIT */
#ifndef NET_WS_FRAME_H
#define NET_WS_FRAME_H

#include "base/slice.h"

/* The frames of RFC 6455 section 5 as bytes; no connection, no state. */

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};

#define WS_FIN 0x80
#define WS_RSV1 0x40
#define WS_HEAD_MAX 14 /* of a client's frame; ours have no mask: 10 */
#define WS_CONTROL_MAX 125

/* A client's frame header. */
struct ws_head {
    uint64_t length;
    uint8_t opcode;
    bool fin, rsv1;
    unsigned char mask[4];
};

static inline bool ws_is_control(uint8_t opcode) { return opcode & 8; }

/* Reads a header from the n > 0 bytes at p. Returns its size; 0 when more bytes are needed, length
 * is then set if it is known already, else 0; -EPROTO when no client may send such a frame, and a
 * constant text in *wrong. RSV1 is left to the caller, but for frames that never have it. */
int ws_head_read(struct ws_head *h, const char *p, size_t n, const char **wrong)
    __attribute__((warn_unused_result));

/* Writes the header of a frame of ours to out; first is the opcode with WS_FIN and WS_RSV1. Returns
 * its size. */
size_t ws_head_write(char out[10], unsigned first, uint64_t length);

/* Takes the mask off n bytes, which begin offset bytes into the payload. */
void ws_unmask(char *p, size_t n, const unsigned char mask[4], uint64_t offset);

/* Whether a peer may send this close code. */
bool ws_close_code_valid(unsigned code);

#endif
