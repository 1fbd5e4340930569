/* SPDX-License-Identifier: MIT */
/* What may come through Redis: messages, tokens and words that somebody else has written there, and
 * the URL of a Redis. Whatever passes is JSON that may be spliced into other JSON. */
#include "base/json.h"
#include "store/redis_history.h"
#include "store/redis_layout.h"
#include "store/redis_url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition) {
    if (!condition) abort();
}

static void must_be_json(struct buf *json, enum json_type type) {
    static const struct json_limits wide = {64, 1000000, 100000, false};
    struct json_value value;
    if (!json) return;
    must(!json_check(buf_slice(json), &wide, &value));
    must(!type || value.type == type);
    buf_unref(json);
}

static void read_as(struct site_conf *conf, struct slice input) {
    struct site site = {.conf = conf, .name = "fuzz", .limits = &conf->limits};
    struct text room = {0};
    struct slice payload = input, rest, body;
    struct position at;
    struct history_page page;
    uint64_t offset;
    if (redis_history_place(&payload, &at)) {
        must(strlen(at.epoch) == EPOCH_LENGTH && payload.n < input.n);
        must_be_json(redis_body(&site, payload), JSON_NONE);
    }
    must_be_json(redis_body(&site, input), JSON_NONE);
    must_be_json(redis_said(input), JSON_NONE);
    must_be_json(redis_auth(&site, input), JSON_OBJECT);
    redis_sync_channel(input, &room);
    text_fini(&room);
    struct buf *said = redis_said(input);
    if (said && history_page_read(buf_slice(said), &page)) {
        history_covers(&page, &page.top);
        for (rest = page.messages; history_next(&rest, &offset, &body);) must(body.n > 0);
    }
    buf_unref(said);
}

/* What we publish comes back as it was, but for texts that look like JSON in a shared site. */
static void round_trip(struct site_conf *conf, struct slice input) {
    struct site site = {.conf = conf, .name = "fuzz", .limits = &conf->limits};
    struct buf *body = redis_said(input);
    if (!body) return;
    struct buf *payload = redis_payload(&site, body), *back = redis_body(&site, buf_slice(payload));
    bool quoted = body->n && body->data[0] == '"';
    must(back != NULL || body->n > conf->limits.published_message || site_is_shared(&site));
    if (back && !(quoted && site_is_shared(&site)))
        must(slice_eq(buf_slice(back), buf_slice(body)));
    buf_unref(back);
    buf_unref(payload);
    buf_unref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = slice_make(data, size);
    struct redis_url url;
    if (size > 60000) return 0;
    for (int shared = 0; shared < 2; shared++) {
        struct site_conf conf = {.layout = shared ? LAYOUT_NODE_TOKEN_SOCKJS : LAYOUT_MOONLATCH};
        limits_init(&conf.limits);
        read_as(&conf, input);
        round_trip(&conf, input);
    }
    if (redis_url_parse(&url, input)) must(url.path || url.host || url.master);
    redis_url_fini(&url);
    return 0;
}
