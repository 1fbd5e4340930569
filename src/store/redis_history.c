/* SPDX-License-Identifier: MIT */
#include "store/redis_history.h"

#include "base/digest.h"
#include "base/id.h"
#include "store/redis_layout.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>

/* The epoch is to be known longer than the messages: who comes back late hears that it is too late.
 */
#define META_MS 86400000

/* KEYS: stream, meta. ARGV: a new epoch, ms of meta, channel, body, size, ms of the stream. */
static const char publish_script[] =
    "local e = redis.call('HGET', KEYS[2], 'e')\n"
    "if not e then\n"
    "  e = ARGV[1]\n"
    "  redis.call('DEL', KEYS[1])\n"
    "  redis.call('HSET', KEYS[2], 'e', e, 'o', 0)\n"
    "end\n"
    "local o = string.format('%.0f', redis.call('HINCRBY', KEYS[2], 'o', 1))\n"
    "redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[5], o .. '-0', 'm', ARGV[4])\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[6])\n"
    "redis.call('PEXPIRE', KEYS[2], ARGV[2])\n"
    "return redis.call('PUBLISH', ARGV[3], '#' .. e .. ':' .. o .. ':' .. ARGV[4])\n";

/* KEYS and ARGV as above, but for ARGV[3]: the offset, or '-' for the newest; and ARGV[4]: how
 * many. */
static const char read_script[] =
    "local e = redis.call('HGET', KEYS[2], 'e')\n"
    "if not e then\n"
    "  e = ARGV[1]\n"
    "  redis.call('DEL', KEYS[1])\n"
    "  redis.call('HSET', KEYS[2], 'e', e, 'o', 0)\n"
    "  redis.call('PEXPIRE', KEYS[2], ARGV[2])\n"
    "end\n"
    "local o, list, n = redis.call('HGET', KEYS[2], 'o'), {}, tonumber(ARGV[4])\n"
    "if n > 0 and ARGV[3] == '-' then\n"
    "  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', n)\n"
    "  for i = #newest, 1, -1 do list[#list + 1] = newest[i] end\n"
    "elseif n > 0 then\n"
    "  list = redis.call('XRANGE', KEYS[1], '(' .. ARGV[3] .. '-0', '+', 'COUNT', n)\n"
    "end\n"
    "return { e, o, list }\n";

void redis_history_load(struct redis_conn *r) {
    redis_conn_send(r, (struct slice[]){SLICE("SCRIPT"), SLICE("LOAD"), slice_of(publish_script)},
                    3, NULL, NULL);
    redis_conn_send(r, (struct slice[]){SLICE("SCRIPT"), SLICE("LOAD"), slice_of(read_script)}, 3,
                    NULL, NULL);
}

void redis_history_check(struct redis_conn *r, const redisReply *reply) {
    bool gone = reply && reply->type == REDIS_REPLY_ERROR && !strncmp(reply->str, "NOSCRIPT", 8);
    if (gone && r->state == REDIS_UP) redis_history_load(r);
}

/* ---- calling ---- */

static void add_number(struct text *t, uint64_t n) {
    text_u64(t, n);
    text_char(t, 0);
}

static void add_key(struct text *t, const struct site *site, enum redis_name kind,
                    struct slice channel) {
    redis_name(t, site, kind, channel);
    text_char(t, 0);
}

/* EVALSHA of script with the two keys, a new epoch and the time of meta, and more words behind. */
static int call(struct redis_conn *r, struct random *random, const struct site *site,
                struct slice channel, const struct channel_conf *conf, const char *script,
                const struct slice *more, size_t more_count, redis_done *done, void *arg) {
    unsigned char digest[20];
    struct text hash = {0}, texts = {0};
    char epoch[EPOCH_LENGTH + 1];
    struct slice words[16] = {SLICE("EVALSHA")}, rest;
    size_t n = 3;
    digest_sha1(slice_of(script), digest);
    hex_encode(&hash, slice_make(digest, sizeof digest));
    words[1] = text_slice(&hash);
    words[2] = SLICE("2");
    random_name(random, epoch, EPOCH_LENGTH);
    add_key(&texts, site, REDIS_HISTORY, channel);
    add_key(&texts, site, REDIS_META, channel);
    text_str(&texts, epoch);
    text_char(&texts, 0);
    add_number(&texts, conf->history_ttl_ms + META_MS);
    rest = text_slice(&texts);
    for (struct slice word; n < 7 && slice_next(&rest, 0, &word);) words[n++] = word;
    for (size_t i = 0; i < more_count; i++) words[n++] = more[i];
    int status = redis_conn_send(r, words, n, done, arg);
    text_fini(&hash);
    text_fini(&texts);
    return status;
}

