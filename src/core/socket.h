/* SPDX-License-Identifier: MIT */
#ifndef CORE_SOCKET_H
#define CORE_SOCKET_H

#include "base/rate.h"
#include "core/session.h"
#include "core/site.h"

/* One client of one site, with its auth data. Made when its session opens; closed when that ends;
 * freed when nobody holds it any more (ops in flight, script handles). Who holds one across turns
 * holds a reference and asks socket_is_open before use. */

#define SID_LENGTH 22 /* its node's name, and 96 random bits as base64url */

/* Only while a socket has not authenticated: it is closed after unauth_timeout. */
struct probation;

struct push_client;

/* Only once a socket has asked for something, or was asked. */
struct socket_work {
    struct list ops;   /* struct op: those that take effect in order, the first one running */
    struct list calls; /* struct call: ours to the client, waiting for an answer */
    struct rate publishes, subscribes;
    struct user *user; /* whose it is, when it counts: private to user.c */
    size_t waiting;    /* bytes that ops take up */
    uint32_t strikes;  /* messages that were no JSON */
    uint32_t call_count; /* that there were so far */
    bool busy;         /* private to op.c */
};

struct socket {
    uint32_t refs;
    uint32_t member_count;
    uint32_t created_s; /* wall clock, seconds since 1970 */
    uint32_t running;   /* RPCs of the client */
    struct site *site;
    struct session *session; /* NULL once it is over */
    const struct dialect *dialect;
    struct endpoint *endpoint;
    struct handshake *handshake; /* a reference */
    struct buf *auth;            /* JSON; NULL: not authenticated */
    struct member *members;      /* its channels: private to hub.c */
    struct probation *probation;
    struct socket_work *work; /* NULL: none so far; socket_work makes it */
    void *script;             /* the script layer's handle */
    struct push_client *push; /* its places among users' devices: private to push_client.c */
    struct map_link by_sid;   /* in site->sockets; the key is sid */
    uint64_t emission;        /* the last that it was counted in: private to emit.c, as this: */
    uint64_t logged;          /* of the log it had all up to here when it came back */
    bool connected : 1;       /* let in: the script knows of it */
    bool logging_in : 1;      /* its token is being taken */
    bool closing : 1;         /* closed, while its session goes on */
    bool recovered : 1;       /* its client came back, and missed nothing */
    char sid[SID_LENGTH + 1];
};

struct socket_work *socket_work(struct socket *s) __attribute__((returns_nonnull));

/* A dialect makes a socket, has it enter when its client knows of it, and ends it. */

/* Takes handshake. */
struct socket *socket_new(struct session *session, struct endpoint *endpoint,
                          struct handshake *handshake) __attribute__((returns_nonnull));

/* Lets it in with auth (JSON, taken), or without where its endpoint asks for none; else it has to
 * log in soon. May close it. */
void socket_enter(struct socket *s, struct buf *auth);

void socket_ended(struct socket *s, int code, const char *reason);

/* Gives it the sid that it had before, if no other socket has that now. */
void socket_resume(struct socket *s, struct slice sid);

/* What dialects with one socket to a session do: their opened, ended and close. */
void sole_socket_opened(struct session *s, struct handshake *handshake, struct buf *auth);
void sole_socket_ended(struct session *s, int code, const char *reason);
void sole_socket_close(struct socket *s, int code, const char *reason, bool whole);

static inline struct socket *socket_ref(struct socket *s) {
    s->refs++;
    return s;
}
void socket_unref(struct socket *s);

static inline bool socket_is_open(const struct socket *s) {
    return s->session && s->session->state == SESSION_OPEN && !s->closing;
}

/* Closes it, in its dialect's way. May be called at any time, twice, and from every callback. */
void socket_close(struct socket *s, int code, const char *reason);

/* The same for all that its client has on its connection. */
void socket_close_whole(struct socket *s, int code, const char *reason);

/* The socket with this sid, open, or NULL. Borrowed. */
struct socket *socket_find(struct site *site, struct slice sid);

/* It is authenticated from now on, with auth (JSON, taken); the first time it is thereby let in and
 * the script hears of it (connect). False when its user has too many sockets already: then it is to
 * be closed (SOCKET_TOO_MANY), and is not let in. */
#define SOCKET_TOO_MANY 4409
#define SOCKET_UNAVAILABLE 4503 /* whether it may be let in cannot be told: the store is away */
bool socket_authenticate(struct socket *s, struct buf *auth) __attribute__((warn_unused_result));

/* Lets a socket in that needs no authentication. */
void socket_admit(struct socket *s);

/* Whether it may do more than authenticate. */
static inline bool socket_is_admitted(const struct socket *s) { return s->connected; }

/* Counts a message that came before authentication; false when that was one too many and the socket
 * was closed. */
bool socket_on_probation(struct socket *s, size_t bytes);

/* Counts a message that was no JSON; false when the socket was closed for it. */
bool socket_strike(struct socket *s);

/* Sends one text message of its dialect; borrows. Nothing when it is not open. */
void socket_send(struct socket *s, struct buf *text);

/* Sends a binary message; false where the transport cannot. */
bool socket_send_binary(struct socket *s, struct buf *data);

/* "websocket", "xhr-streaming", ...; "" when it is closed. */
const char *socket_protocol(const struct socket *s);

#endif
