/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_BACKEND_H
#define TRANSPORT_BACKEND_H

#include "core/site.h"
#include "net/net.h"

/* What the gateway itself asks of a site's backend: push.auth_url judges its logins. */

struct tls_context;

/* Has push.auth_url judge the site's logins, where its conf has one. tls (NULL: https cannot be had)
 * is borrowed. */
void backend_open(struct site *site, struct net *net, struct tls_context *tls);

/* Logins under way fail. Before the site is freed; the loop must settle after it. */
void backend_close(struct site *site);

#endif
