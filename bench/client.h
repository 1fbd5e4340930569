/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The client side of the load: many connections on one epoll. A peer is one connection; it goes
 * through its handshakes by itself and is ready after the last one. */

enum wire {
    WIRE_HTTP,   /* keep-alive requests; ready at once, a message is an answer's body */
    WIRE_RAW,    /* WebSocket, ready when it is open */
    WIRE_PLAIN,  /* and logged in by an auth message */
    WIRE_SOCKJS, /* the same in SockJS frames, after the open frame */
    WIRE_SOCKETIO, /* Engine.IO's packets, in the namespace that the token is */
};

enum peer_state {
    PEER_OPENING,
    PEER_GREETING,
    PEER_LOGIN,
    PEER_READY,
    PEER_CLOSED
};

struct bytes {
    char *data;
    size_t size, room;
};

struct peer {
    struct client *client;
    int fd;
    enum wire wire;
    enum peer_state state;
    struct bytes in;  /* an incomplete frame */
    struct bytes out; /* written at the end of the turn that filled it */
    char token[64];
    void *user;
    struct peer *next; /* among the closed */
};

struct client {
    int epoll;
    int port;
    void (*ready)(struct peer *p);
    void (*message)(struct peer *p, const char *payload, size_t size);
    void *user;
    struct peer *closed;
    char in[1 << 18]; /* shared by all reads */
};

void client_init(struct client *c, int port);

/* Connects (loopback: at once) and starts the handshake. token is for the wires that log in. */
struct peer *peer_open(struct client *c, enum wire wire, const char *path, const char *token);

/* Waits for events and handles them: reads, calls ready and message, writes. A peer may be closed
 * from its own callbacks. Ends the program when the server closes a connection. */
void client_turn(struct client *c, int timeout_ms);

/* Adds bytes to what this peer writes next; from outside its callbacks, peer_flush writes them. */
void peer_add(struct peer *p, const void *bytes, size_t size);
void peer_flush(struct peer *p);

/* Adds a text, framed for the wire (WIRE_HTTP: a GET for this path). */
void peer_say(struct peer *p, const char *text);

/* The same framing into out, for texts that are sent often; the mask key is zero, which costs the
 * server what any other key does. The size. */
size_t frame_make(enum wire wire, const char *text, char *out, size_t room);

/* Hangs up; p is gone at the end of the turn. Also from p's own callbacks. */
void peer_close(struct peer *p);

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

#endif
