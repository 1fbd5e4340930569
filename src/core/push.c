/* SPDX-License-Identifier: MIT */
#include "core/push.h"

#include "base/digest.h"
#include "base/flake.h"
#include "base/json.h"
#include "base/utf8.h"
#include "core/auth_url.h"
#include "core/emit.h"
#include "core/push_client.h"
#include "core/queue.h"

#include <assert.h>
#include <errno.h>

/* A node that died is found out after so long; devices that are here are touched in time. */
#define LEASE_MS 60000
#define TOUCH_MS (LEASE_MS / 3)
#define DEVICE_MAX 128

struct push_state {
    struct once_table once;
    struct map devices;  /* push_client.c's */
    struct flake flake;  /* of the ids of messages */
    struct timer lease;  /* the devices that are here are still here */
    struct site *site;
    struct rate *rates; /* one for each API key */
};

/* ---- what a site keeps ---- */

static size_t key_count(const struct site *site) {
    size_t n = 0;
    while (site->conf->push.api_keys && site->conf->push.api_keys[n]) n++;
    return n;
}

static void on_lease(struct timer *t) {
    struct push_state *state = container_of(t, struct push_state, lease);
    push_client_touch(state->site);
    timer_start(state->site->core->loop, t, TOUCH_MS);
}

static struct push_state *state_of(struct site *site) {
    if (site->push) return site->push;
    site->push = mem_new(sizeof *site->push);
    site->push->site = site;
    site->push->lease.fired = on_lease;
    if (site->conf->push.user_room_prefix)
        timer_start(site->core->loop, &site->push->lease, TOUCH_MS);
    flake_init(&site->push->flake, random_u32(site->core->random));
    site->push->rates = mem_new((key_count(site) + 1) * sizeof *site->push->rates);
    once_init(&site->push->once, site->limits->idempotency_keys, site->limits->idempotency_ttl);
    return site->push;
}

void push_forget(struct site *site) {
    if (!site->push) return;
    assert(!site->push->devices.count);
    timer_stop(site->core->loop, &site->push->lease);
    map_fini(&site->push->devices);
    once_fini(&site->push->once);
    mem_free(site->push->rates);
    mem_free(site->push);
    site->push = NULL;
}

struct map *push_devices(struct site *site) { return &state_of(site)->devices; }

struct once_table *push_once(struct site *site) { return &state_of(site)->once; }

/* ---- API keys ---- */

int push_key_index(const struct site *site, struct slice key) {
    static char *const none[] = {
        "sha256:0000000000000000000000000000000000000000000000000000000000000000", NULL};
    char *const *keys = site && key_count(site) ? site->conf->push.api_keys : none;
    unsigned char digest[32];
    struct text hex = {0};
    int index = -1;
    digest_sha256(key, digest);
    text_str(&hex, "sha256:");
    hex_encode(&hex, slice_make(digest, sizeof digest));
    for (int i = 0; keys[i]; i++)
        if (digest_equal(text_slice(&hex), slice_of(keys[i]))) index = i;
    text_fini(&hex);
    return keys == none ? -1 : index;
}

bool push_key_allows(struct site *site, int index) {
    struct rate *rate = &state_of(site)->rates[index];
    uint64_t now_ms = loop_now_ms(site->core->loop);
    if (rate_allow(rate, now_ms, site->limits->push_rate, site->limits->push_burst)) return true;
    site_limit(site, "push_rate");
    return false;
}

/* ---- sending ---- */

/* A message on its way into the store. */
struct sending {
    struct site *site;
    struct deferred deferred; /* where the store is not asked, or has said no at once */
    struct buf *data; /* JSON array [event, args...]; of a message to users, as the next two */
    uint64_t id;
    bool resync;
    int status;
    void (*done)(void *arg, int status);
    void *arg;
};

static void finish(struct sending *s, int status) {
    metrics_count(s->site->core->metrics, "push_total", "result",
                  status < 0 ? "unavailable" : "sent", s->site->name);
    s->done(s->arg, status);
    buf_unref(s->data);
    mem_free(s);
}

static void on_deferred(struct deferred *d) {
    struct sending *s = container_of(d, struct sending, deferred);
    finish(s, s->status);
}

