/* SPDX-License-Identifier: MIT */
/* Every subscription is a struct sub under its name in Redis, wanted until it is unsubscribed; what
 * is wanted is sent whenever the subscribing connection comes up. Confirmations come in the order
 * of the SUBSCRIBEs, so a sub is live when as many have come as its serial says: one for a name
 * that was given up and wanted again meanwhile is not taken for the new one's.
 *
 * A connection may be half dead without a word. So the node publishes to itself by one connection
 * and listens on the other; three beats that do not come end it. */
#include "store/redis_history.h"
#include "store/redis_inner.h"
#include "store/redis_layout.h"
#include "store/redis_listen.h"
#include "store/redis_queue.h"

#include <errno.h>
#include <hiredis/hiredis.h>

#define NAMES_PER_COMMAND 1000
#define BEATS_MISSED 3
#define TICKS_PER_BEAT 5

enum sub_kind { SUB_CHANNEL, SUB_WORDS, SUB_SHARED_ALL, SUB_SHARED_SYNC, SUB_BEAT };

struct sub {
    struct map_link link; /* in store->subs; the key is name */
    struct site *site;    /* NULL: SUB_BEAT */
    uint8_t kind;
    bool live;
    uint64_t serial;     /* which of this connection's confirmations is its own; 0: not sent */
    uint32_t channel_at; /* SUB_CHANNEL: where in name the channel's begins */
    char name[];
};

static const struct store_ops redis_ops;

struct redis *redis_of(struct store *st) {
    return st->ops == &redis_ops ? container_of(st, struct redis, store) : NULL;
}

void redis_drop(struct redis *r, const struct site *site, const char *reason) {
    metrics_count(r->core->metrics, "store_dropped_total", "reason", reason,
                  site ? site->name : NULL);
}

/* ---- answers ---- */

struct redis_call *redis_call_new(struct redis *r, struct site *site, store_done *done, void *arg) {
    struct redis_call *c = mem_new(sizeof *c);
    *c = (struct redis_call){.redis = r, .site = site, .done = done, .arg = arg};
    return c;
}

void redis_call_end(struct redis_call *c, int status, struct buf *data) {
    struct redis_call ended = *c;
    mem_free(c);
    if (ended.done) ended.done(ended.arg, status, data);
}

int redis_failure(int status) { return status == -EREMOTEIO ? -ENOTCONN : status; }

struct refusal {
    struct deferred deferred;
    struct redis_call *call;
    int status;
};

static void on_refusal(struct deferred *d) {
    struct refusal *f = container_of(d, struct refusal, deferred);
    redis_call_end(f->call, f->status, NULL);
    mem_free(f);
}

void redis_refuse(struct redis_call *c, int status) {
    struct refusal *f = mem_new(sizeof *f);
    f->call = c;
    f->status = status;
    deferred_init(&f->deferred, on_refusal);
    loop_defer(c->redis->core->loop, LOOP_DELIVER, &f->deferred);
}

/* ---- publishing ---- */

static void on_published(void *arg, int status, const redisReply *reply) {
    struct redis_call *c = arg;
    redis_history_check(&c->redis->commands, reply);
    if (!status && reply->type != REDIS_REPLY_INTEGER) status = -EREMOTEIO;
    int nodes = status ? redis_failure(status) : reply->integer < INT32_MAX ? (int)reply->integer : 0;
    redis_call_end(c, nodes, NULL);
}

static int publish_to(struct redis *r, struct site *site, struct slice name, struct slice payload,
                      store_done *done, void *arg) {
    struct slice words[] = {SLICE("PUBLISH"), name, payload};
    if (!done) return redis_conn_send(&r->commands, words, 3, NULL, NULL);
    struct redis_call *c = redis_call_new(r, site, done, arg);
    int status = redis_conn_send(&r->commands, words, 3, on_published, c);
    if (status) mem_free(c);
    return status;
}

/* A shared site has no histories: its other programs would not understand the messages. */
static int publish_kept(struct redis *r, struct site *site, struct slice channel, struct buf *body,
                        const struct channel_conf *history, store_done *done, void *arg) {
    struct redis_call *c = redis_call_new(r, site, done, arg);
    int status = redis_history_publish(&r->commands, r->core->random, site, channel, history,
                                       buf_slice(body), on_published, c);
    if (status) mem_free(c);
    return status;
}

