/* SPDX-License-Identifier: MIT */
/* Members are on two lists at once: the channel's, which delivery walks, and the socket's, which
 * its end walks. While a channel is walked its cursor is the next member, and a member that leaves
 * moves the cursor on; so a filter may end any membership. A channel dies with its last member, at
 * once: nobody can keep names alive that nobody is in. */
#include "core/hub.h"

#include "core/ask.h"
#include "core/emit.h"
#include "core/history.h"
#include "core/push_client.h"

#include <errno.h>

/* Somebody who waits for a subscription to be live, and then for the history. */
struct join {
    struct list link; /* in channel->joins */
    struct deferred deferred;
    struct timer timer;      /* store_timeout */
    struct channel *channel; /* NULL once it is live, or not */
    struct socket *socket;   /* a reference */
    struct buf *name;        /* of the channel */
    const struct channel_conf *history;
    struct position since;
    bool fresh;     /* it was no member before */
    bool from_here; /* it gets all that came since it joined */
    struct joined joined;
    hub_joined *done;
    void *arg;
};

/* ---- names ---- */

static bool is_reserved(struct slice name) {
    return name.p[0] == '$' || slice_starts(name, SLICE("moonlatch:")) ||
           slice_is(name, "___all___") || slice_is(name, "___sync___") || slice_is(name, "__all__");
}

const char *channel_name_error(const struct site *site, struct slice name) {
    if (!name.n || name.n > site->limits->channel_name) return "bad_channel";
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~' || strchr("*?[]\\", name.p[i]))
            return "bad_channel";
    return is_reserved(name) ? "Forbidden" : NULL;
}

struct channel *hub_channel(struct site *site, struct slice name) {
    struct map_link *l = map_find(&site->channels, name);
    return l ? container_of(l, struct channel, by_name) : NULL;
}

/* ---- joining ---- */

static void member_free(struct member *m);

struct member *hub_member(const struct socket *socket, struct slice channel) {
    for (struct member *m = socket->members; m; m = m->next)
        if (slice_eq(m->channel->by_name.key, channel)) return m;
    return NULL;
}

static void on_joined(struct deferred *d);

static void join_end(struct core *core, struct join *j, int status) {
    list_remove(&j->link);
    timer_stop(core->loop, &j->timer);
    j->channel = NULL;
    j->joined.status = status;
    loop_defer(core->loop, LOOP_DELIVER, &j->deferred);
}

static void joins_end(struct channel *c, int status) {
    while (!list_empty(&c->joins))
        join_end(c->site->core, container_of(c->joins.next, struct join, link), status);
}

static void on_join_timeout(struct timer *t) {
    struct join *j = container_of(t, struct join, timer);
    struct channel *c = j->channel;
    struct member *m = j->fresh ? hub_member(j->socket, c->by_name.key) : NULL;
    join_end(c->site->core, j, -ETIMEDOUT);
    if (m) member_free(m); /* may free c */
}

static void join_wait(struct channel *c, struct socket *socket, bool fresh,
                      const struct position *since, hub_joined *done, void *arg) {
    struct join *j = mem_new(sizeof *j);
    j->channel = c;
    j->socket = socket_ref(socket);
    j->name = buf_copy(c->by_name.key);
    j->history = c->history;
    j->fresh = fresh;
    j->from_here = since == &hub_from_here;
    if (j->from_here) since = NULL;
    j->joined.asked = c->history && since;
    if (since) j->since = *since;
    j->done = done;
    j->arg = arg;
    j->timer.fired = on_join_timeout;
    deferred_init(&j->deferred, on_joined);
    list_push(&c->joins, &j->link);
    if (c->live) join_end(c->site->core, j, 0);
    else timer_start(c->site->core->loop, &j->timer, c->site->core->limits->store_timeout);
}

