/* SPDX-License-Identifier: MIT */
#include "verbs.h"

#include "base/json.h"
#include "base/utf8.h"
#include "client.h"
#include "config/keys.h"
#include "config/socket_path.h"
#include "show.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The verbs over a running gateway: each makes the JSON of one question (admin.h), asks it and
 * shows the answer. */

/* What a gateway sends was made by it; these only keep the reading bounded. */
static const struct json_limits wide = {JSON_DEPTH_MAX, 10000000, 10000000, false};

static int fail(const struct text *error) {
    struct text shown = {0};
    show_text(&shown, text_slice(error), true);
    struct slice line = text_slice(&shown);
    fprintf(stderr, "moonlatch: %.*s\n", (int)line.n, line.n ? line.p : "");
    text_fini(&shown);
    return EXIT_FAILURE;
}

/* ---- where the gateway is ---- */

/* A client and what it points at. */
struct link {
    struct client client;
    struct config *config; /* NULL: it was not needed */
    char *runtime_path, *tmp_path;
};

static void link_close(struct link *link) {
    config_free(link->config);
    mem_free(link->runtime_path);
    mem_free(link->tmp_path);
}

/* The places where a gateway of this conf may be: it had one of them when it started, with an
 * environment of its own. */
static void find_auto(struct link *link) {
    size_t n = 0;
    const char *conf_dir = link->config->conf_dir;
    link->runtime_path = socket_path_runtime(conf_dir);
    link->tmp_path = socket_path_tmp(conf_dir);
    if (link->runtime_path) link->client.paths[n++] = link->runtime_path;
    link->client.paths[n] = link->tmp_path;
    link->client.own = true;
}

/* False after what is wrong was said. */
static bool find_by_conf(struct link *link, const struct arguments *a) {
    struct text errors = {0};
    struct config_options options = arguments_config(a);
    options.scripts_dir = NULL;
    link->config = config_load_gateway(&options, &errors);
    struct slice lines = text_slice(&errors);
    if (lines.n) fwrite(lines.p, 1, lines.n, stderr);
    text_fini(&errors);
    if (!link->config) return false;
    const char *path = link->config->admin_socket;
    if (a->url) link->client.key = link->config->admin_key;
    else if (!path) fprintf(stderr, "moonlatch: admin.socket is off; use --url and --key\n");
    else if (!strcmp(path, "auto")) find_auto(link);
    else link->client.paths[0] = path;
    return a->url || path;
}

static bool link_open(struct link *link, const struct arguments *a) {
    *link = (struct link){.client = {.paths = {a->socket_path}, .url = a->url, .key = a->key}};
    if (a->socket_path || (a->url && a->key)) return true;
    if (find_by_conf(link, a)) return true;
    link_close(link);
    return false;
}

/* ---- answers ---- */

static size_t terminal_width(void) {
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) return 0;
    return size.ws_col;
}

