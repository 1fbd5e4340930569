/* SPDX-License-Identifier: MIT */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/slice.h"

/* UTF-8 as RFC 3629 has it: no surrogates, nothing overlong, nothing above U+10FFFF. */

/* The state of a text that comes in pieces; all zeros at its start. */
struct utf8 {
    uint8_t left;        /* private: continuation bytes still to come */
    uint8_t least, most; /* private: the range of the next of them */
    bool surrogates;     /* private: they may stand in it */
};

/* Takes the next piece. False at the first byte that no continuation can make right (fail fast);
 * the state is then of no use. */
bool utf8_feed(struct utf8 *u, struct slice piece);

/* Whether the text may end here. */
static inline bool utf8_done(const struct utf8 *u) { return u->left == 0; }

/* Whether s is valid as a whole. ASCII runs are checked eight bytes at a time. */
bool utf8_valid(struct slice s);

/* The same for WTF-8, in which surrogates may stand: what JSON's \ud800 alone stands for. */
bool wtf8_valid(struct slice s);

/* Writes a code point (no surrogate) to out, 1 to 4 bytes; returns how many. */
size_t utf8_put(uint32_t code_point, char out[4]);

#endif
