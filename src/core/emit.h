/* SPDX-License-Identifier: MIT */
#ifndef CORE_EMIT_H
#define CORE_EMIT_H

#include "core/emission.h"
#include "core/site.h"

/* Events for the sockets in some rooms, on all nodes: each socket gets it once, in however many of
 * the rooms it is. Through rooms that are channels they reach members of every dialect; by their
 * sid, or as "everybody", only sockets whose dialect knows events. */

/* Sends it to every node, this one included; delivered later, never inside this call. Borrows. 0,
 * or a negative errno while the store is away. */
int emit_send(struct site *site, const struct emission *e);

/* A node sent one. */
void emit_received(struct site *site, const struct buf *word);

/* Delivers it to the sockets of this node. */
void emit_here(struct site *site, const struct emission *e);

#endif
