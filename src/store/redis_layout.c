/* SPDX-License-Identifier: MIT */
#include "store/redis_layout.h"

#include "base/json.h"
#include "base/utf8.h"

void redis_name(struct text *out, const struct site *site, enum redis_name kind,
                struct slice rest) {
    static const char *const kinds[] = {":token:", ":ch:", ":all", ":node:", ":hist:", ":meta:",
                                        ":queue:"};
    if (site_is_shared(site) && (kind == REDIS_TOKEN || kind == REDIS_CHANNEL)) {
        text_add(out, rest);
        return;
    }
    text_str(out, "moonlatch:{");
    text_str(out, site->name);
    text_char(out, '}');
    text_str(out, kinds[kind]);
    text_add(out, rest);
}

/* Lists of sockets with their auth data may be long. */
#define WORD_MAX 4194304

/* What other nodes' clients sent was bounded there; the rest of the world can publish as well. */
static const struct json_limits wide = {64, 1000000, 100000, false};

static struct slice as_json(struct slice text, enum json_type type) {
    struct json_value value;
    if (json_check(text, &wide, &value) || (type && value.type != type))
        return (struct slice){NULL, 0};
    return value.raw;
}

struct buf *redis_payload(const struct site *site, struct buf *body) {
    if (!site_is_shared(site) || !body->n || body->data[0] != '"') return buf_ref(body);
    struct text t = {0};
    json_unescape(&t, buf_slice(body));
    return text_take(&t);
}

struct buf *redis_body(const struct site *site, struct slice payload) {
    if (payload.n > 2 * site->limits->published_message + 1024) return NULL;
    struct slice json = as_json(payload, JSON_NONE);
    if (json.p) return buf_copy(json);
    if (!site_is_shared(site) || !utf8_valid(payload)) return NULL;
    struct text t = {0};
    json_quote(&t, payload);
    return text_take(&t);
}

struct buf *redis_said(struct slice text) {
    if (text.n > WORD_MAX) return NULL;
    struct slice json = as_json(text, JSON_NONE);
    return json.p ? buf_copy(json) : NULL;
}

static bool is_about_the_request(struct slice name) {
    return slice_is(name, "\"__host\"") || slice_is(name, "\"__ip\"") ||
           slice_is(name, "\"__ips\"");
}

/* The members of object without those that node-token-sockjs adds. */
static struct buf *without_request(struct slice object) {
    struct text t = {0};
    struct slice rest = object, name;
    struct json_value value;
    text_char(&t, '{');
    while (json_next_member(&rest, &name, &value)) {
        if (is_about_the_request(name)) continue;
        if (t.n > 1) text_char(&t, ',');
        text_add(&t, name);
        text_char(&t, ':');
        text_add(&t, value.raw);
    }
    text_char(&t, '}');
    return text_take(&t);
}

static void add_member(struct text *t, const char *name, struct slice value) {
    text_format(t, "\"%s\":", name);
    if (value.p) json_quote(t, value);
    else text_add(t, SLICE("null"));
    text_char(t, ',');
}

static void add_ips(struct text *t, struct slice ips) {
    struct slice hop;
    text_add(t, SLICE("\"__ips\":["));
    for (bool first = true; ips.p && slice_next(&ips, ',', &hop); first = false) {
        if (!first) text_char(t, ',');
        json_quote(t, slice_trim(hop));
    }
    text_char(t, ']');
}

struct buf *redis_token_data(const struct site *site, struct buf *auth,
                             const struct handshake *from) {
    if (!site_is_shared(site) || !from) return buf_ref(auth);
    char ip[IP_TEXT_MAX];
    struct text t = {0};
    struct slice members = slice_from(buf_slice(auth), 1);
    text_char(&t, '{');
    add_member(&t, "__host", handshake_get(from, ":host"));
    add_member(&t, "__ip", slice_of(ip_format(&from->ip, ip)));
    add_ips(&t, handshake_get(from, ":ips"));
    if (members.n > 1) text_char(&t, ',');
    text_add(&t, members);
    return text_take(&t);
}

struct buf *redis_auth(const struct site *site, struct slice data) {
    if (data.n > 2 * site->limits->token_data + 1024) return NULL;
    struct slice object = as_json(data, JSON_OBJECT);
    if (!object.p) return NULL;
    return site_is_shared(site) ? without_request(object) : buf_copy(object);
}

struct buf *redis_sync_text(struct slice channel) {
    struct text t = {0};
    text_add(&t, SLICE("{\"command\":\"unsubscribeAll\",\"data\":{\"channel\":"));
    json_quote(&t, channel);
    text_add(&t, SLICE("}}"));
    return text_take(&t);
}

struct slice redis_sync_channel(struct slice text, struct text *room) {
    struct slice object = as_json(text, JSON_OBJECT), none = {NULL, 0};
    if (!object.p) return none;
    struct json_value command = json_member(object, SLICE("command"));
    struct json_value data = json_member(object, SLICE("data"));
    if (!slice_is(command.raw, "\"unsubscribeAll\"") || data.type != JSON_OBJECT) return none;
    struct json_value channel = json_member(data.raw, SLICE("channel"));
    return channel.type == JSON_STRING ? json_string(channel.raw, room) : none;
}
