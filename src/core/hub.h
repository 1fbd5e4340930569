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
    bool walked;         /* a walk is under way: it outlives its last member until the end of it */
    char name[];
};

/* Joins one socket and one channel. */
struct member {
    struct list in_channel;
    struct member *next; /* of the same socket */
    struct socket *socket;
    struct channel *channel;
    bool gap; /* it may have missed a message: it is told so before the next */
};

/* Why a channel's name is not to be had: NULL when it is. Clients and scripts alike. */
const char *channel_name_error(const struct site *site, struct slice name);

/* Makes socket a member, if it is none yet; done (may be NULL) is called when the subscription is
 * live (status 0) or is not within store_timeout (a negative errno: then it is no member, unless it
 * was one before), never before this returns. Returns 0, or what done is not called for: -EMFILE
 * when the socket has too many channels, -ENFILE when there are too many. */
int hub_subscribe(struct socket *socket, struct slice channel, void (*done)(void *arg, int status),
                  void *arg);

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

/* The channel of this name with members on this node, or NULL. */
struct channel *hub_channel(struct site *site, struct slice name);

#endif