static int publish(struct store *st, struct site *site, struct slice channel, struct buf *body,
                   const struct channel_conf *history, store_done *done, void *arg) {
    if (history) return publish_kept(redis_of(st), site, channel, body, history, done, arg);
    struct text name = {0};
    struct buf *payload = redis_payload(site, body);
    redis_name(&name, site, REDIS_CHANNEL, channel);
    int status = publish_to(redis_of(st), site, text_slice(&name), buf_slice(payload), done, arg);
    buf_unref(payload);
    text_fini(&name);
    return status;
}

/* The words that node-token-sockjs has as well go its way. NULL: name is none of them. */
static const char *shared_channel(const struct site *site, struct slice name) {
    if (!site_is_shared(site)) return NULL;
    if (slice_is(name, "broadcast")) return SHARED_ALL;
    return slice_is(name, "unsubscribeAll") ? SHARED_SYNC : NULL;
}

static struct buf *shared_word(const struct site *site, const char *channel, struct buf *body) {
    return strcmp(channel, SHARED_ALL) ? redis_sync_text(buf_slice(body))
                                       : redis_payload(site, body);
}

static int control(struct store *st, struct site *site, struct slice node, struct slice name,
                   struct buf *body, store_done *done, void *arg) {
    struct redis *r = redis_of(st);
    const char *shared = shared_channel(site, name);
    struct text to = {0}, word = {0};
    struct buf *payload;
    if (shared) {
        text_str(&to, shared);
        payload = shared_word(site, shared, body);
    } else {
        redis_name(&to, site, node.n ? REDIS_NODE : REDIS_ALL, node);
        text_add(&word, name);
        text_char(&word, ' ');
        text_add(&word, buf_slice(body));
        payload = text_take(&word);
    }
    int status = publish_to(r, site, text_slice(&to), buf_slice(payload), done, arg);
    buf_unref(payload);
    text_fini(&to);
    return status;
}

static void on_history(void *arg, int status, const redisReply *reply) {
    redis_history_check(&((struct redis_call *)arg)->redis->commands, reply);
    struct buf *page = status ? NULL : redis_history_page(reply);
    redis_call_end(arg, page ? 0 : status ? redis_failure(status) : -ENOTCONN, page);
    buf_unref(page);
}

/* A read that waits for the connection: the other one has come back first. */
struct waiting {
    struct list link; /* in redis->reads */
    struct redis_call *call;
    struct buf *channel;
    const struct channel_conf *conf;
    uint64_t since, limit, due_ms;
};

static int read_history(struct redis *r, const struct waiting *w) {
    return redis_history_read(&r->commands, r->core->random, w->call->site, buf_slice(w->channel),
                              w->conf, w->since, w->limit, on_history, w->call);
}

static void history(struct store *st, struct site *site, struct slice channel,
                    const struct channel_conf *conf, uint64_t since, uint64_t limit,
                    store_done *done, void *arg) {
    struct redis *r = redis_of(st);
    struct waiting *w = mem_new(sizeof *w);
    *w = (struct waiting){.call = redis_call_new(r, site, done, arg),
                          .channel = buf_copy(channel),
                          .conf = conf,
                          .since = since,
                          .limit = limit,
                          .due_ms = loop_now_ms(r->core->loop) + r->core->limits->store_timeout};
    list_push(&r->reads, &w->link);
    if (r->pushes.state != REDIS_UP) w->due_ms = 0; /* nothing is there, not one of the two only */
    loop_defer(r->core->loop, LOOP_DELIVER, &r->read);
}

/* Sends what can be sent; what has waited too long fails, and at the end everything. */
static void on_read(struct deferred *d) {
    struct redis *r = container_of(d, struct redis, read);
    bool up = r->commands.state == REDIS_UP, over = r->commands.state == REDIS_CLOSED;
    struct list all;
    list_init(&all);
    list_move(&all, &r->reads);
    for (struct list *link; (link = list_pop(&all));) {
        struct waiting *w = container_of(link, struct waiting, link);
        bool late = over || w->due_ms <= loop_now_ms(r->core->loop);
        int status = up ? read_history(r, w) : late ? -ENOTCONN : 0;
        if (!up && !late) {
            list_push(&r->reads, link);
            continue;
        }
        if (status) redis_refuse(w->call, status);
        buf_unref(w->channel);
        mem_free(w);
    }
}

/* ---- subscriptions ---- */

static struct sub *sub_find(struct redis *r, struct slice name) {
    struct map_link *l = map_find(&r->subs, name);
    return l ? container_of(l, struct sub, link) : NULL;
}

static struct sub *sub_add(struct redis *r, struct site *site, enum sub_kind kind,
                           struct slice name) {
    struct sub *s = mem_new(sizeof *s + name.n);
    s->site = site;
    s->kind = (uint8_t)kind;
    memcpy(s->name, name.p, name.n);
    map_add(&r->subs, &s->link, slice_make(s->name, name.n));
    loop_defer(r->core->loop, LOOP_DELIVER, &r->subscribe);
    return s;
}

