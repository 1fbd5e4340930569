/* SPDX-License-Identifier: MIT */
/* The life of a WebSocket: what it sends, when it waits, how it ends. What comes in is ws_read.c's.
 *
 *   OPEN --ws_close--> CLOSING --the peer's close frame, or its time is over--> CLOSED
 *   OPEN --the peer's close frame, a broken rule, the connection lost---------> CLOSED
 *
 * One timer serves all times: whatever needs it sooner restarts it, and when it fires everything is
 * looked at and it is started for the next. So a message in time costs no timer. */
#include "net/ws_inner.h"

#include <stdio.h>

/* For the peer to close its side of the TCP connection when the closing handshake is done. */
#define LINGER_MS 500
/* A peer above its message rate is read again after this, and is closed when it has been above for
 * that long. Two times above it with a second between them are two matters. */
#define THROTTLE_STEP_MS 50
#define THROTTLE_MOST_MS 5000
#define THROTTLE_APART_MS 1000

static struct loop *loop_of(const struct ws *w) { return w->conn->net->loop; }
static uint64_t now_ms(const struct ws *w) { return loop_now_ms(loop_of(w)); }

static void count_limit(struct ws *w, const char *limit) {
    metrics_limit(w->conn->net->metrics, limit, w->settings->site);
}

/* ---- bytes held back ---- */

static bool has_held(const struct ws *w) { return w->extra && w->extra->held.n; }

static void held_clear(struct ws_extra *x) {
    text_fini(&x->held);
    x->held_at = 0;
}

static void hold(struct ws *w, const char *p, size_t n) {
    text_add(&ws_need_extra(w)->held, slice_make(p, n));
    conn_pause(w->conn);
}

static void wake_by(struct ws *w, uint64_t due_ms);

/* An unfinished message has its time only. */
static void watch_inbound(struct ws *w) {
    if (w->inbound && w->state == WS_OPEN)
        wake_by(w, w->inbound->began_ms + w->settings->limits->ws_message_time);
}

/* Hands over what is held, as far as it may be, and reads again when that was all. */
static void read_held(struct ws *w) {
    if (has_held(w)) {
        struct ws_extra *x = w->extra;
        x->held_at += ws_read(w, x->held.buf->data + x->held_at, x->held.n - x->held_at);
        if (w->state == WS_CLOSED || x->held_at == x->held.n) held_clear(x);
        watch_inbound(w);
    }
    if (!has_held(w) && !(w->flags & WS_HOLDS)) conn_resume(w->conn);
}

static void on_later(struct deferred *d) { read_held(container_of(d, struct ws_extra, later)->ws); }

/* As read_held, but not now: we are in a callback. */
static void read_held_later(struct ws *w) {
    if (has_held(w)) loop_defer(loop_of(w), LOOP_DELIVER, &w->extra->later);
    else conn_resume(w->conn);
}

struct ws_extra *ws_need_extra(struct ws *w) {
    if (!w->extra) {
        w->extra = mem_new(sizeof *w->extra);
        w->extra->ws = w;
        deferred_init(&w->extra->later, on_later);
    }
    return w->extra;
}

void ws_pause(struct ws *w) {
    if (w->state != WS_OPEN) return;
    w->flags |= WS_PAUSED;
    conn_pause(w->conn);
}

void ws_resume(struct ws *w) {
    if (!(w->flags & WS_PAUSED)) return;
    w->flags &= (uint8_t)~WS_PAUSED;
    if (!(w->flags & WS_HOLDS)) read_held_later(w);
}

/* ---- sending ---- */

static void send_frame(struct ws *w, unsigned first, struct buf *payload) {
    char head[10];
    size_t n = ws_head_write(head, first, payload->n);
    conn_send(w->conn, slice_make(head, n), payload);
}

void ws_send(struct ws *w, struct buf *payload, bool binary) {
    if (w->state != WS_OPEN) return;
    unsigned first = WS_FIN | (binary ? WS_BINARY : WS_TEXT);
    if (!w->deflate || !payload->n || payload->n < w->settings->compress_min) {
        send_frame(w, first, payload);
        return;
    }
    struct buf *small = deflate_message(w->deflate, buf_slice(payload));
    send_frame(w, first | WS_RSV1, small);
    buf_unref(small);
}

