/* SPDX-License-Identifier: MIT */
#ifndef SERVER_H
#define SERVER_H

#include "config/config.h"

#include <stdio.h>

/* The server puts all parts together: loop, log, store, sites, listeners. */

/* Serves until SIGTERM or SIGINT and the drain after it. Once it serves, and not before, it prints
 * `listening on http://127.0.0.1:41234` for each address to standard output. Returns the exit
 * status: 0 after a drain, 1 when an address is not to be had, 2 when a site's script or files are
 * wrong. config is borrowed. */
int server_run(const struct config *config);

/* Loads every site's script without serving anything, and writes a line with file, line and reason
 * to out for each that fails. Returns the number of failures. */
int server_check(const struct config *config, FILE *out);

#endif
