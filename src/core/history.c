/* SPDX-License-Identifier: MIT */
#include "core/history.h"

#include "base/json.h"

#define HELD_MAX 1000

/* ---- which channels ---- */

/* "*" stands for any characters. */
static bool matches(const char *pattern, struct slice name) {
    const char *star = NULL;
    size_t i = 0, again = 0;
    while (i < name.n) {
        if (*pattern == '*') {
            star = ++pattern;
            again = i;
        } else if (*pattern == name.p[i]) {
            pattern++;
            i++;
        } else if (star) {
            pattern = star;
            i = ++again;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return !*pattern;
}

const struct channel_conf *channel_conf_of(const struct site *site, struct slice channel) {
    const struct channel_conf *best = NULL;
    for (size_t i = 0; i < site->conf->channel_count; i++) {
        const struct channel_conf *c = &site->conf->channels[i];
        bool longer = !best || strlen(c->pattern) > strlen(best->pattern);
        if (c->history && longer && matches(c->pattern, channel)) best = c;
    }
    return best;
}

/* ---- pages ---- */

void history_page_begin(struct text *t, struct slice epoch, uint64_t offset) {
    text_add(t, SLICE("{\"epoch\":"));
    json_quote(t, epoch);
    text_add(t, SLICE(",\"offset\":"));
    text_u64(t, offset);
    text_add(t, SLICE(",\"messages\":["));
}

void history_page_add(struct text *t, uint64_t offset, struct slice body) {
    if (text_slice(t).p[t->n - 1] != '[') text_char(t, ',');
    text_char(t, '[');
    text_u64(t, offset);
    text_char(t, ',');
    text_add(t, body);
    text_char(t, ']');
}

void history_page_end(struct text *t) { text_add(t, SLICE("]}")); }

bool history_page_read(struct slice json, struct history_page *page) {
    if (!json.n || json.p[0] != '{') return false;
    struct json_value epoch = json_member(json, SLICE("epoch"));
    struct json_value offset = json_member(json, SLICE("offset"));
    struct json_value messages = json_member(json, SLICE("messages"));
    if (!position_read(&epoch, &offset, &page->top) || messages.type != JSON_ARRAY) return false;
    page->messages = messages.raw;
    return true;
}

bool history_next(struct slice *rest, uint64_t *offset, struct slice *body) {
    struct json_value pair, item;
    if (!json_next(rest, &pair) || pair.type != JSON_ARRAY) return false;
    struct slice inside = pair.raw;
    if (!json_next(&inside, &item) || !slice_u64(item.raw, offset)) return false;
    if (!json_next(&inside, &item)) return false;
    *body = item.raw;
    return true;
}

bool history_covers(const struct history_page *page, const struct position *since) {
    struct slice rest = page->messages, body;
    uint64_t first;
    if (strcmp(page->top.epoch, since->epoch) || since->offset > page->top.offset) return false;
    if (since->offset == page->top.offset) return true;
    return history_next(&rest, &first, &body) && first == since->offset + 1;
}

/* ---- held messages ---- */

struct held_msg {
    struct list link;
    struct msg *msg;
};

struct held *held_new(void) {
    struct held *h = mem_new(sizeof *h);
    list_init(&h->msgs);
    return h;
}

void held_add(struct held *h, const struct limits *limits, struct msg *m) {
    if (h->count >= HELD_MAX || h->bytes + m->body->n > limits->send_buffer_hard) {
        h->lost = true;
        return;
    }
    struct held_msg *one = mem_new(sizeof *one);
    one->msg = msg_ref(m);
    list_push(&h->msgs, &one->link);
    h->count++;
    h->bytes += m->body->n;
}

struct msg *held_take(struct held *h) {
    struct list *link = list_pop(&h->msgs);
    if (!link) return NULL;
    struct held_msg *one = container_of(link, struct held_msg, link);
    struct msg *m = one->msg;
    mem_free(one);
    h->count--;
    h->bytes -= m->body->n;
    return m;
}

void held_free(struct held *h) {
    if (!h) return;
    for (struct msg *m; (m = held_take(h));) msg_unref(m);
    mem_free(h);
}
