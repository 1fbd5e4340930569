/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_BACKEND_H
#define TRANSPORT_BACKEND_H

#include "core/site.h"
#include "net/net.h"

/* What the gateway itself has to do with a site's backend: push.auth_url judges its logins,
 * push.update_user_url hears of its users. */

struct tls_context;

/* Has both asked, where the site's conf names them. tls (NULL: https cannot be had)
 * is borrowed. */
void backend_open(struct site *site, struct net *net, struct tls_context *tls);

/* Logins under way fail; what was to be told is not. Before the site is freed; the loop must settle after it. */
void backend_close(struct site *site);

#endif
