/* SPDX-License-Identifier: MIT */
#include "store/memory.h"

#include "core/site.h"
#include "store/memory_history.h"
#include "store/memory_queue.h"

#include <errno.h>

struct token {
    struct map_link link; /* key: "site\0id" */
    struct list by_age;
    uint64_t dies_ms;
    struct buf *data;
    char key[];
};

struct memory {
    struct keeper keeper;
    struct core *core;
    struct map tokens;
    struct list by_age; /* struct token in the order of their making */
    struct timer sweep;
    struct histories histories;
    struct memory_queue queue;
};

/* How often dead tokens that nobody asked for are thrown away. */
#define SWEEP_MS 1000

static struct memory *memory_of(struct keeper *k) { return container_of(k, struct memory, keeper); }

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

static int token_put(struct keeper *k, struct site *site, struct slice id, struct buf *data,
                     uint64_t ttl_ms) {
    struct memory *m = memory_of(k);
    if (m->tokens.count >= m->core->limits->memory_tokens) drop_dead(m);
    if (m->tokens.count >= m->core->limits->memory_tokens) {
        metrics_limit(m->core->metrics, "memory_tokens", NULL);
        return -ENOSPC;
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
    return 0;
}

static struct buf *token_take(struct keeper *k, struct site *site, struct slice id) {
    struct memory *m = memory_of(k);
    struct text key = token_key(site, id);
    struct map_link *l = map_find(&m->tokens, text_slice(&key));
    text_fini(&key);
    struct token *t = l ? container_of(l, struct token, link) : NULL;
    struct buf *data = NULL;
    if (t && t->dies_ms > loop_now_ms(m->core->loop)) data = buf_ref(t->data);
    if (t) token_free(m, t);
    return data;
}

/* ---- histories ---- */

static void history_add(struct keeper *k, struct site *site, struct slice channel,
                        const struct channel_conf *conf, struct buf *body, struct position *at) {
    histories_add(&memory_of(k)->histories, site, channel, conf, body, at);
}

static struct buf *history_page(struct keeper *k, struct site *site, struct slice channel,
                                const struct channel_conf *conf, uint64_t since, uint64_t limit) {
    return histories_page(&memory_of(k)->histories, site, channel, conf, since, limit);
}

/* ---- queues ---- */

static struct queue_tables *queues(struct keeper *k) {
    struct memory *m = memory_of(k);
    return memory_queue_begin(&m->queue, m->core);
}

static int settle(struct keeper *k) { return memory_queue_commit(&memory_of(k)->queue); }

/* ---- life ---- */

static void memory_close(struct keeper *k) {
    struct memory *m = memory_of(k);
    while (!list_empty(&m->by_age))
        token_free(m, container_of(m->by_age.next, struct token, by_age));
    map_fini(&m->tokens);
    timer_stop(m->core->loop, &m->sweep);
    histories_fini(&m->histories);
    memory_queue_close(&m->queue);
    mem_free(m);
}

static const struct keeper_ops memory_ops = {.name = "memory",
                                             .token_put = token_put,
                                             .token_take = token_take,
                                             .history_add = history_add,
                                             .history_page = history_page,
                                             .queues = queues,
                                             .settle = settle,
                                             .close = memory_close};

struct keeper *memory_keeper_new(struct core *core) {
    struct memory *m = mem_new(sizeof *m);
    m->keeper.ops = &memory_ops;
    m->core = core;
    list_init(&m->by_age);
    m->sweep.fired = on_sweep;
    histories_init(&m->histories, core);
    return &m->keeper;
}
