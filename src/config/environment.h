/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_ENVIRONMENT_H
#define CONFIG_ENVIRONMENT_H

#include "base/buf.h"

/* The environment variables by which the SocketIO Web Service is configured: SITE_NAME with AUTH_URL or
 * API_KEY makes one site, in place of those of the files; then PORT and REDIS_URL count too. A
 * variable that is empty is none. */

/* The name of that site; NULL: there is none. Borrowed from the environment. */
const char *environment_site(void);

/* Appends its conf, the source of a site's file. */
void environment_site_source(struct text *out);

/* What the variables say of a key of gateway.lua, "listen" or "store", appended; false: nothing. */
bool environment_gateway(const char *key, struct text *out);

#endif
