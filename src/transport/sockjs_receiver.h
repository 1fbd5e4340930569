/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_SOCKJS_RECEIVER_H
#define TRANSPORT_SOCKJS_RECEIVER_H

#include "transport/sockjs.h"

/* An HTTP request that waits for frames. It belongs to its session from sockjs_begin or
 * sockjs_attach on, and ends in one of four ways, each of which frees it: with a frame that was its
 * last, with an error instead of an answer, dropped by us, or cut off by its peer (sockjs_lost). */
struct receiver {
    const struct sockjs_way *way;
    struct sockjs *sockjs;
    struct request *request;
    struct sockjs_session *session; /* NULL: none took it */
    uint64_t sent;                  /* bytes of frames */
    uint8_t callback_length;
    char callback[SOCKJS_CALLBACK_MAX];
};

/* Starts the answer where it carries many frames: the headers and the prelude. */
void receiver_start(struct receiver *rc);

/* Writes a frame. The answer ends with it, and rc is freed, when it carries one only or has reached
 * its limit; the session is told first (sockjs_released). */
void receiver_frame(struct receiver *rc, struct slice frame);

/* Writes a frame and ends the answer, as above. */
void receiver_last(struct receiver *rc, struct slice frame);

/* Answers with an error; nothing has been written yet. The session is not told. */
void receiver_refuse(struct receiver *rc, int status);

/* Closes the connection. The session is not told. */
void receiver_drop(struct receiver *rc, const char *reason);

/* Whether its connection is gone already, and sockjs_lost only has not come yet. */
bool receiver_is_cut(const struct receiver *rc);

#endif
