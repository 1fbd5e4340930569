/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_CHANNELS_H
#define CONFIG_CHANNELS_H

#include "config/keys.h"

/* The table channels of a site: by the pattern of their names, what is special about channels. */

/* For the row of the site's keys; it prints, what is read is read by config_channels_read. */
extern const struct key_type key_channels;

/* Fills site->channels; table may be NULL. */
void config_channels_read(struct reader *r, const struct conf_value *table, struct site_conf *site);
void config_channels_fini(struct site_conf *site);

#endif
