/* SPDX-License-Identifier: MIT */
#ifndef CORE_TOKEN_H
#define CORE_TOKEN_H

#include "base/ip.h"
#include "core/handshake.h"
#include "core/site.h"

/* Login tokens: issued to a request that the script admitted, good for one socket, once, within
 * their lifetime, on the site that issued them. */

/* Puts auth (JSON, borrowed) into the store; from (borrowed, may be NULL) is the request that it is
 * issued to. 0: done comes once, later, with status 0 and the
 * token's text, valid until it returns, or with a negative errno and NULL. -E2BIG: auth is larger
 * than token_data, and done does not come. */
int token_issue(struct site *site, struct buf *auth, const struct handshake *from, uint64_t ttl_ms,
                void (*done)(void *arg, int status, const char *token), void *arg);

/* Takes the token's auth out of the store. done comes once, later: 0 and the JSON (borrowed),
 * -ENOENT for a token that is unknown, used or too old, or another negative errno. token must be a
 * valid UUID version 4 (uuid_v4_valid). */
void token_take(struct site *site, struct slice token,
                void (*done)(void *arg, int status, struct buf *auth), void *arg);

/* A token was not there: tells the log, with what it may have been. */
void token_log_unknown(struct site *site, const struct ip *ip);

/* Something came in place of a token that cannot be one: the same. */
void token_log_malformed(const struct site *site, const struct ip *ip);

/* What a public address may do in a site before it has authenticated; private ones are not counted
 * unless count_private says so. Whether it may have another token now; counts it. */
bool token_rate_allows(struct site *site, const struct ip *ip);

/* An authentication failed: counts it. Whether so many did that the address must wait. */
void auth_failed(struct site *site, const struct ip *ip);
bool auth_blocked(struct site *site, const struct ip *ip);

/* The site goes. */
void visitors_forget(struct site *site);

#endif
