/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_SOCKET_PATH_H
#define CONFIG_SOCKET_PATH_H

#include "base/buf.h"

/* Where a gateway and the verbs that speak to it meet when its conf says admin.socket = "auto": a
 * name made from the conf folder, in a place that is the user's own. Who asks with the same --conf
 * finds it, from any working directory. */

/* $XDG_RUNTIME_DIR/moonlatch-1a2b3c4d.sock; NULL where the environment has no such folder. The
 * caller's. */
char *socket_path_runtime(const char *conf_dir);

/* /tmp/moonlatch-1000/1a2b3c4d.sock, where there is no other: a service of the same user has no
 * XDG_RUNTIME_DIR. The caller's. */
char *socket_path_tmp(const char *conf_dir);

/* Makes the folder of such a path in /tmp, if it is missing, and makes sure that it is ours alone:
 * no link, of this user, closed to all others. Anybody may write into /tmp, and who owns the folder
 * could take the gateway's place. False and a line of error. */
bool socket_folder_make(const char *path, struct text *error) __attribute__((warn_unused_result));

#endif
