/* SPDX-License-Identifier: MIT */
/* What a dial waits for, one after the other:
 *
 *     begin --> LOOKUP --> CONNECT --> (TLS) HANDSHAKE --> done
 *       |                   ^   |
 *       '--(an address)-----'   '--> the next address
 *
 * What a lookup found (names.h) is what is connected to, and nothing else. Where that leads nowhere
 * it is forgotten, so that the next dial does not go there too. */
#include "net/dial.h"

#include "net/names.h"
#include "net/tls.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* As long as DNS has it. */
#define NAME_MAX_BYTES 253

enum dial_state {
    DIAL_LOOKUP,    /* at the start, and until the name's addresses are there */
    DIAL_CONNECT,   /* the descriptor is connecting to one of them */
    DIAL_HANDSHAKE, /* it is connected and tls is at work */
    DIAL_OVER       /* waits for the end of the turn */
};

struct dial {
    struct net *net;
    void (*done)(void *arg, struct conn *c, const char *reason);
    void *arg;
    char *host, *path, *server_name;
    unsigned port;
    struct tls_context *context; /* a reference; NULL: plain */
    enum dial_state state;
    uint64_t deadline_ms;
    struct timer timer;
    struct deferred turn; /* at the start: begin; when over: free */
    struct name_wait lookup;
    struct addresses *found; /* NULL: not yet */
    size_t next;             /* of found */
    struct watch watch;      /* fd -1: none */
    struct ip peer;          /* where the descriptor leads */
    struct tls *tls;
    const char *reason; /* why the last address failed */
};

/* ---- the end ---- */

static void on_free(struct deferred *turn) { mem_free(container_of(turn, struct dial, turn)); }

static void drop_descriptor(struct dial *d) {
    if (d->watch.fd >= 0) watch_close(&d->watch);
    d->watch.fd = -1;
}

/* Lets go of everything but the memory, which this turn's events may still point to. */
static void let_go(struct dial *d) {
    d->state = DIAL_OVER;
    timer_stop(d->net->loop, &d->timer);
    tls_free(d->tls);
    drop_descriptor(d);
    names_cancel(&d->lookup);
    addresses_unref(d->found);
    mem_free(d->host);
    mem_free(d->path);
    mem_free(d->server_name);
    tls_context_unref(d->context);
    deferred_cancel(&d->turn);
    deferred_init(&d->turn, on_free);
    loop_defer(d->net->loop, LOOP_FREE, &d->turn);
}

void dial_cancel(struct dial *d) {
    assert(d->state != DIAL_OVER);
    let_go(d);
}

static void fail(struct dial *d, const char *reason) {
    if (d->found) names_forget(d->net->names, d->host, d->found);
    let_go(d);
    d->done(d->arg, NULL, reason);
}

/* Nobody has taken it over. */
static void on_closed(struct conn *c, const char *reason) {
    (void)c;
    (void)reason;
}
static void on_received(struct conn *c, char *data, size_t n) {
    (void)data;
    (void)n;
    assert(!"done did not take the connection over");
    conn_close(c, "not taken over");
}
static const struct conn_ops nobody = {.received = on_received, .closed = on_closed};

static void succeed(struct dial *d) {
    int fd = d->watch.fd;
    watch_stop(d->net->loop, &d->watch);
    d->watch.fd = -1;
    struct conn *c = conn_open_outgoing(d->net, fd, &d->peer, d->tls, &nobody, NULL);
    d->tls = NULL;
    let_go(d);
    d->done(d->arg, c, NULL);
}

/* ---- connecting ---- */

static const char *reason_of(int error) {
    switch (error) {
    case ECONNREFUSED: return "refused";
    case ETIMEDOUT: return "timeout";
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EAFNOSUPPORT:
    case EADDRNOTAVAIL: return "unreachable";
    case ENOENT: return "no such socket";
    case EAGAIN: return "busy"; /* a unix socket whose backlog is full */
    case EMFILE:
    case ENFILE: return "out of descriptors";
    case ECONNRESET: return "reset by peer";
    case EACCES:
    case EPERM: return "not permitted";
    default: return "cannot connect";
    }
}

/* (Re)starts the timer for this step, after which steps more may want as long. */
static void share_time(struct dial *d, uint64_t steps) {
    uint64_t now = loop_now_ms(d->net->loop);
    uint64_t left = d->deadline_ms > now ? d->deadline_ms - now : 0;
    timer_start(d->net->loop, &d->timer, left / (steps + 1));
}