static struct channel *channel_new(struct site *site, struct slice name) {
    struct channel *c = mem_new(sizeof *c + name.n + 1);
    c->site = site;
    c->history = channel_conf_of(site, name);
    memcpy(c->name, name.p, name.n);
    list_init(&c->members);
    list_init(&c->joins);
    map_add(&site->channels, &c->by_name, slice_make(c->name, name.n));
    site->core->channels++;
    struct store *store = site->core->store;
    store->ops->subscribe(store, site, c->by_name.key);
    return c;
}

static void channel_free(struct channel *c) {
    struct site *site = c->site;
    struct store *store = site->core->store;
    store->ops->unsubscribe(store, site, c->by_name.key);
    joins_end(c, -ECANCELED);
    map_remove(&site->channels, &c->by_name);
    site->core->channels--;
    held_free(c->held);
    if (site->has & HOOK_VACATED) site->hooks->vacated(site, c->by_name.key);
    mem_free(c);
}

static int refuse_join(struct site *site, const struct socket *socket, const struct channel *c) {
    if (socket->member_count >= site->limits->subscriptions_per_socket) {
        site_limit(site, "subscriptions_per_socket");
        return -EMFILE;
    }
    if (c) return 0;
    if (site->channels.count >= site->limits->channels_per_site) {
        site_limit(site, "channels_per_site");
        return -ENFILE;
    }
    if (site->core->channels >= site->core->limits->channels_per_node) {
        site_limit(site, "channels_per_node");
        return -ENFILE;
    }
    return 0;
}

static struct member *member_new(struct socket *socket, struct channel *c) {
    struct member *m = mem_new(sizeof *m);
    m->socket = socket;
    m->channel = c;
    m->next = socket->members;
    socket->members = m;
    socket->member_count++;
    list_push(&c->members, &m->in_channel);
    c->count++;
    return m;
}

const struct position hub_from_here = {0};

int hub_subscribe(struct socket *socket, struct slice name, const struct position *since,
                  hub_joined *done, void *arg) {
    struct site *site = socket->site;
    struct member *m = hub_member(socket, name);
    if (m) {
        join_wait(m->channel, socket, false, NULL, done, arg);
        return 0;
    }
    struct channel *c = hub_channel(site, name);
    int status = refuse_join(site, socket, c);
    if (status) return status;
    bool first = !c;
    if (first) c = channel_new(site, name);
    m = member_new(socket, c);
    if (c->history) m->held = held_new();
    join_wait(c, socket, true, since, done, arg);
    if (first && site->has & HOOK_OCCUPIED) site->hooks->occupied(site, name);
    return 0;
}

/* ---- leaving ---- */

static void member_free(struct member *m) {
    struct channel *c = m->channel;
    struct member **at = &m->socket->members;
    while (*at != m) at = &(*at)->next;
    *at = m->next;
    m->socket->member_count--;
    if (c->cursor == &m->in_channel) c->cursor = m->in_channel.next;
    list_remove(&m->in_channel);
    c->count--;
    held_free(m->held);
    mem_free(m);
    if (!c->count && !c->walked) channel_free(c);
}

bool hub_unsubscribe(struct socket *socket, struct slice channel) {
    struct member *m = hub_member(socket, channel);
    if (m) member_free(m);
    return m != NULL;
}

void hub_leave(struct socket *socket) {
    while (socket->members) member_free(socket->members);
}

/* ---- publishing ---- */

int hub_publish(struct site *site, struct slice channel, struct buf *body, store_done *done,
                void *arg) {
    struct store *store = site->core->store;
    return store->ops->publish(store, site, channel, body, channel_conf_of(site, channel), done,
                               arg);
}

static int tell_all(struct site *site, struct slice name, struct buf *body, store_done *done,
                    void *arg) {
    struct store *store = site->core->store;
    return store->ops->control(store, site, (struct slice){NULL, 0}, name, body, done, arg);
}

int hub_broadcast(struct site *site, struct buf *body, store_done *done, void *arg) {
    return tell_all(site, SLICE("broadcast"), body, done, arg);
}

