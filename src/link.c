/* SPDX-License-Identifier: MIT */
#include "link.h"

#include "config/socket_path.h"
#include "show.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What a gateway sends was made by it; these only keep the reading bounded. */
const struct json_limits link_limits = {JSON_DEPTH_MAX, 10000000, 10000000, false};

static int fail(const struct text *error) {
    struct text shown = {0};
    show_text(&shown, text_slice(error), true);
    struct slice line = text_slice(&shown);
    fprintf(stderr, "moonlatch: %.*s\n", (int)line.n, line.n ? line.p : "");
    text_fini(&shown);
    return EXIT_FAILURE;
}

/* ---- where the gateway is ---- */

void link_close(struct link *link) {
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

bool link_open(struct link *link, const struct arguments *a) {
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

/* What a gateway that refuses says. */
static int show_refusal(const struct http_response *answer) {
    const struct slice name = SLICE("message");
    struct json_value whole, message;
    struct text error = {0};
    bool read = !json_envelope(text_slice(&answer->body), &link_limits, &whole, &name, &message, 1);
    if (read && message.type == JSON_STRING) json_unescape(&error, message.raw);
    else text_format(&error, "the gateway answers with status %d", answer->status);
    int status = fail(&error);
    text_fini(&error);
    return status;
}

int show_answer(const struct http_response *answer, bool json, const char *columns) {
    struct json_value value;
    struct text out = {0};
    if (answer->status != 200) return show_refusal(answer);
    if (json_check(text_slice(&answer->body), &link_limits, &value)) {
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

void question_name(struct text *body, const char *name) {
    text_format(body, "%s\"%s\":", body->n ? "," : "{", name);
}

void question_text(struct text *body, const char *name, const char *value) {
    if (!value) return;
    question_name(body, name);
    json_quote(body, slice_of(value));
}

void question_data(struct text *body, const char *name, const char *value) {
    struct json_value found;
    if (!value) return;
    if (json_check(slice_of(value), &link_limits, &found)) {
        question_text(body, name, value);
        return;
    }
    question_name(body, name);
    text_add(body, found.raw);
}

bool link_ask(const struct link *link, const char *verb, struct text *body,
              struct http_response *answer) {
    struct text error = {0};
    text_str(body, body->n ? "}" : "{}");
    bool answered = client_ask(&link->client, verb, text_slice(body), answer, &error);
    if (!answered) fail(&error);
    text_fini(&error);
    text_fini(body);
    return answered;
}
