/* SPDX-License-Identifier: MIT */
/* {"id":"...","node":"...","ask":...} goes to all, or to one; {"id":"...","answer":...} comes back
 * to the node that asked. */
#include "core/ask.h"

#include "base/id.h"
#include "base/json.h"
#include "core/hooks.h"
#include "core/store.h"

static void free_answers(struct ask *a) {
    while (a->count) buf_unref(a->answers[--a->count]);
    mem_free(a->answers);
    a->answers = NULL;
}

static void leave(struct ask *a) {
    map_remove(&a->site->asks, &a->by_id);
    timer_stop(a->site->core->loop, &a->timer);
    deferred_cancel(&a->end);
}

static void finish(struct ask *a) {
    struct buf **answers = a->answers;
    size_t count = a->count;
    leave(a);
    a->done(a); /* may free a */
    while (count) buf_unref(answers[--count]);
    mem_free(answers);
}

static void on_end(struct deferred *d) { finish(container_of(d, struct ask, end)); }
static void on_timeout(struct timer *t) { finish(container_of(t, struct ask, timer)); }

void ask_cancel(struct ask *a) {
    leave(a);
    free_answers(a);
}

static struct ask *find(struct site *site, struct slice id) {
    struct map_link *l = map_find(&site->asks, id);
    return l ? container_of(l, struct ask, by_id) : NULL;
}

static void end_when_complete(struct ask *a) {
    if (a->sent && a->count >= a->expected) loop_defer(a->site->core->loop, LOOP_DELIVER, &a->end);
}

/* ---- sending ---- */

/* The question may be over when the store says how far it went, so it is looked up. */
struct sent {
    struct site *site;
    char id[ASK_ID_LENGTH];
};

static void on_sent(void *arg, int status, struct buf *data) {
    struct sent *sent = arg;
    struct ask *a = find(sent->site, slice_make(sent->id, ASK_ID_LENGTH));
    (void)data;
    mem_free(sent);
    if (!a) return;
    a->sent = true;
    a->expected = status > 0 ? (size_t)status : 0;
    end_when_complete(a);
}

static struct buf *render(const struct ask *a, struct buf *question) {
    struct text t = {0};
    text_format(&t, "{\"id\":\"%s\",\"node\":\"%s\",\"ask\":", a->id, a->site->core->node);
    text_add(&t, buf_slice(question));
    text_char(&t, '}');
    return text_take(&t);
}

int ask_start(struct ask *a, struct site *site, struct slice node, struct buf *question,
              uint64_t timeout_ms) {
    struct store *store = site->core->store;
    a->site = site;
    a->timer.fired = on_timeout;
    deferred_init(&a->end, on_end);
    random_name(site->core->random, a->id, ASK_ID_LENGTH);
    struct buf *body = render(a, question);
    struct sent *sent = mem_new(sizeof *sent);
    sent->site = site;
    memcpy(sent->id, a->id, ASK_ID_LENGTH);
    int status = store->ops->control(store, site, node, SLICE("ask"), body, on_sent, sent);
    buf_unref(body);
    if (status) {
        mem_free(sent);
        return status;
    }
    map_add(&site->asks, &a->by_id, slice_make(a->id, ASK_ID_LENGTH));
    timer_start(site->core->loop, &a->timer, timeout_ms);
    return 0;
}

/* ---- being asked ---- */

static bool is_name(const struct json_value *v, size_t length) {
    if (v->type != JSON_STRING || v->raw.n != length + 2) return false;
    return !memchr(v->raw.p, '\\', v->raw.n);
}

static struct slice inside(const struct json_value *v) {
    return slice_make(v->raw.p + 1, v->raw.n - 2);
}

static void drop_word(struct site *site) {
    metrics_count(site->core->metrics, "store_dropped_total", "reason", "not a word", site->name);
}

void ask_received(struct site *site, struct buf *body) {
    struct slice object = buf_slice(body);
    struct json_value id = {0}, node = {0}, question = {0};
    if (object.n && object.p[0] == '{') {
        id = json_member(object, SLICE("id"));
        node = json_member(object, SLICE("node"));
        question = json_member(object, SLICE("ask"));
    }
    if (is_name(&id, ASK_ID_LENGTH) && is_name(&node, NODE_LENGTH) && question.type == JSON_OBJECT)
        site->hooks->asked(site, inside(&node), inside(&id), question.raw);
    else drop_word(site);
}

void ask_reply(struct site *site, struct slice node, struct slice id, struct buf *answer) {
    struct store *store = site->core->store;
    struct text t = {0};
    text_add(&t, SLICE("{\"id\":\""));
    text_add(&t, id);
    text_add(&t, SLICE("\",\"answer\":"));
    text_add(&t, buf_slice(answer));
    text_char(&t, '}');
    struct buf *body = text_take(&t);
    store->ops->control(store, site, node, SLICE("answer"), body, NULL, NULL);
    buf_unref(body);
}

void answer_received(struct site *site, struct buf *body) {
    struct slice object = buf_slice(body);
    struct json_value id = {0}, answer = {0};
    if (object.n && object.p[0] == '{') {
        id = json_member(object, SLICE("id"));
        answer = json_member(object, SLICE("answer"));
    }
    if (!is_name(&id, ASK_ID_LENGTH) || answer.type != JSON_OBJECT) {
        drop_word(site);
        return;
    }
    struct ask *a = find(site, inside(&id));
    if (!a) return; /* too late */
    a->answers = mem_grow(a->answers, (a->count + 1) * sizeof *a->answers);
    a->answers[a->count++] = buf_copy(answer.raw);
    end_when_complete(a);
}
