/* SPDX-License-Identifier: MIT */
#include "core/push.h"

#include "base/digest.h"
#include "base/json.h"
#include "core/emit.h"

#include <errno.h>

struct push_state {
    struct once_table once;
    struct rate *rates; /* one for each API key */
};

/* ---- what a site keeps ---- */

static size_t key_count(const struct site *site) {
    size_t n = 0;
    while (site->conf->push.api_keys && site->conf->push.api_keys[n]) n++;
    return n;
}

static struct push_state *state_of(struct site *site) {
    if (site->push) return site->push;
    site->push = mem_new(sizeof *site->push);
    site->push->rates = mem_new((key_count(site) + 1) * sizeof *site->push->rates);
    once_init(&site->push->once, site->limits->idempotency_keys, site->limits->idempotency_ttl);
    return site->push;
}

void push_forget(struct site *site) {
    if (!site->push) return;
    once_fini(&site->push->once);
    mem_free(site->push->rates);
    mem_free(site->push);
    site->push = NULL;
}

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
    int status;
    void (*done)(void *arg, int status);
    void *arg;
};

static void finish(struct sending *s, int status) {
    metrics_count(s->site->core->metrics, "push_total", "result",
                  status < 0 ? "unavailable" : "sent", s->site->name);
    s->done(s->arg, status);
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

void push_send(struct site *site, const struct push_message *m,
               void (*done)(void *arg, int status), void *arg) {
    struct sending *s = mem_new(sizeof *s);
    *s = (struct sending){.site = site, .done = done, .arg = arg};
    deferred_init(&s->deferred, on_deferred);
    finish_later(s, emit(site, m));
}
