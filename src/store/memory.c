/* SPDX-License-Identifier: MIT */
#include "store/memory.h"

#include "core/site.h"
#include "store/memory_history.h"

#include <errno.h>

/* Something that happens at the end of the turn. One queue for all kinds keeps them in order. */
struct event {
    struct list link;
    enum { PUBLISHED, CONTROL, LIVE, ANSWER } kind;
    struct site *site;
    struct buf *body;
    store_done *done; /* may be NULL, but for ANSWER */
    void *arg;
    int status;
    struct position at; /* PUBLISHED on a channel with a history */
    size_t name_n;
    char name[]; /* channel, or name of the word */
};

struct token {
    struct map_link link; /* key: "site\0id" */
    struct list by_age;
    uint64_t dies_ms;
    struct buf *data;
    char key[];
};

struct memory {
    struct store store;
    struct core *core;
    struct list events;
    size_t event_count;
    struct deferred deliver;
    struct map tokens;
    struct list by_age; /* struct token in the order of their making */
    struct timer sweep;
    struct histories histories;
};

/* How often dead tokens that nobody asked for are thrown away. */
#define SWEEP_MS 1000

static struct memory *memory_of(struct store *st) { return container_of(st, struct memory, store); }

/* ---- events ---- */

static struct event *event_add(struct memory *m, int kind, struct site *site, struct slice name,
                               struct buf *body, store_done *done, void *arg, int status) {
    struct event *e = mem_new(sizeof *e + name.n);
    e->kind = kind;
    e->site = site;
    e->body = body ? buf_ref(body) : NULL;
    e->done = done;
    e->arg = arg;
    e->status = status;
    e->name_n = name.n;
    if (name.n) memcpy(e->name, name.p, name.n);
    list_push(&m->events, &e->link);
    m->event_count++;
    loop_defer(m->core->loop, LOOP_DELIVER, &m->deliver);
    return e;
}

static struct event *event_take(struct memory *m, struct list *link) {
    list_remove(link);
    m->event_count--;
    return container_of(link, struct event, link);
}

static void event_free(struct event *e) {
    buf_unref(e->body);
    mem_free(e);
}

static void event_happen(struct memory *m, struct event *e) {
    struct slice name = slice_make(e->name, e->name_n);
    switch (e->kind) {
    case PUBLISHED:
        m->store.events->published(e->site, name, e->body, e->at.epoch[0] ? &e->at : NULL);
        break;
    case CONTROL: m->store.events->control(e->site, name, e->body); break;
    case LIVE: m->store.events->live(e->site, name); break;
    case ANSWER: break;
    }
    if (e->done) e->done(e->arg, e->status, e->body);
}

/* What happens now may cause more; that waits for the next round of the same phase. */
static void on_deliver(struct deferred *d) {
    struct memory *m = container_of(d, struct memory, deliver);
    for (size_t n = m->event_count; n && m->event_count; n--) {
        struct event *e = event_take(m, m->events.next);
        event_happen(m, e);
        event_free(e);
    }
    if (!list_empty(&m->events)) loop_defer(m->core->loop, LOOP_DELIVER, &m->deliver);
}

/* Whatever is said, one node hears it: this one. */
static int publish(struct store *st, struct site *site, struct slice channel, struct buf *body,
                   const struct channel_conf *history, store_done *done, void *arg) {
    struct memory *m = memory_of(st);
    struct event *e = event_add(m, PUBLISHED, site, channel, body, done, arg, 1);
    if (history) histories_add(&m->histories, site, channel, history, body, &e->at);
    return 0;
}

/* At its turn: what was published before it has been delivered by then. */
static void history(struct store *st, struct site *site, struct slice channel,
                    const struct channel_conf *conf, uint64_t since, uint64_t limit,
                    store_done *done, void *arg) {
    struct memory *m = memory_of(st);
    struct buf *page = histories_page(&m->histories, site, channel, conf, since, limit);
    event_add(m, ANSWER, site, (struct slice){NULL, 0}, page, done, arg, 0);
    buf_unref(page);
}

static int control(struct store *st, struct site *site, struct slice node, struct slice name,
                   struct buf *body, store_done *done, void *arg) {
    bool heard = !node.n || slice_is(node, site->core->node);
    event_add(memory_of(st), heard ? CONTROL : ANSWER, site, name, body, done, arg, heard);
    return 0;
}

static void subscribe(struct store *st, struct site *site, struct slice channel) {
    event_add(memory_of(st), LIVE, site, channel, NULL, NULL, NULL, 0);
}

