/* SPDX-License-Identifier: MIT */
#ifndef CORE_LOGIN_H
#define CORE_LOGIN_H

#include "core/handshake.h"
#include "core/site.h"

/* A request that asks to be let in: the token route, or the opening of an endpoint with
 * auth = "request". The script, or site->judge where there is one, judges it and calls
 * login_finish; the asker hears of it by done. */

enum login_outcome {
    LOGIN_ADMITTED, /* auth stands */
    LOGIN_REFUSED,  /* error may stand, in place of "Forbidden" */
    LOGIN_FAILED,   /* error stands: a text */
    LOGIN_ANSWERED /* the middleware answered itself: status, headers, body stand */
};

struct login {
    struct site *site;
    struct handshake *request; /* a reference; with all headers */
    bool token_route;          /* site.customMiddleware runs first */
    uint8_t outcome;
    struct deferred deferred; /* private, as the next three */
    struct timer timer;       /* rpc_timeout */
    bool judged;              /* the script is through */
    bool late;                /* the asker was answered before that */
    struct buf *auth;         /* JSON object */
    struct buf *error;        /* plain text */
    struct buf *error_data;   /* JSON that the script gave with it; NULL: none */
    int status;
    struct handshake *headers; /* of the middleware's answer: names and values */
    struct buf *body;
    void *task;  /* private to script/ */
    void *asker; /* for done; NULL once the asker is gone */
    /* The asker takes what it wants out of l and frees it with login_free. Not called when asker is
     * NULL: login_finish frees then. Never called before login_start has returned. */
    void (*done)(struct login *l);
};

/* Starts a login. Takes request. The result is owned by the script until done. To give up, set its
 * asker to NULL. When the script takes longer than rpc_timeout the outcome is LOGIN_FAILED,
 * "timeout" (site->judge has a time of its own). A site without script refuses the token route, and
 * admits nobody by request. */
struct login *login_start(struct site *site, struct handshake *request, bool token_route,
                          void (*done)(struct login *), void *asker)
    __attribute__((returns_nonnull));

/* For the script: the outcome and its fields are set. */
void login_finish(struct login *l, enum login_outcome outcome);

void login_free(struct login *l);

#endif
