/* SPDX-License-Identifier: MIT */
#ifndef NET_UNIX_SOCKET_H
#define NET_UNIX_SOCKET_H

#include "base/slice.h"

#include <sys/types.h>

/* The file of a unix socket that we listen on. Only its owner may connect, from the moment it is
 * there. A file that a dead process left is replaced; one whose process lives is not touched, and
 * neither is anything that is no socket. */
struct unix_socket {
    int fd;
    char *path;
    dev_t device; /* which file it is, so that only our own is ever removed */
    ino_t inode;
};

/* Listens on path. 0, or a negative errno; -EADDRINUSE: another process serves there, -ENOTSOCK:
 * the file is something else. */
int unix_socket_open(struct unix_socket *s, struct slice path, int backlog)
    __attribute__((warn_unused_result));

/* Closes it and removes its file, unless that is not ours any more. */
void unix_socket_close(struct unix_socket *s);

#endif
