/* SPDX-License-Identifier: MIT */
#include "core/login.h"

#include "core/hooks.h"

#include <assert.h>

static void deliver(struct login *l) {
    if (l->asker) l->done(l);
    else login_free(l);
}

/* The script may judge before login_start has returned: its answer then waits for the end of the turn. */
static void on_decided(struct deferred *d) { deliver(container_of(d, struct login, decided)); }

struct login *login_start(struct site *site, struct handshake *request, bool token_route,
                          void (*done)(struct login *), void *asker) {
    struct login *l = mem_new(sizeof *l);
    l->site = site;
    l->request = request;
    l->token_route = token_route;
    l->done = done;
    l->asker = asker;
    deferred_init(&l->decided, on_decided);
    site->hooks->login(l);
    return l;
}

void login_finish(struct login *l, enum login_outcome outcome) {
    assert(!list_linked(&l->decided.link));
    l->outcome = (uint8_t)outcome;
    loop_defer(l->site->core->loop, LOOP_DELIVER, &l->decided);
}

void login_free(struct login *l) {
    buf_unref(l->auth);
    buf_unref(l->error);
    buf_unref(l->body);
    mem_free(l->headers);
    mem_free(l->request);
    mem_free(l);
}
