/* SPDX-License-Identifier: MIT */
#include "net/unix_socket.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int make(void) { return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

/* Whether a process accepts connections at this address: 0 no, 1 yes, or a negative errno. One
 * whose queue is full (EAGAIN) is alive too. */
static int is_alive(const struct sockaddr_un *at) {
    int fd = make();
    if (fd < 0) return -errno;
    int alive = !connect(fd, (const struct sockaddr *)at, sizeof *at) || errno == EAGAIN ? 1
                : errno == ECONNREFUSED || errno == ENOENT                               ? 0
                                                                                         : -errno;
    close(fd);
    return alive;
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Removes the file of a process that is gone. What another gateway put there while we asked is a
 * different file, and stays. */
static int remove_stale(const struct sockaddr_un *at) {
    struct stat before, now;
    if (lstat(at->sun_path, &before)) return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(before.st_mode)) return -ENOTSOCK;
    int alive = is_alive(at);
    if (alive) return alive < 0 ? alive : -EADDRINUSE;
    if (lstat(at->sun_path, &now)) return errno == ENOENT ? 0 : -errno;
    if (!is_same_file(&before, &now)) return -EADDRINUSE;
    return unlink(at->sun_path) && errno != ENOENT ? -errno : 0;
}

/* The file gets the mode of the descriptor when bind makes it: there is no moment at which others
 * could connect. */
static int bind_private(int fd, const struct sockaddr_un *at) {
    if (fchmod(fd, S_IRUSR | S_IWUSR)) return -errno;
    if (!bind(fd, (const struct sockaddr *)at, sizeof *at)) return 0;
    if (errno != EADDRINUSE) return -errno;
    int failed = remove_stale(at);
    if (failed) return failed;
    return bind(fd, (const struct sockaddr *)at, sizeof *at) ? -errno : 0;
}

int unix_socket_open(struct unix_socket *s, struct slice path, int backlog) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat file;
    if (path.n >= sizeof at.sun_path) return -ENAMETOOLONG;
    memcpy(at.sun_path, path.p, path.n);
    int fd = make();
    if (fd < 0) return -errno;
    int failed = bind_private(fd, &at);
    if (failed) goto fail_bind;
    failed = lstat(at.sun_path, &file) || listen(fd, backlog) ? -errno : 0;
    if (failed) goto fail_listen;
    *s = (struct unix_socket){fd, slice_cstr(path), file.st_dev, file.st_ino};
    return 0;

fail_listen:
    unlink(at.sun_path);
fail_bind:
    close(fd);
    return failed;
}

void unix_socket_close(struct unix_socket *s) {
    struct stat now;
    bool ours = !lstat(s->path, &now) && now.st_dev == s->device && now.st_ino == s->inode;
    if (ours) unlink(s->path);
    close(s->fd);
    mem_free(s->path);
}
