/* SPDX-License-Identifier: MIT */
/* Each emission has a number, and a socket notes the last that it was counted in: those that are
 * left out are counted first, without getting anything. */
#include "core/emit.h"

#include "base/json.h"
#include "core/hub.h"

/* A volatile event is not for a socket for which so much waits. */
#define VOLATILE_BACKLOG 4096

#define EMISSIONS "moonlatch:emissions"

struct emitting {
    uint64_t number;
    uint64_t offset; /* in the log; 0: it is not there */
    struct msg *msg; /* NULL: nobody gets anything */
    bool is_volatile;
};

/* Whether the socket is to get it; from now on it has been counted. */
static bool count(const struct emitting *e, struct socket *s) {
    if (s->emission == e->number) return false;
    s->emission = e->number;
    if (e->offset && e->offset <= s->logged) return false; /* it was among those it missed */
    if (!e->msg || !socket_is_open(s)) return false;
    return !e->is_volatile || s->session->ops->backlog(s->session) <= VOLATILE_BACKLOG;
}

static void visit_member(struct member *member, void *arg) {
    struct emitting *e = arg;
    if (count(e, member->socket)) hub_deliver(member, e->msg);
}

static void visit_socket(const struct emitting *e, struct socket *s) {
    if (s->dialect->emit && socket_is_admitted(s) && count(e, s)) msg_send(e->msg, s);
}

/* The message of an event in a room; the caller's. */
static struct msg *msg_of(const struct emission *e, struct slice room) {
    struct text body = {0};
    text_str(&body, "{\"event\":");
    text_add(&body, e->event);
    text_str(&body, ",\"args\":");
    text_add(&body, e->args);
    text_char(&body, '}');
    struct buf *json = text_take(&body);
    struct msg *m = msg_new(room, json, NULL);
    m->is_event = true;
    m->logged = e->at;
    attachments_copy(&m->attachments, &e->attachments);
    buf_unref(json);
    return m;
}

/* A room is a socket's own, or a channel; e NULL: its sockets are left out. */
static void visit_room(struct site *site, struct slice room, struct emitting *at,
                       const struct emission *e) {
    struct socket *own = socket_find(site, room);
    struct channel *c = hub_channel(site, room);
    if (!own && !c) return;
    at->msg = e ? msg_of(e, room) : NULL;
    if (own) visit_socket(at, own);
    if (c) hub_each_member(c, visit_member, at);
    if (e) msg_unref(at->msg);
    at->msg = NULL;
}

static void visit_rooms(struct site *site, struct slice rooms, struct emitting *at,
                        const struct emission *e) {
    struct json_value room;
    while (rooms.n && json_next(&rooms, &room)) {
        struct text name = {0};
        if (room.type == JSON_STRING) visit_room(site, json_string(room.raw, &name), at, e);
        text_fini(&name);
    }
}

/* Nothing of a script runs between two sockets, so none of them goes meanwhile. */
static void visit_all(struct site *site, struct emitting *at, const struct emission *e) {
    at->msg = msg_of(e, (struct slice){NULL, 0});
    for (struct map_link *l = map_next(&site->sockets, NULL); l; l = map_next(&site->sockets, l))
        visit_socket(at, container_of(l, struct socket, by_sid));
    msg_unref(at->msg);
}

static bool is_empty(struct slice rooms) {
    struct json_value first;
    return !rooms.n || !json_next(&rooms, &first);
}

void emit_here(struct site *site, const struct emission *e) {
    struct emitting at = {
        .number = ++site->emissions, .offset = e->at.offset, .is_volatile = e->is_volatile};
    visit_rooms(site, e->except, &at, NULL);
    if (is_empty(e->rooms)) visit_all(site, &at, e);
    else visit_rooms(site, e->rooms, &at, e);
}

/* A new epoch counts from 1: what sockets had of the old one says nothing any more. */
static void follow(struct site *site, const struct position *at) {
    bool same = !strcmp(site->logged.epoch, at->epoch);
    for (struct map_link *l = same ? NULL : map_next(&site->sockets, NULL); l;
         l = map_next(&site->sockets, l))
        container_of(l, struct socket, by_sid)->logged = 0;
    site->logged = *at;
}

void emit_received(struct site *site, const struct buf *word, const struct position *at) {
    struct emission e;
    if (at) follow(site, at);
    if (!emission_read(&e, buf_slice(word))) return;
    if (at) e.at = *at;
    emit_here(site, &e);
    attachments_fini(&e.attachments);
}

int emit_send(struct site *site, const struct emission *e) {
    struct store *store = site->core->store;
    struct buf *word = emission_write(e);
    bool kept = emit_is_kept(site) && !e->is_volatile;
    int status = kept ? store->ops->publish(store, site, SLICE(EMISSIONS), word, &site->conf->emissions,
                                            NULL, NULL)
                      : store->ops->control(store, site, (struct slice){NULL, 0}, SLICE("emit"),
                                            word, NULL, NULL);
    buf_unref(word);
    return status;
}

/* ---- the log ---- */

bool emit_is_log(struct slice channel) { return slice_is(channel, EMISSIONS); }

/* Whether backends' emitters reach this site. */
static bool has_emitters(const struct site *site) {
    return site->conf->socketio.emitter && site->core->store->ops->listen;
}

void emit_open(struct site *site) {
    struct store *store = site->core->store;
    if (emit_is_kept(site)) store->ops->subscribe(store, site, SLICE(EMISSIONS));
    for (size_t i = 0; has_emitters(site) && i < site->namespace_count; i++)
        store->ops->listen(store, site, slice_of(site->conf->socketio.emitter),
                           slice_of(site->namespaces[i].ns));
}

void emit_close(struct site *site) {
    struct store *store = site->core->store;
    if (emit_is_kept(site)) store->ops->unsubscribe(store, site, SLICE(EMISSIONS));
    for (size_t i = 0; has_emitters(site) && i < site->namespace_count; i++)
        store->ops->unlisten(store, slice_of(site->conf->socketio.emitter),
                             slice_of(site->namespaces[i].ns));
}

void emit_read(struct site *site, const struct position *since, store_done *done, void *arg) {
    struct store *store = site->core->store;
    const struct channel_conf *conf = &site->conf->emissions;
    store->ops->history(store, site, SLICE(EMISSIONS), conf, since ? since->offset : HISTORY_NEWEST,
                        since ? conf->history_size : 0, done, arg);
}

/* ---- those that were missed ---- */

/* The room of a list that the socket is in, plain, in *name; false: it is in none. */
static bool find_room(const struct socket *s, struct slice former_sid, struct slice rooms,
                      struct text *name, struct slice *found) {
    struct json_value room;
    while (rooms.n && json_next(&rooms, &room)) {
        if (room.type != JSON_STRING) continue;
        *found = json_string(room.raw, name);
        if (slice_is(*found, s->sid) || slice_eq(*found, former_sid) || hub_member(s, *found))
            return true;
    }
    return false;
}

void emit_missed(struct socket *s, struct slice former_sid, const struct emission *e) {
    struct text name = {0};
    struct slice room = {NULL, 0};
    bool left_out = find_room(s, former_sid, e->except, &name, &room);
    if (!left_out && (is_empty(e->rooms) || find_room(s, former_sid, e->rooms, &name, &room))) {
        struct member *member = is_empty(e->rooms) ? NULL : hub_member(s, room);
        struct msg *m = msg_of(e, room);
        if (member) hub_deliver(member, m);
        else msg_send(m, s);
        msg_unref(m);
    }
    text_fini(&name);
}
