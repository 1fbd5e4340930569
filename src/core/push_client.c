/* SPDX-License-Identifier: MIT */
/* A socket has a place for each user that it is a device of. A place first reads the queue; what
 * nodes tell meanwhile is held, because it may be in what is read, or may not. A message that comes
 * to a socket by several of its users comes once, and its ack counts for all of them. */
#include "core/push_client.h"

#include "base/json.h"
#include "core/call.h"
#include "core/emission.h"
#include "core/hub.h"
#include "core/queue.h"

#include <stdio.h>

/* A device of this site with sockets here. */
struct device_here {
    struct map_link by_name; /* in the site's devices; the key is user, NUL, name */
    struct list places;      /* struct place */
    struct slice user, name;
    char key[];
};

/* A socket as one device of one user. */
struct place {
    struct list in_client, in_device;
    struct push_client *client; /* NULL: the socket has gone, and the store's answer is awaited */
    struct device_here *device;
    struct list held; /* struct held_word: what was told while it reads */
    bool reading;
    bool more; /* the queue has more than the batch that is out: what is told will be read */
};

struct held_word {
    struct list link;
    struct buf *word;
};

struct push_client {
    struct socket *socket;
    struct list places;
    struct list deliveries; /* struct delivery: on their way, the newest last */
    bool settled;           /* the store knows one of its places, and the client that */
};

/* What was sent, until it is acknowledged. */
struct delivery {
    struct call call;
    struct list link; /* in the client's deliveries */
    struct push_client *client;
    uint64_t id; /* 0: a batch */
    bool in_order;
    bool resync;        /* a batch: it told that its queue once overflowed */
    struct buf *event;  /* plain */
    struct buf *ids;    /* of a batch: JSON array of texts */
    struct buf **users; /* whose queues hold it */
    size_t user_count;
};

/* ---- what the site says ---- */

bool push_is_user(const struct site *site, struct slice room) {
    const struct push_conf *conf = &site->conf->push;
    if (!conf->user_room_prefix) return false;
    if (conf->public_channel && slice_is(room, conf->public_channel)) return true;
    return slice_starts(room, slice_of(conf->user_room_prefix));
}

bool push_has_user(const struct site *site, struct slice rooms) {
    struct json_value room;
    bool found = !site->conf->push.user_room_prefix;
    while (!found && rooms.n && json_next(&rooms, &room)) {
        struct text name = {0};
        found = room.type == JSON_STRING && push_is_user(site, json_string(room.raw, &name));
        text_fini(&name);
    }
    return found;
}

static const struct queue_ops *queue_of(const struct site *site) {
    return site->core->store->ops->queue;
}

static struct slice event_name(const struct socket *s, const char *own, const char *plain) {
    return slice_of(s->site->conf->push.plain_names ? plain : own);
}

/* ---- to the client ---- */

static void emit(struct socket *s, struct slice name, struct slice args) {
    struct text quoted = {0};
    if (!s->dialect->emit || !socket_is_open(s)) return;
    json_quote(&quoted, name);
    const struct emission e = {.event = text_slice(&quoted), .args = args};
    s->dialect->emit(s, &e);
    text_fini(&quoted);
}

static void tell_resync(struct socket *s) {
    emit(s, event_name(s, "_resync", "resync"), SLICE("[]"));
}

static void tell_settings(struct socket *s) {
    struct text args = {0};
    if (s->site->conf->push.plain_names) return; /* such clients know of none */
    text_format(&args, "[{\"device_ttl\":%llu}]",
                (unsigned long long)(s->site->conf->push.device_ttl_ms / 1000));
    emit(s, SLICE("_settings"), text_slice(&args));
    text_fini(&args);
}

/* ---- deliveries ---- */

static void delivery_free(struct delivery *d) {
    list_remove(&d->link);
    for (size_t i = 0; i < d->user_count; i++) buf_unref(d->users[i]);
    mem_free(d->users);
    buf_unref(d->event);
    buf_unref(d->ids);
    mem_free(d);
}

static void add_user(struct delivery *d, struct slice user) {
    d->users = mem_grow(d->users, (d->user_count + 1) * sizeof *d->users);
    d->users[d->user_count++] = buf_copy(user);
}

/* Waits for the store to take an ack, to tell of a resync, or to go on reading. */
struct acking {
    struct socket *socket; /* a reference */
    struct buf *user;      /* of a batch; NULL: it was none */
};

