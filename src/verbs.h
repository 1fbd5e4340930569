/* SPDX-License-Identifier: MIT */
#ifndef VERBS_H
#define VERBS_H

#include "arguments.h"

/* The verbs of the command line beside those of main.c. Each gives the exit status. */

/* Over a running gateway: 1 when it is not there or refuses. */
int verb_reload(const struct arguments *a);
int verb_rollback(const struct arguments *a);
int verb_call(const struct arguments *a);
int verb_publish(const struct arguments *a);
int verb_sockets(const struct arguments *a);
int verb_channels(const struct arguments *a);
int verb_stat(const struct arguments *a);
int verb_explain(const struct arguments *a);
int verb_console(const struct arguments *a);

/* For who writes scripts; no gateway is needed. */
int verb_new(const struct arguments *a);
int verb_test(const struct arguments *a);

#endif
