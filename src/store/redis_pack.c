/* SPDX-License-Identifier: MIT */
#include "store/redis_pack.h"

#include <hiredis/hiredis.h>

static void add_count(struct text *out, size_t n) {
    uint32_t count = (uint32_t)n;
    text_add(out, slice_make(&count, sizeof count));
}

static void add_text(struct text *out, enum redis_tag tag, const redisReply *reply) {
    text_char(out, (char)tag);
    add_count(out, reply->len);
    text_add(out, slice_make(reply->str, reply->len));
}

void redis_pack(struct text *out, const redisReply *reply) {
    int64_t integer = reply->integer;
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        text_char(out, REDIS_INTEGER);
        text_add(out, slice_make(&integer, sizeof integer));
        break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS: add_text(out, REDIS_TEXT, reply); break;
    case REDIS_REPLY_ERROR: add_text(out, REDIS_ERROR, reply); break;
    case REDIS_REPLY_ARRAY:
        text_char(out, REDIS_LIST);
        add_count(out, reply->elements);
        for (size_t i = 0; i < reply->elements; i++) redis_pack(out, reply->element[i]);
        break;
    default: text_char(out, REDIS_NIL);
    }
}

static void take(struct slice *packed, void *into, size_t n) {
    memcpy(into, packed->p, n);
    *packed = slice_from(*packed, n);
}

struct redis_item redis_unpack(struct slice *packed) {
    struct redis_item item = {.tag = REDIS_NIL};
    char tag;
    take(packed, &tag, 1);
    item.tag = (enum redis_tag)tag;
    if (item.tag == REDIS_INTEGER) take(packed, &item.integer, sizeof item.integer);
    else if (item.tag != REDIS_NIL) take(packed, &item.count, sizeof item.count);
    if (item.tag != REDIS_TEXT && item.tag != REDIS_ERROR) return item;
    item.text = slice_upto(*packed, item.count);
    *packed = slice_from(*packed, item.count);
    return item;
}
