/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_QUEUE_H
#define STORE_REDIS_QUEUE_H

#include "core/queue.h"
#include "store/redis_conn.h"

/* Queues of devices in Redis. A device's records are lists as the push service has always had them,
 * so that what waits there can be taken over:
 *
 *   /SITE:socket.io:USER:DEVICE:EVENT       list of "ID:[event,args...]", the oldest first
 *
 * and beside them, below moonlatch:{SITE}:queue:,
 *
 *   rooms:USER      set: the rooms that the user is in, in lower case
 *   users:ROOM      set: the users that are in it
 *   devices:USER    hash: of each device when it left, or will have, and when it is forgotten
 *   device:N:USER:DEVICE   hash (N: how long USER is): m messages, b bytes, r a resync to be told, "e:EVENT" a list there is
 *
 * One script does all that is asked, each in one step; nothing is looked for by pattern. */
extern const struct queue_ops redis_queue_ops;

/* The script's text. */
extern const char redis_queue_script[];

/* The connection is up: loads the script ahead of all else. */
void redis_queue_load(struct redis_conn *r);

#endif