int hub_unsubscribe_all(struct site *site, struct slice channel) {
    struct buf *name = buf_copy(channel);
    int status = tell_all(site, SLICE("unsubscribeAll"), name, NULL, NULL);
    buf_unref(name);
    return status;
}

/* ---- delivery ---- */

/* A reader that lags behind misses messages under the policy "drop", and is told before the next.
 */
static bool lags(struct member *m) {
    struct site *site = m->socket->site;
    const struct session *session = m->socket->session;
    if (site->conf->slow != SLOW_DROP) return false;
    if (session->ops->backlog(session) <= site->limits->send_buffer_soft) return false;
    m->gap = true;
    site_limit(site, "send_buffer_soft");
    return true;
}

static void tell_gap(struct member *member) {
    struct socket *s = member->socket;
    if (!member->gap || !socket_is_open(s)) return;
    member->gap = false;
    s->dialect->gap(s, member->channel->by_name.key);
}

void hub_deliver(struct member *member, struct msg *m) {
    struct socket *s = member->socket;
    if (member->held) {
        held_add(member->held, s->site->limits, m);
        return;
    }
    if (m->at.epoch[0] && m->at.offset <= member->seen) return;
    if (!socket_is_open(s) || lags(member)) return;
    tell_gap(member);
    if (!(s->site->has & HOOK_FILTER)) {
        msg_send(m, s);
        return;
    }
    struct buf *replacement = NULL;
    socket_ref(s); /* the filter may close it and end its membership */
    if (s->site->hooks->filter(s, m, &replacement) == ALLOW && socket_is_open(s)) {
        struct msg *own = replacement ? msg_replace(m, replacement) : msg_ref(m);
        msg_send(own, s);
        msg_unref(own);
    }
    buf_unref(replacement);
    socket_unref(s);
}

static void deliver_one(struct member *member, void *arg) { hub_deliver(member, arg); }

void hub_each_member(struct channel *c, void (*visit)(struct member *member, void *arg), void *arg) {
    c->walked = true;
    c->cursor = c->members.next;
    while (c->cursor != &c->members) {
        struct member *member = container_of(c->cursor, struct member, in_channel);
        c->cursor = c->cursor->next;
        visit(member, arg);
    }
    c->cursor = NULL;
    c->walked = false;
    if (!c->count) channel_free(c);
}

/* Takes the place of a message into account. False when the channel has had it: what is fetched and
 * what comes by itself come by two ways. A jump is a gap that nobody told us of. */
static bool follow(struct channel *c, const struct position *at) {
    bool same = !strcmp(c->top.epoch, at->epoch);
    if (same && at->offset <= c->top.offset) return false;
    if (c->top.epoch[0] && !position_follows(&c->top, at)) {
        LIST_EACH(&c->members, link) {
            struct member *m = container_of(link, struct member, in_channel);
            m->gap = true;
            if (!same) m->seen = 0;
        }
    }
    c->top = *at;
    return true;
}

static void deliver(struct channel *c, struct msg *m) {
    if (m->at.epoch[0] && !follow(c, &m->at)) return;
    hub_each_member(c, deliver_one, m); /* may free c */
}

static void on_published(struct site *site, struct slice channel, struct buf *body,
                         const struct position *at) {
    if (at && emit_is_log(channel)) {
        emit_received(site, body, at);
        return;
    }
    struct channel *c = hub_channel(site, channel);
    if (!c) return;
    struct msg *m = msg_new(channel, body, at);
    if (c->held) held_add(c->held, site->limits, m);
    else deliver(c, m);
    msg_unref(m);
}

/* Channels may come and go while their members are told: the names are noted first. */
static void broadcast(struct site *site, struct buf *body) {
    struct text names = {0};
    for (struct map_link *l = map_next(&site->channels, NULL); l;
         l = map_next(&site->channels, l)) {
        text_add(&names, l->key);
        text_char(&names, '\n'); /* no name has one */
    }
    struct slice rest = text_slice(&names), name;
    while (slice_next(&rest, '\n', &name) && rest.p) on_published(site, name, body, NULL);
    text_fini(&names);
}

