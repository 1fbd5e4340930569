/* SPDX-License-Identifier: MIT */
#include "core/op.h"

#include "base/json.h"
#include "core/hub.h"

#include <assert.h>
#include <errno.h>

const char *op_kind_name(enum op_kind kind) {
    static const char *const names[] = {"subscribe", "unsubscribe", "publish",
                                        "broadcast", "rpc",         "auth"};
    return names[kind];
}

static bool is_ordered(const struct op *op) { return op->kind < OP_RPC; }

static void set_state(struct op *op, enum op_state to) {
    assert(to > op->state);
    op->state = (uint8_t)to;
}

struct op *op_new(struct socket *socket, enum op_kind kind, struct buf *message) {
    struct op *op = mem_new(sizeof *op);
    list_init(&op->link);
    op->kind = (uint8_t)kind;
    op->socket = socket_ref(socket);
    op->message = message;
    return op;
}

/* What it takes up while it waits. */
static size_t op_size(const struct op *op) { return sizeof *op + buf_slice(op->message).n; }

static void op_free(struct op *op) {
    struct socket *socket = op->socket;
    list_remove(&op->link);
    if (op->queued) socket->work->waiting -= op_size(op);
    timer_stop(socket->site->core->loop, &op->timer);
    text_fini(&op->names);
    buf_unref(op->message);
    buf_unref(op->replacement);
    buf_unref(op->result);
    buf_unref(op->error);
    attachments_fini(&op->attachments);
    attachments_fini(&op->answered);
    mem_free(op);
    socket_unref(socket);
}

/* ---- limits ---- */

/* One op always fits, whatever its size. */
static bool fits_queue(struct op *op) {
    const struct socket_work *work = socket_work(op->socket);
    uint64_t most = op->socket->site->limits->op_queue_bytes;
    if (!work->waiting || work->waiting + op_size(op) <= most) return true;
    site_limit(op->socket->site, "op_queue_bytes");
    return false;
}

/* The text of what is wrong with a channel or a rate, or NULL. Counts it. Asked when the op comes,
 * so that what must wait its turn is bounded. */
static const char *op_refusal(struct op *op) {
    struct site *site = op->socket->site;
    const struct limits *limits = site->limits;
    uint64_t now = loop_now_ms(site->core->loop);
    struct socket_work *work = socket_work(op->socket);
    if (op->kind != OP_BROADCAST) {
        const char *error = channel_name_error(site, op->channel);
        if (error) return error;
    }
    if (!fits_queue(op)) return "overload";
    if (op->kind == OP_SUBSCRIBE || op->kind == OP_UNSUBSCRIBE) {
        if (rate_allow(&work->subscribes, now, limits->subscribe_rate, limits->subscribe_burst))
            return NULL;
        site_limit(site, "subscribe_rate");
        return "rate";
    }
    if (op->data.n > limits->published_message) {
        site_limit(site, "published_message");
        return "too_big";
    }
    if (!rate_allow(&work->publishes, now, limits->publish_rate, limits->publish_burst)) {
        site_limit(site, "publish_rate");
        return "rate";
    }
    if (!rate_allow(&site->publishes, now, limits->site_publish_rate, limits->site_publish_rate)) {
        site_limit(site, "site_publish_rate");
        return "rate";
    }
    return NULL;
}

/* ---- what takes effect in order ---- */

static void run_queue(struct socket *socket);

static void on_subscribed(void *arg, const struct joined *joined) {
    struct op *op = arg;
    op->joined = joined;
    if (joined->status) op_fail_text(op, "unavailable");
    else op_finish(op);
}

static void do_subscribe(struct op *op) {
    if (!socket_is_open(op->socket)) {
        op_finish(op);
        return;
    }
    const struct position *since = op->since.epoch[0] ? &op->since : NULL;
    int status = hub_subscribe(op->socket, op->channel, since, on_subscribed, op);
    if (status) op_fail_text(op, status == -EMFILE ? "channel_limit" : "overload");
}

static void on_published(void *arg, int status, struct buf *data) {
    struct op *op = arg;
    (void)data;
    if (status < 0) op_fail_text(op, "unavailable");
    else op_finish(op);
}

/* The store keeps the order, so the next op need not wait until this one is through. */
static void do_publish(struct op *op) {
    struct site *site = op->socket->site;
    struct buf *body = op->replaced ? buf_ref(op->replacement) : buf_copy(op->data);
    int status = op->kind == OP_PUBLISH ? hub_publish(site, op->channel, body, on_published, op)
                                        : hub_broadcast(site, body, on_published, op);
    buf_unref(body);
    if (status) {
        op_fail_text(op, "unavailable");
        return;
    }
    list_remove(&op->link);
    run_queue(op->socket);
}

static void op_do(struct op *op) {
    set_state(op, OP_RUNNING);
    switch (op->kind) {
    case OP_SUBSCRIBE: do_subscribe(op); break;
    case OP_UNSUBSCRIBE:
        hub_unsubscribe(op->socket, op->channel);
        op_finish(op);
        break;
    default: do_publish(op);
    }
}

