/* SPDX-License-Identifier: MIT */
#ifndef CORE_PUSH_H
#define CORE_PUSH_H

#include "base/buf.h"
#include "core/handshake.h"
#include "core/once.h"
#include "core/site.h"

/* The push service of a site: what its backend sends to rooms (wire/socketio-webservice.md section
 * 4). Where the site has no users (push.user_room_prefix) a message is an event for whoever is in
 * the rooms now. Where it has, it is kept for every device of the users that the rooms reach until
 * that device acknowledges it (queue.h), and given at once to those that are here. */

/* What a site keeps for it. */
struct push_state;

struct push_message {
    struct slice rooms; /* JSON, checked: an array of texts */
    struct slice event; /* JSON, checked: a text */
    struct slice args;  /* JSON, checked: an array */
    bool resync;        /* when it is acknowledged out of turn, all of its event goes, and the device is told */
};

/* Sends it; borrows m. done comes once, later: status 0 when it is with the store (1: and a queue
 * was full, and is to be resynced), or a negative errno: it is not, or nobody knows. */
void push_send(struct site *site, const struct push_message *m,
               void (*done)(void *arg, int status), void *arg);

/* Whether key opens it: the index of the key, or -1. Takes the same time for every key, also where
 * site is NULL or has none. */
int push_key_index(const struct site *site, struct slice key);

/* Whether the key of this index may send once more now; counts it. */
bool push_key_allows(struct site *site, int index);

/* What was sent with an idempotency key. */
struct once_table *push_once(struct site *site);

struct queue_bounds;

/* How long and how much of a device's queue is kept. */
struct queue_bounds push_bounds(const struct site *site);

/* The devices with sockets on this node: private to push_client.c. */
struct map *push_devices(struct site *site);

/* The name of the device that a client says it is, plain, in *room; often empty. */
struct slice push_device_name(const struct handshake *h, struct text *room);

/* The site goes. */
void push_forget(struct site *site);

#endif