static void unsubscribe_all(struct site *site, struct slice name) {
    for (struct channel *c; (c = hub_channel(site, name)) != NULL;) {
        struct member *m = container_of(c->members.next, struct member, in_channel);
        struct socket *s = socket_ref(m->socket);
        member_free(m);
        if (socket_is_open(s)) s->dialect->left(s, name);
        socket_unref(s);
    }
}

static void on_control(struct site *site, struct slice name, struct buf *body) {
    if (slice_is(name, "broadcast")) broadcast(site, body);
    else if (slice_is(name, "unsubscribeAll")) unsubscribe_all(site, buf_slice(body));
    else if (slice_is(name, "emit")) emit_received(site, body, NULL);
    else if (slice_is(name, "push")) push_client_told(site, buf_slice(body));
    else if (slice_is(name, "ask")) ask_received(site, body);
    else if (slice_is(name, "answer")) answer_received(site, body);
}

/* ---- a member is brought up to date ---- */

/* The filter may end the membership, so it is looked up each time. */
static void deliver_to(struct socket *s, struct slice name, struct msg *m) {
    struct member *member = hub_member(s, name);
    if (member) deliver_one(member, m);
}

static void deliver_page(struct socket *s, struct slice name, const struct history_page *page) {
    struct position at = page->top;
    struct slice rest = page->messages, body;
    while (history_next(&rest, &at.offset, &body)) {
        struct buf *copy = buf_copy(body);
        struct msg *m = msg_new(name, copy, &at);
        deliver_to(s, name, m);
        msg_unref(m);
        buf_unref(copy);
    }
}

/* What came meanwhile, but for what seen covers. */
static void deliver_held(struct socket *s, struct slice name, struct held *held) {
    for (struct msg *m; (m = held_take(held)); msg_unref(m)) deliver_to(s, name, m);
}

/* From here on it has everything behind the top of the page: what it missed before that it gets
 * now, if it asked. */
static void catch_up(struct join *j, const struct history_page *page) {
    struct slice name = buf_slice(j->name);
    struct member *m = hub_member(j->socket, name);
    if (!m || !m->held) return;
    struct held *held = m->held;
    m->held = NULL;
    m->gap = (j->joined.asked && !j->joined.recovered) || held->lost;
    tell_gap(m);
    if (j->joined.recovered) deliver_page(j->socket, name, page);
    m = hub_member(j->socket, name);
    if (m && !j->from_here) m->seen = page->top.offset;
    deliver_held(j->socket, name, held);
    held_free(held);
}

static void join_free(struct join *j) {
    socket_unref(j->socket);
    buf_unref(j->name);
    mem_free(j);
}

static void on_page(void *arg, int status, struct buf *data) {
    struct join *j = arg;
    struct history_page page = {0};
    bool read = !status && history_page_read(buf_slice(data), &page);
    struct channel *c = hub_channel(j->socket->site, buf_slice(j->name));
    if (read) j->joined.top = page.top;
    if (read && c && !c->top.epoch[0]) c->top = page.top;
    j->joined.recovered = read && j->joined.asked && history_covers(&page, &j->since);
    j->done(j->arg, &j->joined);
    catch_up(j, &page);
    join_free(j);
}

static void on_joined(struct deferred *d) {
    struct join *j = container_of(d, struct join, deferred);
    struct store *store = j->socket->site->core->store;
    if (!j->joined.status && j->history) {
        bool asked = j->joined.asked;
        store->ops->history(store, j->socket->site, buf_slice(j->name), j->history,
                            asked ? j->since.offset : HISTORY_NEWEST,
                            asked ? j->history->history_size : 0, on_page, j);
        return;
    }
    j->done(j->arg, &j->joined);
    join_free(j);
}

/* ---- the store comes and goes ---- */

/* A channel fetches what it missed. */
struct fetch {
    struct site *site;
    struct buf *name;
};

