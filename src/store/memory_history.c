/* SPDX-License-Identifier: MIT */
#include "store/memory_history.h"

#include "base/id.h"

#define SWEEP_MS 1000

struct kept {
    struct list link;
    uint64_t offset;
    struct buf *body;
};

struct stream {
    struct map_link by_name;
    struct list by_age;
    struct position top;
    uint64_t dies_ms;
    struct list messages; /* struct kept, the oldest first */
    size_t count;
    char name[];
};

static void drop_oldest(struct histories *h, struct stream *s) {
    struct kept *k = container_of(list_pop(&s->messages), struct kept, link);
    s->count--;
    h->bytes -= k->body->n + sizeof *k;
    buf_unref(k->body);
    mem_free(k);
}

static void stream_free(struct histories *h, struct stream *s) {
    while (s->count) drop_oldest(h, s);
    map_remove(&h->streams, &s->by_name);
    list_remove(&s->by_age);
    h->bytes -= sizeof *s;
    mem_free(s);
}

static struct stream *oldest(struct histories *h) {
    return list_empty(&h->by_age) ? NULL : container_of(h->by_age.next, struct stream, by_age);
}

/* Streams have the lifetimes of their conf, so a dead one may stand behind a living one for a
 * while; whoever asks for it looks at its own clock. */
static void drop_dead(struct histories *h) {
    uint64_t now = loop_now_ms(h->core->loop);
    for (struct stream *s; (s = oldest(h)) && s->dies_ms <= now;) stream_free(h, s);
}

static void on_sweep(struct timer *t) {
    struct histories *h = container_of(t, struct histories, sweep);
    drop_dead(h);
    if (h->streams.count) timer_start(h->core->loop, &h->sweep, SWEEP_MS);
}

static struct stream *stream_new(struct histories *h, struct slice key) {
    struct stream *s = mem_new(sizeof *s + key.n);
    memcpy(s->name, key.p, key.n);
    list_init(&s->by_age);
    list_init(&s->messages);
    random_name(h->core->random, s->top.epoch, EPOCH_LENGTH);
    map_add(&h->streams, &s->by_name, slice_make(s->name, key.n));
    h->bytes += sizeof *s;
    if (!timer_active(&h->sweep)) timer_start(h->core->loop, &h->sweep, SWEEP_MS);
    return s;
}

/* The channel's own, made where there is none that lives; it lives on from now. */
static struct stream *stream_of(struct histories *h, struct site *site, struct slice channel,
                                const struct channel_conf *conf) {
    struct text key = {0};
    text_str(&key, site->name);
    text_char(&key, 0);
    text_add(&key, channel);
    struct map_link *l = map_find(&h->streams, text_slice(&key));
    struct stream *s = l ? container_of(l, struct stream, by_name) : NULL;
    uint64_t now = loop_now_ms(h->core->loop);
    if (s && s->dies_ms <= now) {
        stream_free(h, s);
        s = NULL;
    }
    if (!s) s = stream_new(h, text_slice(&key));
    text_fini(&key);
    s->dies_ms = now + conf->history_ttl_ms;
    list_remove(&s->by_age);
    list_push(&h->by_age, &s->by_age);
    return s;
}

static void keep_within(struct histories *h, const struct stream *but) {
    for (struct stream *s; h->bytes > h->core->limits->memory_history;) {
        s = oldest(h);
        if (!s || s == but) return;
        metrics_limit(h->core->metrics, "memory_history", NULL);
        stream_free(h, s);
    }
}

void histories_add(struct histories *h, struct site *site, struct slice channel,
                   const struct channel_conf *conf, struct buf *body, struct position *at) {
    struct stream *s = stream_of(h, site, channel, conf);
    struct kept *k = mem_new(sizeof *k);
    k->offset = ++s->top.offset;
    k->body = buf_ref(body);
    list_push(&s->messages, &k->link);
    s->count++;
    h->bytes += body->n + sizeof *k;
    while (s->count > conf->history_size) drop_oldest(h, s);
    *at = s->top;
    keep_within(h, s);
}

/* The first message of a page, or the head. */
static struct list *page_start(struct stream *s, uint64_t since, uint64_t limit) {
    struct list *link = since == HISTORY_NEWEST ? &s->messages : s->messages.next;
    if (since == HISTORY_NEWEST) {
        while (limit-- && link->prev != &s->messages) link = link->prev;
        return link;
    }
    while (link != &s->messages && container_of(link, struct kept, link)->offset <= since)
        link = link->next;
    return link;
}

struct buf *histories_page(struct histories *h, struct site *site, struct slice channel,
                           const struct channel_conf *conf, uint64_t since, uint64_t limit) {
    struct stream *s = stream_of(h, site, channel, conf);
    struct text t = {0};
    history_page_begin(&t, slice_of(s->top.epoch), s->top.offset);
    struct list *link = page_start(s, since, limit);
    for (; limit && link != &s->messages; limit--, link = link->next) {
        const struct kept *k = container_of(link, struct kept, link);
        history_page_add(&t, k->offset, buf_slice(k->body));
    }
    history_page_end(&t);
    return text_take(&t);
}

void histories_init(struct histories *h, struct core *core) {
    *h = (struct histories){.core = core};
    list_init(&h->by_age);
    h->sweep.fired = on_sweep;
}

void histories_fini(struct histories *h) {
    for (struct stream *s; (s = oldest(h));) stream_free(h, s);
    map_fini(&h->streams);
    timer_stop(h->core->loop, &h->sweep);
}
