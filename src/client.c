/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "admin.h"
#include "base/url.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Longer than anything may take that a gateway does for an operator. */
#define WAIT_MS 35000
#define HEAD_MAX 16384

/* One question under way. */
struct ask {
    const struct client *client;
    struct text *error;
    uint64_t end_ms;
    int fd;
    struct text host; /* for the Host header */
};

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- connecting ---- */

/* False, with the reason in errno, when nobody answers there. */
static bool connect_at(struct ask *ask, const struct sockaddr *at, socklen_t n) {
    struct timeval most = {.tv_sec = WAIT_MS / 1000};
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    if (connect(fd, at, n)) {
        int reason = errno;
        close(fd);
        errno = reason;
        return false;
    }
    ask->fd = fd;
    return true;
}

/* Whoever else could write to where the file is might have put it there. */
static bool is_own(int fd) {
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n)) return false;
    return peer.uid == geteuid() || peer.uid == 0;
}

static bool connect_path(struct ask *ask, const char *path) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof at.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(at.sun_path, path, n);
    if (!connect_at(ask, (const struct sockaddr *)&at, sizeof at)) return false;
    if (!ask->client->own || is_own(ask->fd)) return true;
    close(ask->fd);
    errno = EPERM;
    return false;
}

/* A gateway that is not there is one of the most likely things to be wrong: it is said in full. */
static bool connect_paths(struct ask *ask) {
    const char *const *paths = ask->client->paths;
    text_str(&ask->host, "moonlatch");
    for (size_t i = 0; paths[i]; i++) {
        if (connect_path(ask, paths[i])) return true;
        if (errno == ENOENT || errno == ECONNREFUSED) continue;
        text_format(ask->error, "%s: %s", paths[i], strerror(errno));
        return false;
    }
    text_str(ask->error, "no gateway answers at ");
    for (size_t i = 0; paths[i]; i++) text_format(ask->error, "%s%s", i ? " or " : "", paths[i]);
    text_str(ask->error, ": is it running with this --conf?");
    return false;
}

static bool connect_found(struct ask *ask, const struct addrinfo *at) {
    for (; at; at = at->ai_next)
        if (connect_at(ask, at->ai_addr, at->ai_addrlen)) return true;
    text_format(ask->error, "no gateway answers at %s: %s", ask->client->url, strerror(errno));
    return false;
}

static bool connect_host(struct ask *ask, struct slice host, unsigned port) {
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    char service[8], *name = slice_cstr(host);
    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(name, service, &want, &found);
    mem_free(name);
    if (failed) {
        text_format(ask->error, "%s: %s", ask->client->url, gai_strerror(failed));
        return false;
    }
    bool connected = connect_found(ask, found);
    freeaddrinfo(found);
    return connected;
}

static bool connect_url(struct ask *ask) {
    struct url url;
    struct slice hosts, host;
    unsigned port;
    bool good = url_parse(slice_of(ask->client->url), &url) && slice_is(url.scheme, "http") &&
                (!url.path.n || slice_is(url.path, "/"));
    hosts = good ? url.hosts : (struct slice){NULL, 0};
    text_add(&ask->host, hosts);
    if (good && url_next_host(&hosts, &host, 80, &port)) return connect_host(ask, host, port);
    text_format(ask->error, "%s is no URL such as http://127.0.0.1:9100", ask->client->url);
    return false;
}

/* ---- asking ---- */

static void write_request(const struct ask *ask, const char *verb, struct slice json,
                          struct text *out) {
    text_format(out, "POST /admin/%s HTTP/1.1\r\nHost: ", verb);
    text_add(out, text_slice(&ask->host));
    text_str(out, "\r\nContent-Type: application/json\r\nConnection: close\r\n");
    if (ask->client->url && ask->client->key)
        text_format(out, "Authorization: Bearer %s\r\n", ask->client->key);
    text_format(out, "Content-Length: %zu\r\n\r\n", json.n);
    text_add(out, json);
}

/* A gateway may refuse before it has read everything: what it says then is read all the same. */
static void send_all(const struct ask *ask, struct slice bytes) {
    while (bytes.n) {
        ssize_t n = send(ask->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        bytes = slice_from(bytes, (size_t)n);
    }
}

/* Reads what has come, waiting until end_ms; gives the step it leads to. late: nothing came. */
static enum response_step read_some(const struct ask *ask, struct response_parser *parser,
                                    bool *late) {
    char bytes[16384];
    uint64_t now = now_ms();
    struct pollfd ready = {.fd = ask->fd, .events = POLLIN};
    *late = now >= ask->end_ms || !poll(&ready, 1, (int)(ask->end_ms - now));
    if (*late) return RESPONSE_BROKEN;
    ssize_t n = recv(ask->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return RESPONSE_MORE;
    return n > 0 ? response_feed(parser, slice_make(bytes, (size_t)n)) : response_end(parser);
}

static bool read_answer(struct ask *ask, struct http_response *answer) {
    struct response_parser *parser = response_parser_new(answer, false, HEAD_MAX, ADMIN_ANSWER_MAX);
    enum response_step step;
    bool late;
    do step = read_some(ask, parser, &late);
    while (step == RESPONSE_MORE);
    if (step != RESPONSE_DONE)
        text_str(ask->error, late                     ? "the gateway does not answer"
                             : step == RESPONSE_LARGE ? "the gateway's answer is too large"
                             : response_begun(parser) ? "the gateway's answer is not HTTP"
                                                      : "the gateway closed the connection");
    response_parser_free(parser);
    return step == RESPONSE_DONE;
}

bool client_ask(const struct client *client, const char *verb, struct slice json,
                struct http_response *answer, struct text *error) {
    struct ask ask = {.client = client, .error = error, .end_ms = now_ms() + WAIT_MS, .fd = -1};
    struct text request = {0};
    bool answered = false;
    *answer = (struct http_response){0};
    if ((client->url ? connect_url : connect_paths)(&ask)) {
        write_request(&ask, verb, json, &request);
        send_all(&ask, text_slice(&request));
        answered = read_answer(&ask, answer);
        close(ask.fd);
    }
    if (!answered) http_response_fini(answer);
    text_fini(&request);
    text_fini(&ask.host);
    return answered;
}
