/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_PATHS_H
#define CONFIG_PATHS_H

#include "base/buf.h"

/* Where the folders are that the program reads. All results belong to the caller. */

/* The folder given; else this name in the working directory; else installed, below the install
 * prefix. NULL when there is none, or when the given one is none. */
char *path_choose(const char *given, const char *name, const char *installed);

/* The folder that holds moonlatch/: lua/ above the program's folder, or above that one's, or in the
 * working directory; else the installed one. NULL when there is none. */
char *path_library(void);

bool path_is_folder(const char *path);
bool path_is_file(const char *path);
char *path_join(const char *folder, const char *name);

#endif
