/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include "config/keys.h"

/* struct buf *: a table of any plain values as a JSON object, "{}" without one. */
extern const struct key_type key_options;

#endif
