/* SPDX-License-Identifier: MIT */
/* Members are on two lists at once: the channel's, which delivery walks, and the socket's, which
 * its end walks. While a channel is walked its cursor is the next member, and a member that leaves
 * moves the cursor on; so a filter may end any membership. A channel dies with its last member, at
 * once: nobody can keep names alive that nobody is in. */
#include "core/hub.h"

#include <errno.h>

/* Somebody who waits for a subscription to be live. */
struct join {
    struct list link; /* in channel->joins */
    struct deferred deferred;
    void (*done)(void *arg, int status);
    void *arg;
    int status;
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

static void on_joined(struct deferred *d) {
    struct join *j = container_of(d, struct join, deferred);
    j->done(j->arg, j->status);
    mem_free(j);
}

static void join_end(struct core *core, struct join *j, int status) {
    list_remove(&j->link);
    j->status = status;
    loop_defer(core->loop, LOOP_DELIVER, &j->deferred);
}

static void joins_end(struct channel *c, int status) {
    while (!list_empty(&c->joins))
        join_end(c->site->core, container_of(c->joins.next, struct join, link), status);
}

static void on_live(void *arg, int status, struct buf *data) {
    (void)data;
    struct channel *c = arg;
    c->live = status == 0;
    joins_end(c, status);
}

static void join_wait(struct channel *c, void (*done)(void *arg, int status), void *arg) {
    struct join *j = mem_new(sizeof *j);
    j->done = done;
    j->arg = arg;
    deferred_init(&j->deferred, on_joined);
    list_push(&c->joins, &j->link);
    if (c->live) join_end(c->site->core, j, 0);
}

static struct channel *channel_new(struct site *site, struct slice name) {
    struct channel *c = mem_new(sizeof *c + name.n + 1);
    c->site = site;
    memcpy(c->name, name.p, name.n);
    list_init(&c->members);
    list_init(&c->joins);
    map_add(&site->channels, &c->by_name, slice_make(c->name, name.n));
    site->core->channels++;
    struct store *store = site->core->store;
    store->ops->subscribe(store, site, c->by_name.key, on_live, c);
    return c;
}

static void channel_free(struct channel *c) {
    struct site *site = c->site;
    struct store *store = site->core->store;
    store->ops->unsubscribe(store, site, c->by_name.key);
    joins_end(c, -ECANCELED);
    map_remove(&site->channels, &c->by_name);
    site->core->channels--;
    if (site->has & HOOK_VACATED) site->hooks->vacated(site, c->by_name.key);
    mem_free(c);
}

static struct member *member_find(const struct socket *socket, struct slice channel) {
    for (struct member *m = socket->members; m; m = m->next)
        if (slice_eq(m->channel->by_name.key, channel)) return m;
    return NULL;
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

int hub_subscribe(struct socket *socket, struct slice name, void (*done)(void *arg, int status),
                  void *arg) {
    struct site *site = socket->site;
    struct member *m = member_find(socket, name);
    if (!m) {
        struct channel *c = hub_channel(site, name);
        int status = refuse_join(site, socket, c);
        if (status) return status;
        bool first = !c;
        if (first) c = channel_new(site, name);
        m = mem_new(sizeof *m);
        m->socket = socket;
        m->channel = c;
        m->next = socket->members;
        socket->members = m;
        socket->member_count++;
        list_push(&c->members, &m->in_channel);
        c->count++;
        if (done) join_wait(c, done, arg);
        if (first && site->has & HOOK_OCCUPIED) site->hooks->occupied(site, name);
        return 0;
    }
    if (done) join_wait(m->channel, done, arg);
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
    mem_free(m);
    if (!c->count && !c->walked) channel_free(c);
}

bool hub_unsubscribe(struct socket *socket, struct slice channel) {
    struct member *m = member_find(socket, channel);
    if (m) member_free(m);
    return m != NULL;
}

void hub_leave(struct socket *socket) {
    while (socket->members) member_free(socket->members);
}

/* ---- publishing ---- */

int hub_publish(struct site *site, struct slice channel, struct buf *body) {
    struct store *store = site->core->store;
    return store->ops->publish(store, site, channel, body);
}

int hub_broadcast(struct site *site, struct buf *body) {
    struct store *store = site->core->store;
    return store->ops->control(store, site, SLICE("broadcast"), body);
}

int hub_unsubscribe_all(struct site *site, struct slice channel) {
    struct store *store = site->core->store;
    struct buf *name = buf_copy(channel);
    int status = store->ops->control(store, site, SLICE("unsubscribeAll"), name);
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

static void send_wire(struct socket *s, struct msg *m) {
    struct buf *wire = msg_wire(m, s->dialect, s->session->ops);
    s->session->ops->send(s->session, wire, false);
    buf_unref(wire);
}

static void deliver_one(struct member *member, struct msg *m) {
    struct socket *s = member->socket;
    if (!socket_is_open(s) || lags(member)) return;
    if (member->gap) {
        member->gap = false;
        s->dialect->gap(s, m->channel);
    }
    if (!(s->site->has & HOOK_FILTER)) {
        send_wire(s, m);
        return;
    }
    struct buf *replacement = NULL;
    socket_ref(s); /* the filter may close it and end its membership */
    if (s->site->hooks->filter(s, m, &replacement) == ALLOW && socket_is_open(s)) {
        struct msg *own = replacement ? msg_new(m->channel, replacement) : msg_ref(m);
        send_wire(s, own);
        msg_unref(own);
    }
    buf_unref(replacement);
    socket_unref(s);
}

static void deliver(struct channel *c, struct buf *body) {
    struct msg *m = msg_new(c->by_name.key, body);
    c->walked = true;
    c->cursor = c->members.next;
    while (c->cursor != &c->members) {
        struct member *member = container_of(c->cursor, struct member, in_channel);
        c->cursor = c->cursor->next;
        deliver_one(member, m);
    }
    c->cursor = NULL;
    c->walked = false;
    if (!c->count) channel_free(c);
    msg_unref(m);
}

static void on_published(struct site *site, struct slice channel, struct buf *body) {
    struct channel *c = hub_channel(site, channel);
    if (c) deliver(c, body);
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
    while (slice_next(&rest, '\n', &name) && rest.p) on_published(site, name, body);
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
}

const struct store_events hub_events = {.published = on_published, .control = on_control};
