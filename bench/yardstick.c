/* SPDX-License-Identifier: MIT */
/* The yardstick: the least a WebSocket server can do on epoll, in one thread and without a library.
 * It shakes hands, unmasks, frames, and writes once for what one read gave; it knows nothing of
 * text and UTF-8, fragments, limits or timeouts. What the gateway costs is measured against this.
 *
 *   GET /echo        every message comes back
 *   GET /subscribe   gets what publishers send
 *   GET /publish     every message goes to all subscribers
 *
 * Prints "listening on http://127.0.0.1:PORT" and runs until SIGTERM. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 65536
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum role {
    UPGRADING,
    ECHO,
    PUBLISHER,
    SUBSCRIBER
};

/* Bytes that had to be kept: an incomplete frame, or what the kernel did not take. */
struct kept {
    unsigned char *bytes;
    size_t size;
};

struct conn {
    int fd;
    enum role role;
    struct kept in, out;
    struct conn *next, **link; /* among the subscribers */
};

struct server {
    int epoll, listener;
    struct conn *subscribers;
    unsigned char in[READ_SIZE + READ_SIZE];
    unsigned char
        out[READ_SIZE + READ_SIZE + READ_SIZE]; /* a reply is never larger than its frame */
    size_t out_size;
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void kept_add(struct kept *k, const unsigned char *bytes, size_t size) {
    k->bytes = realloc(k->bytes, k->size + size);
    if (!k->bytes) die("realloc");
    memcpy(k->bytes + k->size, bytes, size);
    k->size += size;
}

static void kept_clear(struct kept *k) {
    free(k->bytes);
    *k = (struct kept){0};
}

/* ---- the handshake ---- */

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1_block(uint32_t h[5], const unsigned char *block) {
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t parity = b ^ c ^ d, choice = (b & c) | (~b & d),
                 most = (b & c) | (b & d) | (c & d);
        uint32_t f = i < 20 ? choice : i < 40 || i >= 60 ? parity : most;
        uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
        uint32_t t = rotate(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = t;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

/* The accept key for a key of 24 characters: with the GUID that is 60 bytes, which pad to 128. */
static void accept_key(const char *key, char out[29]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char text[128] = {0}, sum[21] = {0};
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    memcpy(text, key, 24);
    memcpy(text + 24, GUID, 36);
    text[60] = 0x80;
    text[126] = 60 * 8 >> 8;
    text[127] = 60 * 8 & 255;
    sha1_block(h, text);
    sha1_block(h, text + 64);
    for (int i = 0; i < 20; i++) sum[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
    for (int i = 0; i < 7; i++) {
        uint32_t v = (uint32_t)sum[3 * i] << 16 | (uint32_t)sum[3 * i + 1] << 8 | sum[3 * i + 2];
        for (int j = 0; j < 4; j++) out[4 * i + j] = digits[v >> (18 - 6 * j) & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

/* ---- connections ---- */

static void conn_close(struct conn *c) {
    if (c->link) {
        *c->link = c->next;
        if (c->next) c->next->link = c->link;
    }
    close(c->fd);
    kept_clear(&c->in);
    kept_clear(&c->out);
    free(c);
}

static void conn_watch(struct server *s, struct conn *c, uint32_t events) {
    struct epoll_event ev = {.events = events, .data.ptr = c};
    epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

static void conn_write(struct server *s, struct conn *c, const unsigned char *bytes, size_t size) {
    if (!c->out.size) {
        ssize_t n = write(c->fd, bytes, size);
        if (n == (ssize_t)size) return;
        if (n > 0) bytes += n, size -= (size_t)n;
        conn_watch(s, c, EPOLLIN | EPOLLOUT);
    }
    kept_add(&c->out, bytes, size);
}

static void conn_writable(struct server *s, struct conn *c) {
    struct kept rest = c->out;
    c->out = (struct kept){0};
    conn_watch(s, c, EPOLLIN);
    conn_write(s, c, rest.bytes, rest.size);
    kept_clear(&rest);
}

static bool conn_upgrade(struct server *s, struct conn *c, char *head) {
    const char *key = strstr(head, "Sec-WebSocket-Key: ");
    if (!key || strlen(key) < 19 + 24) return false;
    char accept[29], answer[256];
    accept_key(key + 19, accept);
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                     accept);
    conn_write(s, c, (unsigned char *)answer, (size_t)n);
    if (!strncmp(head, "GET /publish", 12))
        c->role = PUBLISHER;
    else
        c->role = !strncmp(head, "GET /subscribe", 14) ? SUBSCRIBER : ECHO;
    if (c->role == SUBSCRIBER) {
        c->next = s->subscribers;
        c->link = &s->subscribers;
        if (c->next) c->next->link = &c->next;
        s->subscribers = c;
    }
    return true;
}

/* ---- frames ---- */

static void unmask(unsigned char *out, const unsigned char *in, size_t size,
                   const unsigned char key[4]) {
    uint32_t k32;
    memcpy(&k32, key, 4);
    uint64_t k64 = (uint64_t)k32 << 32 | k32, word;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, in + i, 8);
        word ^= k64;
        memcpy(out + i, &word, 8);
    }
    for (; i < size; i++) out[i] = in[i] ^ key[i % 4];
}

/* Adds the frame at in to the output. The bytes it took; 0 if it is incomplete, -1 if it is bad or
 * a close frame. */
static ssize_t frame_take(struct server *s, const unsigned char *in, size_t size) {
    if (size < 2) return 0;
    size_t length = in[1] & 127, head = length == 126 ? 4 : 2;
    if (!(in[1] & 128) || length == 127 || (in[0] & 15) == 8) return -1;
    if (size < head + 4) return 0;
    if (length == 126) length = (size_t)in[2] << 8 | in[3];
    if (size < head + 4 + length) return 0;
    unsigned char *out = s->out + s->out_size;
    out[0] = (in[0] & 15) == 9 ? 0x8a : in[0];
    out[1] = in[1] & 127;
    memcpy(out + 2, in + 2, head - 2);
    unmask(out + head, in + head + 4, length, in + head);
    s->out_size += head + length;
    return (ssize_t)(head + 4 + length);
}

static void output_send(struct server *s, struct conn *c) {
    if (c->role == PUBLISHER) {
        for (struct conn *to = s->subscribers; to; to = to->next)
            conn_write(s, to, s->out, s->out_size);
    } else {
        conn_write(s, c, s->out, s->out_size);
    }
}

/* Whether the connection may live on. */
static bool conn_received(struct server *s, struct conn *c, unsigned char *in, size_t size) {
    if (c->role == UPGRADING) {
        in[size] = 0;
        char *end = strstr((char *)in, "\r\n\r\n");
        if (!end) {
            kept_add(&c->in, in, size);
            return size < 8192;
        }
        size_t head = (size_t)((unsigned char *)end - in) + 4;
        if (!conn_upgrade(s, c, (char *)in)) return false;
        in += head, size -= head;
    }
    ssize_t took = 0;
    s->out_size = 0;
    while (size && (took = frame_take(s, in, size)) > 0) in += took, size -= (size_t)took;
    if (s->out_size) output_send(s, c);
    if (size && took == 0) kept_add(&c->in, in, size);
    return took >= 0;
}

static void conn_readable(struct server *s, struct conn *c) {
    size_t kept = c->in.size;
    ssize_t n = read(c->fd, s->in + kept, READ_SIZE - 1);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) conn_close(c);
        return;
    }
    if (kept) {
        memcpy(s->in, c->in.bytes, kept);
        kept_clear(&c->in);
    }
    if (!conn_received(s, c, s->in, kept + (size_t)n) || c->in.size > READ_SIZE) conn_close(c);
}

static void server_accept(struct server *s) {
    for (int i = 0; i < 64; i++) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        struct conn *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) die("epoll_ctl");
    }
}

static void server_listen(struct server *s) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof addr;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    if (bind(s->listener, (struct sockaddr *)&addr, size) < 0 || listen(s->listener, 4096) < 0 ||
        getsockname(s->listener, (struct sockaddr *)&addr, &size) < 0 ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &ev) < 0)
        die("listen");
    printf("listening on http://127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
}

int main(void) {
    static struct server s; /* large, and all zero */
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    server_listen(&s);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(s.epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c && events[i].events & EPOLLOUT) conn_writable(&s, c);
            if (!c)
                server_accept(&s);
            else if (events[i].events & ~(uint32_t)EPOLLOUT)
                conn_readable(&s, c); /* may free c: the last of this event */
        }
    }
}
