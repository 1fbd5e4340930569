/* SPDX-License-Identifier: MIT */
/* Connection state recovery (wire/socketio.md section 4.3): a client whose connection was lost comes
 * back with a secret of its own (pid) and the place in the log of the last event that it had.
 *
 * When a socket ends with its connection, what it was goes into the store under the pid: its sid
 * and its rooms. Whoever brings the pid takes that out, on any node, once; gets what the log has
 * after its place, if that is all there; and is then what it was, with who it is judged anew. */
#include "core/emit.h"
#include "core/history.h"
#include "core/hub.h"
#include "core/socketio.h"

#include <stdio.h>

/* While a node reads the log, others go on writing it: how often it reads again. */
#define READS_MAX 5

struct recovery {
    char pid[UUID_LENGTH + 1];
    struct position since; /* what the client had; an empty epoch: it does not come back */
    struct buf *auth;      /* while it is under way, as the rest */
    struct buf *former;    /* what the socket was: JSON */
    int reads;
};

static struct site *site_of(const struct seat *seat) { return seat->endpoint->site; }

bool recovery_is_on(const struct seat *seat) {
    return emit_is_kept(site_of(seat)) && !seat->socketio->session->eio3;
}

void recovery_free(struct recovery *r) {
    if (!r) return;
    buf_unref(r->auth);
    buf_unref(r->former);
    mem_free(r);
}

const char *recovery_pid(const struct seat *seat) {
    return seat->recovery ? seat->recovery->pid : NULL;
}

/* ---- what a client says ---- */

/* "<epoch>-<offset>"; an epoch may have a "-" itself. */
static bool read_offset(struct position *at, struct slice text) {
    *at = (struct position){0};
    if (text.n <= EPOCH_LENGTH || text.p[EPOCH_LENGTH] != '-') return false;
    if (!slice_u64(slice_from(text, EPOCH_LENGTH + 1), &at->offset)) return false;
    memcpy(at->epoch, text.p, EPOCH_LENGTH);
    return true;
}

static struct slice member_text(struct slice object, struct slice name, struct text *room) {
    struct json_value v = json_member(object, name);
    return v.type == JSON_STRING ? json_string(v.raw, room) : (struct slice){NULL, 0};
}

void recovery_begin(struct seat *seat, const struct sio_packet *p) {
    struct recovery *r = mem_new(sizeof *r);
    struct text pid = {0}, offset = {0};
    seat->recovery = r;
    uuid_v4(site_of(seat)->core->random, r->pid);
    if (p->data.type == JSON_OBJECT) {
        struct slice told = member_text(p->data.raw, SLICE("pid"), &pid);
        struct slice at = member_text(p->data.raw, SLICE("offset"), &offset);
        if (uuid_v4_valid(told) && read_offset(&r->since, at))
            memcpy(r->pid, told.p, UUID_LENGTH);
    }
    text_fini(&pid);
    text_fini(&offset);
}

/* ---- the socket goes ---- */

static void on_put(void *arg, int status, struct buf *data) { (void)arg, (void)status, (void)data; }

/* No login token has such an id. */
static struct slice key_of(const struct recovery *r, char key[UUID_LENGTH + 5]) {
    return slice_make(key, (size_t)snprintf(key, UUID_LENGTH + 5, "pid:%s", r->pid));
}

static struct buf *describe(const struct socket *s) {
    struct text t = {0};
    text_format(&t, "{\"sid\":\"%s\",\"rooms\":[", s->sid);
    for (const struct member *m = s->members; m; m = m->next) {
        if (m != s->members) text_char(&t, ',');
        json_quote(&t, m->channel->by_name.key);
    }
    text_str(&t, "]}");
    return text_take(&t);
}

void recovery_keep(const struct seat *seat) {
    struct site *site = site_of(seat);
    struct store *store = site->core->store;
    char key[UUID_LENGTH + 5];
    if (!seat->recovery || !seat->socket || seat->close_reason) return;
    struct buf *data = describe(seat->socket);
    store->ops->token_put(store, site, key_of(seat->recovery, key), data, NULL,
                          site->conf->socketio.recovery_ms, on_put, NULL);
    buf_unref(data);
}