/* A subscription that was not live yet will not be any more. */
static void unsubscribe(struct store *st, struct site *site, struct slice channel) {
    struct memory *m = memory_of(st);
    LIST_EACH(&m->events, link) {
        struct event *e = container_of(link, struct event, link);
        if (e->kind == LIVE && e->site == site && slice_eq(slice_make(e->name, e->name_n), channel))
            event_free(event_take(m, link));
    }
}

/* ---- tokens ---- */

static struct text token_key(struct site *site, struct slice id) {
    struct text key = {0};
    text_str(&key, site->name);
    text_char(&key, 0);
    text_add(&key, id);
    return key;
}

static void token_free(struct memory *m, struct token *t) {
    map_remove(&m->tokens, &t->link);
    list_remove(&t->by_age);
    buf_unref(t->data);
    mem_free(t);
}

/* Tokens of one site have one lifetime, those of several come near enough to the order of their
 * making: the walk ends at the first that lives, and a token that is asked for is judged by its own
 * clock. */
static void drop_dead(struct memory *m) {
    uint64_t now = loop_now_ms(m->core->loop);
    while (!list_empty(&m->by_age)) {
        struct token *t = container_of(m->by_age.next, struct token, by_age);
        if (t->dies_ms > now) return;
        token_free(m, t);
    }
}

static void on_sweep(struct timer *timer) {
    struct memory *m = container_of(timer, struct memory, sweep);
    drop_dead(m);
    if (m->tokens.count) timer_start(m->core->loop, &m->sweep, SWEEP_MS);
}

static void token_put(struct store *st, struct site *site, struct slice id, struct buf *data,
                      const struct handshake *from, uint64_t ttl_ms, store_done *done, void *arg) {
    struct memory *m = memory_of(st);
    (void)from;
    if (m->tokens.count >= m->core->limits->memory_tokens) drop_dead(m);
    if (m->tokens.count >= m->core->limits->memory_tokens) {
        metrics_limit(m->core->metrics, "memory_tokens", NULL);
        event_add(m, ANSWER, site, (struct slice){NULL, 0}, NULL, done, arg, -ENOSPC);
        return;
    }
    struct text key = token_key(site, id);
    struct token *t = mem_new(sizeof *t + key.n);
    memcpy(t->key, text_slice(&key).p, key.n);
    t->dies_ms = loop_now_ms(m->core->loop) + ttl_ms;
    t->data = buf_ref(data);
    map_add(&m->tokens, &t->link, slice_make(t->key, key.n));
    list_push(&m->by_age, &t->by_age);
    text_fini(&key);
    if (!timer_active(&m->sweep)) timer_start(m->core->loop, &m->sweep, SWEEP_MS);
    event_add(m, ANSWER, site, (struct slice){NULL, 0}, NULL, done, arg, 0);
}

static void token_take(struct store *st, struct site *site, struct slice id, store_done *done,
                       void *arg) {
    struct memory *m = memory_of(st);
    struct text key = token_key(site, id);
    struct map_link *l = map_find(&m->tokens, text_slice(&key));
    text_fini(&key);
    struct token *t = l ? container_of(l, struct token, link) : NULL;
    struct buf *data = NULL;
    if (t && t->dies_ms > loop_now_ms(m->core->loop)) data = buf_ref(t->data);
    if (t) token_free(m, t);
    event_add(m, ANSWER, site, (struct slice){NULL, 0}, data, done, arg, data ? 0 : -ENOENT);
    buf_unref(data);
}

/* ---- life ---- */

/* What is under way happens at the end of the turn. */
static void stop(struct store *st) { (void)st; }

static void memory_close(struct store *st) {
    struct memory *m = memory_of(st);
    while (m->event_count) event_free(event_take(m, m->events.next));
    while (!list_empty(&m->by_age))
        token_free(m, container_of(m->by_age.next, struct token, by_age));
    map_fini(&m->tokens);
    timer_stop(m->core->loop, &m->sweep);
    histories_fini(&m->histories);
    deferred_cancel(&m->deliver);
    mem_free(m);
}

static const struct store_ops memory_ops = {
    .name = "memory",
    .publish = publish,
    .history = history,
    .control = control,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .token_put = token_put,
    .token_take = token_take,
    .stop = stop,
    .close = memory_close,
};

struct store *memory_store_new(struct core *core, const struct store_events *events) {
    struct memory *m = mem_new(sizeof *m);
    m->store = (struct store){.ops = &memory_ops, .events = events};
    m->core = core;
    list_init(&m->events);
    list_init(&m->by_age);
    deferred_init(&m->deliver, on_deliver);
    m->sweep.fired = on_sweep;
    histories_init(&m->histories, core);
    return &m->store;
}
