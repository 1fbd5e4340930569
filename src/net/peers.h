/* SPDX-License-Identifier: MIT */
#ifndef NET_PEERS_H
#define NET_PEERS_H

#include "net/net.h"

/* What each public address has open, for the limits per address. Private addresses are proxies or
 * tests and are not counted, unless limits.count_private says so; peers on unix sockets never are. */

/* Whether a new connection of this address is within the limits; counts it against the rate. */
bool peer_admits(struct net *net, const struct ip *ip);

/* A connection was opened; false when its address is not counted. */
bool peer_opened(struct net *net, const struct ip *ip);

/* A connection for which peer_opened said true is closed. */
void peer_closed(struct net *net, const struct ip *ip);

/* Forgets all; every counted connection is closed. */
void peers_fini(struct net *net);

#endif
