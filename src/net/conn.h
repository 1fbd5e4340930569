/* SPDX-License-Identifier: MIT */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/buf.h"
#include "base/ip.h"
#include "net/output.h"

/* A TCP connection: bytes in through one shared buffer, references to bytes out through one
 * gathered write per turn.
 *
 * Life: conn_open -> received* -> (conn_close | conn_finish | the peer) -> closed, freed at the end
 * of the turn. After conn_close no callback comes but closed, and that one comes exactly once, from
 * the end of the turn, however the connection ended. */
struct conn;
struct tls;

struct conn_ops {
    /* n > 0 bytes have come. They may be changed in place and are dead when this returns: what is
     * not used now is to be kept elsewhere. May close c. */
    void (*received)(struct conn *c, char *data, size_t n);
    /* The peer has shut its side, all it sent was received; our answers may still reach it. NULL:
     * the connection is closed. */
    void (*ended)(struct conn *c);
    /* All output is with the kernel. NULL: nothing happens. Called only after output had to wait.
     */
    void (*drained)(struct conn *c);
    /* The output queue is above the hard mark, or has been above the soft mark for too long. NULL:
     * the connection is closed. Called once until the queue has been below the soft mark again. */
    void (*slow)(struct conn *c);
    /* The connection is over; reason is a short constant text. Free what hangs on it; c itself is
     * freed by net. Must not be NULL. */
    void (*closed)(struct conn *c, const char *reason);
};

enum conn_state {
    CONN_OPEN,      /* bytes go both ways */
    CONN_FINISHING, /* output is flushed, input thrown away, then closed */
    CONN_CLOSED     /* waits for the end of the turn */
};

struct conn {
    struct watch watch; /* private, as all below but ops, user, net and peer */
    const struct conn_ops *ops;
    void *user; /* whoever speaks on it: struct http, struct ws */
    struct net *net;
    struct list link;   /* in net->conns or net->outgoing */
    struct list dirty;  /* in net->dirty with output queued this turn, in net->dead when closed */
    struct timer timer; /* no progress in writing; lingering */
    struct output out;
    uint32_t soft, hard, soft_ms; /* marks; UINT32_MAX: none */
    uint32_t soft_since, sent_at; /* the low bits of loop_now_ms */
    uint16_t linger_ms;
    uint8_t state;
    bool paused : 1, peer_ended : 1, blocked : 1, slow_told : 1, over_soft : 1, counted : 1;
    bool outgoing : 1, secured : 1;
    const char *reason;
    struct ip peer;
};

/* Takes over a connected, non-blocking descriptor. Reading starts with the next turn. */
struct conn *conn_open(struct net *net, int fd, const struct ip *peer, const struct conn_ops *ops,
                       void *user) __attribute__((returns_nonnull));

/* The same for one that we opened, which is none of the clients': it is in net->outgoing, counts
 * neither against max_connections nor for its address, and its unsent bytes not into send_buffers.
 * Whoever opened it sets marks that bound it, and closes it before net is gone. tls: taken, its
 * handshake complete; NULL: none. */
struct conn *conn_open_outgoing(struct net *net, int fd, const struct ip *peer, struct tls *tls,
                                const struct conn_ops *ops, void *user)
    __attribute__((returns_nonnull));

/* Sets what all our TCP sockets have: no delay, keepalive, an end to what is not acknowledged. */
void conn_set_tcp(const struct net *net, int fd);

/* Queues bytes behind what is queued: head (at most CONN_HEAD_MAX bytes, copied) and then buf
 * (borrowed; may be NULL). They leave at the end of the turn, in one write with all else. Never
 * calls back. On a connection that is not open it does nothing. */
#define CONN_HEAD_MAX OUTPUT_HEAD_MAX
void conn_send(struct conn *c, struct slice head, struct buf *buf);

/* Queues a copy of bytes. */
void conn_send_copy(struct conn *c, struct slice bytes);

/* Bytes queued and not yet taken by the kernel; over TLS, not yet encrypted: that is at most a
 * record ahead of the kernel. */
static inline size_t conn_backlog(const struct conn *c) { return c->out.bytes; }

/* Whether output waits for the kernel to have room; drained follows when it has gone. */
static inline bool conn_is_blocked(const struct conn *c) { return c->blocked; }

/* Throws away what is queued, but nothing of a conn_send that is half written (output_drop). */
void conn_drop_output(struct conn *c);

/* When slow is called: at the end of a turn that leaves more than hard bytes, or after more than
 * soft bytes for soft_ms. LIMIT_OFF: never, as it is at first. */
void conn_set_marks(struct conn *c, uint64_t soft, uint64_t soft_ms, uint64_t hard);

/* Stops and starts reading. While paused a reset is noticed, the end of the peer's side is not. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* Closes as soon as the queue is flushed: shuts our side, reads away what still comes, and closes
 * when the peer has closed or after linger_ms (at most a minute). No received any more. */
void conn_finish(struct conn *c, uint64_t linger_ms, const char *reason);

/* Closes now; what is queued is lost. reason is a constant text, kept as it is. May be called at
 * any time, twice, and from every callback. */
void conn_close(struct conn *c, const char *reason);

static inline bool conn_is_open(const struct conn *c) { return c->state == CONN_OPEN; }

/* Whether c is open and nothing has come that was not read: neither bytes nor an end. Asks the
 * kernel. */
bool conn_is_quiet(const struct conn *c);

/* Another protocol takes over (an upgrade). Hands the callbacks to ops with user. */
static inline void conn_hand_over(struct conn *c, const struct conn_ops *ops, void *user) {
    c->ops = ops;
    c->user = user;
}

#endif
