/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_PACK_H
#define STORE_REDIS_PACK_H

#include "base/buf.h"

/* A reply of Redis in one block, for who is not to know hiredis: a tag, and what the tag says,
 * numbers as this machine has them. */

enum redis_tag {
    REDIS_NIL = 'n',
    REDIS_INTEGER = 'i', /* int64_t */
    REDIS_TEXT = 't',    /* uint32_t, so many bytes */
    REDIS_ERROR = 'e',   /* the same */
    REDIS_LIST = 'l'     /* uint32_t, so many items */
};

struct redisReply;

/* Appends reply to out. */
void redis_pack(struct text *out, const struct redisReply *reply);

/* The head of an item: of a text and an error also the bytes, which follow it. */
struct redis_item {
    enum redis_tag tag;
    int64_t integer;   /* REDIS_INTEGER */
    struct slice text; /* REDIS_TEXT, REDIS_ERROR */
    uint32_t count;    /* REDIS_LIST: its items come next */
};

/* Takes the next item off packed, which redis_pack made. */
struct redis_item redis_unpack(struct slice *packed);

#endif