static void finish_later(struct sending *s, int status) {
    s->status = status;
    loop_defer(s->site->core->loop, LOOP_DELIVER, &s->deferred);
}

static bool is_empty(struct slice array) {
    struct json_value first;
    return !json_next(&array, &first);
}

/* To whoever is there; to no rooms is to nobody, and not to everybody. */
static int emit(struct site *site, const struct push_message *m) {
    const struct emission e = {.rooms = m->rooms, .event = m->event, .args = m->args};
    return is_empty(m->rooms) ? 0 : emit_send(site, &e);
}

/* ---- to users ---- */

struct queue_bounds push_bounds(const struct site *site) {
    const struct push_conf *conf = &site->conf->push;
    const struct limits *limits = site->limits;
    return (struct queue_bounds){
        .ttl_ms = conf->device_ttl_ms ? conf->device_ttl_ms : LIMIT_OFF,
        .lease_ms = LEASE_MS,
        .messages = limits->queue_messages,
        .bytes = limits->queue_bytes,
        .devices = limits->queue_devices,
        .user_prefix = slice_of(conf->user_room_prefix),
        .public_channel = slice_of(conf->public_channel)};
}

/* What is too long for a name is none, and neither is what no text has. */
struct slice push_device_name(const struct handshake *h, struct text *room) {
    bool broken = false;
    struct buf *word = client_word(h, "deviceId", &broken);
    struct slice name = buf_slice(word);
    if (name.n <= DEVICE_MAX && utf8_valid(name)) text_add(room, name);
    buf_unref(word);
    return room->n ? text_slice(room) : (struct slice){"", 0};
}

/* [event,args...] */
static void add_data(struct text *t, const struct push_message *m) {
    struct slice inside = slice_trim(slice_make(m->args.p + 1, m->args.n - 2));
    text_char(t, '[');
    text_add(t, m->event);
    if (inside.n) text_char(t, ',');
    text_add(t, inside);
    text_char(t, ']');
}

/* The nodes hand it to those of the devices that are theirs. */
static void tell_nodes(struct sending *s, struct slice devices) {
    struct store *store = s->site->core->store;
    struct text t = {0};
    text_format(&t, "{\"id\":\"%llu\",\"resync\":%s,\"data\":", (unsigned long long)s->id,
                s->resync ? "true" : "false");
    text_add(&t, buf_slice(s->data));
    text_str(&t, ",\"devices\":");
    text_add(&t, devices);
    text_char(&t, '}');
    struct buf *word = text_take(&t);
    store->ops->control(store, s->site, (struct slice){NULL, 0}, SLICE("push"), word, NULL, NULL);
    buf_unref(word);
}

static bool overflowed(struct slice devices) {
    struct json_value item;
    while (json_next(&devices, &item))
        if (json_member(item.raw, SLICE("overflow")).type == JSON_TRUE) return true;
    return false;
}

static void on_pushed(void *arg, int status, struct buf *data) {
    struct sending *s = arg;
    bool full = status >= 0 && data && overflowed(buf_slice(data));
    if (status >= 0 && data && !is_empty(buf_slice(data))) tell_nodes(s, buf_slice(data));
    if (full) site_limit(s->site, "queue_messages");
    finish(s, status < 0 ? status : full);
}

static void push(struct sending *s, const struct push_message *m) {
    struct site *site = s->site;
    struct queue_bounds bounds = push_bounds(site);
    struct text room = {0}, data = {0};
    add_data(&data, m);
    s->data = text_take(&data);
    s->resync = m->resync;
    s->id = flake_next(&state_of(site)->flake);
    const struct queue_message message = {.id = s->id,
                                          .rooms = m->rooms,
                                          .event = json_string(m->event, &room),
                                          .data = buf_slice(s->data)};
    site->core->store->ops->queue->push(site->core->store, site, &message, &bounds, on_pushed, s);
    text_fini(&room);
}

void push_send(struct site *site, const struct push_message *m,
               void (*done)(void *arg, int status), void *arg) {
    struct sending *s = mem_new(sizeof *s);
    *s = (struct sending){.site = site, .done = done, .arg = arg};
    deferred_init(&s->deferred, on_deferred);
    if (site->conf->push.user_room_prefix && site->core->store->ops->queue) push(s, m);
    else finish_later(s, emit(site, m));
}
