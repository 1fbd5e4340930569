/* SPDX-License-Identifier: MIT */
#ifndef BASE_URL_H
#define BASE_URL_H

#include "base/buf.h"

/* An absolute URL in its parts (RFC 3986), as conf files name servers. The slices point into the
 * text that was parsed and are still percent-encoded; p is NULL where a part is absent. */
struct url {
    struct slice scheme;
    struct slice user, password;
    struct slice hosts; /* "example.com:6379", "[::1]", or several with commas between them */
    struct slice path;  /* with its "/", without the query */
    struct slice query;
};

/* False when text is no absolute URL with an authority ("scheme://..."), or has characters that no
 * URL has. */
bool url_parse(struct slice text, struct url *u) __attribute__((warn_unused_result));

/* Takes the first of hosts off: its name or address without brackets, and its port, or the standard
 * one. False when there is none more or it is malformed. */
bool url_next_host(struct slice *hosts, struct slice *host, unsigned standard, unsigned *port);

/* Appends s with %XX decoded once, and '+' as a space where plus is set. False (nothing of use
 * appended) for a broken escape. */
bool url_decode(struct text *out, struct slice s, bool plus) __attribute__((warn_unused_result));

#endif