/* ---- and comes back ---- */

/* From now on it is a client as any other. */
static void give_up(struct seat *seat) {
    struct recovery *r = seat->recovery;
    struct buf *auth = r->auth;
    r->auth = NULL;
    uuid_v4(site_of(seat)->core->random, r->pid);
    seat_take(seat, auth);
}

static void on_member(void *arg, const struct joined *joined) { (void)arg, (void)joined; }

static void join_rooms(struct socket *s, struct slice rooms) {
    struct json_value room;
    while (rooms.n && json_next(&rooms, &room)) {
        struct text name = {0};
        if (room.type == JSON_STRING)
            hub_subscribe(s, json_string(room.raw, &name), NULL, on_member, NULL);
        text_fini(&name);
    }
}

static void send_missed(struct socket *s, struct slice former_sid,
                        const struct history_page *page) {
    struct slice rest = page->messages, word;
    struct position at = page->top;
    struct emission e;
    while (history_next(&rest, &at.offset, &word)) {
        if (!emission_read(&e, word)) continue;
        e.at = at;
        emit_missed(s, former_sid, &e);
        attachments_fini(&e.attachments);
    }
}

/* The rooms first, so that nothing is lost between the log and what comes; then the events that it
 * missed, and only then the word that it is back. */
static void restore(struct seat *seat, const struct history_page *page) {
    struct recovery *r = seat->recovery;
    struct buf *auth = r->auth, *former = r->former;
    struct text sid = {0};
    r->auth = r->former = NULL;
    struct slice former_sid = member_text(buf_slice(former), SLICE("sid"), &sid);
    if (seat_make(seat)) {
        struct socket *s = seat->socket;
        if (slice_starts(former_sid, slice_make(site_of(seat)->core->node, NODE_LENGTH)))
            socket_resume(s, former_sid);
        s->recovered = true;
        s->logged = page->top.offset;
        join_rooms(s, json_member(buf_slice(former), SLICE("rooms")).raw);
        send_missed(s, former_sid, page);
        seat_enter(seat, auth);
    } else {
        buf_unref(auth);
    }
    text_fini(&sid);
    buf_unref(former);
}

static void read_log(struct seat *seat);

/* Whether this node has had more of the log than the page has. */
static bool is_behind(const struct position *top, const struct position *logged) {
    return !strcmp(top->epoch, logged->epoch) && top->offset < logged->offset;
}

static void on_page(void *arg, int status, struct buf *data) {
    struct seat *seat = arg;
    struct history_page page;
    if (!seat_returns(seat)) return;
    struct recovery *r = seat->recovery;
    bool covered = !status && history_page_read(buf_slice(data), &page) &&
                   history_covers(&page, &r->since);
    if (!covered || r->reads > READS_MAX) give_up(seat);
    else if (is_behind(&page.top, &site_of(seat)->logged)) read_log(seat);
    else restore(seat, &page);
}

static void read_log(struct seat *seat) {
    seat->recovery->reads++;
    seat->awaits_store = true;
    emit_read(site_of(seat), &seat->recovery->since, on_page, seat);
}

static void on_former(void *arg, int status, struct buf *data) {
    struct seat *seat = arg;
    if (!seat_returns(seat)) return;
    if (status) {
        give_up(seat);
        return;
    }
    seat->recovery->former = buf_ref(data);
    read_log(seat);
}

bool recovery_start(struct seat *seat, struct buf *auth) {
    struct recovery *r = seat->recovery;
    struct site *site = site_of(seat);
    struct store *store = site->core->store;
    char key[UUID_LENGTH + 5];
    if (!r || !r->since.epoch[0]) return false;
    r->auth = auth;
    seat->awaits_store = true;
    store->ops->token_take(store, site, key_of(r, key), on_former, seat);
    return true;
}