static void send_control(struct ws *w, uint8_t opcode, struct slice payload) {
    char frame[2 + WS_CONTROL_MAX];
    size_t n = ws_head_write(frame, WS_FIN | opcode, payload.n);
    if (payload.n) memcpy(frame + n, payload.p, payload.n);
    conn_send_copy(w->conn, slice_make(frame, n + payload.n));
}

/* The longest start of s that is no longer than most and cuts no character. */
static struct slice cut_text(struct slice s, size_t most) {
    if (s.n <= most) return s;
    while (most && ((unsigned char)s.p[most] & 0xc0) == 0x80) most--;
    return slice_upto(s, most);
}

/* code 1005: none. */
static void send_close(struct ws *w, int code, struct slice reason) {
    char payload[WS_CONTROL_MAX] = {(char)(code >> 8), (char)(code & 255)};
    if (reason.n) memcpy(payload + 2, reason.p, reason.n);
    send_control(w, WS_CLOSE, slice_make(payload, code == 1005 ? 0 : 2 + reason.n));
}

static void drop_pong(struct ws *w) {
    if (!w->extra) return;
    buf_unref(w->extra->pong);
    w->extra->pong = NULL;
}

/* The newest is enough for a peer that does not read (RFC 6455 5.5.3). */
static void send_pong(struct ws *w, struct slice payload) {
    drop_pong(w);
    if (conn_is_blocked(w->conn)) ws_need_extra(w)->pong = buf_copy(payload);
    else send_control(w, WS_PONG, payload);
}

/* ---- ending ---- */

/* Nothing is sent or handed over any more; what comes still is read, to find the peer's close. */
static void set_over(struct ws *w, enum ws_state to, int code, struct slice reason) {
    if (w->state == WS_OPEN) {
        w->close_code = (uint16_t)code;
        if (reason.n) ws_need_extra(w)->reason = buf_copy(reason);
        drop_pong(w);
    }
    w->state = (uint8_t)to;
    w->flags = 0;
    timer_start(loop_of(w), &w->timer, w->settings->limits->ws_close_wait);
}

static void finish(struct ws *w, int code, struct slice reason, const char *why) {
    set_over(w, WS_CLOSED, code, reason);
    conn_finish(w->conn, LINGER_MS, why);
}

void ws_close(struct ws *w, int code, struct slice reason) {
    if (w->state != WS_OPEN) return;
    if (!code) code = 1005;
    reason = cut_text(reason, WS_CONTROL_MAX - 2);
    send_close(w, code, reason);
    set_over(w, WS_CLOSING, code, reason);
    read_held_later(w);
}

void ws_close_slow(struct ws *w, int code, struct slice reason) {
    if (w->state == WS_OPEN) conn_drop_output(w->conn);
    ws_close(w, code, reason);
}

void ws_drop(struct ws *w, const char *reason) {
    if (w->state == WS_CLOSED) return;
    w->state = WS_CLOSED;
    conn_close(w->conn, reason);
}

void ws_fail(struct ws *w, int code, const char *why) {
    if (w->state == WS_CLOSED) return;
    char text[8];
    snprintf(text, sizeof text, "%d", code);
    metrics_count(w->conn->net->metrics, "websocket_failures_total", "code", text,
                  w->settings->site);
    if (w->state == WS_OPEN) send_close(w, code, slice_of(why));
    finish(w, code, slice_of(why), why);
}

void ws_fail_limit(struct ws *w, int code, const char *limit, const char *why) {
    count_limit(w, limit);
    ws_fail(w, code, why);
}

static void take_close(struct ws *w, struct slice payload) {
    int code = 1005;
    struct slice reason = {NULL, 0};
    if (payload.n) {
        code = (unsigned char)payload.p[0] << 8 | (payload.n > 1 ? (unsigned char)payload.p[1] : 0);
        reason = slice_from(payload, 2);
        if (payload.n == 1 || !ws_close_code_valid((unsigned)code)) {
            ws_fail(w, 1002, "bad close code");
            return;
        }
        if (!utf8_valid(reason)) {
            ws_fail(w, 1007, "close reason not UTF-8");
            return;
        }
    }
    if (w->state == WS_OPEN) send_close(w, code, (struct slice){NULL, 0});
    finish(w, code, reason, "closed");
}

/* ---- times ---- */

