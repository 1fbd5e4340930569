/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_HISTORY_H
#define STORE_REDIS_HISTORY_H

#include "core/history.h"
#include "store/redis_conn.h"

/* Histories in Redis: one script appends and publishes in one step, one reads. Both are loaded when
 * the connection comes up, and called by their hashes. */

/* The connection is up: loads the scripts ahead of all else. */
void redis_history_load(struct redis_conn *r);

/* Looks at the reply of such a call (may be NULL): where somebody threw the scripts away, they are
 * loaded again, for the next. */
void redis_history_check(struct redis_conn *r, const struct redisReply *reply);

/* Sends a publish with history; done gets the number of receivers, as of PUBLISH. As
 * redis_conn_send. */
int redis_history_publish(struct redis_conn *r, struct random *random, const struct site *site,
                          struct slice channel, const struct channel_conf *conf, struct slice body,
                          redis_done *done, void *arg);

/* Sends a read. As redis_conn_send; done makes a page of its reply with redis_history_page. */
int redis_history_read(struct redis_conn *r, struct random *random, const struct site *site,
                       struct slice channel, const struct channel_conf *conf, uint64_t since,
                       uint64_t limit, redis_done *done, void *arg);

/* The page in a reply, the caller's; NULL when it is none. */
struct buf *redis_history_page(const struct redisReply *reply) __attribute__((warn_unused_result));

/* Takes "#EPOCH:OFFSET:" off *payload; false when it does not begin like that. */
bool redis_history_place(struct slice *payload, struct position *at);

#endif
