/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_LISTEN_H
#define STORE_REDIS_LISTEN_H

#include "store/redis_inner.h"

/* The namespaces of sites that backends' emitters reach (redis_emitter.h), each by a pattern on the
 * connection that is subscribed. */

struct redisReply;

/* store_ops.listen and unlisten. */
void redis_listen(struct store *st, struct site *site, struct slice prefix, struct slice ns);
void redis_unlisten(struct store *st, struct slice prefix, struct slice ns);

/* The connection is up: asks for all of them. */
void redis_listen_again(struct redis *r);

/* Takes a push, an array that begins with a text, if it is about a pattern. */
bool redis_heard(struct redis *r, const struct redisReply *push);

/* Forgets all of them. */
void redis_listen_fini(struct redis *r);

#endif
