/* SPDX-License-Identifier: MIT */
#ifndef BASE_MSGPACK_H
#define BASE_MSGPACK_H

#include "base/buf.h"

/* MessagePack, read as the JSON that JavaScript would make of it: dates as texts, undefined, NaN, the
 * infinities and foreign extensions as null. Bytes are handed out, and {"_placeholder":true,"num":N}
 * stands for the N-th of them, as in Socket.IO. Read is the specification of 2013, and what
 * notepack.io 2 has of its own: extension 0 is undefined, a date or an ArrayBuffer. */

/* The next bytes (borrowed); false refuses the whole text. */
typedef bool msgpack_bytes(void *arg, struct slice bytes);

/* Appends the value that in is, as a whole. Containers may be depth deep, at most JSON_DEPTH_MAX; a
 * scalar has 0. Names of members are texts or integers, texts are UTF-8. False when in is none of
 * that, or take (NULL: no bytes are taken) refuses; what json then has more is of no use. Whether
 * names are there twice is not looked at. Time and room are linear in the text, and the stack is
 * not what the depth is taken from. */
bool msgpack_to_json(struct text *json, struct slice in, size_t depth, msgpack_bytes *take,
                     void *arg) __attribute__((warn_unused_result));

#endif
