/* SPDX-License-Identifier: MIT */
/* `moonlatch console`: each line, or as many as make a chunk, is run in the site, by the verb
 * `eval`; whether a chunk is complete the gateway says. */
#include "link.h"
#include "show.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum outcome { DONE, UNFINISHED, FAILED, GONE };

static void write_chunk(struct text *body, const struct arguments *a, const struct text *chunk) {
    question_text(body, "site", a->site);
    question_name(body, "code");
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
    if (answer->status != 200 || json_envelope(body, &link_limits, &whole, names, found, 3))
        return false;
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
    if (!link_ask(link, "eval", &body, &answer)) return GONE;
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
