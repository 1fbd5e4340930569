/* SPDX-License-Identifier: MIT */
/* A struct ws at one end of a socket pair, and a client at the other that may send any bytes. Turns
 * of the loop do not wait unless rig_wait is asked to. What is handed over is noted as text: "T" or
 * "B", the length, ":" and the bytes of each message; closed_code and closed_reason at the end. */
#ifndef SPEC_WS_RIG_H
#define SPEC_WS_RIG_H

#include "net/conn.h"
#include "net/ws.h"
#include "net/ws_frame.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct rig {
    struct loop *loop;
    struct metrics *metrics;
    struct random random;
    struct limits limits;
    struct net net;
    struct ws_settings settings;
    struct ws ws;
    int fd;           /* the client's end */
    struct text head; /* the answer to the handshake */
    struct text wire; /* and all behind it */
    struct text messages;
    bool echo;
    void (*heard)(struct rig *, struct slice data,
                  bool binary); /* instead of noting; may be NULL */
    int refused;                /* by ws_check */
    bool accepted, closed, eof;
    int closed_code;
    char closed_reason[128];
    unsigned count; /* messages */
};

static const char rig_request[] = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                                  "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

static void rig_message(struct ws *w, struct slice data, bool binary) {
    struct rig *rig = container_of(w, struct rig, ws);
    rig->count++;
    if (rig->heard) {
        rig->heard(rig, data, binary);
        return;
    }
    text_format(&rig->messages, "%c%zu:", binary ? 'B' : 'T', data.n);
    text_add(&rig->messages, data);
    if (!rig->echo) return;
    struct buf *b = buf_copy(data);
    ws_send(w, b, binary);
    buf_unref(b);
}

static void rig_closed(struct ws *w, int code, struct slice reason) {
    struct rig *rig = container_of(w, struct rig, ws);
    assert(!rig->closed);
    rig->closed = true;
    rig->closed_code = code;
    assert(reason.n < sizeof rig->closed_reason);
    if (reason.n) memcpy(rig->closed_reason, reason.p, reason.n);
    memset(w, 0xee, sizeof *w); /* it may be freed here, so nobody may look at it again */
}

static const struct ws_ops rig_ops = {.message = rig_message, .closed = rig_closed};

static void rig_handle(void *arg, struct request *r) {
    struct rig *rig = arg;
    rig->refused = ws_check(r);
    if (rig->refused) {
        ws_refuse(r, rig->refused);
        return;
    }
    ws_accept(&rig->ws, r, &rig->settings, &rig_ops);
    rig->accepted = true;
}

/* Everything that can be done without waiting. */
static void rig_turn(struct rig *rig) {
    char bytes[65536];
    for (int quiet = 0; quiet < 3; quiet++) {
        loop_stop(rig->loop); /* so that the turn does not sleep */
        loop_turn(rig->loop);
        ssize_t n = recv(rig->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0) rig->eof = true;
        if (n <= 0) continue;
        text_add(&rig->wire, slice_make(bytes, (size_t)n));
        quiet = -1;
    }
}

/* Turns until done says so or ms are over; returns whether it did. */
static bool rig_wait(struct rig *rig, uint64_t ms, bool (*done)(const struct rig *)) {
    loop_update_time(rig->loop);
    uint64_t end = loop_now_ms(rig->loop) + ms;
    for (;;) {
        rig_turn(rig);
        if (done && done(rig)) return true;
        if (loop_now_ms(rig->loop) >= end) return !done;
        usleep(1000);
        loop_update_time(rig->loop);
    }
}

static bool rig_is_closed(const struct rig *rig) { return rig->closed; }

/* All at their defaults, but for rates: nothing that is too fast for a machine under test. */
static void rig_init(struct rig *rig) {
    *rig = (struct rig){.fd = -1};
    rig->loop = loop_new();
    rig->metrics = metrics_new();
    limits_init(&rig->limits);
    rig->limits.ws_message_rate = rig->limits.ws_control_rate = LIMIT_OFF;
    net_init(&rig->net, rig->loop, NULL, rig->metrics, &rig->random, &rig->limits);
    rig->settings = (struct ws_settings){
        .max_message = 65536, .max_fragments = 64, .window_bits = 15, .limits = &rig->limits};
}