static void op_permit(struct op *op) {
    struct site *site = op->socket->site;
    set_state(op, OP_PERMITTING);
    enum verdict verdict = ALLOW;
    if (site->has & 1u << op->kind) verdict = site->hooks->authorize(op);
    if (verdict == ALLOW) op_do(op);
    else if (verdict == DENY) op_decide(op, DENY, NULL);
}

/* Runs the ops that are due, one after the other; an op that finishes at once does not recurse. */
static void run_queue(struct socket *socket) {
    struct socket_work *work = socket->work;
    if (!work || work->busy) return;
    socket_ref(socket);
    work->busy = true;
    while (!list_empty(&work->ops)) {
        struct op *op = container_of(work->ops.next, struct op, link);
        if (op->state != OP_QUEUED) break;
        if (socket_is_open(socket)) op_permit(op);
        else op_free(op); /* whoever was closed has no say any more */
    }
    work->busy = false;
    socket_unref(socket);
}

void op_replace(struct op *op, struct buf *data) {
    buf_unref(op->replacement);
    op->replacement = data;
    op->data = buf_slice(data);
    op->replaced = true;
}

void op_decide(struct op *op, enum verdict verdict, struct buf *error) {
    assert(verdict != WAIT);
    if (op->kind == OP_AUTH) {
        buf_unref(error);
        op_finish(op);
    } else if (verdict == ALLOW) {
        buf_unref(error);
        op_do(op);
    } else if (error) {
        op_fail(op, error);
    } else if (op->error) {
        op_finish(op);
    } else {
        op_fail_text(op, "Forbidden");
    }
}

void ops_close(struct socket *socket) {
    if (!socket->work) return;
    LIST_EACH(&socket->work->ops, link) {
        struct op *op = container_of(link, struct op, link);
        if (op->state == OP_QUEUED) op_free(op);
    }
}

/* ---- RPC ---- */

static void on_timeout(struct timer *t) {
    struct op *op = container_of(t, struct op, timer);
    site_limit(op->socket->site, "rpc_timeout");
    op->error = buf_copy(SLICE("\"timeout\""));
    if (socket_is_open(op->socket)) op->socket->dialect->answer(op);
    op->timed_out = true;
}

static void start_call(struct op *op) {
    struct socket *socket = op->socket;
    struct site *site = socket->site;
    const struct limits *limits = site->limits;
    set_state(op, OP_RUNNING);
    socket->running++;
    site->running++;
    if (socket->running > limits->rpc_concurrency || site->running > limits->rpc_per_site) {
        site_limit(site,
                   socket->running > limits->rpc_concurrency ? "rpc_concurrency" : "rpc_per_site");
        op_fail_text(op, "overload");
        return;
    }
    op->timer.fired = on_timeout;
    if (limits->rpc_timeout != LIMIT_OFF)
        timer_start(site->core->loop, &op->timer, limits->rpc_timeout);
    if (site->has & HOOK_CALL) site->hooks->call(op);
    else op_fail_text(op, "Function not found");
}

static void start_ordered(struct op *op) {
    struct socket_work *work = socket_work(op->socket);
    const char *refusal = op_refusal(op);
    if (refusal) {
        op_fail_text(op, refusal);
        return;
    }
    set_state(op, OP_QUEUED);
    op->queued = true;
    work->waiting += op_size(op);
    list_push(&work->ops, &op->link);
    run_queue(op->socket);
}

void op_start(struct op *op) {
    if (is_ordered(op)) {
        start_ordered(op);
    } else if (op->kind == OP_RPC) {
        start_call(op);
    } else {
        set_state(op, OP_RUNNING);
    }
}

/* ---- the end ---- */

void op_reply(struct op *op, struct buf *result) {
    buf_unref(op->result);
    op->result = result;
    op_finish(op);
}

void op_fail(struct op *op, struct buf *error) {
    buf_unref(op->error);
    op->error = error;
    op_finish(op);
}

void op_abandon(struct op *op, const char *text) {
    struct text t = {0};
    json_quote(&t, slice_of(text));
    op->error = text_take(&t);
    op->socket->dialect->answer(op);
    op_free(op);
}

void op_fail_text(struct op *op, const char *text) {
    struct text t = {0};
    json_quote(&t, slice_of(text));
    op_fail(op, text_take(&t));
}

void op_finish(struct op *op) {
    struct socket *socket = socket_ref(op->socket);
    struct site *site = socket->site;
    set_state(op, OP_FINISHED);
    if (op->kind == OP_RPC) {
        socket->running--;
        site->running--;
    }
    list_remove(&op->link);
    if (!op->timed_out && socket_is_open(socket)) socket->dialect->answer(op);
    if (is_ordered(op) && !op->error && site->has & HOOK_AFTER) site->hooks->after(op);
    bool ordered = is_ordered(op);
    op_free(op);
    if (ordered) run_queue(socket);
    socket_unref(socket);
}
