/* SPDX-License-Identifier: MIT */
/* The whole message is made JSON and checked as such, and then looked at. Of the flags, volatile
 * means something here; the others are the emitter's own affair (json, broadcast), that of a
 * connection (compress), or of the bytes that are there (binary). local asks that no other server
 * hears of it, and from an emitter every server is as near as another. */
#include "store/redis_emitter.h"

#include "base/json.h"
#include "base/msgpack.h"
#include "core/socketio_packet.h"

#define EMITTER "\"emitter\""
#define ATTACHMENTS_MAX 1000

static const struct json_limits wide = {64, 1000000, 100000, false};

/* ---- channels ---- */

/* What Redis would take for more than itself goes behind a backslash. */
static void add_literally(struct text *pattern, struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        if (memchr("*?[\\", s.p[i], 4)) text_char(pattern, '\\');
        text_char(pattern, s.p[i]);
    }
}

void redis_emitter_pattern(struct text *out, struct slice prefix, struct slice ns) {
    add_literally(out, prefix);
    text_char(out, '#');
    add_literally(out, ns);
    text_str(out, "#*");
}

/* Takes part off the beginning of *rest. */
static bool skip(struct slice *rest, struct slice part) {
    if (!slice_starts(*rest, part)) return false;
    *rest = slice_make(rest->p + part.n, rest->n - part.n);
    return true;
}

bool redis_emitter_room(struct slice channel, struct slice prefix, struct slice ns,
                        struct slice *room) {
    *room = channel;
    if (!skip(room, prefix) || !skip(room, SLICE("#")) || !skip(room, ns) || !skip(room, SLICE("#")))
        return false;
    if (!room->n) return true;
    bool is_closed = slice_ends(*room, SLICE("#"));
    *room = slice_upto(*room, room->n - 1);
    return is_closed && room->n;
}

/* ---- the message ---- */

enum { PACKET_TYPE, PACKET_DATA, PACKET_NSP, PACKET_MEMBERS };
enum { OPTS_ROOMS, OPTS_EXCEPT, OPTS_FLAGS, OPTS_MEMBERS };

struct message {
    struct json_value packet[PACKET_MEMBERS], opts[OPTS_MEMBERS];
};

static bool take_bytes(void *arg, struct slice bytes) {
    struct attachments *a = arg;
    if (a->count == ATTACHMENTS_MAX) return false;
    attachments_add(a, buf_copy(bytes));
    return true;
}

static void look_up(struct slice object, const char *const *names, struct json_value *v, size_t n) {
    for (size_t i = 0; i < n; i++) v[i] = json_member(object, slice_of(names[i]));
}

/* [uid, packet, opts], or [packet, opts] as the first emitters had it. */
static enum redis_emission_verdict open_message(struct slice array, struct message *m) {
    static const char *const packet_names[] = {"type", "data", "nsp"};
    static const char *const opts_names[] = {"rooms", "except", "flags"};
    struct json_value uid = {JSON_NONE, {NULL, 0}}, packet, opts, more;
    if (!json_next(&array, &packet)) return REDIS_EMISSION_NONE;
    if (packet.type == JSON_STRING) {
        uid = packet;
        if (!json_next(&array, &packet)) return REDIS_EMISSION_NONE;
    }
    if (!json_next(&array, &opts) || json_next(&array, &more)) return REDIS_EMISSION_NONE;
    if (packet.type != JSON_OBJECT || opts.type != JSON_OBJECT) return REDIS_EMISSION_NONE;
    if (uid.type && !slice_is(uid.raw, EMITTER)) return REDIS_EMISSION_FOREIGN;
    look_up(packet.raw, packet_names, m->packet, PACKET_MEMBERS);
    look_up(opts.raw, opts_names, m->opts, OPTS_MEMBERS);
    return REDIS_EMISSION_GOOD;
}

/* An event, with bytes or without: the oldest emitters tell them apart, the others do not. */
static bool is_event(const struct message *m) {
    struct slice type = m->packet[PACKET_TYPE].raw;
    return slice_is(type, "2") || slice_is(type, "5");
}