static void go_on(struct push_client *c, struct slice user);

static void on_acked(void *arg, int status, struct buf *data) {
    struct acking *a = arg;
    (void)data;
    if (status == 1) tell_resync(a->socket);
    if (a->user && a->socket->push) go_on(a->socket->push, buf_slice(a->user));
    buf_unref(a->user);
    socket_unref(a->socket);
    mem_free(a);
}

static void ack(const struct delivery *d, struct slice user, struct slice name) {
    struct socket *s = d->client->socket;
    struct store *store = s->site->core->store;
    struct acking *a = mem_new(sizeof *a);
    const struct device device = {user, name};
    a->socket = socket_ref(s);
    if (!d->id) a->user = buf_copy(user);
    if (d->id)
        queue_of(s->site)->ack(store, s->site, &device, buf_slice(d->event), d->id, d->in_order,
                               on_acked, a);
    else
        queue_of(s->site)->ack_batch(store, s->site, &device, buf_slice(d->ids), d->resync,
                                     on_acked, a);
}

static struct slice name_for(const struct push_client *c, struct slice user) {
    LIST_EACH(&c->places, link) {
        const struct device_here *device = container_of(link, struct place, in_client)->device;
        if (slice_eq(device->user, user)) return device->name;
    }
    return (struct slice){NULL, 0};
}

/* What its arguments are means nothing; that it came does. A refusal has read the message too. */
static void on_done(struct call *call, enum call_status status, struct slice value) {
    struct delivery *d = container_of(call, struct delivery, call);
    (void)value;
    if (status == CALL_ANSWERED || status == CALL_REFUSED)
        for (size_t i = 0; i < d->user_count; i++) {
            struct slice user = buf_slice(d->users[i]);
            ack(d, user, name_for(d->client, user));
        }
    delivery_free(d);
}

/* Sends name and args (JSON array), and keeps d until it is acknowledged. */
static void send(struct delivery *d, struct slice name, struct slice args) {
    d->call.done = on_done;
    d->call.spread = true;
    if (call_start(&d->call, d->client->socket, buf_copy(name), buf_copy(args), LIMIT_OFF))
        delivery_free(d);
}

static struct delivery *delivery_new(struct push_client *c, uint64_t id) {
    struct delivery *d = mem_new(sizeof *d);
    d->client = c;
    d->id = id;
    list_push(&c->deliveries, &d->link);
    return d;
}

static bool batch_has(const struct delivery *d, uint64_t id) {
    struct slice ids = buf_slice(d->ids);
    struct json_value item;
    uint64_t other;
    while (ids.n && json_next(&ids, &item))
        if (slice_u64(slice_make(item.raw.p + 1, item.raw.n - 2), &other) && other == id)
            return true;
    return false;
}

/* The delivery of this message to this socket, or NULL; for one in a batch that, too. */
static struct delivery *delivery_find(const struct push_client *c, uint64_t id) {
    for (struct list *link = c->deliveries.prev; link != &c->deliveries; link = link->prev) {
        struct delivery *d = container_of(link, struct delivery, link);
        if (d->id == id || (!d->id && batch_has(d, id))) return d;
    }
    return NULL;
}

/* ---- messages as they come ---- */

/* A word between nodes. */
struct told {
    uint64_t id;
    bool in_order;
    struct slice data;    /* JSON array [event, args...] */
    struct slice devices; /* JSON: what queue_ops.push gave */
};

static bool told_read(struct told *t, struct slice word) {
    static const struct json_limits any = {
        .depth = JSON_DEPTH_MAX, .values = UINT64_MAX, .keys = UINT64_MAX};
    struct json_value whole;
    if (json_check(word, &any, &whole) || whole.type != JSON_OBJECT) return false;
    struct json_value id = json_member(word, SLICE("id")), data = json_member(word, SLICE("data"));
    struct json_value devices = json_member(word, SLICE("devices"));
    if (id.type != JSON_STRING || data.type != JSON_ARRAY || devices.type != JSON_ARRAY)
        return false;
    t->in_order = json_member(word, SLICE("resync")).type == JSON_TRUE;
    t->data = data.raw;
    t->devices = devices.raw;
    return slice_u64(slice_make(id.raw.p + 1, id.raw.n - 2), &t->id) && t->id;
}

