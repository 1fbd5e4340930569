/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_SOCKJS_FRAME_H
#define TRANSPORT_SOCKJS_FRAME_H

#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"

/* The texts of SockJS: frames, how each transport writes them, and the bodies that clients send.
 * All pure: nothing here knows a connection. */

/* A message as the frame a["..."]. Whatever cannot stand as it is in every transport is escaped, so
 * the frame is valid UTF-8 without controls; text may be WTF-8 (lone surrogates come out as
 * \udxxx), and a byte that is neither becomes \ufffd. The caller owns it. */
struct buf *sockjs_wrap(struct slice text) __attribute__((returns_nonnull, warn_unused_result));

/* One frame with the messages of n > 0 frames that sockjs_wrap made. The caller owns it. */
struct buf *sockjs_merge(struct buf *const *frames, size_t n)
    __attribute__((returns_nonnull, warn_unused_result));

/* c[code,"reason"]. The caller owns it. */
struct buf *sockjs_close_frame(int code, const char *reason)
    __attribute__((returns_nonnull, warn_unused_result));

/* How a transport that receives over HTTP writes frames. */
struct sockjs_way {
    const char *what;         /* the last part of its URL */
    const char *protocol;     /* its name for scripts */
    const char *content_type; /* of its answers */
    bool post;                /* asked for with POST (else GET) */
    bool cors;                /* asked for across origins */
    bool streaming;           /* many frames in one answer */
    bool callback;            /* wants the name of a JavaScript function */
    /* What a streaming answer begins with, appended. */
    void (*prelude)(struct text *out, struct slice callback);
    /* A frame, appended. */
    void (*frame)(struct text *out, struct slice frame, struct slice callback);
};

extern const struct sockjs_way sockjs_xhr, sockjs_xhr_streaming, sockjs_eventsource,
    sockjs_htmlfile, sockjs_jsonp;

#define SOCKJS_CALLBACK_MAX 32

/* Whether this may be the name of a callback: 1 to 32 of [A-Za-z0-9_.-]. */
bool sockjs_callback_valid(struct slice name);

/* What is wrong with a body. */
enum sockjs_body {
    SOCKJS_BODY_GOOD,
    SOCKJS_BODY_EMPTY,   /* no array of strings */
    SOCKJS_BODY_BROKEN,  /* no JSON, or nested beyond the limits */
    SOCKJS_BODY_TOO_MANY /* more messages than most */
};

/* The messages of a body, as far as they are not taken yet. */
struct sockjs_messages {
    struct slice rest; /* private */
    bool lone;         /* private: rest is one string, in no array */
    struct text room;  /* private: for strings with escapes */
};

/* Checks a body, which is an array of at most most strings, and starts a walk over it. With bare, a
 * lone string and an empty body are good as well (WebSocket). The body is borrowed. */
enum sockjs_body sockjs_body_check(struct sockjs_messages *m, struct slice body,
                                   const struct limits *limits, uint64_t most, bool bare);

/* The next message (WTF-8), valid until the next call. False at the end. */
bool sockjs_body_next(struct sockjs_messages *m, struct slice *message);

/* Ends the walk, wherever it is. */
static inline void sockjs_body_fini(struct sockjs_messages *m) { text_fini(&m->room); }

#endif