/* Begins to connect; false and a reason when it cannot. */
static bool connect_to(struct dial *d, const struct sockaddr *to, socklen_t n) {
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        d->reason = reason_of(errno);
        return false;
    }
    if (to->sa_family != AF_UNIX) conn_set_tcp(d->net, fd);
    int failed = connect(fd, to, n) && errno != EINPROGRESS ? -errno : 0;
    d->watch.fd = fd;
    d->peer = ip_of_sockaddr(to);
    if (!failed) failed = watch_set(d->net->loop, &d->watch, WATCH_WRITE);
    if (!failed) return true;
    d->reason = reason_of(-failed);
    drop_descriptor(d);
    return false;
}

static bool connect_at(struct dial *d, union address at) {
    bool v4 = at.any.sa_family == AF_INET;
    if (v4) at.v4.sin_port = htons((uint16_t)d->port);
    else at.v6.sin6_port = htons((uint16_t)d->port);
    return connect_to(d, &at.any, v4 ? sizeof at.v4 : sizeof at.v6);
}

static void connect_next(struct dial *d) {
    while (d->found && d->next < d->found->count) {
        if (!connect_at(d, d->found->at[d->next++])) continue;
        share_time(d, d->found->count - d->next);
        return;
    }
    fail(d, d->reason);
}

static void handshake(struct dial *d) {
    int result = tls_handshake(d->tls);
    if (!result) succeed(d);
    else if (result != -EAGAIN) fail(d, tls_reason(d->tls));
    else if (watch_set(d->net->loop, &d->watch, tls_unsent(d->tls) ? WATCH_WRITE : WATCH_READ))
        fail(d, "epoll refused the descriptor");
}

static void connected(struct dial *d) {
    if (!d->context) {
        succeed(d);
        return;
    }
    d->state = DIAL_HANDSHAKE;
    d->tls = tls_new(d->context, d->watch.fd, d->server_name);
    share_time(d, 0);
    handshake(d);
}

static void connect_ended(struct dial *d) {
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(d->watch.fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (!error) {
        connected(d);
        return;
    }
    d->reason = reason_of(error);
    drop_descriptor(d);
    connect_next(d);
}

static void on_ready(struct watch *w, uint32_t events) {
    (void)events;
    struct dial *d = container_of(w, struct dial, watch);
    if (d->state == DIAL_HANDSHAKE) handshake(d);
    else connect_ended(d);
}

static void connect_path(struct dial *d) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(d->path);
    if (n >= sizeof to.sun_path) {
        fail(d, "path too long");
        return;
    }
    memcpy(to.sun_path, d->path, n);
    d->state = DIAL_CONNECT;
    if (!connect_to(d, (struct sockaddr *)&to, sizeof to)) fail(d, d->reason);
}

/* ---- life ---- */

static void on_looked_up(struct name_wait *w, struct addresses *found, const char *why) {
    struct dial *d = container_of(w, struct dial, lookup);
    if (!found) {
        fail(d, why);
        return;
    }
    d->found = addresses_ref(found);
    d->state = DIAL_CONNECT;
    connect_next(d);
}

static void on_begin(struct deferred *turn) {
    struct dial *d = container_of(turn, struct dial, turn);
    if (d->path) connect_path(d);
    else if (strlen(d->host) > NAME_MAX_BYTES) fail(d, "name too long");
    else if (!d->port || d->port > 65535) fail(d, "no such port");
    else names_ask(d->net->names, d->host, &d->lookup);
}

static void on_timer(struct timer *t) {
    struct dial *d = container_of(t, struct dial, timer);
    if (d->state == DIAL_LOOKUP) {
        fail(d, "timeout of the name lookup");
    } else if (d->state == DIAL_HANDSHAKE) {
        fail(d, "timeout of the TLS handshake");
    } else {
        d->reason = "timeout";
        drop_descriptor(d);
        connect_next(d);
    }
}

static char *copy_host(const char *host) {
    struct slice s = slice_of(host);
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']') s = slice_make(s.p + 1, s.n - 2);
    return slice_cstr(s);
}

struct dial *dial_open(struct net *net, const struct dial_target *target, uint64_t timeout_ms,
                       void (*done)(void *arg, struct conn *c, const char *reason), void *arg) {
    struct dial *d = mem_new(sizeof *d);
    d->net = net;
    d->done = done;
    d->arg = arg;
    if (target->path) d->path = slice_cstr(slice_of(target->path));
    else d->host = copy_host(target->host);
    d->port = target->port;
    if (target->tls) {
        const char *name = target->server_name;
        d->context = tls_context_ref(target->tls);
        d->server_name = name ? slice_cstr(slice_of(name)) : copy_host(target->host);
    }
    d->watch = (struct watch){.fd = -1, .ready = on_ready};
    d->timer.fired = on_timer;
    d->lookup.told = on_looked_up;
    d->deadline_ms = loop_now_ms(net->loop) + timeout_ms;
    share_time(d, 0);
    deferred_init(&d->turn, on_begin);
    loop_defer(net->loop, LOOP_DELIVER, &d->turn);
    return d;
}
