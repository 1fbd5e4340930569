/* SPDX-License-Identifier: MIT */
#include "store/local.h"

#include "store/local_queue.h"

#include "core/site.h"

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

struct local {
    struct store store;
    struct store_ops ops; /* with the keeper's name */
    struct core *core;
    struct keeper *keeper;
    struct list events;
    size_t event_count;
    struct deferred deliver;
};

static struct local *local_of(struct store *st) { return container_of(st, struct local, store); }

/* ---- events ---- */

static struct event *event_add(struct local *l, int kind, struct site *site, struct slice name,
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
    list_push(&l->events, &e->link);
    l->event_count++;
    loop_defer(l->core->loop, LOOP_DELIVER, &l->deliver);
    return e;
}

static struct event *event_take(struct local *l, struct list *link) {
    list_remove(link);
    l->event_count--;
    return container_of(link, struct event, link);
}

static void event_free(struct event *e) {
    buf_unref(e->body);
    mem_free(e);
}

static void event_happen(struct local *l, struct event *e) {
    struct slice name = slice_make(e->name, e->name_n);
    switch (e->kind) {
    case PUBLISHED:
        l->store.events->published(e->site, name, e->body, e->at.epoch[0] ? &e->at : NULL);
        break;
    case CONTROL: l->store.events->control(e->site, name, e->body); break;
    case LIVE: l->store.events->live(e->site, name); break;
    case ANSWER: break;
    }
    if (e->done) e->done(e->arg, e->status, e->body);
}

/* What the keeper was to keep is lost: whoever waits for it is told, and nobody gets what is not
 * kept. */
static void fail_all(struct local *l) {
    LIST_EACH(&l->events, link) {
        struct event *e = container_of(link, struct event, link);
        if (e->kind == PUBLISHED && e->at.epoch[0]) e->kind = ANSWER;
        if (e->kind == ANSWER && e->status >= 0) e->status = -ENOTCONN;
    }
}

/* What happens now may cause more; that waits for the next round of the same phase. */
static void on_deliver(struct deferred *d) {
    struct local *l = container_of(d, struct local, deliver);
    if (l->keeper->ops->settle && l->keeper->ops->settle(l->keeper)) fail_all(l);
    for (size_t n = l->event_count; n && l->event_count; n--) {
        struct event *e = event_take(l, l->events.next);
        event_happen(l, e);
        event_free(e);
    }
    if (!list_empty(&l->events)) loop_defer(l->core->loop, LOOP_DELIVER, &l->deliver);
}

/* Whatever is said, one node hears it: this one. */
static int publish(struct store *st, struct site *site, struct slice channel, struct buf *body,
                   const struct channel_conf *history, store_done *done, void *arg) {
    struct local *l = local_of(st);
    struct event *e = event_add(l, PUBLISHED, site, channel, body, done, arg, 1);
    if (history) l->keeper->ops->history_add(l->keeper, site, channel, history, body, &e->at);
    return 0;
}

/* At its turn: what was published before it has been delivered by then. */
static void history(struct store *st, struct site *site, struct slice channel,
                    const struct channel_conf *conf, uint64_t since, uint64_t limit,
                    store_done *done, void *arg) {
    struct local *l = local_of(st);
    struct buf *page = l->keeper->ops->history_page(l->keeper, site, channel, conf, since, limit);
    event_add(l, ANSWER, site, (struct slice){NULL, 0}, page, done, arg, page ? 0 : -ENOTCONN);
    buf_unref(page);
}

static int control(struct store *st, struct site *site, struct slice node, struct slice name,
                   struct buf *body, store_done *done, void *arg) {
    bool heard = !node.n || slice_is(node, site->core->node);
    event_add(local_of(st), heard ? CONTROL : ANSWER, site, name, body, done, arg, heard);
    return 0;
}

static void subscribe(struct store *st, struct site *site, struct slice channel) {
    event_add(local_of(st), LIVE, site, channel, NULL, NULL, NULL, 0);
}

/* A subscription that was not live yet will not be any more. */
static void unsubscribe(struct store *st, struct site *site, struct slice channel) {
    struct local *l = local_of(st);
    LIST_EACH(&l->events, link) {
        struct event *e = container_of(link, struct event, link);
        if (e->kind == LIVE && e->site == site && slice_eq(slice_make(e->name, e->name_n), channel))
            event_free(event_take(l, link));
    }
}

/* ---- tokens ---- */

void local_answer(struct store *st, struct site *site, struct buf *body, store_done *done,
                  void *arg, int status) {
    event_add(local_of(st), ANSWER, site, (struct slice){NULL, 0}, body, done, arg, status);
}

struct keeper *local_keeper(struct store *st) { return local_of(st)->keeper; }

static void answer(struct local *l, struct site *site, struct buf *body, store_done *done,
                   void *arg, int status) {
    event_add(l, ANSWER, site, (struct slice){NULL, 0}, body, done, arg, status);
}

static void token_put(struct store *st, struct site *site, struct slice id, struct buf *data,
                      const struct handshake *from, uint64_t ttl_ms, store_done *done, void *arg) {
    struct local *l = local_of(st);
    (void)from;
    answer(l, site, NULL, done, arg, l->keeper->ops->token_put(l->keeper, site, id, data, ttl_ms));
}

static void token_take(struct store *st, struct site *site, struct slice id, store_done *done,
                       void *arg) {
    struct local *l = local_of(st);
    struct buf *data = l->keeper->ops->token_take(l->keeper, site, id);
    answer(l, site, data, done, arg, data ? 0 : -ENOENT);
    buf_unref(data);
}

/* ---- life ---- */

/* What is under way happens at the end of the turn. */
static void stop(struct store *st) { (void)st; }

static void local_close(struct store *st) {
    struct local *l = local_of(st);
    while (l->event_count) event_free(event_take(l, l->events.next));
    deferred_cancel(&l->deliver);
    l->keeper->ops->close(l->keeper);
    mem_free(l);
}

struct store *local_store_new(struct core *core, const struct store_events *events,
                              struct keeper *keeper) {
    struct local *l = mem_new(sizeof *l);
    l->ops = (struct store_ops){.name = keeper->ops->name,
                                .publish = publish,
                                .history = history,
                                .control = control,
                                .subscribe = subscribe,
                                .unsubscribe = unsubscribe,
                                .token_put = token_put,
                                .token_take = token_take,
                                .queue = &local_queue_ops,
                                .stop = stop,
                                .close = local_close};
    l->store = (struct store){.ops = &l->ops, .events = events};
    l->core = core;
    l->keeper = keeper;
    list_init(&l->events);
    deferred_init(&l->deliver, on_deliver);
    return &l->store;
}
