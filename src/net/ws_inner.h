/* SPDX-License-Identifier: MIT */
#ifndef NET_WS_INNER_H
#define NET_WS_INNER_H

#include "base/utf8.h"
#include "net/deflate.h"
#include "net/ws.h"
#include "net/ws_frame.h"

/* What the three parts of the WebSocket share: ws_handshake.c (from HTTP to here), ws_read.c (bytes
 * to messages) and ws.c (life, output, times). Nobody else includes this. */

enum ws_flag {
    WS_AWAITS_PONG = 1,
    WS_PAUSED = 2,                      /* by the owner; also while the handshake is answered */
    WS_THROTTLED = 4,                   /* for its message rate */
    WS_HOLDS = WS_PAUSED | WS_THROTTLED /* no message is handed over */
};

/* Exists while a part of a frame or message has come, and not the rest. */
struct ws_inbound {
    uint64_t began_ms;
    char *data; /* of the message: unmasked, inflated */
    size_t n, cap;
    uint64_t wire_n; /* its bytes before inflating */
    uint32_t fragments;
    struct utf8 utf8;
    uint8_t opcode; /* of the message */
    bool in_message, compressed;
    bool in_frame;  /* its header is known: frame and left stand */
    uint8_t head_n; /* bytes of a header that is cut; they are in bytes */
    struct ws_head frame;
    uint64_t left;              /* payload bytes of the frame to come */
    char bytes[WS_CONTROL_MAX]; /* of a control frame, or of a header */
};

/* What few connections ever need; stays once it is made. */
struct ws_extra {
    struct ws *ws;
    struct deferred later; /* hands over what is held */
    struct text held;      /* bytes that were read while no message could be handed over */
    size_t held_at;        /* how many of them are used */
    uint64_t throttled_ms; /* since when its message rate is too high */
    uint64_t resume_ms;    /* when it is read again */
    uint64_t ends_ms;      /* the end of its lifetime; 0: none */
    struct buf *pong;      /* waits for room in the output */
    struct buf *reason;    /* of the close frame, for closed */
};

extern const struct conn_ops ws_conn_ops;

/* ws.c: w's fields but extra and deflate stand; it may be read from now on. */
void ws_start(struct ws *w);
struct ws_extra *ws_need_extra(struct ws *w) __attribute__((returns_nonnull));

/* The peer broke a rule: closes with code and why, a constant text, and waits for nothing. */
void ws_fail(struct ws *w, int code, const char *why);

/* The same for a limit, which is counted. */
void ws_fail_limit(struct ws *w, int code, const char *limit, const char *why);

/* A whole control frame has come. */
void ws_take_control(struct ws *w, uint8_t opcode, struct slice payload);

/* A message is handed over: counts it, may throttle. */
void ws_take_message(struct ws *w, uint8_t opcode, struct slice data);

/* ws_read.c: takes bytes, changing them in place, and returns how many it used: fewer than n when
 * no message may be handed over any more, or w is closed. */
size_t ws_read(struct ws *w, char *p, size_t n);

/* NULL does nothing. */
void ws_inbound_free(struct ws_inbound *in);

#endif
