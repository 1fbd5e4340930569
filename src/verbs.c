/* SPDX-License-Identifier: MIT */
#include "verbs.h"

#include "base/utf8.h"
#include "config/keys.h"
#include "link.h"

#include <stdio.h>
#include <stdlib.h>

/* The verbs over a running gateway: each makes one question, asks it and shows the answer. */

/* Answers that are made in Lua have their members in any order. */
static const char *columns_of(const char *verb) {
    if (!strcmp(verb, "sockets") || !strcmp(verb, "channel"))
        return "sid,auth,channels,protocol,ip,created";
    return strcmp(verb, "explain") ? NULL : "stage,at,answer,ms";
}

/* One verb from its question to what is shown; body is freed. */
static int ask_and_show(const struct arguments *a, const char *verb, struct text *body) {
    struct link link;
    struct http_response answer;
    int status = EXIT_FAILURE;
    bool valid = utf8_valid(text_slice(body));
    if (!valid || !link_open(&link, a)) {
        if (!valid) fprintf(stderr, "moonlatch: arguments must be UTF-8\n");
        text_fini(body);
        return EXIT_USAGE;
    }
    if (link_ask(&link, verb, body, &answer)) {
        status = show_answer(&answer, a->json, columns_of(verb));
        http_response_fini(&answer);
    }
    link_close(&link);
    return status;
}

static const char *word(const struct arguments *a, size_t i) {
    return i < a->word_count ? a->words[i] : NULL;
}

int verb_reload(const struct arguments *a) {
    struct text body = {0};
    question_text(&body, "site", word(a, 0));
    return ask_and_show(a, "reload", &body);
}

int verb_rollback(const struct arguments *a) {
    struct text body = {0};
    question_text(&body, "site", word(a, 0));
    return ask_and_show(a, "rollback", &body);
}

int verb_stat(const struct arguments *a) {
    struct text body = {0};
    question_text(&body, "site", a->site);
    return ask_and_show(a, "stat", &body);
}

int verb_channels(const struct arguments *a) {
    struct text body = {0};
    question_text(&body, "site", a->site);
    return ask_and_show(a, "channels", &body);
}

int verb_sockets(const struct arguments *a) {
    struct text body = {0};
    question_text(&body, "site", a->site);
    question_text(&body, "channel", word(a, 0));
    return ask_and_show(a, a->word_count ? "channel" : "sockets", &body);
}

int verb_publish(const struct arguments *a) {
    struct text body = {0};
    question_text(&body, "site", a->site);
    question_text(&body, "channel", word(a, 0));
    question_data(&body, "data", word(a, 1));
    return ask_and_show(a, "publish", &body);
}

/* For whom: a socket, or somebody who would have this auth data. False when that makes no sense. */
static bool add_caller(struct text *body, const struct arguments *a) {
    struct json_value auth;
    bool both = a->socket && a->auth;
    if (both) fprintf(stderr, "moonlatch: --socket or --auth, not both\n");
    else if (a->auth && json_check(slice_of(a->auth), &link_limits, &auth))
        fprintf(stderr, "moonlatch: --auth must be JSON: --auth '{\"name\":\"ann\"}'\n");
    else {
        question_text(body, "socket", a->socket);
        question_data(body, "auth", a->auth);
        return true;
    }
    text_fini(body);
    return false;
}

int verb_call(const struct arguments *a) {
    struct text body = {0};
    question_text(&body, "site", a->site);
    question_text(&body, "name", word(a, 0));
    question_data(&body, "data", word(a, 1));
    return add_caller(&body, a) ? ask_and_show(a, "call", &body) : EXIT_USAGE;
}

/* ---- explain ---- */

/* What scripts may be asked about, and whether a channel (or a controller's name) comes with it. */
static const struct event {
    const char *name;
    bool channel;
} events[] = {{"subscribe", true},  {"unsubscribe", true}, {"publish", true},
              {"broadcast", false}, {"call", true},        {NULL, false}};

static const struct event *event_find(const char *name) {
    const struct event *near = events;
    for (const struct event *e = events; e->name; e++) {
        if (!strcmp(e->name, name)) return e;
        if (text_distance(slice_of(e->name), slice_of(name)) <
            text_distance(slice_of(near->name), slice_of(name)))
            near = e;
    }
    refuse_unknown("event", name, near->name);
    return NULL;
}

int verb_explain(const struct arguments *a) {
    const struct event *event = event_find(a->words[0]);
    struct text body = {0};
    if (!event) return EXIT_USAGE;
    size_t least = event->channel ? 2 : 1;
    if (a->word_count < least || a->word_count > least + 1) {
        fprintf(stderr, "moonlatch: explain %s takes %s[DATA]\n", event->name,
                event->channel ? "CHANNEL " : "");
        return EXIT_USAGE;
    }
    question_text(&body, "site", a->site);
    question_text(&body, "event", event->name);
    if (event->channel) question_text(&body, "channel", word(a, 1));
    question_data(&body, "data", word(a, least));
    return add_caller(&body, a) ? ask_and_show(a, "explain", &body) : EXIT_USAGE;
}
