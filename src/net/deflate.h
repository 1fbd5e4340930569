/* SPDX-License-Identifier: MIT */
#ifndef NET_DEFLATE_H
#define NET_DEFLATE_H

#include "base/buf.h"

#include <sys/types.h>

/* permessage-deflate (RFC 7692): what is agreed on in the handshake, and the two zlib streams of a
 * connection. It knows bytes only; frames and limits are ws's. */

/* What both sides keep to. */
struct deflate_terms {
    uint8_t server_bits, client_bits;        /* windows that we and that the peer compress with */
    bool server_bits_said, client_bits_said; /* whether the answer names them */
    bool server_no_takeover, client_no_takeover;
};

/* Reads the value of one Sec-WebSocket-Extensions header and takes the first offer that we can
 * keep, with windows of at most window_bits (9..15), and without context takeover unless takeover.
 * An offer of another extension, with unknown, doubled or wrong parameters, or of an 8-bit window
 * for us (zlib has none) is passed over. False when there is none to take. */
bool deflate_negotiate(struct slice offers, int window_bits, bool takeover,
                       struct deflate_terms *terms) __attribute__((warn_unused_result));

/* Appends the extension as the answer names it. */
void deflate_answer(const struct deflate_terms *terms, struct text *out);

struct deflate;

/* level: 1..9, or 0 for zlib's default. Streams are made when first used and, without takeover,
 * live for one message. */
struct deflate *deflate_new(const struct deflate_terms *terms, int level)
    __attribute__((returns_nonnull, warn_unused_result));

/* NULL does nothing. */
void deflate_free(struct deflate *d);

/* A message, not an empty one, compressed as the payload of its frame. The caller owns it. */
struct buf *deflate_message(struct deflate *d, struct slice message)
    __attribute__((returns_nonnull, warn_unused_result));

/* Inflates *in, the next piece of the message that is being read, into out of room > 0 bytes, and
 * takes what it used off *in. Returns how many bytes were written; as long as that is room there
 * may be more, so call again. -EBADMSG when it is no deflate stream. */
ssize_t inflate_piece(struct deflate *d, struct slice *in, char *out, size_t room)
    __attribute__((warn_unused_result));

/* The same when all pieces were given: the rest of the message. Its last call, the one that returns
 * less than room, ends the message; -EBADMSG when the stream ends inside a block. */
ssize_t inflate_end(struct deflate *d, char *out, size_t room) __attribute__((warn_unused_result));

#endif
