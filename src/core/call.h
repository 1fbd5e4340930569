/* SPDX-License-Identifier: MIT */
#ifndef CORE_CALL_H
#define CORE_CALL_H

#include "base/id.h"
#include "core/emission.h"
#include "core/socket.h"

/* A remote call of ours to a client. It is answered once: by that client, by the clock, or by the
 * end of its socket. The answer is bound to the socket it was sent on (fid). */

enum call_status { CALL_ANSWERED, CALL_REFUSED, CALL_TIMEOUT, CALL_CLOSED };

struct call {
    struct list link; /* in the socket's work */
    struct timer timer;
    struct socket *socket; /* a reference */
    struct buf *name;      /* plain text */
    struct buf *args;      /* JSON; NULL: none */
    bool spread;           /* args is an array of several */
    char fid[UUID_LENGTH + 1]; /* what names it in one dialect, */
    uint32_t number;           /* and in another: of its socket's calls */
    struct attachments attachments; /* of value, in done */
    /* Exactly once, from the loop, never from inside call_start. value: the client's data
     * (ANSWERED; empty: none given) or error (REFUSED) as checked JSON, dead when it returns. The
     * call is out of all lists and may be freed in it. */
    void (*done)(struct call *c, enum call_status status, struct slice value);
};

/* Sends the call; timeout_ms LIMIT_OFF: it may take as long as its socket lives. done must be set, spread may be, all else is zeroed memory of the caller's, to be kept until
 * done. Takes name and args. 0 when done will come; -ENOTCONN: the socket is closed; -ENOTSUP: its
 * dialect knows no calls. */
int call_start(struct call *c, struct socket *socket, struct buf *name, struct buf *args,
               uint64_t timeout_ms);

/* Forgets a running call: done will not come. */
void call_cancel(struct call *c);

/* The client answered: value is checked JSON. False when no call of this socket has this fid. */
bool call_answer(struct socket *socket, struct slice fid, bool refused, struct slice value);

/* The same for the call of this number: args (checked JSON, an array) is what its ack has, and the
 * first of them the answer. a is borrowed. */
bool call_answer_args(struct socket *socket, uint64_t number, struct slice args,
                      const struct attachments *a);

/* The socket is over. */
void calls_close(struct socket *socket);

#endif