static bool is_for(const struct message *m, struct slice ns) {
    struct text room = {0};
    const struct json_value *named = &m->packet[PACKET_NSP];
    bool good = named->type == JSON_NONE || named->type == JSON_NULL
                    ? slice_is(ns, "/")
                    : named->type == JSON_STRING && slice_eq(json_string(named->raw, &room), ns);
    text_fini(&room);
    return good;
}

/* ---- rooms ---- */

/* Rooms may be numbers where JavaScript has it so; here a name is a text. False: it is no list of
 * rooms. Nothing and null are an empty one. */
static bool read_rooms(struct text *out, const struct json_value *list) {
    struct slice rest = list->raw;
    struct json_value item;
    text_char(out, '[');
    bool good = list->type == JSON_ARRAY || list->type == JSON_NONE || list->type == JSON_NULL;
    while (good && list->type == JSON_ARRAY && json_next(&rest, &item)) {
        if (out->n > 1) text_char(out, ',');
        good = item.type == JSON_STRING || item.type == JSON_NUMBER;
        if (item.type == JSON_NUMBER) json_quote(out, item.raw);
        else text_add(out, item.raw);
    }
    text_char(out, ']');
    return good;
}

/* Whether what was said in a room's own channel is to be heard: in that of the first. */
static bool is_first(struct slice rooms, struct slice room) {
    struct json_value first;
    struct text name = {0};
    if (!room.n) return true;
    bool good = json_next(&rooms, &first) && slice_eq(json_string(first.raw, &name), room);
    text_fini(&name);
    return good;
}

/* ---- the event ---- */

/* A name that clients could not tell from what happens to their socket is none. */
static bool is_name(struct json_value v) {
    struct text room = {0};
    bool good = v.type == JSON_STRING && !sio_is_reserved(json_string(v.raw, &room));
    text_fini(&room);
    return good;
}

/* [name, ...]: the name, and the others in an array of their own. */
static bool read_event(struct redis_emission *r, struct json_value data) {
    struct json_value name, arg;
    struct slice rest = data.raw;
    if (data.type != JSON_ARRAY || !json_next(&rest, &name) || !is_name(name)) return false;
    r->emission.event = name.raw;
    text_char(&r->args, '[');
    while (json_next(&rest, &arg)) {
        if (r->args.n > 1) text_char(&r->args, ',');
        text_add(&r->args, arg.raw);
    }
    text_char(&r->args, ']');
    r->emission.args = text_slice(&r->args);
    return true;
}

static bool is_volatile(const struct message *m) {
    const struct json_value *flags = &m->opts[OPTS_FLAGS];
    return flags->type == JSON_OBJECT && json_member(flags->raw, SLICE("volatile")).type == JSON_TRUE;
}

enum redis_emission_verdict redis_emission_read(struct redis_emission *r, struct slice payload,
                                                struct slice ns, struct slice room) {
    struct json_value whole;
    struct message m;
    *r = (struct redis_emission){0};
    struct emission *e = &r->emission;
    if (!msgpack_to_json(&r->json, payload, wide.depth, take_bytes, &e->attachments) ||
        json_check(text_slice(&r->json), &wide, &whole) || whole.type != JSON_ARRAY)
        return REDIS_EMISSION_NONE;
    enum redis_emission_verdict verdict = open_message(whole.raw, &m);
    if (verdict != REDIS_EMISSION_GOOD) return verdict;
    bool good = is_event(&m) && is_for(&m, ns) && read_event(r, m.packet[PACKET_DATA]) &&
                read_rooms(&r->rooms, &m.opts[OPTS_ROOMS]) &&
                read_rooms(&r->except, &m.opts[OPTS_EXCEPT]);
    if (!good) return REDIS_EMISSION_NONE;
    e->rooms = text_slice(&r->rooms);
    e->except = text_slice(&r->except);
    e->is_volatile = is_volatile(&m);
    return is_first(e->rooms, room) ? REDIS_EMISSION_GOOD : REDIS_EMISSION_FOREIGN;
}

void redis_emission_fini(struct redis_emission *r) {
    attachments_fini(&r->emission.attachments);
    text_fini(&r->json);
    text_fini(&r->rooms);
    text_fini(&r->except);
    text_fini(&r->args);
}
