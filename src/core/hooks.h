/* SPDX-License-Identifier: MIT */
#ifndef CORE_HOOKS_H
#define CORE_HOOKS_H

#include "core/login.h"
#include "core/op.h"

struct msg;

/* What a site's script can say, as the core asks it; script/ implements it, specs in C fake it.
 * site->has tells which questions it wants to hear: a hook that is absent costs nothing, because it
 * is not called. All pointers of a struct hooks are set. */

enum {
    HOOK_SUBSCRIBE = 1 << OP_SUBSCRIBE, /* authorize is asked for this kind */
    HOOK_UNSUBSCRIBE = 1 << OP_UNSUBSCRIBE,
    HOOK_PUBLISH = 1 << OP_PUBLISH,
    HOOK_BROADCAST = 1 << OP_BROADCAST,
    HOOK_CALL = 1 << OP_RPC,
    HOOK_AUTHENTICATION = 1 << OP_AUTH,
    HOOK_AFTER = 1 << 6, /* after is told of every op that took effect */
    HOOK_FILTER = 1 << 7,
    HOOK_CONNECT = 1 << 8,
    HOOK_DISCONNECT = 1 << 9,
    HOOK_MESSAGE = 1 << 10,
    HOOK_OCCUPIED = 1 << 11,
    HOOK_VACATED = 1 << 12,
    HOOK_LOGIN = 1 << 13,
    HOOK_GAP = 1 << 14
};

struct hooks {
    /* May this op (subscribe, unsubscribe, publish, broadcast) be done? ALLOW (op_replace may have
     * been called), DENY (op->error may be set), or WAIT: then op_decide follows. */
    enum verdict (*authorize)(struct op *op);
    /* Runs the controller op->name with op->request; ends with op_reply or op_fail, now or later.
     */
    void (*call)(struct op *op);
    /* A socket has authenticated. ALLOW, or WAIT and then op_decide(op, ALLOW, NULL) when all
     * listeners are through. op may be NULL: nobody waits (endpoints without an auth message). */
    enum verdict (*authenticated)(struct socket *socket, struct op *op);
    /* An op took effect. */
    void (*after)(struct op *op);
    /* Whether socket gets m: ALLOW, DENY, or ALLOW with *replacement set to other JSON (the caller
     * owns it). Never WAIT. */
    enum verdict (*filter)(struct socket *socket, const struct msg *m, struct buf **replacement);
    void (*connect)(struct socket *socket);
    void (*disconnect)(struct socket *socket, int code, const char *reason);
    void (*message)(struct socket *socket, struct slice data, bool binary);
    void (*occupied)(struct site *site, struct slice channel);
    void (*vacated)(struct site *site, struct slice channel);
    /* Members of this channel here may have missed messages. */
    void (*gap)(struct site *site, struct slice channel);
    /* Another node, or this one, asks something (ask.h): ask_reply(site, node, id, ...), now or later.
     */
    void (*asked)(struct site *site, struct slice node, struct slice id, struct slice question);
    /* Judges l->request; login_finish, now or later. */
    void (*login)(struct login *l);
    /* The socket's memory goes: forget socket->script. Asked only when that is not NULL. */
    void (*forget)(struct socket *socket);
};

/* Hooks that allow everything and answer nothing: a site without script. */
extern const struct hooks no_hooks;

#endif
