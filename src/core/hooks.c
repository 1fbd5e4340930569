/* SPDX-License-Identifier: MIT */
/* The hooks of a site without a script. Of these only login is ever called: site->has is 0, and an
 * absent hook is not asked. */
#include "core/hooks.h"

#include "core/ask.h"

static enum verdict allow_op(struct op *op) {
    (void)op;
    return ALLOW;
}

static void call_nothing(struct op *op) { op_fail_text(op, "Function not found"); }

static enum verdict allow_socket(struct socket *socket, struct op *op) {
    (void)socket;
    (void)op;
    return ALLOW;
}

static void ignore_op(struct op *op) { (void)op; }

static enum verdict allow_msg(struct socket *socket, const struct msg *m,
                              struct buf **replacement) {
    (void)socket;
    (void)m;
    (void)replacement;
    return ALLOW;
}

static void ignore_socket(struct socket *socket) { (void)socket; }

static void ignore_end(struct socket *socket, int code, const char *reason) {
    (void)socket;
    (void)code;
    (void)reason;
}

static void ignore_message(struct socket *socket, struct slice data, bool binary) {
    (void)socket;
    (void)data;
    (void)binary;
}

static void ignore_channel(struct site *site, struct slice channel) {
    (void)site;
    (void)channel;
}

static void answer_nothing(struct site *site, struct slice node, struct slice id,
                           struct slice question) {
    (void)question;
    struct buf *answer = buf_copy(SLICE("{\"error\":\"unavailable\"}"));
    ask_reply(site, node, id, answer);
    buf_unref(answer);
}

static void refuse_login(struct login *l) { login_finish(l, LOGIN_REFUSED); }

const struct hooks no_hooks = {
    .authorize = allow_op,
    .call = call_nothing,
    .authenticated = allow_socket,
    .after = ignore_op,
    .filter = allow_msg,
    .connect = ignore_socket,
    .disconnect = ignore_end,
    .message = ignore_message,
    .occupied = ignore_channel,
    .vacated = ignore_channel,
    .gap = ignore_channel,
    .asked = answer_nothing,
    .login = refuse_login,
    .forget = ignore_socket,
};
