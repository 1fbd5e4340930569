/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_CRYPTO_H
#define SCRIPT_LIB_CRYPTO_H

#include <lua.h>

struct random;

/* moonlatch.crypto: random values, digests, encodings, and JSON Web Tokens with HS256. What judges
 * data from outside returns nil and a short code; only misuse raises.
 *
 *   uuid()                              a UUID version 4
 *   random(n)                           n random bytes, 1 to 1024
 *   sha256(text [, form])               form: "hex" (default), "raw" or "base64url"
 *   sha1(text [, form])                 for protocols that name it; not for secrets
 *   hmac_sha256(key, text [, form])
 *   base64_encode(s)  base64url_encode(s)
 *   base64_decode(s)  base64url_decode(s)   the bytes, or nil, "malformed"
 *   equal(a, b)                         in a time that does not depend on the bytes
 *   jwt_sign(claims, key)               a token; for specs and demos
 *   jwt_verify(token, key [, options])  its claims, or nil and one of: malformed, algorithm,
 *                                       signature, expired, not_yet, audience, issuer. options: aud
 *                                       and iss (must match), leeway and now (seconds) */

/* Pushes the table. Borrows random for as long as the state lives. lib_json_open comes first.
 * Returns 1. */
int lib_crypto_open(lua_State *L, struct random *random);

#endif