static void sub_free(struct redis *r, struct sub *s) {
    map_remove(&r->subs, &s->link);
    mem_free(s);
}

static void send_names(struct redis *r, const struct slice *words, size_t n) {
    if (n > 1) redis_conn_send(&r->pushes, words, n, NULL, NULL);
}

static void on_subscribe(struct deferred *d) {
    struct redis *r = container_of(d, struct redis, subscribe);
    struct slice words[NAMES_PER_COMMAND + 1] = {SLICE("SUBSCRIBE")};
    size_t n = 1;
    if (r->pushes.state != REDIS_UP) return;
    for (struct map_link *l = map_next(&r->subs, NULL); l; l = map_next(&r->subs, l)) {
        struct sub *s = container_of(l, struct sub, link);
        if (s->serial) continue;
        s->serial = ++r->sent;
        words[n++] = l->key;
        if (n <= NAMES_PER_COMMAND) continue;
        send_names(r, words, n);
        n = 1;
    }
    send_names(r, words, n);
}

static struct text channel_name(const struct site *site, struct slice channel) {
    struct text name = {0};
    redis_name(&name, site, REDIS_CHANNEL, channel);
    return name;
}

static void subscribe(struct store *st, struct site *site, struct slice channel) {
    struct text name = channel_name(site, channel);
    struct sub *s = sub_add(redis_of(st), site, SUB_CHANNEL, text_slice(&name));
    s->channel_at = (uint32_t)(name.n - channel.n);
    text_fini(&name);
}

static void unsubscribe(struct store *st, struct site *site, struct slice channel) {
    struct redis *r = redis_of(st);
    struct text name = channel_name(site, channel);
    struct sub *s = sub_find(r, text_slice(&name));
    if (s->serial && r->pushes.state == REDIS_UP)
        redis_conn_send(&r->pushes, (struct slice[]){SLICE("UNSUBSCRIBE"), s->link.key}, 2, NULL,
                        NULL);
    sub_free(r, s);
    text_fini(&name);
}

static void add_words(struct redis *r, struct site *site, enum redis_name kind) {
    struct text name = {0};
    redis_name(&name, site, kind,
               kind == REDIS_NODE ? slice_of(r->core->node) : (struct slice){NULL, 0});
    if (!sub_find(r, text_slice(&name))) sub_add(r, site, SUB_WORDS, text_slice(&name));
    text_fini(&name);
}

/* What every site listens to, whoever is there. */
static void add_site(struct redis *r, struct site *site) {
    add_words(r, site, REDIS_ALL);
    add_words(r, site, REDIS_NODE);
    if (!site_is_shared(site) || sub_find(r, SLICE(SHARED_ALL))) return;
    sub_add(r, site, SUB_SHARED_ALL, SLICE(SHARED_ALL));
    sub_add(r, site, SUB_SHARED_SYNC, SLICE(SHARED_SYNC));
}

static void beat_name(const struct redis *r, struct text *out) {
    text_str(out, "moonlatch:beat:");
    text_str(out, r->core->node);
}

/* ---- what comes ---- */

static void on_confirmed(struct redis *r, struct slice name) {
    r->confirmed++;
    struct sub *s = sub_find(r, name);
    if (!s || s->serial != r->confirmed || s->live) return;
    s->live = true;
    if (s->kind == SUB_CHANNEL)
        r->store.events->live(s->site, slice_from(s->link.key, s->channel_at)); /* may free s */
}

static void deliver(struct redis *r, const struct sub *s, struct slice payload) {
    struct position at;
    bool kept = !site_is_shared(s->site) && redis_history_place(&payload, &at);
    struct buf *body = redis_body(s->site, payload);
    if (!body) {
        redis_drop(r, s->site, "not JSON");
        return;
    }
    if (s->kind == SUB_CHANNEL) {
        struct buf *channel = buf_copy(slice_from(s->link.key, s->channel_at));
        r->store.events->published(s->site, buf_slice(channel), body, kept ? &at : NULL);
        buf_unref(channel);
    } else {
        r->store.events->control(s->site, SLICE("broadcast"), body);
    }
    buf_unref(body);
}

static void deliver_word(struct redis *r, struct site *site, struct slice payload) {
    size_t space = slice_find(payload, ' ');
    struct buf *body = NULL;
    struct slice name = slice_upto(payload, space), said = slice_from(payload, space + 1);
    if (slice_is(name, "unsubscribeAll")) body = buf_copy(said);
    else if (space < payload.n) body = redis_said(said);
    if (body) r->store.events->control(site, name, body);
    else redis_drop(r, site, "not a word");
    buf_unref(body);
}

