/* SPDX-License-Identifier: MIT */
#include "core/login.h"

#include "core/hooks.h"

#include <assert.h>

static void release(struct login *l) {
    timer_stop(l->site->core->loop, &l->timer);
    buf_unref(l->auth);
    buf_unref(l->error);
    buf_unref(l->error_data);
    buf_unref(l->body);
    handshake_unref(l->headers);
    handshake_unref(l->request);
    mem_free(l);
}

/* The script may judge before login_start has returned: its answer then waits for the end of the
 * turn. */
static void on_judged(struct deferred *d) {
    struct login *l = container_of(d, struct login, deferred);
    if (l->asker) l->done(l);
    else release(l);
}

/* Nobody waits for ever. The asker is answered, and l lives on until the script is through. */
static void on_timeout(struct timer *t) {
    struct login *l = container_of(t, struct login, timer);
    site_limit(l->site, "rpc_timeout");
    l->late = true;
    if (!l->asker) return;
    l->outcome = LOGIN_FAILED;
    l->error = buf_copy(SLICE("timeout"));
    l->done(l);
}

struct login *login_start(struct site *site, struct handshake *request, bool token_route,
                          void (*done)(struct login *), void *asker) {
    struct login *l = mem_new(sizeof *l);
    l->site = site;
    l->request = request;
    l->token_route = token_route;
    l->done = done;
    l->asker = asker;
    l->timer.fired = on_timeout;
    deferred_init(&l->deferred, on_judged);
    if (site->judge) {
        site->judge(l);
        return l;
    }
    if (site->limits->rpc_timeout != LIMIT_OFF)
        timer_start(site->core->loop, &l->timer, site->limits->rpc_timeout);
    site->hooks->login(l);
    return l;
}

void login_finish(struct login *l, enum login_outcome outcome) {
    assert(!l->judged);
    l->judged = true;
    timer_stop(l->site->core->loop, &l->timer);
    if (l->late) {
        release(l);
        return;
    }
    l->outcome = (uint8_t)outcome;
    loop_defer(l->site->core->loop, LOOP_DELIVER, &l->deferred);
}

void login_free(struct login *l) {
    buf_unref(l->error);
    buf_unref(l->error_data);
    l->error_data = NULL;
    l->error = NULL; /* of the timeout; the script may have its own */
    if (l->judged) release(l);
}
