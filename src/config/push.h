/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_PUSH_H
#define CONFIG_PUSH_H

#include "config/keys.h"

/* What is special about the keys of a site's push service. */

/* The type of api_key: a text, a number, or a list of them. They are kept and printed as their
 * SHA-256, "sha256:...", and may be given so. What is wrong with one is said without showing it. */
extern const struct key_type key_api_keys;

/* Complains about what no single key of the table `push` (NULL: none) can tell. */
void config_push_check(struct reader *r, const struct conf_value *push,
                       const struct site_conf *site);

#endif
