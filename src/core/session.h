/* SPDX-License-Identifier: MIT */
#ifndef CORE_SESSION_H
#define CORE_SESSION_H

#include "base/buf.h"
#include "base/rate.h"
#include "core/handshake.h"

/* An ordered two-way stream of messages, whatever carries it. transport/ makes sessions, embedded
 * in its own structs, and implements session_ops; a dialect says what the messages mean.
 *
 * transport: session_open, then session_received for each message, then session_ended once.
 * core: send and close, which never call back before they return. */

struct session;
struct endpoint;
struct socket;
struct msg;
struct emission;
struct op;
struct call;
struct socketio;

struct session_ops {
    /* The wire form of a text message, made once and shared by all sessions with these ops; pure.
     * NULL: the text itself. The caller owns the result. */
    struct buf *(*wrap)(struct slice text);
    /* Queues a message that wrap made (or text or binary as it is, without wrap). Borrows. */
    void (*send)(struct session *s, struct buf *wire, bool binary);
    /* Bytes that wait for the peer. */
    size_t (*backlog)(const struct session *s);
    /* Stops and starts reading messages; a transport that cannot ignores it. May be NULL. */
    void (*pause)(struct session *s);
    void (*resume)(struct session *s);
    /* Ends it in good order: what was queued goes first (not when slow: then it is thrown away).
     * session_ended follows later. Twice does nothing. */
    void (*close)(struct session *s, int code, const char *reason, bool slow);
    /* "websocket", "xhr-streaming", ...: what carries it now. */
    const char *(*protocol)(const struct session *s);
    /* Whether binary messages can be sent. */
    bool binary;
    /* Whether wrap takes lone surrogates too (WTF-8), and escapes them. */
    bool surrogates;
};

enum session_state { SESSION_NEW, SESSION_OPEN, SESSION_CLOSING, SESSION_ENDED };

struct session {
    const struct session_ops *ops;
    struct endpoint *endpoint;
    union { /* the dialect's; NULL before it is opened and after it has ended */
        struct socket *socket;     /* of a dialect with one socket to a session */
        struct socketio *socketio; /* private to core/socketio_dialect.c */
    };
    uint8_t state;
    bool eio3; /* it is one of Engine.IO's protocol 3; set before it is opened */
};

/* How messages are spoken on a session. A static const table; the sessions' endpoints point at it.
 */
struct dialect {
    const char *name;
    bool judges; /* it says itself who is let in, whatever the endpoint's auth */

    /* ---- of a session ---- */

    /* It is open. Takes handshake and auth (JSON, or NULL: not authenticated yet). */
    void (*opened)(struct session *s, struct handshake *handshake, struct buf *auth);
    /* A message has come, while it is open. */
    void (*received)(struct session *s, struct slice data, bool binary);
    /* It is over: ends its sockets. */
    void (*ended)(struct session *s, int code, const char *reason);

    /* ---- of a socket, whose session is not over ---- */

    /* Closes it: its session, where that has no other; whole: its session, in any case. */
    void (*close)(struct socket *s, int code, const char *reason, bool whole);
    /* An op that came from this dialect's client has ended: tells the client, if there is something
     * to tell. op->error or op->result stand. */
    void (*answer)(struct op *op);
    /* The text of a channel message, for this socket and all others of its endpoint on sessions of
     * the same protocol. Pure; the caller owns it. */
    struct buf *(*render)(const struct msg *m, const struct socket *s);
    /* The socket was subscribed or unsubscribed, not by an op of its own. */
    void (*joined)(struct socket *s, struct slice channel);
    void (*left)(struct socket *s, struct slice channel);
    /* Messages of this channel may be missing before the next one. */
    void (*gap)(struct socket *s, struct slice channel);
    /* Sends a call to the client. NULL: this dialect knows no calls. */
    void (*call)(struct socket *s, const struct call *call);
    /* Sends an event to the client. NULL: this dialect knows no events. */
    void (*emit)(struct socket *s, const struct emission *e);
};

extern const struct dialect token_dialect;
extern const struct dialect raw_dialect;
extern const struct dialect socketio_dialect;

/* Opens a session on endpoint and tells the dialect. Takes handshake and auth
 * (JSON, or NULL: not authenticated yet). s is zeroed memory but for what the transport embeds
 * around it. The dialect may send and close before this returns. */
void session_open(struct session *s, const struct session_ops *ops, struct endpoint *endpoint,
                  struct handshake *handshake, struct buf *auth);

/* A message has come. Ignored unless open. */
void session_received(struct session *s, struct slice data, bool binary);

/* Whether one more message may come by now (limits ws_message_rate), from a client that polls: it
 * cannot be made to wait as one on a WebSocket can, so false has closed the session with 4429. */
bool session_admits(struct session *s, struct rate *messages);

/* The session is over; after this core does not touch s again. code and reason as in RFC 6455, 1006
 * for a lost connection. Does nothing before session_open and the second time. */
void session_ended(struct session *s, int code, const char *reason);

/* Sends text (borrowed), wrapped. Nothing unless open. */
void session_send(struct session *s, struct buf *text);

/* Closes it; from now on nothing is received or sent. */
void session_close(struct session *s, int code, const char *reason);

#endif
