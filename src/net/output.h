/* SPDX-License-Identifier: MIT */
#ifndef NET_OUTPUT_H
#define NET_OUTPUT_H

#include "base/buf.h"
#include "net/net.h"

#include <sys/uio.h>

/* The bytes that a connection has still to write, in order: short pieces copied side by side, long
 * ones as references to where they are. The kernel takes one piece of 1 KiB faster than thirty of
 * 33 bytes, and a shared buf is copied by nobody. All zeros is empty. */

struct out_block;

struct output {
    struct out_block *first, *last; /* private */
    uint32_t bytes;                 /* in all; to be read */
    bool uncounted;                 /* they are none of net->unsent; set before the first */
};

#define OUTPUT_HEAD_MAX 22

/* Adds head (at most OUTPUT_HEAD_MAX bytes, copied) and behind it buf (NULL: nothing; else copied
 * or referenced, as is better). */
void output_add(struct net *net, struct output *out, struct slice head, struct buf *buf);

/* Describes the first bytes in at most max pieces; returns how many pieces. */
size_t output_pieces(const struct output *out, struct iovec *pieces, size_t max);

/* The first n bytes are written. */
void output_written(struct net *net, struct output *out, size_t n);

/* Throws away what was added, but never a part of what one output_add added: what is begun stays,
 * with what was copied beside it. */
void output_drop(struct net *net, struct output *out);

void output_clear(struct net *net, struct output *out);

/* Frees the blocks that net keeps for later. */
void output_fini(struct net *net);

#endif
