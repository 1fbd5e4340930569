/* SPDX-License-Identifier: MIT */
#ifndef CORE_OP_H
#define CORE_OP_H

#include "core/emission.h"
#include "core/msg.h"
#include "core/socket.h"

/* One thing a client asked for. It holds the client's message (one copy), its socket, and in the
 * end its answer; it always ends by op_finish, exactly once, also when its socket is gone.
 *
 *   op_new -> op_start -> [waits its turn] -> permitted? -> done -> op_finish -> dialect->answer
 *
 * subscribe, unsubscribe, publish and broadcast of one socket take effect in the order they came,
 * so each waits until the one before has finished. RPCs run side by side, up to rpc_concurrency. */

enum op_kind { OP_SUBSCRIBE, OP_UNSUBSCRIBE, OP_PUBLISH, OP_BROADCAST, OP_RPC, OP_AUTH };

enum op_state {
    OP_NEW,
    OP_QUEUED,     /* an earlier op of its socket is not finished */
    OP_PERMITTING, /* the script is asked */
    OP_RUNNING,    /* hub, store or controller are at work */
    OP_FINISHED
};

struct joined;

struct op {
    struct list link; /* in the socket's work */
    uint8_t kind, state;
    bool queued;           /* private: its size is counted in the socket's work */
    bool replaced;         /* data is the script's, not the client's */
    uint16_t close_code;   /* of the socket, when an auth fails for another reason than its token */
    bool is_event;         /* an RPC that is an event of Socket.IO: see request and result */
    bool timed_out;        /* the answer is gone already; what comes is dropped */
    struct socket *socket; /* a reference */
    struct buf *message;   /* what the client sent: all slices but name point in here */
    struct slice rpc;      /* raw JSON, to be echoed */
    struct slice uuid;     /* raw JSON, to be echoed; empty: there was none */
    struct slice request;  /* raw JSON of req; empty: there was none. Of an event: [name, args...] */
    struct slice channel;  /* plain text: where it had escapes, in names */
    struct slice name;     /* of the controller, plain text */
    struct position since; /* of a subscribe: what its client had last; empty epoch: nothing */
    const struct joined *joined; /* how a subscribe ended, while it is answered */
    struct slice data;           /* raw JSON of what is published */
    struct text names;           /* room for unescaped texts */
    struct buf *replacement;     /* what data points into after op_replace */
    struct buf *result;          /* JSON; NULL: undefined. Of an event: what the ack has, an array */
    struct buf *error;           /* JSON; not NULL: the op failed */
    struct attachments attachments; /* of an event's request */
    struct attachments answered;    /* of its result */
    struct timer timer;          /* rpc_timeout */
    void *task;                  /* the script's work for it: private to script/ */
};

/* An op of socket for message (taken; may be NULL). The dialect fills the slices. */
struct op *op_new(struct socket *socket, enum op_kind kind, struct buf *message)
    __attribute__((returns_nonnull, warn_unused_result));

/* Starts it; it may be finished and freed before this returns. */
void op_start(struct op *op);

/* Ends an op that was never started, with an error. */
void op_abandon(struct op *op, const char *text);

/* What the script decided after it had said WAIT. error: JSON for the client, taken; NULL with
 * DENY: "Forbidden". May finish and free the op. */
void op_decide(struct op *op, enum verdict verdict, struct buf *error);

/* A before listener gave other data to publish (JSON, taken) before it decided. */
void op_replace(struct op *op, struct buf *data);

/* Ends an RPC with its result (JSON, taken; NULL: undefined), or any op with an error (JSON,
 * taken). For an op that the client has been answered already (timeout, closed) they free quietly.
 */
void op_reply(struct op *op, struct buf *result);
void op_fail(struct op *op, struct buf *error);

/* op_fail with a plain text. */
void op_fail_text(struct op *op, const char *text);

/* Tells the dialect, starts the next of the socket, frees. Called by the functions above. */
void op_finish(struct op *op);

/* The socket is over: ops that wait their turn end without an answer. */
void ops_close(struct socket *socket);

/* The name of the kind: "subscribe". */
const char *op_kind_name(enum op_kind kind);

#endif
