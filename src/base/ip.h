/* SPDX-License-Identifier: MIT */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/buf.h"

struct sockaddr;

/* An internet address: IPv6, or IPv4 in its mapped form (::ffff:a.b.c.d), so that both spellings
 * of one peer are one value. All zeros: none (a unix socket). */
struct ip {
    unsigned char b[16];
};

/* A block of addresses; bits counts in the 128-bit form. */
struct cidr {
    struct ip ip;
    unsigned bits;
};

#define IP_TEXT_MAX 46

struct ip ip_of_sockaddr(const struct sockaddr *sa);

/* Reads "1.2.3.4", "::1", "[::1]" and mapped addresses; no port, no zone. */
bool ip_parse(struct slice s, struct ip *out);

/* Reads an address, or an address and "/bits" in its own family. */
bool cidr_parse(struct slice s, struct cidr *out);
bool cidr_has(const struct cidr *block, const struct ip *ip);

bool ip_is_v4(const struct ip *ip);

/* The shortest usual spelling, IPv4 as four numbers; returns out. */
const char *ip_format(const struct ip *ip, char out[IP_TEXT_MAX]);

/* Whether it is no address: that of a peer on a unix socket. */
bool ip_is_none(const struct ip *ip);

/* Loopback, link-local, RFC 1918 and RFC 4193 addresses, and none. */
bool ip_is_private(const struct ip *ip);

/* What limits per address count under: IPv4 whole, IPv6 by its /64. */
struct ip ip_group(const struct ip *ip);

#endif
