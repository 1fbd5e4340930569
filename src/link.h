/* SPDX-License-Identifier: MIT */
#ifndef LINK_H
#define LINK_H

#include "arguments.h"
#include "base/json.h"
#include "client.h"

/* What the verbs over a running gateway share: the way to it that the command line names, the JSON
 * of a question (admin.h), and what is shown of the answer. */

/* A client and what it points at. */
struct link {
    struct client client;
    struct config *config; /* NULL: it was not needed */
    char *runtime_path, *tmp_path;
};

/* Finds the gateway of --socket-path, --url, or the conf; connects to nobody yet. False after what
 * is wrong was said; then there is nothing to close. */
bool link_open(struct link *link, const struct arguments *a) __attribute__((warn_unused_result));
void link_close(struct link *link);

/* Append a member to the object that a question is; start with an empty text. data is JSON, or what
 * is none as a text. With NULL the member is left out. */
void question_name(struct text *body, const char *name);
void question_text(struct text *body, const char *name, const char *value);
void question_data(struct text *body, const char *name, const char *data);

/* Asks and waits; body is taken. True with the answer, which the caller ends with
 * http_response_fini; false after what is wrong was said. */
bool link_ask(const struct link *link, const char *verb, struct text *body,
              struct http_response *answer) __attribute__((warn_unused_result));

/* Shows an answer: what was asked for as show.h has it (with columns) or as it came (json), or why
 * the gateway refuses. The exit status. */
int show_answer(const struct http_response *answer, bool json, const char *columns);

/* For reading answers, and what users give as JSON. */
extern const struct json_limits link_limits;

#endif
