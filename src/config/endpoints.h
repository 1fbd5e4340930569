/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_ENDPOINTS_H
#define CONFIG_ENDPOINTS_H

#include "config/keys.h"

/* The ways into a site: its list of endpoints, and its namespaces of Socket.IO. They start from the
 * site's limits, so they are read when those are known; config_endpoints_fini must follow. */

/* The type of a list of endpoints: the field endpoints of a struct site_conf. It only prints: they
 * are read by the functions below. */
extern const struct key_type key_endpoints;

/* Fills site->endpoints; list may be NULL: the standard ones. */
void config_endpoints_read(struct reader *r, const struct conf_value *list,
                           struct site_conf *site);

/* The same for the endpoints of the whole gateway, which all speak Socket.IO. */
void config_shared_endpoints_read(struct reader *r, const struct conf_value *list,
                                  struct site_conf *shared);

/* Makes a way in of each of the names in site->socketio, and what recovery keeps for them. given is
 * the table they were read from, or NULL. */
void config_namespaces_make(struct reader *r, const struct conf_value *given,
                            struct site_conf *site);

void config_endpoints_fini(struct site_conf *site);

#endif
