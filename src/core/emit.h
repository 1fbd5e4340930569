/* SPDX-License-Identifier: MIT */
#ifndef CORE_EMIT_H
#define CORE_EMIT_H

#include "core/emission.h"
#include "core/socket.h"
#include "core/store.h"

/* Events for the sockets in some rooms, on all nodes: each socket gets it once, in however many of
 * the rooms it is. Through rooms that are channels they reach members of every dialect; by their
 * sid, or as "everybody", only sockets whose dialect knows events. */

/* Where a site lets its clients recover what they missed (socketio.recovery), emissions go by way of
 * a channel with a history that no client can name: the log. Its positions are the clients' offsets.
 * Volatile ones are not kept. */

/* The site is opened, or closed: it listens to its log, and to backends' emitters
 * (socketio.emitter). What those send is on each node already, and is in no log. */
void emit_open(struct site *site);
void emit_close(struct site *site);

static inline bool emit_is_kept(const struct site *site) {
    return site->conf->emissions.history;
}

/* Whether a channel is the log. */
bool emit_is_log(struct slice channel);

/* Brings the emissions that were kept after since, as a page (history.h). */
void emit_read(struct site *site, const struct position *since, store_done *done, void *arg);

/* Hands one of those to a socket, if it was for it: by its rooms now, its sid, or another that it
 * had before. */
void emit_missed(struct socket *s, struct slice former_sid, const struct emission *e);

/* Sends it to every node, this one included; delivered later, never inside this call. Borrows. 0,
 * or a negative errno while the store is away. */
int emit_send(struct site *site, const struct emission *e);

/* A node sent one; at: its place in the log, or NULL. */
void emit_received(struct site *site, const struct buf *word, const struct position *at);

/* Delivers it to the sockets of this node. */
void emit_here(struct site *site, const struct emission *e);

#endif
