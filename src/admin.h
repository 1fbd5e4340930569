/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_H
#define ADMIN_H

#include "reload.h"
#include "routes.h"

/* What operators may ask of a running gateway: `POST /admin/VERB` with a JSON object, answered with
 * JSON: 200 and what was asked for, or {"error":CODE,"message":TEXT}. There is no other way in for
 * them; the verbs of the command line (verbs.c) speak it too.
 *
 * Over a unix socket whoever may connect may ask. Over TCP a key is wanted:
 * `Authorization: Bearer KEY`. Pages in a browser can do neither: a request with an Origin, or
 * without `Content-Type: application/json`, is refused before anything else. */
struct admin {
    const struct config *config;
    const struct routes *routes;
    struct reloader *reloader;
    uint64_t started_ms; /* on the loop's clock */
};

/* The most bytes of an answer. */
#define ADMIN_ANSWER_MAX (1024 * 1024)

/* Whether a path is one of the interface's. */
bool admin_owns(struct slice path);

/* Answers a request for such a path, now or later. trusted: it came over a unix socket. */
void admin_handle(struct admin *admin, struct request *r, bool trusted);

/* ---- for admin.c, in admin_stat.c ---- */

/* Append the answers to `stat` (site NULL: of all) and `sites`, and to what changes scripts: which
 * of their generations is current now. */
void admin_stat(const struct admin *admin, const struct request *r, struct site *site,
                struct text *json);
void admin_sites(const struct admin *admin, struct text *json);
void admin_generations(const struct admin *admin, const struct site *site, struct text *json);

#endif
