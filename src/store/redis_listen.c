/* SPDX-License-Identifier: MIT */
/* A pattern is sent when it is wanted and the connection is up, or else as soon as it is. Redis does
 * not count those who listen by a pattern (PUBSUB NUMSUB), so servers of Socket.IO on the same Redis
 * do not wait for answers of ours. */
#include "store/redis_listen.h"

#include "core/site.h"
#include "store/redis_emitter.h"

#include <hiredis/hiredis.h>

struct ear {
    struct map_link link; /* in redis->ears; the key is the pattern */
    struct site *site;
    struct buf *pattern, *prefix, *ns;
};

static struct ear *ear_find(struct redis *r, struct slice pattern) {
    struct map_link *l = map_find(&r->ears, pattern);
    return l ? container_of(l, struct ear, link) : NULL;
}

static void ear_free(struct redis *r, struct ear *ear) {
    map_remove(&r->ears, &ear->link);
    buf_unref(ear->pattern);
    buf_unref(ear->prefix);
    buf_unref(ear->ns);
    mem_free(ear);
}

static void say(struct redis *r, const char *command, const struct ear *ear) {
    struct slice words[] = {slice_of(command), buf_slice(ear->pattern)};
    if (r->pushes.state == REDIS_UP) redis_conn_send(&r->pushes, words, 2, NULL, NULL);
}

void redis_listen(struct store *st, struct site *site, struct slice prefix, struct slice ns) {
    struct redis *r = redis_of(st);
    struct text pattern = {0};
    struct ear *ear = mem_new(sizeof *ear);
    redis_emitter_pattern(&pattern, prefix, ns);
    *ear = (struct ear){.site = site,
                        .pattern = text_take(&pattern),
                        .prefix = buf_copy(prefix),
                        .ns = buf_copy(ns)};
    map_add(&r->ears, &ear->link, buf_slice(ear->pattern));
    say(r, "PSUBSCRIBE", ear);
}

void redis_unlisten(struct store *st, struct slice prefix, struct slice ns) {
    struct redis *r = redis_of(st);
    struct text pattern = {0};
    redis_emitter_pattern(&pattern, prefix, ns);
    struct ear *ear = ear_find(r, text_slice(&pattern));
    say(r, "PUNSUBSCRIBE", ear);
    ear_free(r, ear);
    text_fini(&pattern);
}

void redis_listen_again(struct redis *r) {
    for (struct map_link *l = map_next(&r->ears, NULL); l; l = map_next(&r->ears, l))
        say(r, "PSUBSCRIBE", container_of(l, struct ear, link));
}

void redis_listen_fini(struct redis *r) {
    for (struct map_link *l; (l = map_next(&r->ears, NULL));)
        ear_free(r, container_of(l, struct ear, link));
    map_fini(&r->ears);
}

/* ---- what comes ---- */

static void hear(struct redis *r, const struct ear *ear, struct slice room, struct slice payload) {
    struct redis_emission said;
    if (payload.n > 2 * ear->site->limits->published_message + 1024) {
        redis_drop(r, ear->site, "too large");
        return;
    }
    switch (redis_emission_read(&said, payload, buf_slice(ear->ns), room)) {
    case REDIS_EMISSION_NONE: redis_drop(r, ear->site, "not an emission"); break;
    case REDIS_EMISSION_GOOD: r->store.events->emitted(ear->site, &said.emission); break;
    case REDIS_EMISSION_FOREIGN: break;
    }
    redis_emission_fini(&said);
}

static struct slice text_at(const redisReply *push, size_t i) {
    const redisReply *reply = push->element[i];
    bool is_text = reply->type == REDIS_REPLY_STRING;
    return is_text ? slice_make(reply->str, reply->len) : (struct slice){NULL, 0};
}

bool redis_heard(struct redis *r, const redisReply *push) {
    struct slice what = text_at(push, 0), room;
    if (slice_is(what, "psubscribe") || slice_is(what, "punsubscribe")) return true;
    if (!slice_is(what, "pmessage") || push->elements != 4) return false;
    const struct ear *ear = ear_find(r, text_at(push, 1));
    if (!ear) return true; /* it was given up a moment ago */
    if (redis_emitter_room(text_at(push, 2), buf_slice(ear->prefix), buf_slice(ear->ns), &room))
        hear(r, ear, room, text_at(push, 3));
    return true;
}
