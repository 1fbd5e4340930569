/* SPDX-License-Identifier: MIT */
/* What wslay makes of the same bytes, as a second opinion. Where we mean to differ:
 *
 * - it answers a malformed frame, and a close frame of one byte, with an empty close frame, we with
 * 1002;
 * - it looks at a header when that is complete, we at every byte;
 * - it takes the close codes 1012 to 1014 for wrong, we for right (they are registered by now);
 * - it checks a close reason by the chunks it happens to read, we as a whole;
 * - it checks the text of a frame in chunks, so that of two wrongs in one frame it may see the
 * other one first; the messages before are the same. */
#ifndef SPEC_WS_ORACLE_H
#define SPEC_WS_ORACLE_H

#include "ws_rig.h"

#include <wslay/wslay.h>

struct oracle {
    struct slice in;
    struct text messages; /* noted as the rig notes them */
    int code;             /* what it sent: 1005 without a code, 0 no close frame */
    bool reason;          /* the last frame is a close frame with a reason */
};

static ssize_t oracle_recv(wslay_event_context_ptr ctx, uint8_t *data, size_t len, int flags,
                           void *user) {
    (void)flags;
    struct oracle *o = user;
    if (!o->in.n) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = len < o->in.n ? len : o->in.n;
    memcpy(data, o->in.p, n);
    o->in = slice_from(o->in, n);
    return (ssize_t)n;
}

static ssize_t oracle_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                           void *user) {
    (void)ctx;
    (void)data;
    (void)flags;
    (void)user;
    return (ssize_t)len;
}

static void oracle_frame(wslay_event_context_ptr ctx,
                         const struct wslay_event_on_frame_recv_start_arg *arg, void *user) {
    (void)ctx;
    struct oracle *o = user;
    o->reason = arg->opcode == WSLAY_CONNECTION_CLOSE && arg->payload_length > 2;
}

static void oracle_message(wslay_event_context_ptr ctx,
                           const struct wslay_event_on_msg_recv_arg *arg, void *user) {
    (void)ctx;
    struct oracle *o = user;
    if (wslay_is_ctrl_frame(arg->opcode)) return;
    text_format(&o->messages, "%c%zu:", arg->opcode == WSLAY_BINARY_FRAME ? 'B' : 'T',
                arg->msg_length);
    text_add(&o->messages, slice_make(arg->msg, arg->msg_length));
}

static void oracle_run(struct oracle *o, struct slice bytes, uint64_t max_message) {
    *o = (struct oracle){.in = bytes};
    static const struct wslay_event_callbacks callbacks = {.recv_callback = oracle_recv,
                                                           .send_callback = oracle_send,
                                                           .on_frame_recv_start_callback =
                                                               oracle_frame,
                                                           .on_msg_recv_callback = oracle_message};
    wslay_event_context_ptr ctx;
    if (wslay_event_context_server_init(&ctx, &callbacks, o)) abort();
    wslay_event_config_set_max_recv_msg_length(ctx, max_message);
    size_t before;
    do {
        before = o->in.n;
        if (wslay_event_recv(ctx)) o->in.n = 0; /* a malformed frame */
        while (wslay_event_want_write(ctx) && !wslay_event_send(ctx)) {
        }
    } while (o->in.n && o->in.n < before && wslay_event_want_read(ctx));
    if (wslay_event_get_close_sent(ctx)) o->code = wslay_event_get_status_code_sent(ctx);
    wslay_event_context_free(ctx);
}

static void oracle_fini(struct oracle *o) { text_fini(&o->messages); }

static bool same_end(const struct oracle *o, const struct rig *rig) {
    if (!slice_eq(text_slice(&o->messages), text_slice(&rig->messages))) return false;
    int code = sent_close(rig);
    if (code == o->code) return true;
    if (o->code == 1005) return code == 1002;
    if (o->code == 1002 && code >= 1012 && code <= 1014) return true;
    if (o->reason && (o->code == 1007 || code == 1007)) return true;
    return (o->code == 1007 || code == 1007) && code && o->code;
}

/* Whether the rig, given these bytes, came to what we say it should. Only for rigs without
 * compression, rates and few fragments. Says on standard error what is not so. */
static bool oracle_agrees(const struct rig *rig, struct slice bytes) {
    struct oracle o;
    oracle_run(&o, bytes, rig->settings.max_message);
    if (!o.code && sent_close(rig)) { /* the rest of a header, should one be missing */
        struct text longer = {0};
        text_add(&longer, bytes);
        text_add(&longer, SLICE("\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
        oracle_fini(&o);
        oracle_run(&o, text_slice(&longer), rig->settings.max_message);
        text_fini(&longer);
    }
    bool same = same_end(&o, rig);
    if (!same)
        fprintf(stderr, "wslay sent %d, we %d; %zu and %zu bytes of messages\n", o.code,
                sent_close(rig), o.messages.n, rig->messages.n);
    oracle_fini(&o);
    return same;
}

#endif
