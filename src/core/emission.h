/* SPDX-License-Identifier: MIT */
#ifndef CORE_EMISSION_H
#define CORE_EMISSION_H

#include "base/buf.h"
#include "core/core.h"
#include "core/position.h"

/* An event for the sockets in some rooms: its name and its arguments, as Socket.IO has them. A room
 * is a channel; sockets of the other dialects get the event as the channel's message
 * {"event":...,"args":[...]}. It goes through the store to all nodes, as everything does. */

/* Bytes that arguments hold: where they stand in the JSON is {"_placeholder":true,"num":N}, the
 * N-th of these. */
struct attachments {
    struct buf **list;
    uint32_t count;
};

/* References those of from. */
void attachments_copy(struct attachments *to, const struct attachments *from);

/* Adds one; takes bytes. */
void attachments_add(struct attachments *a, struct buf *bytes);

/* Gives the references back; empty again. */
void attachments_fini(struct attachments *a);

/* All slices are checked JSON, and borrowed. */
struct emission {
    struct slice rooms;  /* array of texts, channels or sids; [] or empty: every socket of the site */
    struct slice except; /* array of texts: channels or sids that do not get it; may be empty */
    struct slice event;  /* the name, a string */
    struct slice args;   /* array */
    struct attachments attachments;
    bool is_volatile; /* not for a socket that lags behind */
    struct position at; /* in the log (emit.h), where it was kept; not part of the word */
};

/* The word that goes to all nodes, and back; read is false when body is none. What it read points
 * into body, but for the attachments, which the caller finishes. */
struct buf *emission_write(const struct emission *e) __attribute__((returns_nonnull));
bool emission_read(struct emission *e, struct slice body) __attribute__((warn_unused_result));

#endif
