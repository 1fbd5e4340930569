/* SPDX-License-Identifier: MIT */
#ifndef CORE_PUSH_CLIENT_H
#define CORE_PUSH_CLIENT_H

#include "core/push.h"
#include "core/socket.h"

/* The devices of a site's users that are on this node (wire/socketio-webservice.md sections 3 and
 * 4). A socket is let in with the rooms of its user in its auth data; those that are users make it
 * one of their devices, by the name that its client gives (deviceId of the query). It is handed what
 * waits for the device, as one batch, and from then on each message as it comes; what its client
 * acknowledges leaves the queue. Until then it stays, and comes with the next batch. */

/* The socket was let in: joins the rooms of its auth data, and takes its place among the devices. */
void push_client_enter(struct socket *s);

/* It is over: its devices have left, unless other sockets are them too. */
void push_client_leave(struct socket *s);

/* A node tells that a message is in the queues of some devices. */
void push_client_told(struct site *site, struct slice word);

/* Tells the store of all devices that are here that they still are. */
void push_client_touch(struct site *site);

/* Whether a room is a user. */
bool push_is_user(const struct site *site, struct slice room);

/* Whether one of these rooms (JSON, checked) is a user; true where the site has none. */
bool push_has_user(const struct site *site, struct slice rooms);

#endif
