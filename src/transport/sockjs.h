/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_SOCKJS_H
#define TRANSPORT_SOCKJS_H

#include "net/ws.h"
#include "transport/sockjs_frame.h"
#include "transport/transport.h"
#include "transport/waiting.h"

/* SockJS: a session behind an endpoint's URLs, over a WebSocket or over HTTP requests that take
 * turns in receiving. What the files do:
 *
 *   sockjs_http      finds out what a request wants; pages, sends, headers
 *   sockjs_receiver  the answers that carry frames
 *   sockjs           sessions over HTTP: their life, their queue, their clock
 *   sockjs_ws        the WebSocket endpoints, where session and connection are one
 *   sockjs_url       what the paths stand for
 *   sockjs_frame     the texts */

struct login;

/* An endpoint's sessions: its ep->state. */
struct sockjs {
    struct endpoint *endpoint;
    struct net *net;
    struct map sessions;   /* struct sockjs_session, by the id that the client chose */
    struct map addresses;  /* who has sessions without receiver: transport/waiting.h */
    struct ws_settings ws; /* of both WebSocket endpoints */
};

/* ---- sessions over HTTP ---- */

enum sockjs_state {
    SOCKJS_JUDGED,  /* the script judges the request that opens it; the receiver is held */
    SOCKJS_OPEN,    /* messages go both ways */
    SOCKJS_CLOSING, /* each receiver gets what is queued, and then the close frame */
    SOCKJS_GONE     /* its id is free again; the memory goes at the end of the turn */
};

struct sockjs_session {
    struct session session;
    struct map_link by_id; /* in sockjs->sessions while not GONE */
    struct sockjs *sockjs;
    struct receiver *receiver;    /* owned; NULL: none is there, which it may be for a while */
    const struct sockjs_way *way; /* of the last receiver */
    struct waiter waiter;         /* counted while it has no receiver */
    struct rate messages;         /* as on a WebSocket, ws_message_rate */
    struct timer timer;           /* heartbeat with a receiver, disconnect_delay without */
    struct deferred later;        /* what the end of the turn brings */
    struct login *login;          /* while JUDGED */
    struct buf **queue;           /* frames of one message each */
    uint32_t queue_first, queued, queue_size;
    uint64_t queued_bytes;
    struct buf *close_frame; /* from CLOSING on */
    char *close_reason;
    int close_code;
    uint8_t state;
    char id[]; /* as the client chose it */
};

/* The session with this id, or NULL. */
struct sockjs_session *sockjs_find(struct sockjs *k, struct slice id);

/* Whether another session from this address may be opened: 0, or the status to refuse it with. ip
 * is all zeros when the address does not count. */
int sockjs_admits(struct sockjs *k, const struct ip *ip);

/* Opens a session for its first receiver (taken), which gets its "o", or an error when the script
 * does not want it. There must be none with this id. */
void sockjs_begin(struct sockjs *k, struct slice id, const struct ip *ip, struct receiver *first);

/* Another receiver (taken) wants the session's frames. */
void sockjs_attach(struct sockjs_session *s, struct receiver *rc);

/* The receiver is about to end in good order; s waits for the next. */
void sockjs_released(struct sockjs_session *s);

/* The receiver was cut off (and freed): so is the session. */
void sockjs_lost(struct sockjs_session *s);

/* The transport's open and close. All connections are gone when it closes. */
void sockjs_open(struct endpoint *ep, struct net *net);
void sockjs_close(struct endpoint *ep);

/* ---- requests ---- */

#define SOCKJS_HEADERS_MAX 16

/* The headers of an answer, with room for those that are made up. All zeros: none. */
struct sockjs_headers {
    size_t n;
    struct http_header list[SOCKJS_HEADERS_MAX + 1]; /* ends with an empty name */
    char cookie[96];
    char expires[40];
};

void sockjs_header(struct sockjs_headers *h, const char *name, struct slice value);

/* Those of every answer of a session's URL: no caching, and the cookie. r stays as it is while they
 * are used, which goes for all of these. */
void sockjs_session_headers(struct sockjs_headers *h, const struct sockjs *k,
                            const struct request *r);

/* Those that let pages of other origins read the answer. For an event source, Origin: null becomes
 * "*". */
void sockjs_cors_headers(struct sockjs_headers *h, const struct sockjs *k, const struct request *r,
                         bool event_source);

/* Whether r may open a session here: 0, or the status to refuse it with. */
int sockjs_opening_status(const struct sockjs *k, const struct request *r);

/* The same once the script has judged r. */
int sockjs_judged_status(const struct sockjs *k, const struct request *r, const struct login *l);

/* A receiving request for the session with this id; opens it where there is none. */
void sockjs_receive(struct sockjs *k, struct request *r, const struct sockjs_way *way,
                    struct slice id);

/* Fills k->ws. */
void sockjs_ws_init(struct sockjs *k);

/* The handshakes of <server>/<session>/websocket and of the raw /websocket. */
void sockjs_ws_serve(struct sockjs *k, struct request *r, bool raw);

#endif