/* Sees to it that the timer fires at due_ms or sooner. */
static void wake_by(struct ws *w, uint64_t due_ms) {
    if (timer_active(&w->timer) && w->timer.due_ms <= due_ms) return;
    uint64_t now = now_ms(w);
    timer_start(loop_of(w), &w->timer, due_ms > now ? due_ms - now : 1);
}

static uint64_t ping_due_ms(const struct ws *w) {
    uint64_t now = now_ms(w);
    int32_t wait = (int32_t)(w->ping_ms - (uint32_t)now);
    return wait > 0 ? now + (uint32_t)wait : now;
}

/* Spread by a fifth either way, so that those who came together do not stay so. */
static void plan_ping(struct ws *w) {
    uint64_t interval = w->settings->ping_interval_ms;
    if (!interval) interval = w->settings->limits->ws_ping_interval;
    interval += random_below(w->conn->net->random, interval / 5 * 2 + 1) - interval / 5;
    w->ping_ms = (uint32_t)(now_ms(w) + interval);
    w->flags &= (uint8_t)~WS_AWAITS_PONG;
}

static void await_pong(struct ws *w) {
    w->ping_ms = (uint32_t)(now_ms(w) + w->settings->limits->ws_pong_timeout);
    w->flags |= WS_AWAITS_PONG;
}

static void check_ping(struct ws *w) {
    if (!w->settings->ping || ping_due_ms(w) > now_ms(w)) return;
    if (!(w->flags & WS_AWAITS_PONG)) {
        send_control(w, WS_PING, (struct slice){NULL, 0});
        await_pong(w);
    } else if (w->flags & WS_HOLDS) {
        await_pong(w); /* it may be among what we do not read */
    } else {
        count_limit(w, "ws_pong_timeout");
        ws_drop(w, "no pong");
    }
}

static void check_message_time(struct ws *w) {
    struct ws_inbound *in = w->inbound;
    if (!in || in->began_ms + w->settings->limits->ws_message_time > now_ms(w)) return;
    if (w->flags & WS_HOLDS) in->began_ms = now_ms(w);
    else ws_fail_limit(w, 1008, "ws_message_time", "message takes too long");
}

static void check_lifetime(struct ws *w) {
    if (!w->extra || !w->extra->ends_ms || w->extra->ends_ms > now_ms(w)) return;
    count_limit(w, "max_lifetime");
    ws_close(w, 1001, SLICE("lifetime"));
}

static void check_throttle(struct ws *w) {
    if (!(w->flags & WS_THROTTLED) || w->extra->resume_ms > now_ms(w)) return;
    w->flags &= (uint8_t)~WS_THROTTLED;
    if (!(w->flags & WS_HOLDS)) read_held(w);
}

static void wake_next(struct ws *w) {
    if (w->settings->ping) wake_by(w, ping_due_ms(w));
    watch_inbound(w);
    if (w->extra && w->extra->ends_ms) wake_by(w, w->extra->ends_ms);
    if (w->flags & WS_THROTTLED) wake_by(w, w->extra->resume_ms);
}

static void on_timer(struct timer *t) {
    struct ws *w = container_of(t, struct ws, timer);
    if (w->state != WS_OPEN) {
        w->state = WS_CLOSED;
        conn_close(w->conn, "close timeout");
        return;
    }
    static void (*const checks[])(struct ws *) = {check_lifetime, check_message_time,
                                                  check_throttle, check_ping};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        checks[i](w);
        if (w->state != WS_OPEN) return;
    }
    wake_next(w);
}

/* ---- what comes in ---- */

/* The message that was one too many is handed over, and paid for; those behind it wait. */
static void throttle(struct ws *w) {
    uint64_t rate = w->settings->limits->ws_message_rate, step_ms = rate ? 1000 / rate : 0;
    struct ws_extra *x = ws_need_extra(w);
    uint64_t now = now_ms(w);
    if (!x->throttled_ms || now > x->resume_ms + THROTTLE_APART_MS) {
        x->throttled_ms = now;
        count_limit(w, "ws_message_rate");
    } else if (now - x->throttled_ms >= THROTTLE_MOST_MS) {
        ws_fail(w, 1008, "rate");
        return;
    }
    if (rate) w->messages.due_us += 1000000 / rate;
    x->resume_ms = now + (step_ms > THROTTLE_STEP_MS ? step_ms : THROTTLE_STEP_MS);
    w->flags |= WS_THROTTLED;
    conn_pause(w->conn);
    wake_by(w, x->resume_ms);
}

