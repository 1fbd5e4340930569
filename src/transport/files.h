/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_FILES_H
#define TRANSPORT_FILES_H

#include "net/http.h"

/* The files of a site: a folder that is read once, at start, into a table from paths to bytes. What
 * is not in the table does not exist, so no path of a request ever reaches the file system. */
struct files;

/* Reads all regular files of dir and of the folders in it. Names that begin with a dot and symbolic
 * links are passed over. At most 256 files of 4 MiB each, 16 MiB in all. Returns NULL and a message
 * in error when the folder cannot be read or is too large. */
struct files *files_open(const char *dir, struct text *error) __attribute__((warn_unused_result));

void files_close(struct files *f);

/* Answers r with the file at path, which begins behind the site's own path: "/app.js" (percent
 * escapes are decoded once); "" and "/" are index.html. False, and no answer, where none is. */
bool files_serve(struct files *f, struct request *r, struct slice path);

#endif
