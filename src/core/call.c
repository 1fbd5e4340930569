/* SPDX-License-Identifier: MIT */
#include "core/call.h"

#include "base/json.h"

#include <errno.h>

static void call_end(struct call *c) {
    list_remove(&c->link);
    timer_stop(c->socket->site->core->loop, &c->timer);
    buf_unref(c->name);
    buf_unref(c->args);
    c->name = c->args = NULL;
    socket_unref(c->socket);
    c->socket = NULL;
}

static void finish(struct call *c, enum call_status status, struct slice value) {
    call_end(c);
    c->done(c, status, value);
}

static void on_timeout(struct timer *t) {
    finish(container_of(t, struct call, timer), CALL_TIMEOUT, (struct slice){NULL, 0});
}

int call_start(struct call *c, struct socket *socket, struct buf *name, struct buf *args,
               uint64_t timeout_ms) {
    c->name = name;
    c->args = args;
    uuid_v4(socket->site->core->random, c->fid);
    int status = !socket_is_open(socket) ? -ENOTCONN : !socket->dialect->call ? -ENOTSUP : 0;
    if (status) {
        buf_unref(name);
        buf_unref(args);
        c->name = c->args = NULL;
        return status;
    }
    c->socket = socket_ref(socket);
    c->number = socket_work(socket)->call_count++;
    c->timer.fired = on_timeout;
    list_push(&socket_work(socket)->calls, &c->link);
    if (timeout_ms != LIMIT_OFF) timer_start(socket->site->core->loop, &c->timer, timeout_ms);
    socket->dialect->call(socket, c);
    return 0;
}

void call_cancel(struct call *c) {
    if (c->socket) call_end(c);
}

bool call_answer(struct socket *socket, struct slice fid, bool refused, struct slice value) {
    if (!socket->work) return false;
    LIST_EACH(&socket->work->calls, link) {
        struct call *c = container_of(link, struct call, link);
        if (!slice_is(fid, c->fid)) continue;
        finish(c, refused ? CALL_REFUSED : CALL_ANSWERED, value);
        return true;
    }
    return false;
}

bool call_answer_args(struct socket *socket, uint64_t number, struct slice args,
                      const struct attachments *a) {
    struct json_value first = {0};
    if (!socket->work) return false;
    LIST_EACH(&socket->work->calls, link) {
        struct call *c = container_of(link, struct call, link);
        if (c->number != number) continue;
        json_next(&args, &first);
        c->attachments = *a;
        finish(c, CALL_ANSWERED, first.raw);
        return true;
    }
    return false;
}

void calls_close(struct socket *socket) {
    while (socket->work && !list_empty(&socket->work->calls))
        finish(container_of(socket->work->calls.next, struct call, link), CALL_CLOSED,
               (struct slice){NULL, 0});
}
