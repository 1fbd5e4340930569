/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_ENGINEIO_H
#define TRANSPORT_ENGINEIO_H

#include "net/ws.h"
#include "transport/eio_payload.h"
#include "transport/eio_query.h"
#include "transport/files.h"
#include "transport/transport.h"
#include "transport/waiting.h"

/* Engine.IO, protocols 4 and 3: a session that is carried by HTTP requests, one after the other, or
 * by a WebSocket, or first by the ones and then by the other. What the files do:
 *
 *   engineio_http  finds out what a request wants and whether it may; posts, headers, errors
 *   engineio_poll  the requests that wait for packets
 *   engineio       sessions: their life, their queue, their clock
 *   engineio_ws    WebSockets, and how a session moves to one
 *   eio_query      what the parameters stand for
 *   eio_payload    packets as texts and bytes */

/* An endpoint's sessions: its ep->state. */
struct engineio {
    struct endpoint *endpoint;
    struct net *net;
    struct map sessions;  /* struct eio_session, by sid */
    struct map addresses; /* who has sessions that wait for a poll: transport/waiting.h */
    struct ws_settings ws;
    struct files *client; /* NULL: none are served */
};

/* ---- sessions ---- */

#define EIO_SID_LENGTH 27 /* 162 random bits as base64url */

enum eio_state {
    EIO_LIVE,    /* messages go both ways */
    EIO_CLOSING, /* what is queued goes first, and then the close packet */
    EIO_GONE     /* nobody finds it; the memory goes at the end of the turn */
};

/* What waits for a poll: the text of a packet, or the bytes of a message. */
struct eio_queued {
    struct buf *buf;
    bool binary;
};

struct eio_session {
    struct session session;
    struct map_link by_sid; /* in engineio->sessions while not GONE */
    struct engineio *engineio;
    struct eio_poll *poll;     /* owned; NULL: none waits */
    struct eio_socket *socket; /* what carries it; NULL: polling does */
    struct eio_socket *probe;  /* a WebSocket that it may move to; NULL: none tries */
    struct waiter waiter;      /* counted while it has neither poll nor socket */
    struct rate messages;      /* of posts, as on a WebSocket: ws_message_rate */
    struct timer timer;        /* its heartbeat; CLOSING: how long a poll may take to come */
    struct deferred later;     /* what the end of the turn brings */
    struct eio_queued *queue;
    uint32_t queue_first, queued, queue_size;
    uint64_t queued_bytes;
    char *close_reason; /* from CLOSING on */
    int close_code;
    enum eio_text text; /* what is known of its texts: protocol 3 */
    uint8_t state;
    bool v3;
    bool base64;      /* its WebSocket takes no bytes: protocol 3 */
    bool awaits_pong; /* protocol 4: our ping is out */
    bool released;    /* its probe was answered: polls end at once, so that the client moves on */
    bool paused;      /* the core takes no messages now */
    char sid[EIO_SID_LENGTH + 1];
};

/* A session for r, which asks to open one; nothing is sent and the core does not know it yet. */
struct eio_session *eio_session_new(struct engineio *e, const struct request *r,
                                    const struct eio_query *q) __attribute__((returns_nonnull));

/* What of r the socket keeps; the caller's. */
struct handshake *eio_handshake(const struct engineio *e, const struct request *r,
                                const struct eio_query *q)
    __attribute__((returns_nonnull, warn_unused_result));

/* Opens it: the open packet goes first. Its poll or its socket is there. Takes handshake and auth.
 */
void eio_session_open(struct eio_session *s, struct handshake *handshake, struct buf *auth);

/* The session with this sid, or NULL. */
struct eio_session *eio_session_find(struct engineio *e, struct slice sid);

/* A packet came from its client. May close it, or end it. */
void eio_session_packet(struct eio_session *s, const struct eio_packet *p);

