/* SPDX-License-Identifier: MIT */
#ifndef CORE_SOCKETIO_H
#define CORE_SOCKETIO_H

#include "base/id.h"
#include "core/emission.h"
#include "core/socket.h"
#include "core/socketio_packet.h"

/* Socket.IO on a session (wire/socketio.md section 4): the namespaces that its client is in, each
 * with a socket of the site that the namespace belongs to. Private to these files:
 *
 *   socketio_dialect  what comes and goes: packets, their attachments, the end
 *   socketio_seat     how a client gets into a namespace, and out again
 *   socketio_recovery how it comes back to one
 *   socketio_packet   the form of packets */

/* A packet whose attachments are still to come. */
struct incoming {
    struct buf *header;
    uint32_t wanted; /* how many it has */
    size_t bytes;    /* of those that are here */
    struct attachments attachments;
};

/* One namespace of a session: asked for, taken, or about to be left. */
struct seat {
    struct list link;          /* in socketio->seats */
    struct socketio *socketio; /* NULL: its session is over, and the store's answer is awaited */
    struct endpoint *endpoint;
    struct socket *socket;       /* NULL while the client is judged */
    struct handshake *handshake; /* a reference; NULL: the socket has it */
    struct login *login;         /* NULL: the script does not judge */
    char *close_reason;          /* of a socket that is closing; NULL: it is not */
    int close_code;
    bool awaits_store;         /* the store has been asked */
    struct recovery *recovery; /* NULL: it cannot come back */
};

struct socketio {
    struct session *session;
    struct handshake *handshake; /* of the request that opened the session; a reference */
    struct list seats;           /* struct seat */
    uint32_t seat_count;
    uint32_t unseated;         /* messages while it had no socket */
    bool seated;               /* it had one */
    struct timer timer;        /* for how long it may have none: unauth_timeout */
    struct deferred leave;     /* the end of the turn in which sockets were closed */
    struct incoming *incoming; /* a packet that is not all here; NULL: there is none */
};

/* Sends a packet; takes what is in t. */
void socketio_send(struct session *s, struct text *t);

/* The seat of this namespace, or NULL. */
struct seat *seat_find(const struct socketio *x, struct slice ns);

/* The client asks for a namespace, with a CONNECT. It gets in, now or later, or is refused. */
void seat_ask(struct socketio *x, const struct sio_packet *p);

/* The client of protocol 3 is in "/" without asking. */
void seat_ask_root(struct socketio *x);

/* Lets the client in: makes its socket, tells it, and the script. Takes auth; NULL: it needs none.
 * Or refuses it, when there is no room any more. */
void seat_take(struct seat *seat, struct buf *auth);

/* The same in two steps; false when the client was refused. */
bool seat_make(struct seat *seat);
void seat_enter(struct seat *seat, struct buf *auth);

/* The store has answered what was asked for this seat. False when its session has gone meanwhile,
 * and it is freed. */
bool seat_returns(struct seat *seat);

/* Its socket is closing: it ends with the turn. */
void seat_close(struct seat *seat, int code, const char *reason);

/* Ends it: its socket, if there is one, and who judges it. */
void seat_end(struct seat *seat, int code, const char *reason);

/* Ends those that are closing. */
void seats_settle(struct socketio *x);

/* Whether clients may come back to this seat's namespace. */
bool recovery_is_on(const struct seat *seat);

/* Makes seat->recovery of what the client says; seat_end frees it. */
void recovery_begin(struct seat *seat, const struct sio_packet *p);
void recovery_free(struct recovery *r);

/* What the client is told, to come back with; NULL: nothing. */
const char *recovery_pid(const struct seat *seat);

/* The connection of its socket is lost: keeps what it was. */
void recovery_keep(const struct seat *seat);

/* A client that was let in with auth (taken) wants to be what it was: seat_take, or more, follows.
 * False when it does not; then auth is still the caller's. */
bool recovery_start(struct seat *seat, struct buf *auth);

/* The session has no socket now: it may be so for a while. */
void socketio_wait(struct socketio *x);

#endif
