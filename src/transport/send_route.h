/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_SEND_ROUTE_H
#define TRANSPORT_SEND_ROUTE_H

#include "core/core.h"
#include "core/site.h"
#include "net/http.h"

/* POST /send?site=&apiKey=&resync=, by which the backend of a site sends to rooms: status codes and
 * texts of wire/socketio-webservice.md section 4. The key may also come as "Authorization: Bearer" or
 * "X-Api-Key". What comes twice with one Idempotency-Key is sent once.
 *
 * Answers r, now or later. only: the one site that may be meant here; NULL: any of core. */
void send_route_serve(struct core *core, struct site *only, struct request *r);

/* Whether any site can be sent to. */
bool send_route_is_open(const struct core *core);

#endif