/* The WebSocket that it might have moved to is gone; polling goes on. */
void eio_session_stay(struct eio_session *s);

/* Takes a poll that waits. There must be none. */
void eio_session_attach(struct eio_session *s, struct eio_poll *poll);

/* The poll is about to be answered: another may come. */
void eio_session_detach(struct eio_session *s);

/* Its client has found a WebSocket that works: until it says so or that is lost, a poll ends at
 * once, so that the client has none open when it moves. */
void eio_session_release(struct eio_session *s);

/* Its probe carries it from now on: what is queued goes there, and a poll that waits ends. */
void eio_session_move(struct eio_session *s);

/* Ends it now: a poll that waits gets what is queued and the close packet, a WebSocket is closed.
 * The core is told, with the code and reason of its own close when it closed first. Twice does
 * nothing. */
void eio_session_end(struct eio_session *s, int code, const char *reason);

/* ---- polls ---- */

/* A GET that waits for packets. It belongs to its session from eio_session_attach on, and ends in
 * one of three ways, each of which frees it: answered, dropped, or cut off by its peer, which ends
 * the session too. */
struct eio_poll {
    struct engineio *engineio;
    struct request *request;
    struct eio_query query;
    struct eio_session *session; /* NULL: none took it */
};

/* Owned by the caller until a session takes it. */
struct eio_poll *eio_poll_new(struct engineio *e, struct request *r, const struct eio_query *q)
    __attribute__((returns_nonnull));

/* Answers it with n packets (borrowed) as its client takes them. The session is told before. */
void eio_poll_answer(struct eio_poll *poll, const struct eio_queued *packets, size_t n);

/* Answers it with a single packet, as above. */
void eio_poll_answer_text(struct eio_poll *poll, const char *packet);

/* Closes its connection. The session is told before. */
void eio_poll_drop(struct eio_poll *poll, const char *reason);

/* Whether its connection is gone already, and it only has not been told. */
bool eio_poll_is_cut(const struct eio_poll *poll);

/* ---- WebSockets ---- */

/* Sends the text of a packet, or a message of bytes, as its session's client takes them. */
void eio_socket_send(struct eio_socket *x, struct buf *packet, bool binary);

size_t eio_socket_backlog(const struct eio_socket *x);
void eio_socket_pause(struct eio_socket *x);
void eio_socket_resume(struct eio_socket *x);

/* Closes it (slow: without what is queued), as ws_close. It is its session's until it has closed,
 * and then ends that; unless eio_socket_leave was called before: then nobody hears of it. */
void eio_socket_close(struct eio_socket *x, int code, const char *reason, bool slow);
void eio_socket_leave(struct eio_socket *x);

/* Takes r over and opens a session on it. auth is taken. */
void eio_socket_open(struct engineio *e, struct request *r, const struct eio_query *q,
                     struct buf *auth);

/* Takes r over as the WebSocket that s may move to; one that cannot be is closed. */
void eio_socket_probe(struct eio_session *s, struct request *r);

/* Fills e->ws. */
void eio_socket_init(struct engineio *e);

/* ---- requests ---- */

#define EIO_HEADERS_MAX 10

/* The headers of an answer, with room for those that are made up. All zeros: none. */
struct eio_headers {
    size_t n;
    struct http_header list[EIO_HEADERS_MAX + 1]; /* ends with an empty name */
    char cookie[96];
};

void eio_header(struct eio_headers *h, const char *name, struct slice value);

/* Those of every answer to r: no caching, no guessing of types, and who may read it. s may be NULL;
 * else it may have a cookie. r stays as it is while they are used. */
void eio_headers_fill(struct eio_headers *h, const struct engineio *e, const struct request *r,
                      const struct eio_query *q, const struct eio_session *s, const char *type);

/* The transport's open and close. All connections are gone when it closes. */
void engineio_open(struct endpoint *ep, struct net *net);
void engineio_close(struct endpoint *ep);

#endif