static int write_out(const struct text *out) {
    struct slice s = text_slice(out);
    bool written = (!s.n || fwrite(s.p, 1, s.n, stdout) == s.n) && !fflush(stdout);
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Answers that are made in Lua have their members in any order. */
static const char *columns_of(const char *verb) {
    if (!strcmp(verb, "sockets") || !strcmp(verb, "channel"))
        return "sid,auth,channels,protocol,ip,created";
    return strcmp(verb, "explain") ? NULL : "stage,at,answer,ms";
}

/* What a gateway that refuses says. */
static int show_refusal(const struct http_response *answer) {
    const struct slice name = SLICE("message");
    struct json_value whole, message;
    struct text error = {0};
    bool read = !json_envelope(text_slice(&answer->body), &wide, &whole, &name, &message, 1);
    if (read && message.type == JSON_STRING) json_unescape(&error, message.raw);
    else text_format(&error, "the gateway answers with status %d", answer->status);
    int status = fail(&error);
    text_fini(&error);
    return status;
}

static int show_answer(const struct http_response *answer, bool json, const char *columns) {
    struct json_value value;
    struct text out = {0};
    if (answer->status != 200) return show_refusal(answer);
    if (json_check(text_slice(&answer->body), &wide, &value)) {
        text_str(&out, "the gateway's answer is no JSON");
        int failed = fail(&out);
        text_fini(&out);
        return failed;
    }
    if (json) {
        text_add(&out, value.raw);
        text_char(&out, '\n');
    } else {
        show_value(&out, value, columns, terminal_width());
    }
    int status = write_out(&out);
    text_fini(&out);
    return status;
}

/* ---- questions ---- */

/* An object that is being written. */
static void add_name(struct text *body, const char *name) {
    text_format(body, "%s\"%s\":", body->n ? "," : "{", name);
}

/* NULL: the member is left out. */
static void add_text(struct text *body, const char *name, const char *value) {
    if (!value) return;
    add_name(body, name);
    json_quote(body, slice_of(value));
}

/* JSON, or what is none as a text. */
static void add_data(struct text *body, const char *name, const char *value) {
    struct json_value found;
    if (!value) return;
    if (json_check(slice_of(value), &wide, &found)) {
        add_text(body, name, value);
        return;
    }
    add_name(body, name);
    text_add(body, found.raw);
}

/* Asks over an open link; body becomes the question and is freed. */
static bool ask(const struct link *link, const char *verb, struct text *body,
                struct http_response *answer) {
    struct text error = {0};
    text_str(body, body->n ? "}" : "{}");
    bool answered = client_ask(&link->client, verb, text_slice(body), answer, &error);
    if (!answered) fail(&error);
    text_fini(&error);
    text_fini(body);
    return answered;
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
    if (ask(&link, verb, body, &answer)) {
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
    add_text(&body, "site", word(a, 0));
    return ask_and_show(a, "reload", &body);
}

int verb_rollback(const struct arguments *a) {
    struct text body = {0};
    add_text(&body, "site", word(a, 0));
    return ask_and_show(a, "rollback", &body);
}

int verb_stat(const struct arguments *a) {
    struct text body = {0};
    add_text(&body, "site", a->site);
    return ask_and_show(a, "stat", &body);
}

int verb_channels(const struct arguments *a) {
    struct text body = {0};
    add_text(&body, "site", a->site);
    return ask_and_show(a, "channels", &body);
}

int verb_sockets(const struct arguments *a) {
    struct text body = {0};
    add_text(&body, "site", a->site);
    add_text(&body, "channel", word(a, 0));
    return ask_and_show(a, a->word_count ? "channel" : "sockets", &body);
}

int verb_publish(const struct arguments *a) {
    struct text body = {0};
    add_text(&body, "site", a->site);
    add_text(&body, "channel", word(a, 0));
    add_data(&body, "data", word(a, 1));
    return ask_and_show(a, "publish", &body);
}

/* For whom: a socket, or somebody who would have this auth data. False when that makes no sense. */
static bool add_caller(struct text *body, const struct arguments *a) {
    struct json_value auth;
    bool both = a->socket && a->auth;
    if (both) fprintf(stderr, "moonlatch: --socket or --auth, not both\n");
    else if (a->auth && json_check(slice_of(a->auth), &wide, &auth))
        fprintf(stderr, "moonlatch: --auth must be JSON: --auth '{\"name\":\"ann\"}'\n");
    else {
        add_text(body, "socket", a->socket);
        add_data(body, "auth", a->auth);
        return true;
    }
    text_fini(body);
    return false;
}

int verb_call(const struct arguments *a) {
    struct text body = {0};
    add_text(&body, "site", a->site);
    add_text(&body, "name", word(a, 0));
    add_data(&body, "data", word(a, 1));
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
    add_text(&body, "site", a->site);
    add_text(&body, "event", event->name);
    if (event->channel) add_text(&body, "channel", word(a, 1));
    add_data(&body, "data", word(a, least));
    return add_caller(&body, a) ? ask_and_show(a, "explain", &body) : EXIT_USAGE;
}

/* ---- console ---- */

enum outcome { DONE, UNFINISHED, FAILED, GONE };

static void write_chunk(struct text *body, const struct arguments *a, const struct text *chunk) {
    add_text(body, "site", a->site);
    add_name(body, "code");
    json_quote(body, text_slice(chunk));
}

/* What the gateway says of a chunk: {"text":...}, and maybe what became of it. */
struct result {
    bool incomplete, failed;
    struct text text;
};

static bool result_read(struct result *v, const struct http_response *answer) {
    const struct slice names[] = {SLICE("incomplete"), SLICE("failed"), SLICE("text")};
    struct json_value whole, found[3];
    struct slice body = text_slice(&answer->body);
    *v = (struct result){0};
    if (answer->status != 200 || json_envelope(body, &wide, &whole, names, found, 3)) return false;
    v->incomplete = found[0].type == JSON_TRUE;
    v->failed = found[1].type == JSON_TRUE;
    if (found[2].type == JSON_STRING) json_unescape(&v->text, found[2].raw);
    return true;
}

static enum outcome show_result(const struct result *v, bool last) {
    struct text shown = {0};
    bool failed = v->failed || v->incomplete;
    if (v->incomplete && !last) return UNFINISHED;
    show_text(&shown, text_slice(&v->text), true);
    if (shown.n) text_char(&shown, '\n');
    struct slice text = text_slice(&shown);
    if (text.n) fwrite(text.p, 1, text.n, failed ? stderr : stdout);
    fflush(stdout);
    text_fini(&shown);
    return failed ? FAILED : DONE;
}

/* Runs a chunk and shows what came of it. UNFINISHED: it goes on in the next line; last: there is
 * none. */
static enum outcome evaluate(const struct arguments *a, const struct link *link,
                             const struct text *chunk, bool last) {
    struct http_response answer;
    struct result result;
    struct text body = {0};
    enum outcome outcome = FAILED;
    write_chunk(&body, a, chunk);
    if (!ask(link, "eval", &body, &answer)) return GONE;
    bool read = result_read(&result, &answer);
    if (!read || (a->json && (last || !result.incomplete))) {
        int status = show_answer(&answer, a->json, NULL);
        if (read && !status && !result.failed && !result.incomplete) outcome = DONE;
    } else {
        outcome = show_result(&result, last);
    }
    text_fini(&result.text);
    http_response_fini(&answer);
    return outcome;
}

static void prompt(bool wanted, const struct text *chunk) {
    if (!wanted) return;
    fputs(chunk->n ? "... " : "> ", stdout);
    fflush(stdout);
}

/* Reads lines to the end. The exit status: 1 when a chunk failed and nobody was there to see it. */
static int converse(const struct arguments *a, const struct link *link) {
    bool person = isatty(STDIN_FILENO), failed = false;
    struct text chunk = {0};
    enum outcome outcome = DONE;
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    prompt(person, &chunk);
    while (outcome != GONE && (n = getline(&line, &room, stdin)) >= 0) {
        text_add(&chunk, slice_make(line, (size_t)n));
        outcome = evaluate(a, link, &chunk, false);
        if (outcome != UNFINISHED) text_clear(&chunk);
        if (outcome == FAILED && !person) failed = true;
        if (outcome != GONE) prompt(person, &chunk);
    }
    if (outcome == UNFINISHED) failed = evaluate(a, link, &chunk, true) != DONE || failed;
    if (person) putchar('\n');
    free(line);
    text_fini(&chunk);
    return failed || outcome == GONE ? EXIT_FAILURE : EXIT_SUCCESS;
}

int verb_console(const struct arguments *a) {
    struct link link;
    int status;
    if (!link_open(&link, a)) return EXIT_USAGE;
    if (a->code) {
        struct text chunk = {0};
        text_str(&chunk, a->code);
        status = evaluate(a, &link, &chunk, true) == DONE ? EXIT_SUCCESS : EXIT_FAILURE;
        text_fini(&chunk);
    } else {
        status = converse(a, &link);
    }
    link_close(&link);
    return status;
}