static void tell_gap_to(struct member *member, void *arg) {
    (void)arg;
    tell_gap(member);
}

static void deliver_missed(struct member *member, void *arg) {
    if (member->behind) deliver_one(member, arg);
}

/* Ends the state of having missed something, as a gap or not. */
static void settle_members(struct channel *c, bool gap) {
    LIST_EACH(&c->members, link) {
        struct member *m = container_of(link, struct member, in_channel);
        if (m->behind && gap) m->gap = true;
        m->behind = false;
    }
}

static void tell_of_gap(struct site *site, struct slice name) {
    struct channel *c = hub_channel(site, name);
    if (!c) return;
    settle_members(c, true);
    hub_each_member(c, tell_gap_to, NULL);
    if (site->has & HOOK_GAP) site->hooks->gap(site, name);
}

static void deliver_missed_page(struct site *site, struct slice name,
                                const struct history_page *page) {
    struct position at = page->top;
    struct slice rest = page->messages, body;
    struct channel *c;
    while ((c = hub_channel(site, name)) && history_next(&rest, &at.offset, &body)) {
        struct buf *copy = buf_copy(body);
        struct msg *m = msg_new(name, copy, &at);
        hub_each_member(c, deliver_missed, m);
        msg_unref(m);
        buf_unref(copy);
    }
    if (!c) return;
    c->top = page->top;
    settle_members(c, false);
}

static void on_fetched(void *arg, int status, struct buf *data) {
    struct fetch *f = arg;
    struct slice name = buf_slice(f->name);
    struct channel *c = hub_channel(f->site, name);
    struct held *held = c ? c->held : NULL;
    if (held) {
        struct history_page page;
        c->held = NULL;
        bool covered = !status && !held->lost && history_page_read(buf_slice(data), &page) &&
                       history_covers(&page, &c->top);
        if (covered) deliver_missed_page(f->site, name, &page);
        else tell_of_gap(f->site, name);
        for (struct msg *m; (m = held_take(held)); msg_unref(m)) {
            c = hub_channel(f->site, name);
            if (c && !(covered && m->at.offset <= page.top.offset)) deliver(c, m);
        }
        held_free(held);
    }
    buf_unref(f->name);
    mem_free(f);
}

static void fetch_missed(struct channel *c) {
    struct store *store = c->site->core->store;
    struct fetch *f = mem_new(sizeof *f);
    f->site = c->site;
    f->name = buf_copy(c->by_name.key);
    c->held = held_new();
    store->ops->history(store, c->site, buf_slice(f->name), c->history, c->top.offset,
                        c->history->history_size, on_fetched, f);
}

/* Who was a member while nothing came gets what is kept of it, or is told, at once and not only
 * before the next message. */
static void on_live(struct site *site, struct slice channel) {
    struct channel *c = hub_channel(site, channel);
    if (!c || c->live) return;
    c->live = true;
    joins_end(c, 0);
    if (!c->missed) return;
    c->missed = false;
    if (c->history && c->top.epoch[0]) {
        if (!c->held) fetch_missed(c);
        return;
    }
    struct buf *name = buf_copy(channel); /* c may be freed, and the store's name with it */
    tell_of_gap(site, buf_slice(name));
    buf_unref(name);
}

static void channel_lost(struct channel *c) {
    if (!c->live) return;
    c->live = false;
    c->missed = true;
    LIST_EACH(&c->members, link) container_of(link, struct member, in_channel)->behind = true;
}

static void on_emitted(struct site *site, const struct emission *e) { emit_here(site, e); }

static void on_away(struct core *core) {
    LIST_EACH(&core->sites, link) {
        const struct map *channels = &container_of(link, struct site, link)->channels;
        for (struct map_link *l = map_next(channels, NULL); l; l = map_next(channels, l))
            channel_lost(container_of(l, struct channel, by_name));
    }
}

const struct store_events hub_events = {
    .published = on_published,
    .control = on_control,
    .emitted = on_emitted,
    .live = on_live,
    .away = on_away};
