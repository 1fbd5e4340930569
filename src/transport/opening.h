/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_OPENING_H
#define TRANSPORT_OPENING_H

#include "core/login.h"
#include "transport/transport.h"

/* What every transport asks of a request that wants to open something: who it is from, whether its
 * origin may, and what of it the socket keeps. */

/* How much of the request a handshake keeps. */
enum handshake_part {
    HANDSHAKE_ALL,      /* for a login: every header */
    HANDSHAKE_SOCKET,   /* for a socket: without those that only concern the connection */
    HANDSHAKE_NO_COOKIE, /* and without cookies (SockJS) */
    HANDSHAKE_JUDGED, /* for a socket whose dialect judges: with what tells where its page is from */
    HANDSHAKE_SCRIPT  /* the same for a page that loads it as a script, which must tell */
};

/* The block for core, owned by the caller (handshake_unref). Its ip is the peer's, or, when that is one of
 * net->trusted, the last hop of X-Forwarded-For that is none of them. */
struct handshake *opening_handshake(const struct request *r, enum handshake_part part)
    __attribute__((returns_nonnull, warn_unused_result));

/* The client's address of r, as in opening_handshake. */
struct ip opening_ip(const struct request *r);

/* Whether only some origins may open this endpoint. */
bool opening_picks(const struct endpoint *ep);

/* Whether the Origin header of r may open this endpoint: always where a token or nothing is needed
 * and no origins are listed; else the own host, a listed one, or none at all (no browser). */
bool opening_origin(const struct endpoint *ep, const struct request *r);

/* The same for the page whose script element loads r: it brings cookies and no Origin, so where
 * cookies log in its answer is for pages only that we know by their Referer. */
bool opening_script(const struct endpoint *ep, const struct request *r);

/* The same for a site's listed origins and own host, whatever the endpoint. */
bool origin_listed(const struct site *site, const struct request *r, struct slice origin);

/* The origin of a URL (of a Referer header); p is NULL when it is none. */
struct slice origin_of_url(struct slice url);

#endif