int redis_history_publish(struct redis_conn *r, struct random *random, const struct site *site,
                          struct slice channel, const struct channel_conf *conf, struct slice body,
                          redis_done *done, void *arg) {
    char size[24], ttl[24];
    struct text name = {0};
    redis_name(&name, site, REDIS_CHANNEL, channel);
    snprintf(size, sizeof size, "%llu", (unsigned long long)conf->history_size);
    snprintf(ttl, sizeof ttl, "%llu", (unsigned long long)conf->history_ttl_ms);
    struct slice more[] = {text_slice(&name), body, slice_of(size), slice_of(ttl)};
    int status = call(r, random, site, channel, conf, publish_script, more, 4, done, arg);
    text_fini(&name);
    return status;
}

int redis_history_read(struct redis_conn *r, struct random *random, const struct site *site,
                       struct slice channel, const struct channel_conf *conf, uint64_t since,
                       uint64_t limit, redis_done *done, void *arg) {
    char from[24] = "-", count[24];
    if (since != HISTORY_NEWEST) snprintf(from, sizeof from, "%llu", (unsigned long long)since);
    snprintf(count, sizeof count, "%llu", (unsigned long long)limit);
    struct slice more[] = {slice_of(from), slice_of(count)};
    return call(r, random, site, channel, conf, read_script, more, 2, done, arg);
}

/* ---- replies ---- */

static struct slice text_of(const redisReply *reply) {
    return reply->type == REDIS_REPLY_STRING ? slice_make(reply->str, reply->len)
                                             : (struct slice){NULL, 0};
}

/* [ "12-0", [ "m", body ] ]: adds it, unless somebody has tampered with it. */
static void add_entry(struct text *t, const redisReply *entry) {
    uint64_t offset;
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) return;
    const redisReply *fields = entry->element[1];
    struct slice id = text_of(entry->element[0]);
    if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2) return;
    if (!slice_u64(slice_upto(id, slice_find(id, '-')), &offset)) return;
    struct buf *body = redis_said(text_of(fields->element[1]));
    if (body) history_page_add(t, offset, buf_slice(body));
    buf_unref(body);
}

struct buf *redis_history_page(const redisReply *reply) {
    uint64_t offset;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) return NULL;
    struct slice epoch = text_of(reply->element[0]);
    const redisReply *list = reply->element[2];
    bool good = epoch.n == EPOCH_LENGTH && slice_u64(text_of(reply->element[1]), &offset);
    if (!good || list->type != REDIS_REPLY_ARRAY) return NULL;
    struct text t = {0};
    history_page_begin(&t, epoch, offset);
    for (size_t i = 0; i < list->elements; i++) add_entry(&t, list->element[i]);
    history_page_end(&t);
    return text_take(&t);
}

bool redis_history_place(struct slice *payload, struct position *at) {
    struct slice rest = *payload, epoch, offset;
    *at = (struct position){0};
    if (!rest.n || rest.p[0] != '#') return false;
    rest = slice_from(rest, 1);
    if (!slice_next(&rest, ':', &epoch) || epoch.n != EPOCH_LENGTH) return false;
    if (!slice_next(&rest, ':', &offset) || !slice_u64(offset, &at->offset) || !rest.p)
        return false;
    for (size_t i = 0; i < epoch.n; i++)
        if (epoch.p[i] <= ' ' || epoch.p[i] > '~' || strchr("\"\\", epoch.p[i])) return false;
    memcpy(at->epoch, epoch.p, EPOCH_LENGTH);
    *payload = rest;
    return true;
}
