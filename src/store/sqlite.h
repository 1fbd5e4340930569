/* SPDX-License-Identifier: MIT */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "store/local.h"

/* Keeps tokens and histories in a file (SQLite, with a write-ahead log), so that they survive a
 * restart and kill -9 of the process. All that was changed in a turn is written as one transaction,
 * before anybody is told. The file is one gateway's: a second one that opens it is refused.
 *
 * NULL and a line of error when path cannot be opened, is no database of ours, or is in use. */
struct keeper *sqlite_keeper_new(struct core *core, const char *path, struct text *error)
    __attribute__((warn_unused_result));

#endif
