/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_LAYOUT_H
#define STORE_REDIS_LAYOUT_H

#include "core/handshake.h"
#include "core/site.h"

/* What the store's things are called in Redis, and how messages travel.
 *
 *   moonlatch:{site}:token:ID      a token's data: a JSON object; expires
 *   moonlatch:{site}:ch:CHANNEL    messages: JSON, the very bytes of the publisher; of a channel
 * with a history "#EPOCH:OFFSET:" and these moonlatch:{site}:hist:CHANNEL  its history: a stream,
 * the offset as the first part of the ids moonlatch:{site}:meta:CHANNEL  its epoch (e) and the
 * offset of its last message (o): a hash moonlatch:{site}:all           words to all nodes: NAME, a
 * space, and what it says moonlatch:{site}:node:NODE     words to one node moonlatch:beat:NODE a
 * node's heartbeats to itself
 *
 * A site with the layout of node-token-sockjs (wire/token-sockjs.md sections 3 and 9) shares that
 * program's names, which have no prefix, and its forms: a token's data may have __host, __ip and
 * __ips, texts are published bare, and its words to all go by ___all___ and ___sync___. */

enum redis_name { REDIS_TOKEN, REDIS_CHANNEL, REDIS_ALL, REDIS_NODE, REDIS_HISTORY, REDIS_META, REDIS_QUEUE };

/* Appends the name; rest is the id, the channel or the node. */
void redis_name(struct text *out, const struct site *site, enum redis_name kind, struct slice rest);

static inline bool site_is_shared(const struct site *site) {
    return site->conf->layout == LAYOUT_NODE_TOKEN_SOCKJS;
}

/* The names that a shared site subscribes besides. */
#define SHARED_ALL "___all___"
#define SHARED_SYNC "___sync___"

/* What travels for a message: body, or in a shared site what node-token-sockjs makes of it. The
 * caller owns it. */
struct buf *redis_payload(const struct site *site, struct buf *body)
    __attribute__((returns_nonnull, warn_unused_result));

/* The message that came: checked JSON, the caller's; NULL when it is none, or too large. */
struct buf *redis_body(const struct site *site, struct slice payload)
    __attribute__((warn_unused_result));

/* What a word says, the same. */
struct buf *redis_said(struct slice text) __attribute__((warn_unused_result));

/* What is kept for a token: auth, and in a shared site also where it was issued to. The caller owns
 * it. */
struct buf *redis_token_data(const struct site *site, struct buf *auth,
                             const struct handshake *from)
    __attribute__((returns_nonnull, warn_unused_result));

/* The auth data in a token's data: a checked JSON object, the caller's; NULL when it is none. */
struct buf *redis_auth(const struct site *site, struct slice data)
    __attribute__((warn_unused_result));

/* unsubscribeAll as shared sites say it: the text, and from a text that came the channel (plain,
 * in *room), or an empty slice. */
struct buf *redis_sync_text(struct slice channel) __attribute__((returns_nonnull));
struct slice redis_sync_channel(struct slice text, struct text *room);

#endif