/* Splits [event, args...]: the event's name (plain, in *room) and [args...] (in *args). */
static struct slice split(struct slice data, struct text *room, struct text *args) {
    struct json_value item;
    struct slice name = {NULL, 0};
    text_char(args, '[');
    for (int i = 0; json_next(&data, &item); i++) {
        if (i > 1) text_char(args, ',');
        if (i) text_add(args, item.raw);
        else if (item.type == JSON_STRING) name = json_string(item.raw, room);
    }
    text_char(args, ']');
    return name;
}

static void deliver(struct place *p, const struct told *t) {
    struct delivery *d = delivery_find(p->client, t->id);
    if (d) { /* by another of its users, or in the batch */
        if (d->id) add_user(d, p->device->user);
        return;
    }
    struct text room = {0}, args = {0};
    struct slice name = split(t->data, &room, &args);
    d = delivery_new(p->client, t->id);
    d->in_order = t->in_order;
    d->event = buf_copy(name);
    add_user(d, p->device->user);
    send(d, name, text_slice(&args));
    text_fini(&room);
    text_fini(&args);
}

static void hold(struct place *p, struct slice word) {
    struct held_word *h = mem_new(sizeof *h);
    h->word = buf_copy(word);
    list_push(&p->held, &h->link);
}

static struct device_here *device_find(struct site *site, struct slice user,
                                       struct slice name) {
    struct text key = {0};
    text_add(&key, user);
    text_char(&key, 0);
    text_add(&key, name);
    struct map_link *l = map_find(push_devices(site), text_slice(&key));
    text_fini(&key);
    return l ? container_of(l, struct device_here, by_name) : NULL;
}

/* Calls visit for each device of the list that is here. */
static void each_told(struct site *site, const struct told *t,
                      void (*visit)(struct device_here *d, bool overflow, void *arg), void *arg) {
    struct json_value item;
    struct slice rest = t->devices;
    while (json_next(&rest, &item)) {
        struct text room[2] = {{0}, {0}};
        if (item.type != JSON_OBJECT) continue;
        struct json_value user = json_member(item.raw, SLICE("user"));
        struct json_value name = json_member(item.raw, SLICE("device"));
        bool overflow = json_member(item.raw, SLICE("overflow")).type == JSON_TRUE;
        if (user.type != JSON_STRING || name.type != JSON_STRING) continue;
        struct device_here *d = device_find(site, json_string(user.raw, &room[0]),
                                            json_string(name.raw, &room[1]));
        if (d) visit(d, overflow, arg);
        text_fini(&room[0]);
        text_fini(&room[1]);
    }
}

struct telling {
    const struct told *told;
    struct slice word;
};

/* An empty list of ids, and the mark: the device has been told. */
static void clear_mark(const struct place *p) {
    struct socket *s = p->client->socket;
    const struct device device = {p->device->user, p->device->name};
    struct acking *a = mem_new(sizeof *a);
    a->socket = socket_ref(s);
    queue_of(s->site)->ack_batch(s->site->core->store, s->site, &device, SLICE("[]"), true,
                                 on_acked, a);
}

/* Their records are gone, so there is nothing left to acknowledge. */
static void forget_deliveries(struct push_client *c) {
    LIST_EACH(&c->deliveries, link) {
        struct delivery *d = container_of(link, struct delivery, link);
        call_cancel(&d->call);
        delivery_free(d);
    }
}

static void tell_device(struct device_here *d, bool overflow, void *arg) {
    const struct telling *t = arg;
    LIST_EACH(&d->places, link) {
        struct place *p = container_of(link, struct place, in_device);
        if (p->reading) hold(p, t->word);
        if (p->reading || p->more) continue;
        if (overflow) {
            forget_deliveries(p->client);
            tell_resync(p->client->socket);
            clear_mark(p);
        }
        deliver(p, t->told);
    }
}

void push_client_told(struct site *site, struct slice word) {
    struct told told;
    if (!told_read(&told, word)) return;
    struct telling t = {&told, word};
    each_told(site, &told, tell_device, &t);
}

/* ---- the batch ---- */

/* Appends what was read: [[event,args...],...], and the ids, so many; whether it overflowed. */
static bool read_records(struct slice records, struct text *batch, struct text *ids,
                         size_t *count) {
    struct json_value item;
    bool overflowed = false;
    text_char(batch, '[');
    text_char(ids, '[');
    while (json_next(&records, &item)) {
        if (item.type == JSON_STRING) overflowed = true;
        if (item.type != JSON_OBJECT) continue;
        ++*count;
        if (batch->n > 1) text_char(batch, ',');
        if (ids->n > 1) text_char(ids, ',');
        text_add(batch, json_member(item.raw, SLICE("data")).raw);
        text_add(ids, json_member(item.raw, SLICE("id")).raw);
    }
    text_char(batch, ']');
    text_char(ids, ']');
    return overflowed;
}

