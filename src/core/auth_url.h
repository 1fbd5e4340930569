/* SPDX-License-Identifier: MIT */
#ifndef CORE_AUTH_URL_H
#define CORE_AUTH_URL_H

#include "core/login.h"

/* The login by HTTP, without a script (wire/socketio-webservice.md section 2): the site's backend is
 * asked about a client's token, and answers with the rooms that the client is in. Pure: who asks is
 * transport/backend.c, by way of site->judge. */

/* What a client says in its handshake, of auth (Socket.IO) or else of its query: "token", "meta",
 * "deviceId". A text of the caller's; NULL where it says nothing, or what no header may carry. */
struct buf *client_word(const struct handshake *h, const char *name, bool *broken)
    __attribute__((warn_unused_result));

/* Appends the headers that name the client to a request of ours: Authorization, X-META. False when
 * what it says may not stand in them. */
bool auth_url_headers(struct text *out, const struct push_conf *conf, const struct handshake *h)
    __attribute__((warn_unused_result));

/* The first of them alone. */
bool auth_url_authorization(struct text *out, const struct push_conf *conf,
                            const struct handshake *h) __attribute__((warn_unused_result));

/* Ends l by the backend's answer: admitted, with auth {"user":"user_5","rooms":["user_5","staff"]}
 * (user: the first room that is one; null: none); or refused or failed, with what its client reads.
 */
void auth_url_answered(struct login *l, int status, struct slice body);

/* There was no answer: code is "timeout", "unavailable", ... */
void auth_url_failed(struct login *l, const char *code);

#endif