static void deliver_sync(struct redis *r, struct site *site, struct slice payload) {
    struct text room = {0};
    struct slice channel = redis_sync_channel(payload, &room);
    if (channel.n) {
        struct buf *name = buf_copy(channel);
        r->store.events->control(site, SLICE("unsubscribeAll"), name);
        buf_unref(name);
    } else {
        redis_drop(r, site, "not a word");
    }
    text_fini(&room);
}

static void on_message(struct redis *r, struct slice name, struct slice payload) {
    struct sub *s = sub_find(r, name);
    if (!s) return; /* it was unsubscribed a moment ago */
    switch (s->kind) {
    case SUB_CHANNEL:
    case SUB_SHARED_ALL: deliver(r, s, payload); break;
    case SUB_WORDS: deliver_word(r, s->site, payload); break;
    case SUB_SHARED_SYNC: deliver_sync(r, s->site, payload); break;
    default: break;
    }
}

static bool is_text(const redisReply *reply) { return reply->type == REDIS_REPLY_STRING; }

static struct slice text_of(const redisReply *reply) { return slice_make(reply->str, reply->len); }

static void on_push(struct redis_conn *conn, const redisReply *reply) {
    struct redis *r = container_of(conn, struct redis, pushes);
    r->heard_ms = loop_now_ms(r->core->loop);
    bool good = reply->type == REDIS_REPLY_ARRAY && reply->elements >= 3 &&
                is_text(reply->element[0]) && is_text(reply->element[1]);
    if (!good) {
        redis_conn_reset(conn, "a push that is none");
        return;
    }
    if (redis_heard(r, reply)) return;
    struct slice what = text_of(reply->element[0]), name = text_of(reply->element[1]);
    if (slice_is(what, "message") && is_text(reply->element[2]))
        on_message(r, name, text_of(reply->element[2]));
    else if (slice_is(what, "subscribe")) on_confirmed(r, name);
}

/* ---- connections ---- */

static void on_commands_up(struct redis_conn *conn) {
    struct redis *r = container_of(conn, struct redis, commands);
    redis_history_load(conn);
    redis_queue_load(conn);
    loop_defer(r->core->loop, LOOP_DELIVER, &r->read);
}

static void on_commands_down(struct redis_conn *conn) { (void)conn; }

static void on_pushes_up(struct redis_conn *conn) {
    struct redis *r = container_of(conn, struct redis, pushes);
    r->sent = r->confirmed = 0;
    r->heard_ms = loop_now_ms(r->core->loop);
    LIST_EACH(&r->core->sites, link) add_site(r, container_of(link, struct site, link));
    for (struct map_link *l = map_next(&r->subs, NULL); l; l = map_next(&r->subs, l)) {
        struct sub *s = container_of(l, struct sub, link);
        s->serial = 0;
        s->live = false;
    }
    loop_defer(r->core->loop, LOOP_DELIVER, &r->subscribe);
    redis_listen_again(r);
}

static void on_pushes_down(struct redis_conn *conn) {
    struct redis *r = container_of(conn, struct redis, pushes);
    r->store.events->away(r->core);
}

static const struct redis_conn_ops commands_ops = {.up = on_commands_up, .down = on_commands_down};
static const struct redis_conn_ops pushes_ops = {
    .up = on_pushes_up, .down = on_pushes_down, .push = on_push};

static void beat(struct redis *r) {
    struct text name = {0};
    beat_name(r, &name);
    redis_conn_send(&r->commands, (struct slice[]){SLICE("PUBLISH"), text_slice(&name), SLICE("")},
                    3, NULL, NULL);
    text_fini(&name);
}

static bool is_up(const struct redis *r) {
    return r->commands.state == REDIS_UP && r->pushes.state == REDIS_UP;
}

bool redis_store_is_up(struct store *st) {
    const struct redis *r = redis_of(st);
    return !r || is_up(r);
}

static void on_tick(struct timer *t) {
    struct redis *r = container_of(t, struct redis, tick);
    uint64_t every = r->core->limits->redis_heartbeat, now = loop_now_ms(r->core->loop);
    if (!is_up(r)) r->heard_ms = now;
    if (now - r->heard_ms >= BEATS_MISSED * every) redis_conn_reset(&r->pushes, "no heartbeat");
    if (!list_empty(&r->reads)) loop_defer(r->core->loop, LOOP_DELIVER, &r->read);
    if (r->ticks++ % TICKS_PER_BEAT == 0) beat(r);
    timer_start(r->core->loop, &r->tick, every / TICKS_PER_BEAT);
}

