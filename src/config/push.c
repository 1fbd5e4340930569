/* SPDX-License-Identifier: MIT */
#include "config/push.h"

#include "base/digest.h"

#define DIGEST "sha256:"
#define WEAK_LENGTH 32

/* ---- API keys ---- */

static void api_keys_init(const struct key *key, void *field) {
    (void)key;
    *(char ***)field = texts_new();
}

static void api_keys_fini(void *field) {
    texts_free(*(char ***)field);
    *(char ***)field = NULL;
}

/* The key's text, for numbers as they would be written in a query; empty: it has none. */
static struct slice key_text_of(const struct conf_value *v, struct text *room) {
    if (v->type == CONF_INTEGER) text_format(room, "%lld", (long long)v->integer);
    else if (v->type == CONF_STRING) text_str(room, v->string);
    return text_slice(room);
}

static bool is_digest(struct slice key) {
    struct slice hex = slice_from(key, strlen(DIGEST));
    if (!slice_starts(key, SLICE(DIGEST)) || hex.n != 64) return false;
    for (size_t i = 0; i < hex.n; i++)
        if (!strchr("0123456789abcdef", hex.p[i])) return false;
    return true;
}

/* What headers and queries may carry. */
static bool is_printable(struct slice key) {
    for (size_t i = 0; i < key.n; i++)
        if (key.p[i] <= ' ' || key.p[i] > '~') return false;
    return true;
}

static void api_key_add(struct reader *r, const struct key *row, const struct conf_value *v,
                        char ***keys) {
    struct text room = {0}, kept = {0};
    unsigned char digest[32];
    struct slice key = key_text_of(v, &room);
    text_str(&kept, DIGEST);
    digest_sha256(key, digest);
    hex_encode(&kept, slice_make(digest, sizeof digest));
    if (!key.n || !is_printable(key))
        reader_complain(r, v->line, "%s must be printable characters without spaces", row->name);
    else texts_add(keys, is_digest(key) ? key : text_slice(&kept));
    text_fini(&room);
    text_fini(&kept);
}

static void api_keys_read(struct reader *r, const struct key *row, const struct conf_value *v,
                          void *field) {
    if (v->type != CONF_TABLE) {
        api_key_add(r, row, v, field);
        return;
    }
    LIST_EACH(&v->items, link) {
        const struct conf_value *item = container_of(link, struct conf_value, link);
        if (item->key) reader_complain(r, item->line, "%s must be a list of texts", row->name);
        else api_key_add(r, row, item, field);
    }
}

static void api_keys_print(struct printer *p, const struct key *row, const void *field) {
    (void)row;
    print_texts(p->out, *(char *const *const *)field);
}

const struct key_type key_api_keys = {.name = "a text, or a list of texts",
                                      .init = api_keys_init,
                                      .read = api_keys_read,
                                      .print = api_keys_print,
                                      .fini = api_keys_fini};

/* ---- what belongs together ---- */

static void check_strength(struct reader *r, const struct conf_value *v) {
    struct text room = {0};
    struct slice key = key_text_of(v, &room);
    if (key.n && key.n < WEAK_LENGTH)
        reader_complain(r, v->line,
                        "push.api_key must have %d characters or more: `openssl rand -hex 32` makes "
                        "one; push.weak_api_key = true takes it all the same",
                        WEAK_LENGTH);
    text_fini(&room);
}

static void check_api_keys(struct reader *r, const struct conf_value *keys) {
    if (keys->type != CONF_TABLE) {
        check_strength(r, keys);
        return;
    }
    LIST_EACH(&keys->items, link) check_strength(r, container_of(link, struct conf_value, link));
}

void config_push_check(struct reader *r, const struct conf_value *push,
                       const struct site_conf *site) {
    const struct conf_value *keys = conf_get(push, "api_key");
    const struct push_conf *conf = &site->push;
    if (keys && !conf->weak_api_key) check_api_keys(r, keys);
    if (conf_get(push, "device_ttl") && conf_get(push, "client_ttl"))
        reader_complain(r, conf_line(push, "client_ttl"),
                        "push.client_ttl is the older name of push.device_ttl; give one of them");
    if (conf->public_channel && !conf->user_room_prefix)
        reader_complain(r, conf_line(push, "public_channel"),
                        "push.public_channel has a meaning only with push.user_room_prefix");
    if (conf->update_user_url && !strstr(conf->update_user_url, ":id"))
        reader_complain(r, conf_line(push, "update_user_url"),
                        "push.update_user_url must have \":id\" in it");
}