static void send_batch(struct place *p, struct slice records) {
    struct text batch = {0}, ids = {0}, args = {0};
    struct socket *s = p->client->socket;
    size_t count = 0;
    bool overflowed = read_records(records, &batch, &ids, &count);
    const struct limits *limits = s->site->limits;
    p->more = count >= limits->batch_messages || records.n >= limits->batch_bytes;
    if (overflowed) tell_resync(s);
    if (batch.n > 2) {
        struct delivery *d = delivery_new(p->client, 0);
        d->ids = text_take(&ids);
        d->resync = overflowed;
        add_user(d, p->device->user);
        text_char(&args, '[');
        text_add(&args, text_slice(&batch));
        text_char(&args, ']');
        send(d, event_name(s, "_batch", "batch"), text_slice(&args));
    } else if (overflowed) {
        clear_mark(p);
    }
    text_fini(&batch);
    text_fini(&ids);
    text_fini(&args);
}

static void deliver_held(struct place *p) {
    struct list *link;
    while ((link = list_pop(&p->held))) {
        struct held_word *h = container_of(link, struct held_word, link);
        struct told told;
        if (!p->more && told_read(&told, buf_slice(h->word))) deliver(p, &told);
        buf_unref(h->word);
        mem_free(h);
    }
}

/* ---- places ---- */

static void place_free(struct place *p) {
    struct list *link;
    while ((link = list_pop(&p->held))) {
        buf_unref(container_of(link, struct held_word, link)->word);
        mem_free(container_of(link, struct held_word, link));
    }
    mem_free(p);
}

static void on_entered(void *arg, int status, struct buf *data) {
    struct place *p = arg;
    p->reading = false;
    if (!p->client) {
        place_free(p);
        return;
    }
    if (status < 0) { /* it is nobody's device: it comes back, and then perhaps is */
        socket_close(p->client->socket, SOCKET_UNAVAILABLE, "unavailable");
        return;
    }
    if (!p->client->settled) tell_settings(p->client->socket);
    p->client->settled = true;
    if (data) send_batch(p, buf_slice(data));
    deliver_held(p);
}

static struct place *place_find(const struct push_client *c, struct slice user) {
    LIST_EACH(&c->places, link) {
        struct place *p = container_of(link, struct place, in_client);
        if (slice_eq(p->device->user, user)) return p;
    }
    return NULL;
}

/* The batch was acknowledged: the next. */
static void go_on(struct push_client *c, struct slice user) {
    struct place *p = place_find(c, user);
    struct site *site = c->socket->site;
    if (!p || !p->more || p->reading) return;
    const struct device device = {p->device->user, p->device->name};
    p->reading = true;
    queue_of(site)->read(site->core->store, site, &device, 0, site->limits->batch_messages,
                         site->limits->batch_bytes, on_entered, p);
}

static struct device_here *device_open(struct site *site, struct slice user, struct slice name) {
    struct device_here *d = device_find(site, user, name);
    if (d) return d;
    d = mem_new(sizeof *d + user.n + 1 + name.n);
    memcpy(d->key, user.p, user.n);
    if (name.n) memcpy(d->key + user.n + 1, name.p, name.n);
    d->user = slice_make(d->key, user.n);
    d->name = slice_make(d->key + user.n + 1, name.n);
    list_init(&d->places);
    map_add(push_devices(site), &d->by_name, slice_make(d->key, user.n + 1 + name.n));
    return d;
}

static void place_open(struct push_client *c, struct slice user, struct slice name,
                       struct slice rooms) {
    struct site *site = c->socket->site;
    struct queue_bounds bounds = push_bounds(site);
    struct place *p = mem_new(sizeof *p);
    p->client = c;
    p->device = device_open(site, user, name);
    p->reading = true;
    list_init(&p->held);
    list_push(&c->places, &p->in_client);
    list_push(&p->device->places, &p->in_device);
    const struct device device = {p->device->user, p->device->name};
    queue_of(site)->enter(site->core->store, site, &device, rooms, &bounds, site->limits->batch_messages,
                          site->limits->batch_bytes, on_entered, p);
}