static void rig_write(struct rig *rig, const void *p, size_t n) {
    for (size_t at = 0; at < n;) {
        ssize_t wrote = send(rig->fd, (const char *)p + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (wrote < 0 && errno != EAGAIN) return; /* the server was faster */
        if (wrote > 0) at += (size_t)wrote;
        if (at < n) rig_turn(rig);
    }
}

/* Connects and shakes hands. extra: further header lines; first_bytes: right behind the request. */
static void rig_connect(struct rig *rig, const char *extra, struct slice first_bytes) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds)) abort();
    rig->fd = fds[1];
    http_accept(&rig->net, fds[0], &(struct ip){{0}}, rig_handle, rig);
    struct text request = {0};
    text_str(&request, rig_request);
    text_str(&request, extra);
    text_str(&request, "\r\n");
    text_add(&request, first_bytes);
    rig_write(rig, request.buf->data, request.n);
    text_fini(&request);
    rig_turn(rig);
    struct slice all = text_slice(&rig->wire);
    for (size_t i = 0; i + 4 <= all.n; i++) {
        if (memcmp(all.p + i, "\r\n\r\n", 4)) continue;
        text_add(&rig->head, slice_upto(all, i + 4));
        text_char(&rig->head, 0);
        memmove(rig->wire.buf->data, all.p + i + 4, all.n - i - 4);
        rig->wire.n = all.n - i - 4;
        break;
    }
}

static void rig_start(struct rig *rig) { rig_connect(rig, "", (struct slice){NULL, 0}); }

/* Gives bytes to the ws in pieces of at most step bytes, as reads would bring them. */
static void rig_feed(struct rig *rig, struct slice bytes, size_t step) {
    char piece[65536];
    while (bytes.n && !rig->closed) {
        struct slice part = slice_upto(bytes, step < sizeof piece ? step : sizeof piece);
        struct conn *c = rig->ws.conn;
        if (!conn_is_open(c)) break;
        memcpy(piece, part.p, part.n);
        c->ops->received(c, piece, part.n);
        bytes = slice_from(bytes, part.n);
    }
    rig_turn(rig);
}

static void rig_fini(struct rig *rig) {
    if (rig->fd >= 0) close(rig->fd);
    rig->fd = -1;
    while (!list_empty(&rig->net.conns)) {
        struct conn *c = container_of(rig->net.conns.next, struct conn, link);
        conn_close(c, "end of the test");
        loop_stop(rig->loop);
        loop_turn(rig->loop);
    }
    text_fini(&rig->head);
    text_fini(&rig->wire);
    text_fini(&rig->messages);
    net_fini(&rig->net);
    metrics_free(rig->metrics);
    loop_free(rig->loop);
}

/* ---- bytes ---- */

/* Appends a client's frame; first is the opcode with WS_FIN and the reserved bits. */
static void frame_add(struct text *out, unsigned first, struct slice payload) {
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    char head[10];
    size_t n = ws_head_write(head, first, payload.n);
    head[1] = (char)(head[1] | 0x80);
    text_add(out, slice_make(head, n));
    text_add(out, slice_make(mask, 4));
    for (size_t i = 0; i < payload.n; i++) text_char(out, (char)(payload.p[i] ^ mask[i & 3]));
}

/* Takes the next of our frames off; false when there is none. */
static bool frame_take(struct slice *wire, unsigned *first, struct slice *payload) {
    const unsigned char *p = (const unsigned char *)wire->p;
    if (wire->n < 2) return false;
    size_t size = p[1] < 126 ? 0 : p[1] == 126 ? 2 : 8, n = size ? 0 : p[1];
    assert(p[1] < 128 && wire->n >= 2 + size);
    for (size_t i = 0; i < size; i++) n = n << 8 | p[2 + i];
    assert(wire->n >= 2 + size + n);
    *first = p[0];
    *payload = slice_make(p + 2 + size, n);
    *wire = slice_from(*wire, 2 + size + n);
    return true;
}

/* The code of the close frame that we sent: 1005 without a code, 0 when there is no frame. It must
 * be the last one, and its reason short and plain. */
static int sent_close(const struct rig *rig) {
    struct slice wire = text_slice(&rig->wire), payload;
    unsigned first;
    int code = 0;
    while (frame_take(&wire, &first, &payload)) {
        assert(code == 0);
        if (first != (WS_FIN | WS_CLOSE)) continue;
        code =
            payload.n < 2 ? 1005 : (unsigned char)payload.p[0] << 8 | (unsigned char)payload.p[1];
        for (size_t i = 2; i < payload.n; i++) assert(payload.p[i] >= ' ' && payload.p[i] <= '~');
    }
    return code;
}

#endif
