/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_CONN_H
#define STORE_REDIS_CONN_H

#include "net/conn.h"
#include "store/redis_url.h"

/* A connection to Redis that comes back: hiredis's reader and formatter over a connection of ours.
 *
 *   DOWN --timer--> DIALING --connected--> GREETING --AUTH, SELECT answered--> UP
 *    ^                 |                      |                                 |
 *    +-----------------+----------------------+------- error, timeout ----------+
 *
 * Every command has an answer within store_timeout, or the connection is given up, all its commands
 * fail with -ENOTCONN, and it is tried again: after a twentieth of redis_backoff, then twice as
 * long each time, with jitter. What fails is not repeated by us. */

struct redisReply;
struct redis_conn;
struct dial;
struct sentinel;
struct tls_context;

/* status 0: the answer; -EREMOTEIO: the answer is an error of Redis's; -ENOTCONN: there will be
 * none (reply NULL). The reply is dead when this returns. */
typedef void redis_done(void *arg, int status, const struct redisReply *reply);

struct redis_conn_ops {
    /* Commands may be sent. */
    void (*up)(struct redis_conn *r);
    /* It was up, and is not; its commands have been answered. */
    void (*down)(struct redis_conn *r);
    /* For a connection that subscribes: everything that comes once it is up. NULL: answers go to
     * their commands. */
    void (*push)(struct redis_conn *r, const struct redisReply *reply);
};

enum redis_state { REDIS_DOWN, REDIS_DIALING, REDIS_GREETING, REDIS_UP, REDIS_CLOSED };

/* Embedded in its owner; private but for state, to be read. */
struct redis_conn {
    const struct redis_conn_ops *ops;
    struct net *net;
    const struct redis_url *url; /* borrowed, as tls */
    struct tls_context *tls;
    const char *name; /* for the log and CLIENT SETNAME: a constant text */
    struct sentinel *sentinel;
    struct dial *dial;
    struct conn *conn;
    struct redisReader *reader;
    struct list pending; /* struct command, the oldest first */
    size_t pending_count, pending_bytes;
    struct timer timer; /* DOWN: the next try; else: the oldest command */
    unsigned tries;     /* since it was up */
    unsigned greetings; /* not answered yet */
    uint8_t state;
    bool complained; /* the reason why it is not up is in the log */
};

/* Starts trying to connect; tls says whom to trust where the URL asks for it. Nothing is called
 * back before it returns. */
void redis_conn_open(struct redis_conn *r, struct net *net, const struct redis_url *url,
                     struct tls_context *tls, const char *name, const struct redis_conn_ops *ops);

/* Sends a command of n words. done (may be NULL) comes once, not before this has returned. 0, or
 * without done -ENOTCONN (it is not up) or -ENOBUFS (redis_pending commands wait already). Where
 * answers are pushed done must be NULL. */
int redis_conn_send(struct redis_conn *r, const struct slice *words, size_t n, redis_done *done,
                    void *arg);

/* Gives the connection up, as after an error, and tries again. reason is a constant text. */
void redis_conn_reset(struct redis_conn *r, const char *reason);

/* Ends it for good: commands that wait are answered with -ENOTCONN. Twice does nothing. */
void redis_conn_close(struct redis_conn *r);

#endif