/* Nobody waits: what the store cannot do now it is told with the next touch, or finds out. */
static void on_told(void *arg, int status, struct buf *data) { (void)arg, (void)status, (void)data; }

static void place_close(struct place *p) {
    struct site *site = p->client->socket->site;
    struct device_here *d = p->device;
    struct queue_bounds bounds = push_bounds(site);
    list_remove(&p->in_client);
    list_remove(&p->in_device);
    p->client = NULL;
    p->device = NULL;
    if (!p->reading) place_free(p);
    if (!list_empty(&d->places)) return;
    const struct device device = {d->user, d->name};
    queue_of(site)->leave(site->core->store, site, &device, &bounds, on_told, NULL);
    map_remove(push_devices(site), &d->by_name);
    mem_free(d);
}

/* ---- sockets ---- */

static void on_joined(void *arg, const struct joined *joined) {
    struct socket *s = arg;
    if (joined->status) socket_close(s, SOCKET_UNAVAILABLE, "unavailable");
    socket_unref(s);
}

/* One that cannot be in all its rooms would miss messages without knowing. */
static bool join(struct socket *s, struct slice room) {
    if (channel_name_error(s->site, room)) return true;
    if (!hub_subscribe(s, room, NULL, on_joined, socket_ref(s))) return true;
    socket_unref(s);
    socket_close(s, SOCKET_UNAVAILABLE, "too many rooms");
    return false;
}

static void join_rooms(struct socket *s, struct slice rooms) {
    struct json_value room;
    bool good = true;
    while (good && json_next(&rooms, &room)) {
        struct text name = {0};
        if (room.type == JSON_STRING) good = join(s, json_string(room.raw, &name));
        text_fini(&name);
    }
}

static void take_places(struct push_client *c, struct slice rooms) {
    struct text room = {0}, device = {0};
    struct json_value item;
    struct slice rest = rooms, name = push_device_name(c->socket->handshake, &device);
    while (json_next(&rest, &item)) {
        struct slice user = json_string(item.raw, &room);
        if (item.type == JSON_STRING && push_is_user(c->socket->site, user) &&
            !name_for(c, user).p)
            place_open(c, user, name, rooms);
    }
    text_fini(&room);
    text_fini(&device);
}

/* The public room is no user that a backend could know of. */
static void tell_backend(const struct push_client *c, bool here) {
    const struct site *site = c->socket->site;
    const char *public_channel = site->conf->push.public_channel;
    if (!site->tell_user) return;
    LIST_EACH(&c->places, link) {
        struct slice user = container_of(link, struct place, in_client)->device->user;
        if (!public_channel || !slice_is(user, public_channel))
            site->tell_user(c->socket, user, here);
    }
}

void push_client_enter(struct socket *s) {
    const struct push_conf *conf = &s->site->conf->push;
    if ((!conf->user_room_prefix && !conf->auth_url) || s->push || !s->auth) return;
    struct json_value rooms = json_member(buf_slice(s->auth), SLICE("rooms"));
    if (rooms.type != JSON_ARRAY) return;
    join_rooms(s, rooms.raw);
    if (!conf->user_room_prefix || !s->dialect->call || !queue_of(s->site)) return;
    struct push_client *c = s->push = mem_new(sizeof *c);
    c->socket = s;
    list_init(&c->places);
    list_init(&c->deliveries);
    take_places(c, rooms.raw);
    tell_backend(c, true);
}

void push_client_leave(struct socket *s) {
    struct push_client *c = s->push;
    if (!c) return;
    s->push = NULL;
    tell_backend(c, false);
    while (!list_empty(&c->places))
        place_close(container_of(c->places.next, struct place, in_client));
    mem_free(c);
}

void push_client_touch(struct site *site) {
    struct map *here = push_devices(site);
    struct queue_bounds bounds = push_bounds(site);
    struct device *devices = mem_new((here->count + 1) * sizeof *devices);
    size_t n = 0;
    for (struct map_link *l = map_next(here, NULL); l; l = map_next(here, l)) {
        const struct device_here *d = container_of(l, struct device_here, by_name);
        devices[n++] = (struct device){d->user, d->name};
    }
    if (n && queue_of(site))
        queue_of(site)->touch(site->core->store, site, devices, n, &bounds, on_told, NULL);
    mem_free(devices);
}