/* ---- tokens ---- */

static void on_put(void *arg, int status, const redisReply *reply) {
    bool stored = !status && reply->type == REDIS_REPLY_STATUS;
    redis_call_end(arg, stored ? 0 : status ? redis_failure(status) : -ENOTCONN, NULL);
}

static void token_put(struct store *st, struct site *site, struct slice id, struct buf *data,
                      const struct handshake *from, uint64_t ttl_ms, store_done *done, void *arg) {
    struct redis *r = redis_of(st);
    struct buf *kept = redis_token_data(site, data, from);
    struct redis_call *c = redis_call_new(r, site, done, arg);
    struct text key = {0};
    char ttl[24];
    snprintf(ttl, sizeof ttl, "%llu", (unsigned long long)ttl_ms);
    redis_name(&key, site, REDIS_TOKEN, id);
    struct slice words[] = {SLICE("SET"), text_slice(&key), buf_slice(kept), SLICE("PX"),
                            slice_of(ttl)};
    int status = redis_conn_send(&r->commands, words, 5, on_put, c);
    if (status) redis_refuse(c, status);
    buf_unref(kept);
    text_fini(&key);
}

static void on_taken(void *arg, int status, const redisReply *reply) {
    struct redis_call *c = arg;
    struct buf *auth = NULL;
    if (!status && is_text(reply)) {
        auth = redis_auth(c->site, text_of(reply));
        if (!auth) redis_drop(c->redis, c->site, "bad token data");
    }
    redis_call_end(c, status ? redis_failure(status) : auth ? 0 : -ENOENT, auth);
    buf_unref(auth);
}

static void token_take(struct store *st, struct site *site, struct slice id, store_done *done,
                       void *arg) {
    struct redis *r = redis_of(st);
    struct redis_call *c = redis_call_new(r, site, done, arg);
    struct text key = {0};
    redis_name(&key, site, REDIS_TOKEN, id);
    struct slice words[] = {SLICE("GETDEL"), text_slice(&key)};
    int status = redis_conn_send(&r->commands, words, 2, on_taken, c);
    if (status) redis_refuse(c, status);
    text_fini(&key);
}

/* ---- life ---- */

static void redis_stop(struct store *st) {
    struct redis *r = redis_of(st);
    LIST_EACH(&r->core->sites, link) redis_site_close(container_of(link, struct site, link));
    timer_stop(r->core->loop, &r->tick);
    deferred_cancel(&r->subscribe);
    redis_conn_close(&r->commands);
    redis_conn_close(&r->pushes);
    on_read(&r->read);
}

static void redis_close(struct store *st) {
    struct redis *r = redis_of(st);
    redis_stop(st);
    deferred_cancel(&r->subscribe);
    deferred_cancel(&r->read);
    for (struct map_link *l; (l = map_next(&r->subs, NULL));)
        sub_free(r, container_of(l, struct sub, link));
    map_fini(&r->subs);
    redis_listen_fini(r);
    redis_url_fini(&r->url);
    mem_free(r);
}

static const struct store_ops redis_ops = {
    .name = "redis",
    .publish = publish,
    .history = history,
    .control = control,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .listen = redis_listen,
    .unlisten = redis_unlisten,
    .token_put = token_put,
    .token_take = token_take,
    .queue = &redis_queue_ops,
    .stop = redis_stop,
    .close = redis_close,
};

struct store *redis_store_new(struct core *core, struct net *net, const char *url,
                              struct tls_context *tls, const struct store_events *events) {
    struct redis *r = mem_new(sizeof *r);
    struct text beats = {0};
    r->store = (struct store){.ops = &redis_ops, .events = events};
    r->core = core;
    r->net = net;
    r->tls = tls;
    deferred_init(&r->subscribe, on_subscribe);
    deferred_init(&r->read, on_read);
    list_init(&r->reads);
    r->tick.fired = on_tick;
    if (!redis_url_parse(&r->url, slice_of(url))) {
        redis_url_fini(&r->url);
        mem_free(r);
        return NULL;
    }
    beat_name(r, &beats);
    sub_add(r, NULL, SUB_BEAT, text_slice(&beats));
    text_fini(&beats);
    redis_conn_open(&r->commands, net, &r->url, tls, "moonlatch-commands", &commands_ops);
    redis_conn_open(&r->pushes, net, &r->url, tls, "moonlatch-pushes", &pushes_ops);
    timer_start(core->loop, &r->tick, 1);
    return &r->store;
}
