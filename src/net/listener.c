/* SPDX-License-Identifier: MIT */
#include "net/listener.h"

#include "net/peers.h"
#include "net/unix_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* When the process is out of descriptors, this long nobody is accepted. */
#define PAUSE_MS 100

struct listener {
    struct net *net;
    struct watch watch;
    struct timer pause;
    void (*accepted)(void *arg, int fd, const struct ip *peer);
    void *arg;
    struct unix_socket file; /* path NULL: it listens on a port */
    char *url;
    bool favoured;
};

/* ---- accepting ---- */

#define FULL                                                                                       \
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"                  \
    "Content-Length: 0\r\n\r\n"

/* A refusal costs no state: a few constant bytes, as far as the kernel takes them. */
static void refuse(int fd, const char *answer) {
    char unread[512];
    (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
    (void)!recv(fd, unread, sizeof unread, MSG_DONTWAIT); /* what is unread would turn FIN to RST */
    close(fd);
}

static void admit(struct listener *l, int fd, const struct ip *peer) {
    if (l->favoured) {
        l->accepted(l->arg, fd, peer);
    } else if (l->net->open >= l->net->most) {
        metrics_limit(l->net->metrics, "max_connections", NULL);
        refuse(fd, FULL);
    } else if (l->net->unsent > l->net->unsent_most) {
        metrics_limit(l->net->metrics, "send_buffers", NULL);
        refuse(fd, FULL);
    } else if (!peer_admits(l->net, peer)) {
        refuse(fd, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\n"
                   "Content-Length: 0\r\n\r\n");
    } else {
        l->accepted(l->arg, fd, peer);
    }
}

/* False when there is nobody to accept any more, or nothing to accept them with. */
static bool accept_one(struct listener *l) {
    struct sockaddr_storage addr = {0};
    socklen_t n = sizeof addr;
    int fd = accept4(l->watch.fd, (struct sockaddr *)&addr, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        struct ip peer = ip_of_sockaddr((struct sockaddr *)&addr);
        admit(l, fd, &peer);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        metrics_limit(l->net->metrics, "descriptors", NULL);
        watch_set(l->net->loop, &l->watch, 0);
        timer_start(l->net->loop, &l->pause, PAUSE_MS);
        return false;
    }
    return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
}

static void on_connection(struct watch *w, uint32_t events) {
    (void)events;
    struct listener *l = container_of(w, struct listener, watch);
    for (uint64_t i = 0; i < l->net->limits->accepts_per_tick; i++)
        if (!accept_one(l)) return;
}

static void on_pause_over(struct timer *t) {
    struct listener *l = container_of(t, struct listener, pause);
    watch_set(l->net->loop, &l->watch, WATCH_READ);
}

/* ---- opening ---- */

static int listen_on(const struct net *net, const struct addrinfo *at) {
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    conn_set_tcp(net, fd); /* accepted sockets inherit it: no system call for each of them */
    if (bind(fd, at->ai_addr, at->ai_addrlen) || listen(fd, (int)net->limits->listen_backlog)) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static void write_url(struct listener *l) {
    struct sockaddr_storage addr = {0};
    socklen_t n = sizeof addr;
    getsockname(l->watch.fd, (struct sockaddr *)&addr, &n);
    struct ip ip = ip_of_sockaddr((struct sockaddr *)&addr);
    char text[IP_TEXT_MAX];
    ip_format(&ip, text);
    unsigned port =
        ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&addr)->sin6_port
                                         : ((struct sockaddr_in *)(void *)&addr)->sin_port);
    bool bracket = strchr(text, ':') != NULL;
    struct text url = {0};
    text_format(&url, "http://%s%s%s:%u", bracket ? "[" : "", text, bracket ? "]" : "", port);
    l->url = slice_cstr(text_slice(&url));
    text_fini(&url);
}

/* Splits "HOST:PORT" at its last colon and looks the host up; the caller frees the result. */
static struct addrinfo *resolve(struct slice address, const char **error) {
    size_t colon = address.n;
    while (colon && address.p[colon - 1] != ':') colon--;
    uint64_t port;
    if (!colon || !slice_u64(slice_from(address, colon), &port) || port > 65535) {
        *error = "an address is HOST:PORT";
        return NULL;
    }
    struct slice host = slice_upto(address, colon - 1);
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = slice_make(host.p + 1, host.n - 2);
    char *host_text = slice_cstr(host), *port_text = slice_cstr(slice_from(address, colon));
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host.n ? host_text : "::", port_text, &want, &found);
    if (failed && !host.n) failed = getaddrinfo(NULL, port_text, &want, &found);
    mem_free(host_text);
    mem_free(port_text);
    if (!failed) return found;
    *error = gai_strerror(failed);
    return NULL;
}

/* Listens on the port of a host; false and a reason. */
static bool open_port(struct listener *l, struct slice address, const char **error) {
    struct addrinfo *found = resolve(address, error);
    if (!found) return false;
    int fd = listen_on(l->net, found);
    freeaddrinfo(found);
    if (fd < 0) {
        *error = strerror(-fd);
        return false;
    }
    l->watch.fd = fd;
    write_url(l);
    return true;
}

static const char *path_error(int failed) {
    if (failed == -EADDRINUSE) return "in use by another gateway";
    return failed == -ENOTSOCK ? "there is a file that is no socket" : strerror(-failed);
}

/* The same on the file of a unix socket; address is "unix:/path". */
static bool open_path(struct listener *l, struct slice address, const char **error) {
    int backlog = (int)l->net->limits->listen_backlog;
    int failed = unix_socket_open(&l->file, slice_from(address, strlen(LISTENER_UNIX)), backlog);
    if (failed) {
        *error = path_error(failed);
        return false;
    }
    l->watch.fd = l->file.fd;
    l->url = slice_cstr(address);
    return true;
}

struct listener *listener_open(struct net *net, struct slice address,
                               void (*accepted)(void *arg, int fd, const struct ip *peer),
                               void *arg, const char **error) {
    struct listener *l = mem_new(sizeof *l);
    l->net = net;
    l->accepted = accepted;
    l->arg = arg;
    bool is_path = slice_starts(address, SLICE(LISTENER_UNIX));
    if (!(is_path ? open_path : open_port)(l, address, error)) {
        mem_free(l);
        return NULL;
    }
    l->watch.ready = on_connection;
    l->pause.fired = on_pause_over;
    watch_set(net->loop, &l->watch, WATCH_READ);
    return l;
}

void listener_favour(struct listener *l) { l->favoured = true; }

const char *listener_url(const struct listener *l) { return l->url; }

void listener_close(struct listener *l) {
    watch_stop(l->net->loop, &l->watch);
    timer_stop(l->net->loop, &l->pause);
    if (l->file.path) unix_socket_close(&l->file);
    else close(l->watch.fd);
    mem_free(l->url);
    mem_free(l);
}
