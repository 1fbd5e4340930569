/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_SITE_H
#define CONFIG_SITE_H

#include "config/keys.h"

/* Fills site from its table. r->file is the file's name, config what is known of the gateway:
 * limits, folders. Complains about all that is wrong; config_site_fini must follow either way. */
void config_site_read(struct reader *r, const struct config *config, const char *name,
                      const struct conf_value *table, struct site_conf *site);
void config_site_fini(struct site_conf *site);

/* Fills the site that is no tenant's, for endpoints of the whole gateway, from its list v; NULL: the
 * standard one. config_site_fini must follow. */
void config_shared_read(struct reader *r, const struct config *config,
                        const struct conf_value *v, struct site_conf *shared);

/* Appends the site as the members of a Lua table. */
void config_site_print(struct printer *p, const struct site_conf *site);

/* Whether two confs of a site, both within config, differ in nothing but their options. */
bool config_site_alike(const struct config *config, const struct site_conf *a,
                       const struct site_conf *b);

/* What two sites share that only one can have, "its path and host"; NULL when they get along. */
const char *config_sites_clash(const struct site_conf *a, const struct site_conf *b);

#endif
