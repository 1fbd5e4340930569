/* SPDX-License-Identifier: MIT */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/buf.h"

/* Digests are libcrypto's; the encodings of RFC 4648 are ours, strict both ways. */

void digest_sha1(struct slice s, unsigned char out[20]);
void digest_sha256(struct slice s, unsigned char out[32]);
void digest_hmac_sha256(struct slice key, struct slice s, unsigned char out[32]);

/* Lower-case hexadecimal of s, appended. */
void hex_encode(struct text *out, struct slice s);

/* RFC 4648 section 4, with padding, appended. */
void base64_encode(struct text *out, struct slice s);

/* RFC 4648 section 5, without padding, appended. */
void base64url_encode(struct text *out, struct slice s);

/* Either alphabet by url; padding must be right with the first and absent with the second. Appends
 * the bytes; false (nothing of use appended) for anything that is not canonical. */
bool base64_decode(struct text *out, struct slice s, bool url) __attribute__((warn_unused_result));

/* Equality in a time that depends on the lengths only. */
bool digest_equal(struct slice a, struct slice b);

#endif
