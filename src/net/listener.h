/* SPDX-License-Identifier: MIT */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/conn.h"

/* An address we accept connections on. It owns its socket: accept4 in small batches, refusing
 * before any parsing when a limit is reached (503 or 429 as bytes, then closed), and pausing for
 * 100 ms when the process is out of descriptors. */
struct listener;

/* What the address of a unix socket begins with. */
#define LISTENER_UNIX "unix:"

/* Listens on "HOST:PORT" ("127.0.0.1:0", "[::]:8000", ":8000" for all addresses; port 0: a free
 * one), or on "unix:/path": a file that only its owner may connect to, which replaces one that a
 * dead process left and is removed at the end; its peers have no address (struct ip). accepted is
 * called for each connection that passed the limits, with its descriptor, which it takes over
 * (conn_open). Returns NULL and a message in error (a static text, or strerror's). */
struct listener *listener_open(struct net *net, struct slice address,
                               void (*accepted)(void *arg, int fd, const struct ip *peer),
                               void *arg, const char **error) __attribute__((warn_unused_result));

/* From now on connections are accepted here also where there is no room for more: for few peers
 * that are trusted, who want to look at a gateway that is full. fd_reserve has the descriptors. */
void listener_favour(struct listener *l);

/* Where it listens, "http://127.0.0.1:41234" or "unix:/path". Valid as long as the listener. */
const char *listener_url(const struct listener *l);

/* Stops accepting and frees. */
void listener_close(struct listener *l);

#endif
