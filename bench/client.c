/* SPDX-License-Identifier: MIT */
/* Connections of the load generator. What one read brought is handled to the end, and what that
 * made us say leaves in one write: the client must not be what is measured. */

#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The sample of RFC 6455, so that the answer is known. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

static void bytes_add(struct bytes *b, const void *data, size_t size) {
    if (b->size + size > b->room) {
        b->room = (b->size + size) * 2;
        b->data = realloc(b->data, b->room);
        if (!b->data) die("out of memory");
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void bytes_clear(struct bytes *b) {
    free(b->data);
    *b = (struct bytes){0};
}

/* ---- out ---- */

void peer_add(struct peer *p, const void *bytes, size_t size) { bytes_add(&p->out, bytes, size); }

static void peer_watch(struct peer *p, int how, uint32_t events) {
    struct epoll_event ev = {.events = events, .data.ptr = p};
    if (epoll_ctl(p->client->epoll, how, p->fd, &ev) < 0) die("epoll_ctl: %s", strerror(errno));
}

void peer_flush(struct peer *p) {
    if (!p->out.size || p->state == PEER_CLOSED) return;
    ssize_t n = write(p->fd, p->out.data, p->out.size);
    if (n < 0 && errno != EAGAIN) die("write: %s", strerror(errno));
    if (n < (ssize_t)p->out.size) {
        size_t done = n > 0 ? (size_t)n : 0;
        p->out.size -= done;
        memmove(p->out.data, p->out.data + done, p->out.size);
        peer_watch(p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        return;
    }
    p->out.size = 0;
    if (p->out.room > 1024 && p->state != PEER_READY) bytes_clear(&p->out);
}

static size_t header_make(char *out, unsigned opcode, size_t length) {
    size_t at = 2;
    out[0] = (char)(0x80 | opcode);
    if (length < 126) {
        out[1] = (char)(0x80 | length);
    } else if (length < 65536) {
        out[1] = (char)(0x80 | 126);
        out[2] = (char)(length >> 8);
        out[3] = (char)length;
        at = 4;
    } else {
        die("a message of %zu bytes", length);
    }
    memset(out + at, 0, 4);
    return at + 4;
}

static size_t sockjs_wrap(const char *text, char *out, size_t room) {
    size_t n = 0;
    out[n++] = '[';
    out[n++] = '"';
    for (; *text; text++) {
        if (n + 4 > room) die("a text too long to wrap");
        if (*text == '"' || *text == '\\') out[n++] = '\\';
        out[n++] = *text;
    }
    out[n++] = '"';
    out[n++] = ']';
    return n;
}

size_t frame_make(enum wire wire, const char *text, char *out, size_t room) {
    char wrapped[4096];
    size_t length = strlen(text);
    if (wire == WIRE_SOCKJS) {
        length = sockjs_wrap(text, wrapped, sizeof wrapped);
        text = wrapped;
    }
    if (length + 14 > room) die("a text too long to frame");
    size_t head = header_make(out, 1, length);
    memcpy(out + head, text, length);
    return head + length;
}

void peer_say(struct peer *p, const char *text) {
    char out[4096];
    size_t size;
    if (p->wire == WIRE_HTTP)
        size = (size_t)snprintf(out, sizeof out, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                                text, p->client->port);
    else
        size = frame_make(p->wire, text, out, sizeof out);
    peer_add(p, out, size);
}

/* ---- in ---- */

static void peer_ready(struct peer *p) {
    p->state = PEER_READY;
    if (p->client->ready) p->client->ready(p);
}

static void peer_login(struct peer *p) {
    char text[160];
    p->state = PEER_LOGIN;
    snprintf(text, sizeof text, "{\"rpc\":\"auth\",\"token\":\"%s\",\"uuid\":\"login\"}", p->token);
    peer_say(p, text);
}

/* 0{"sid":...} and then 40/bench,{"sid":...}: the token is the namespace. */
static void peer_join(struct peer *p, const char *payload, size_t size) {
    if (p->state == PEER_GREETING && size && payload[0] == '0') {
        p->state = PEER_LOGIN;
        char join[80];
        snprintf(join, sizeof join, "40%s,", p->token);
        peer_say(p, join);
    } else if (p->state == PEER_LOGIN && size > 3 && !memcmp(payload, "40/", 3)) {
        peer_ready(p);
    } else {
        die("not let in: %.*s", (int)size, payload);
    }
}

static void peer_message(struct peer *p, const char *payload, size_t size) {
    if (p->state == PEER_READY) {
        if (p->client->message) p->client->message(p, payload, size);
    } else if (p->wire == WIRE_SOCKETIO) {
        peer_join(p, payload, size);
    } else if (p->state == PEER_GREETING) {
        if (size != 1 || payload[0] != 'o') die("no open frame: %.*s", (int)size, payload);
        peer_login(p);
    } else if (memmem(payload, size, "success", 7)) {
        peer_ready(p);
    } else {
        die("login refused: %.*s", (int)size, payload);
    }
}

static void peer_upgraded(struct peer *p, const char *head, size_t size) {
    if (!memmem(head, size, " 101 ", 5) || !memmem(head, size, ACCEPT, strlen(ACCEPT)))
        die("no upgrade: %.*s", (int)size, head);
    if (p->wire == WIRE_RAW)
        peer_ready(p);
    else if (p->wire == WIRE_PLAIN)
        peer_login(p);
    else
        p->state = PEER_GREETING;
}

/* These take one piece from the start of in: its size, or 0 while it is incomplete. */

static size_t take_head(struct peer *p, const char *in, size_t size) {
    char *end = memmem(in, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t took = (size_t)(end - in) + 4;
    peer_upgraded(p, in, took);
    return took;
}

static size_t take_answer(struct peer *p, const char *in, size_t size) {
    static const char name[] = "content-length:";
    char *end = memmem(in, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - in) + 4, length = 0;
    for (size_t i = 0; i + sizeof name < head; i++)
        if (!strncasecmp(in + i, name, sizeof name - 1))
            length = strtoul(in + i + sizeof name - 1, NULL, 10);
    if (size < head + length) return 0;
    if (memcmp(in + 9, "200", 3) != 0) die("%.*s", (int)(head + length), in);
    peer_message(p, in + head, length);
    return head + length;
}

static size_t take_frame(struct peer *p, const char *in, size_t size) {
    const unsigned char *u = (const unsigned char *)in;
    if (size < 2) return 0;
    size_t length = u[1], head = 2;
    if (length == 126) head = 4;
    if (length == 127) head = 10;
    if (size < head) return 0;
    if (head > 2) length = 0;
    for (size_t i = 2; i < head; i++) length = length << 8 | u[i];
    if (size < head + length) return 0;
    unsigned opcode = u[0] & 15;
    if (opcode == 8) die("the server closed: %.*s", (int)length, in + head + 2);
    if (opcode == 9) {
        char pong[160];
        size_t pong_head = header_make(pong, 10, length);
        memcpy(pong + pong_head, in + head, length);
        peer_add(p, pong, pong_head + length);
    } else if (opcode < 8) {
        peer_message(p, in + head, length);
    }
    return head + length;
}

static size_t take_piece(struct peer *p, const char *in, size_t size) {
    if (p->wire == WIRE_HTTP) return take_answer(p, in, size);
    return p->state == PEER_OPENING ? take_head(p, in, size) : take_frame(p, in, size);
}

static void peer_readable(struct peer *p) {
    struct client *c = p->client;
    size_t kept = p->in.size, at = 0, took;
    ssize_t n = read(p->fd, c->in + kept, sizeof c->in - kept);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("the server hung up");
    if (kept) memcpy(c->in, p->in.data, kept);
    p->in.size = 0;
    size_t size = kept + (size_t)n;
    while (at < size && p->state != PEER_CLOSED && (took = take_piece(p, c->in + at, size - at)))
        at += took;
    if (p->state == PEER_CLOSED) return;
    if (at < size)
        bytes_add(&p->in, c->in + at, size - at);
    else if (p->in.room)
        bytes_clear(&p->in);
    peer_flush(p);
}

static void peer_writable(struct peer *p) {
    peer_watch(p, EPOLL_CTL_MOD, EPOLLIN);
    peer_flush(p);
}

void client_turn(struct client *c, int timeout_ms) {
    struct epoll_event events[512];
    int n = epoll_wait(c->epoll, events, 512, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct peer *p = events[i].data.ptr;
        if (p->state != PEER_CLOSED && events[i].events & EPOLLOUT) peer_writable(p);
        if (p->state != PEER_CLOSED && events[i].events & ~(uint32_t)EPOLLOUT) peer_readable(p);
    }
    for (struct peer *p; (p = c->closed);) {
        c->closed = p->next;
        free(p);
    }
}

/* ---- opening and closing ---- */

void client_init(struct client *c, int port) {
    memset(c, 0, sizeof *c);
    c->port = port;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (c->epoll < 0) die("epoll_create1: %s", strerror(errno));
}

static int connect_loopback(int port) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        die("connect: %s", strerror(errno));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static void ask_upgrade(struct peer *p, const char *path) {
    char out[1024];
    int n = snprintf(out, sizeof out,
                     "GET %s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: " KEY "\r\n\r\n",
                     path, p->wire == WIRE_SOCKJS ? "/000/bench/websocket" : "", p->client->port);
    peer_add(p, out, (size_t)n);
}

struct peer *peer_open(struct client *c, enum wire wire, const char *path, const char *token) {
    struct peer *p = calloc(1, sizeof *p);
    if (!p) die("out of memory");
    p->client = c;
    p->wire = wire;
    if (token) snprintf(p->token, sizeof p->token, "%s", token);
    p->fd = connect_loopback(c->port);
    peer_watch(p, EPOLL_CTL_ADD, EPOLLIN);
    if (wire == WIRE_HTTP)
        p->state = PEER_READY;
    else
        ask_upgrade(p, path);
    peer_flush(p);
    return p;
}

void peer_close(struct peer *p) {
    if (p->state == PEER_CLOSED) return;
    p->state = PEER_CLOSED;
    close(p->fd);
    bytes_clear(&p->in);
    bytes_clear(&p->out);
    p->next = p->client->closed;
    p->client->closed = p;
}
