/* SPDX-License-Identifier: MIT */
#ifndef CORE_MSG_H
#define CORE_MSG_H

#include "core/emission.h"
#include "core/position.h"
#include "core/session.h"

/* One published message on its way to the members of a channel: encoded at most once for each wire
 * form in use (endpoint, protocol and wrap), however many there are to send it to. */

#define MSG_WIRES 8

struct msg {
    uint32_t refs;
    struct slice channel; /* in the msg's own memory */
    struct buf *body;     /* JSON, the very bytes that the publisher sent */
    struct position at;   /* in the channel's history, if it has one */
    bool is_event;        /* body is {"event":...,"args":[...]} */
    struct position logged; /* of an event, in the log of emissions (emit.h), if that has it */
    struct attachments attachments; /* of an event */
    struct {
        const struct endpoint *endpoint;
        bool eio3;
        struct buf *(*wrap)(struct slice text);
        struct buf *wire;
    } wires[MSG_WIRES]; /* private */
    char name[];        /* private */
};

/* Copies channel, and at (NULL: nowhere); references body. */
struct msg *msg_new(struct slice channel, struct buf *body, const struct position *at)
    __attribute__((returns_nonnull, warn_unused_result));
static inline struct msg *msg_ref(struct msg *m) {
    m->refs++;
    return m;
}
void msg_unref(struct msg *m);

/* {"channel":...,"message":...}, with "offset" and "epoch" where there is a history: how JSON
 * dialects render it. The caller owns it. */
struct buf *msg_json(const struct msg *m, const struct socket *s)
    __attribute__((returns_nonnull, warn_unused_result));

/* The same message with another body (JSON, referenced): still an event when that is one. */
struct msg *msg_replace(const struct msg *m, struct buf *body)
    __attribute__((returns_nonnull, warn_unused_result));

/* Sends it to a socket, which must be open. */
void msg_send(struct msg *m, struct socket *s);

/* The bytes to send to a socket, which must be open, made at first use. The caller owns a reference.
 */
struct buf *msg_wire(struct msg *m, const struct socket *s)
    __attribute__((returns_nonnull, warn_unused_result));

#endif
