/* SPDX-License-Identifier: MIT */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/conn.h"

/* A connection that we open: to Redis, to a backend. A dial looks the name up (names.h), tries its
 * addresses one after the other and, where asked, speaks TLS; it ends with an open connection or a
 * reason. It does not try again: that is for whoever knows how long to wait. */
struct dial;
struct tls_context;

struct dial_target {
    const char *host;        /* a name or an address, with or without brackets */
    unsigned port;           /* 1 to 65535 */
    const char *path;        /* a unix socket; then host and port are not looked at. NULL: none */
    struct tls_context *tls; /* whom to trust (tls.h). NULL: no TLS */
    const char *server_name; /* whom the certificate must name. NULL: host */
};

/* Starts dialing; borrows the target and its texts, keeps a reference to its tls. done comes
 * exactly once, from the loop, never inside this call: with an open connection whose handshake and
 * verification are complete, which the receiver takes over at once (conn_hand_over before it
 * returns; conn_close will do too); or, at the latest after timeout_ms, with c NULL and why: a
 * constant text, for a log ("refused", "timeout", "name not found", "unreachable", "certificate
 * verify failed: expired"). The dial is gone when done is called.
 *
 * The time is shared: while there are more addresses, one that does not answer gets only its part.
 */
struct dial *dial_open(struct net *net, const struct dial_target *target, uint64_t timeout_ms,
                       void (*done)(void *arg, struct conn *c, const char *reason), void *arg)
    __attribute__((returns_nonnull));

/* Gives up: done will not come. At any time before done. A name lookup that a thread is already at
 * goes on, and loop_free waits for it. */
void dial_cancel(struct dial *d);

#endif
