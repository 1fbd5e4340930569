/* SPDX-License-Identifier: MIT */
#ifndef NET_WS_H
#define NET_WS_H

#include "base/rate.h"
#include "net/http.h"

/* WebSocket, server side (RFC 6455), with permessage-deflate (RFC 7692).
 *
 * Whole messages come out, checked: UTF-8 (failing fast), sizes, fragments, masks, close codes. A
 * frame that lies whole in the read buffer is unmasked and handed over in place; only what is cut
 * by a read or fragmented is collected, so an idle connection holds nothing but its struct ws. */

struct ws_settings {
    uint64_t max_message;   /* bytes, after inflating: 1009 */
    uint64_t max_fragments; /* frames of a message: 1009 */
    bool compress;          /* permessage-deflate may be negotiated */
    int compress_level;     /* 1..9; 0: zlib's default */
    uint64_t compress_min;  /* shorter messages go out as they are */
    int window_bits;        /* 9..15: the largest window of ours, both ways */
    bool context_takeover;  /* false: the window is thrown away after each message, both ways */
    struct slice protocols; /* subprotocols we speak, comma-separated; the first one offered that is
                               in here is confirmed. "*": the first offered */
    bool patient;           /* a slow reader is closed above send_buffer_hard only */
    bool ping;              /* send pings */
    uint64_t ping_interval_ms;   /* that often; 0: every limits->ws_ping_interval */
    const struct limits *limits; /* of the site: rates, times, send buffer */
    const char *site;            /* for the counters; may be NULL */
};

struct ws;
struct ws_ops {
    /* A message. The bytes are dead when this returns. May send, pause and close. */
    void (*message)(struct ws *w, struct slice data, bool binary);
    /* All output is with the kernel, after it had to wait. May be NULL. */
    void (*drained)(struct ws *w);
    /* It is over, exactly once: the peer's close code (1005: none, 1006: no close frame), or ours
     * when we closed first or the peer broke a rule. Comes from the end of the turn. The struct ws
     * may be freed in it. */
    void (*closed)(struct ws *w, int code, struct slice reason);
};

enum ws_state {
    WS_OPEN,
    WS_CLOSING, /* our close frame is out, the peer's is awaited; its messages are ignored */
    WS_CLOSED   /* both are, or the connection is gone; closed comes or came */
};

struct ws_inbound; /* a frame or message of which a part has come */
struct ws_extra;   /* what few connections ever need */
struct deflate;    /* compression, when it was agreed on */

/* Embedded in a transport's session. Private but for conn and settings, to be read. */
struct ws {
    struct conn *conn;
    const struct ws_ops *ops;
    const struct ws_settings *settings; /* borrowed, outlives it */
    struct ws_inbound *inbound;
    struct ws_extra *extra;
    struct deflate *deflate;
    struct timer timer; /* for whichever of its times comes first */
    struct rate messages, controls;
    uint32_t ping_ms; /* low bits of when the next ping goes out, or the pong must be there */
    uint16_t close_code;
    uint8_t state;
    uint8_t flags;
};

/* Whether r is a WebSocket handshake as RFC 6455 4.2.1 wants it. Returns 0, or the status to refuse
 * it with: 405 (not GET), 400, or 426 (another version than 13; and than 8 where also_8 is set: its
 * frames are the same, SockJS clients of old may ask for it). Answers nothing itself. */
int ws_check_versions(const struct request *r, bool also_8);
static inline int ws_check(const struct request *r) { return ws_check_versions(r, false); }

/* Answers r with the status (400, 405, 426 with the version we speak, or any other) and closes its
 * connection: whatever a peer sends behind a refused upgrade is not HTTP. */
void ws_refuse(struct request *r, int status);

/* Answers 101 and starts w (zeroed memory) on r's connection; extensions and subprotocol are
 * negotiated by settings. r is dead after it; w can send. Never calls back before it returns:
 * frames that came right behind the handshake are handed over at the end of this turn. So build
 * what you need of r first, then accept, then open the session. */
void ws_accept(struct ws *w, struct request *r, const struct ws_settings *settings,
               const struct ws_ops *ops);

/* Queues a message; borrows payload (takes a reference). Text must be UTF-8: the caller's duty.
 * Does nothing unless open. */
void ws_send(struct ws *w, struct buf *payload, bool binary);

/* Sends a close frame (code 0: without a code; reason is cut to 123 bytes at a character) behind
 * what is queued, and waits ws_close_wait for the peer's. closed follows, never inside the call.
 * Twice does nothing. */
void ws_close(struct ws *w, int code, struct slice reason);

/* As ws_close, but throws away what is queued: for peers that do not read. */
void ws_close_slow(struct ws *w, int code, struct slice reason);

/* Ends the connection without a word. reason is a constant text. closed follows with 1006. */
void ws_drop(struct ws *w, const char *reason);

/* Counts n more against the message rate: for a protocol with several messages in one of ours. */
void ws_count_messages(struct ws *w, uint64_t n);

static inline size_t ws_backlog(const struct ws *w) { return conn_backlog(w->conn); }

/* Stops and starts the messages: after ws_pause none is handed over, also not from bytes that were
 * read already; ws_resume brings them at the end of the turn, never inside the call. */
void ws_pause(struct ws *w);
void ws_resume(struct ws *w);

#endif
