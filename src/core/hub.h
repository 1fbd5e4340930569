/* SPDX-License-Identifier: MIT */
#ifndef CORE_HUB_H
#define CORE_HUB_H

#include "core/hooks.h"
#include "core/msg.h"
#include "core/op.h"
#include "core/store.h"

/* Channels and their members on this node. There is one way out to subscribers: hub -> store ->
 * hub; nothing is delivered inside a publishing call. */

/* A name with members; dies with the last of them. */
struct channel {
    struct map_link by_name; /* in site->channels */
    struct site *site;
    struct list members; /* struct member */
    size_t count;
    struct list *cursor; /* the next member of a walk under way; NULL: none */
    struct list joins;   /* struct join: who waits until it is live */
    bool live;           /* the store brings what is published on it */
    bool missed;         /* it did not for a while: members may have missed something */
    const struct channel_conf *history; /* NULL: it has none */
    struct position top;                /* of the last message that came, where it has a history */
    struct held *held; /* what comes while missed messages are fetched; NULL: none are */
    bool walked;       /* a walk is under way: it outlives its last member until the end of it */
    char name[];
};

/* Joins one socket and one channel. */
struct member {
    struct list in_channel;
    struct member *next; /* of the same socket */
    struct socket *socket;
    struct channel *channel;
    bool gap;          /* it may have missed a message: it is told so before the next */
    bool behind;       /* it missed what the channel fetches now */
    struct held *held; /* what comes while it is brought up to date; NULL: it is */
    uint64_t seen;     /* of the channel's history it has all up to here, or did not ask for it */
};

/* Why a channel's name is not to be had: NULL when it is. Clients and scripts alike. */
const char *channel_name_error(const struct site *site, struct slice name);

/* How a subscribe ended. */
struct joined {
    int status; /* 0: it is live; or a negative errno: it is no member, unless it was one */
    struct position top; /* of the channel's history when it began; empty: there is none */
    bool asked;          /* since was given, and the channel has a history */
    bool recovered;      /* all messages after since follow */
};
typedef void hub_joined(void *arg, const struct joined *joined);

/* Makes socket a member, if it is none yet; done is called when the subscription is live, or is not
 * within store_timeout, never before this returns. since (NULL: none) is the place of the last
 * message that it had: what came after that is sent right after done, if all of it is kept; else it
 * is told of the gap. since &hub_from_here: all that is published after this call comes, also what
 * is in the history already when done is called. Returns 0, or what done is not called for: -EMFILE when the socket has too
 * many channels, -ENFILE when there are too many. */
extern const struct position hub_from_here;
int hub_subscribe(struct socket *socket, struct slice channel, const struct position *since,
                  hub_joined *done, void *arg);

/* Ends a membership, if there is one. */
bool hub_unsubscribe(struct socket *socket, struct slice channel);

/* Ends all memberships of a socket that is closing. */
void hub_leave(struct socket *socket);

/* Publishes body (JSON, borrowed) to every node, this one included. Delivery happens later, never
 * inside this call. done (may be NULL) comes when the store has taken it, or not. 0, or a negative
 * errno, without done, while the store is away. */
int hub_publish(struct site *site, struct slice channel, struct buf *body, store_done *done,
                void *arg);

/* The same to every member of every channel: once for each channel it is in. */
int hub_broadcast(struct site *site, struct buf *body, store_done *done, void *arg);

/* Ends the memberships of all sockets on all nodes in this channel; they are told. */
int hub_unsubscribe_all(struct site *site, struct slice channel);

/* The store brings what was published (store_events). */
extern const struct store_events hub_events;

/* The membership of a socket in this channel, or NULL. */
struct member *hub_member(const struct socket *socket, struct slice channel);

/* Calls visit for each member; what it does may end any membership. May free the channel. */
void hub_each_member(struct channel *c, void (*visit)(struct member *member, void *arg), void *arg);

/* Hands a message to one member, by way of the site's filter. Borrows. */
void hub_deliver(struct member *member, struct msg *m);

/* The channel of this name with members on this node, or NULL. */
struct channel *hub_channel(struct site *site, struct slice name);

#endif
