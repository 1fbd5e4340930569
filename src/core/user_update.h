/* SPDX-License-Identifier: MIT */
#ifndef CORE_USER_UPDATE_H
#define CORE_USER_UPDATE_H

#include "base/buf.h"

/* What a site's backend is told of a user that comes or goes, with a PUT to push.update_user_url
 * (wire/socketio-webservice.md section 5). Pure; transport/backend.c sends it. */

/* The id of the user whose room this is: "5" of "user_5" and of "user_5_admin"; empty: it has none that
 * could stand in a URL. */
struct slice user_update_id(struct slice room);

/* Appends url with id in place of ":id", encoded so that it stays one segment. */
void user_update_url(struct text *out, const char *url, struct slice id);

/* Appends the body; at_ms: since 1970. */
void user_update_body(struct text *out, struct slice id, bool here, uint64_t at_ms);

#endif
