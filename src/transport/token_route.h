/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_TOKEN_ROUTE_H
#define TRANSPORT_TOKEN_ROUTE_H

#include "core/site.h"
#include "net/http.h"

/* The HTTP route that issues login tokens, as JSON or JSONP (wire/token-sockjs.md section 2): asks
 * the site's script who it is, and puts what that says under a fresh token into the store. Answers
 * r, now or later. */
void token_route_serve(struct site *site, struct request *r);

#endif