void ws_take_message(struct ws *w, uint8_t opcode, struct slice data) {
    const struct limits *l = w->settings->limits;
    bool allowed = rate_allow(&w->messages, now_ms(w), l->ws_message_rate, l->ws_message_burst);
    if (!allowed) throttle(w);
    if (w->state == WS_OPEN) w->ops->message(w, data, opcode == WS_BINARY);
}

void ws_count_messages(struct ws *w, uint64_t n) {
    uint64_t rate = w->settings->limits->ws_message_rate;
    if (rate && rate != LIMIT_OFF) w->messages.due_us += n * 1000000 / rate;
}

static void take_pong(struct ws *w) {
    if (!(w->flags & WS_AWAITS_PONG)) return;
    plan_ping(w);
    wake_by(w, ping_due_ms(w));
}

void ws_take_control(struct ws *w, uint8_t opcode, struct slice payload) {
    const struct limits *l = w->settings->limits;
    if (opcode == WS_CLOSE) {
        take_close(w, payload);
        return;
    }
    if (w->state != WS_OPEN) return;
    if (!rate_allow(&w->controls, now_ms(w), l->ws_control_rate, l->ws_control_burst))
        ws_fail_limit(w, 1008, "ws_control_rate", "too many control frames");
    else if (opcode == WS_PING) send_pong(w, payload);
    else take_pong(w);
}

/* ---- the connection ---- */

static void on_received(struct conn *c, char *data, size_t n) {
    struct ws *w = c->user;
    size_t used = has_held(w) ? 0 : ws_read(w, data, n);
    if (used < n && w->state != WS_CLOSED) hold(w, data + used, n - used);
    if (w->inbound) watch_inbound(w);
}

static void on_ended(struct conn *c) {
    struct ws *w = c->user;
    if (w->state != WS_CLOSED) finish(w, 1006, (struct slice){NULL, 0}, "closed by peer");
}

static void on_drained(struct conn *c) {
    struct ws *w = c->user;
    if (w->state != WS_OPEN) return;
    if (w->extra && w->extra->pong) {
        send_control(w, WS_PONG, buf_slice(w->extra->pong));
        drop_pong(w);
    }
    if (w->ops->drained) w->ops->drained(w);
}

static void on_slow(struct conn *c) {
    struct ws *w = c->user;
    if (w->state != WS_OPEN) {
        conn_close(c, "slow");
        return;
    }
    count_limit(w, "send_buffer_hard");
    ws_close_slow(w, 4503, SLICE("slow"));
}

static void on_closed(struct conn *c, const char *reason) {
    (void)reason;
    struct ws *w = c->user;
    w->state = WS_CLOSED;
    timer_stop(c->net->loop, &w->timer);
    ws_inbound_free(w->inbound);
    deflate_free(w->deflate);
    struct ws_extra *x = w->extra;
    struct buf *why = NULL;
    if (x) {
        deferred_cancel(&x->later);
        text_fini(&x->held);
        buf_unref(x->pong);
        why = x->reason;
        mem_free(x);
    }
    w->ops->closed(w, w->close_code, buf_slice(why)); /* may free w */
    buf_unref(why);
}

const struct conn_ops ws_conn_ops = {.received = on_received,
                                     .ended = on_ended,
                                     .drained = on_drained,
                                     .slow = on_slow,
                                     .closed = on_closed};

static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Where large messages are allowed, a large answer on its way does not make a peer a slow one. */
static void set_marks(struct ws *w) {
    const struct limits *l = w->settings->limits;
    uint64_t message = w->settings->max_message;
    conn_set_marks(w->conn, most(l->send_buffer_soft, message),
                   w->settings->patient ? LIMIT_OFF : l->send_buffer_time,
                   most(l->send_buffer_hard, message * 2));
}

void ws_start(struct ws *w) {
    const struct limits *l = w->settings->limits;
    w->timer.fired = on_timer;
    w->close_code = 1006;
    set_marks(w);
    if (w->settings->ping) plan_ping(w);
    if (l->max_lifetime != LIMIT_OFF) {
        uint64_t spread = random_below(w->conn->net->random, l->max_lifetime / 5 + 1);
        ws_need_extra(w)->ends_ms = now_ms(w) + l->max_lifetime / 10 * 9 + spread;
    }
    wake_next(w);
}
