/* SPDX-License-Identifier: MIT */
#include "core/auth_url.h"

#include "base/json.h"
#include "base/url.h"
#include "core/hub.h"
#include "core/push_client.h"

#define DEPTH_MAX 64

/* ---- what the client says ---- */

static bool header_may_have(struct slice s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f) return false;
    return true;
}

/* Whether auth says it: numbers as they are written. */
static bool word_of_auth(struct text *out, struct slice auth, const char *name) {
    struct json_value v = auth.n ? json_member(auth, slice_of(name)) : (struct json_value){0};
    if (v.type == JSON_STRING) json_unescape(out, v.raw);
    else if (v.type == JSON_NUMBER) text_add(out, v.raw);
    return v.type == JSON_STRING || v.type == JSON_NUMBER;
}

static bool word_of_query(struct text *out, struct slice query, const char *name, bool *broken) {
    struct slice pair;
    while (slice_next(&query, '&', &pair)) {
        size_t equals = slice_find(pair, '=');
        if (!slice_is(slice_upto(pair, equals), name)) continue;
        if (!url_decode(out, slice_from(pair, equals + 1), true)) *broken = true;
        return true;
    }
    return false;
}

struct buf *client_word(const struct handshake *h, const char *name, bool *broken) {
    struct text out = {0};
    bool said = word_of_auth(&out, handshake_get(h, ":auth"), name) ||
                word_of_query(&out, handshake_get(h, ":query"), name, broken);
    if (!header_may_have(text_slice(&out))) *broken = true;
    if (said && !*broken) return text_take(&out);
    text_fini(&out);
    return NULL;
}

static bool add_word(struct text *out, const struct push_conf *conf, const struct handshake *h,
                     const char *name) {
    bool broken = false;
    struct buf *word = client_word(h, name, &broken);
    if (word) text_add(out, buf_slice(word));
    else if (conf->say_undefined) text_str(out, "undefined");
    buf_unref(word);
    text_str(out, "\r\n");
    return !broken;
}

bool auth_url_authorization(struct text *out, const struct push_conf *conf,
                            const struct handshake *h) {
    text_format(out, "Authorization: %s ", conf->auth_scheme);
    return add_word(out, conf, h, "token");
}

bool auth_url_headers(struct text *out, const struct push_conf *conf, const struct handshake *h) {
    if (!auth_url_authorization(out, conf, h)) return false;
    text_str(out, "X-META: ");
    return add_word(out, conf, h, "meta");
}

/* ---- what the backend says ---- */

static void fail(struct login *l, const char *why) {
    struct text text = {0};
    text_str(&text, why);
    l->error = text_take(&text);
    login_finish(l, LOGIN_FAILED);
}

static void refuse(struct login *l) {
    l->error = buf_copy(SLICE("Authentication failed"));
    login_finish(l, LOGIN_REFUSED);
}

/* Looks at all rooms: false when one cannot be. *user is the first that is a user, raw. */
static bool read_rooms(const struct site *site, struct slice rooms, struct slice *user) {
    struct json_value room;
    bool good = true;
    while (good && json_next(&rooms, &room)) {
        struct text text = {0};
        if (room.type != JSON_STRING) return false;
        struct slice name = json_string(room.raw, &text);
        if (channel_name_error(site, name)) good = false;
        if (!user->n && push_is_user(site, name)) *user = room.raw;
        text_fini(&text);
    }
    return good;
}

static void admit(struct login *l, struct slice rooms, struct slice user) {
    struct text auth = {0};
    text_str(&auth, "{\"user\":");
    text_add(&auth, user.n ? user : SLICE("null"));
    text_str(&auth, ",\"rooms\":");
    text_add(&auth, rooms);
    text_char(&auth, '}');
    l->auth = text_take(&auth);
    login_finish(l, LOGIN_ADMITTED);
}

void auth_url_answered(struct login *l, int status, struct slice body) {
    const struct limits *limits = l->site->limits;
    const struct json_limits bounds = {DEPTH_MAX, limits->json_values, limits->json_keys, false};
    struct json_value rooms;
    struct slice user = {NULL, 0};
    if (status == 401) refuse(l);
    else if (status != 200) fail(l, "Auth 500 error");
    else if (json_check(body, &bounds, &rooms)) fail(l, "Auth error: not JSON");
    else if (rooms.type != JSON_ARRAY || !read_rooms(l->site, rooms.raw, &user))
        fail(l, "Auth error: not a list of rooms");
    else if (l->site->conf->push.user_room_prefix && !user.n)
        fail(l, "User is missing a private room");
    else admit(l, rooms.raw, user);
}

void auth_url_failed(struct login *l, const char *code) {
    struct text why = {0};
    text_format(&why, "Auth error: %s", code);
    text_char(&why, 0);
    fail(l, text_slice(&why).p);
    text_fini(&why);
}
