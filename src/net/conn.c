/* SPDX-License-Identifier: MIT */
#include "net/conn.h"

#include "net/names.h"
#include "net/peers.h"
#include "net/tls.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define WRITE_PIECES 64
#define LINGER_MAX_MS 60000

_Static_assert(NET_READ_SIZE >= TLS_RECORD, "a record is read whole");

/* A connection over TLS is longer than others: the plain ones, which are many, pay a bit for it. */
struct secured {
    struct conn conn;
    struct tls *tls;
};

static struct tls *tls_of(const struct conn *c) {
    return c->secured ? container_of(c, struct secured, conn)->tls : NULL;
}

/* ---- states ---- */

static void on_ready(struct watch *w, uint32_t events);
static void on_timer(struct timer *t);

/* Waits for what the state asks for; errors are reported in any case. */
static void watch_update(struct conn *c) {
    uint32_t events = WATCH_ERROR;
    bool crossed = c->secured && tls_write_waits_for_input(tls_of(c));
    if ((!c->paused || crossed) && !c->peer_ended) events |= WATCH_READ;
    if (c->blocked && !crossed) events |= WATCH_WRITE;
    if (watch_set(c->net->loop, &c->watch, events)) conn_close(c, "epoll refused the descriptor");
}

void conn_set_tcp(const struct net *net, int fd) {
    int on = 1;
    int idle_s = (int)(net->limits->tcp_keepalive / 1000), between_s = idle_s / 4, count = 3;
    unsigned user_ms = (unsigned)net->limits->tcp_user_timeout;
    if (between_s < 1) between_s = 1;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between_s, sizeof between_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms, sizeof user_ms);
}

static struct conn *conn_new(struct net *net, int fd, const struct ip *peer, struct tls *tls,
                             const struct conn_ops *ops, void *user) {
    struct conn *c = mem_new(tls ? sizeof(struct secured) : sizeof *c);
    if (tls) container_of(c, struct secured, conn)->tls = tls;
    c->secured = tls != NULL;
    c->watch = (struct watch){.fd = fd, .ready = on_ready};
    c->timer.fired = on_timer;
    c->ops = ops;
    c->user = user;
    c->net = net;
    c->peer = *peer;
    c->soft = c->hard = c->soft_ms = UINT32_MAX;
    list_init(&c->dirty);
    return c;
}

struct conn *conn_open(struct net *net, int fd, const struct ip *peer, const struct conn_ops *ops,
                       void *user) {
    struct conn *c = conn_new(net, fd, peer, NULL, ops, user);
    list_push(&net->conns, &c->link);
    net->open++;
    c->counted = peer_opened(net, peer);
    watch_update(c);
    return c;
}

struct conn *conn_open_outgoing(struct net *net, int fd, const struct ip *peer, struct tls *tls,
                                const struct conn_ops *ops, void *user) {
    struct conn *c = conn_new(net, fd, peer, tls, ops, user);
    list_push(&net->outgoing, &c->link);
    c->outgoing = c->out.uncounted = true;
    watch_update(c);
    return c;
}

void conn_close(struct conn *c, const char *reason) {
    if (c->state == CONN_CLOSED) return;
    c->state = CONN_CLOSED;
    c->reason = reason;
    timer_stop(c->net->loop, &c->timer);
    output_clear(c->net, &c->out);
    watch_close(&c->watch);
    list_remove(&c->dirty);
    list_push(&c->net->dead, &c->dirty);
    loop_defer(c->net->loop, LOOP_FREE, &c->net->reap);
}

static void conn_free(struct conn *c) {
    c->ops->closed(c, c->reason);
    list_remove(&c->link);
    if (!c->outgoing) c->net->open--;
    if (c->counted) peer_closed(c->net, &c->peer);
    tls_free(tls_of(c));
    mem_free(c);
}

static void flush_later(struct conn *c) {
    if (list_linked(&c->dirty)) return;
    list_push(&c->net->dirty, &c->dirty);
    loop_defer(c->net->loop, LOOP_FLUSH, &c->net->flush);
}

void conn_finish(struct conn *c, uint64_t linger_ms, const char *reason) {
    if (c->state != CONN_OPEN) return;
    c->state = CONN_FINISHING;
    c->reason = reason;
    c->linger_ms = linger_ms < LINGER_MAX_MS ? (uint16_t)linger_ms : LINGER_MAX_MS;
    c->paused = false;
    flush_later(c);
}

void conn_pause(struct conn *c) {
    if (c->state != CONN_OPEN || c->paused) return;
    c->paused = true;
    watch_update(c);
}

void conn_resume(struct conn *c) {
    if (c->state != CONN_OPEN || !c->paused) return;
    c->paused = false;
    watch_update(c);
}

/* ---- output ---- */

void conn_send(struct conn *c, struct slice head, struct buf *buf) {
    if (c->state != CONN_OPEN) return;
    output_add(c->net, &c->out, head, buf);
    flush_later(c);
}

void conn_send_copy(struct conn *c, struct slice bytes) {
    if (bytes.n <= CONN_HEAD_MAX) {
        conn_send(c, bytes, NULL);
        return;
    }
    struct buf *copy = buf_copy(bytes);
    conn_send(c, (struct slice){NULL, 0}, copy);
    buf_unref(copy);
}

void conn_drop_output(struct conn *c) { output_drop(c->net, &c->out); }

void conn_set_marks(struct conn *c, uint64_t soft, uint64_t soft_ms, uint64_t hard) {
    c->soft = soft < UINT32_MAX ? (uint32_t)soft : UINT32_MAX;
    c->soft_ms = soft_ms < UINT32_MAX ? (uint32_t)soft_ms : UINT32_MAX;
    c->hard = hard < UINT32_MAX ? (uint32_t)hard : UINT32_MAX;
}

static void tell_slow(struct conn *c) {
    if (c->slow_told) return;
    c->slow_told = true;
    if (c->ops->slow) c->ops->slow(c);
    else conn_close(c, "slow");
}

static uint32_t clock_ms(const struct conn *c) { return (uint32_t)loop_now_ms(c->net->loop); }

static void check_marks(struct conn *c) {
    if (c->out.bytes <= c->soft) {
        c->over_soft = c->slow_told = false;
        return;
    }
    uint32_t now = clock_ms(c);
    if (!c->over_soft) {
        c->over_soft = true;
        c->soft_since = now;
    }
    if (c->out.bytes > c->hard || now - c->soft_since >= c->soft_ms) tell_slow(c);
}

/* How often a connection that cannot write is looked at. */
static uint64_t look_again_ms(const struct conn *c) {
    uint64_t least = c->net->limits->send_stall_timeout;
    if (c->soft_ms < least) least = c->soft_ms;
    return least < 40 ? 10 : least < 4000 ? least / 4 : 1000;
}

static void set_blocked(struct conn *c, bool blocked) {
    if (blocked == c->blocked) {
        if (c->secured) watch_update(c); /* TLS may wait for another event than before */
        return;
    }
    c->blocked = blocked;
    watch_update(c);
    if (blocked && c->state != CONN_CLOSED) {
        c->sent_at = clock_ms(c);
        timer_start(c->net->loop, &c->timer, look_again_ms(c));
    } else if (!blocked) {
        timer_stop(c->net->loop, &c->timer);
    }
}

/* All is written: shuts our side and gives the peer a while to do the same. */
static void linger(struct conn *c) {
    if (c->secured && tls_end(tls_of(c)) == -EAGAIN) {
        set_blocked(c, true); /* the end is output too; then we are here again */
        return;
    }
    if (c->peer_ended || !c->linger_ms) {
        conn_close(c, c->reason);
        return;
    }
    shutdown(c->watch.fd, SHUT_WR);
    timer_start(c->net->loop, &c->timer, c->linger_ms);
    watch_update(c);
}

static void output_done(struct conn *c) {
    bool waited = c->blocked;
    set_blocked(c, false);
    if (c->state == CONN_FINISHING) linger(c);
    else if (waited && c->state == CONN_OPEN && c->ops->drained) c->ops->drained(c);
}

static bool output_waits(const struct conn *c) {
    return c->out.bytes || (c->secured && tls_unsent(tls_of(c)));
}

/* Writes the first bytes of the queue. Returns how many were taken, of how many asked; or a
 * negative errno. */
static ssize_t write_plain(struct conn *c, size_t *asked) {
    struct iovec pieces[WRITE_PIECES];
    struct msghdr m = {.msg_iov = pieces,
                       .msg_iovlen = output_pieces(&c->out, pieces, WRITE_PIECES)};
    for (size_t i = 0; i < m.msg_iovlen; i++) *asked += pieces[i].iov_len;
    ssize_t n;
    do
        n = m.msg_iovlen == 1
                ? send(c->watch.fd, pieces->iov_base, *asked, MSG_NOSIGNAL | MSG_DONTWAIT)
                : sendmsg(c->watch.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* The first bytes of the queue in one piece, as much as a record takes. */
static struct slice next_record(struct conn *c) {
    struct iovec pieces[WRITE_PIECES];
    size_t count = output_pieces(&c->out, pieces, WRITE_PIECES), n = 0;
    if (count && (count == 1 || pieces->iov_len >= TLS_RECORD))
        return slice_upto(slice_make(pieces->iov_base, pieces->iov_len), TLS_RECORD);
    char *record = c->net->read_buffer; /* what was read is dead by now */
    for (size_t i = 0; i < count && n < TLS_RECORD; i++) {
        size_t part = pieces[i].iov_len < TLS_RECORD - n ? pieces[i].iov_len : TLS_RECORD - n;
        memcpy(record + n, pieces[i].iov_base, part);
        n += part;
    }
    return slice_make(record, n);
}

/* The same over TLS, which takes a record when the one before it is with the kernel. */
static ssize_t write_secured(struct conn *c, size_t *asked) {
    struct tls *t = tls_of(c);
    size_t unsent = tls_unsent(t);
    int flushed = tls_flush(t);
    if (tls_unsent(t) < unsent) c->sent_at = clock_ms(c);
    if (flushed || !c->out.bytes) return flushed;
    struct slice record = next_record(c);
    ssize_t n = tls_write(t, record);
    *asked = n > 0 ? (size_t)n : record.n;
    return n;
}

static const char *failure(const struct conn *c) {
    return c->secured ? tls_reason(tls_of(c)) : "reset by peer";
}

/* Writes until the queue is empty or the kernel is full. */
static void output_flush(struct conn *c) {
    while (output_waits(c)) {
        size_t asked = 0;
        ssize_t n = c->secured ? write_secured(c, &asked) : write_plain(c, &asked);
        if (n < 0 && n != -EAGAIN) {
            conn_close(c, failure(c));
            return;
        }
        if (n > 0) {
            output_written(c->net, &c->out, (size_t)n);
            c->sent_at = clock_ms(c);
        }
        if (n < 0 || (size_t)n < asked) {
            set_blocked(c, true);
            if (c->state == CONN_OPEN) check_marks(c);
            return;
        }
    }
    c->over_soft = c->slow_told = false;
    output_done(c);
}

static struct conn *most_behind(struct net *net) {
    struct conn *worst = NULL;
    LIST_EACH(&net->conns, link) {
        struct conn *c = container_of(link, struct conn, link);
        if (c->state != CONN_CLOSED && (!worst || c->out.bytes > worst->out.bytes)) worst = c;
    }
    return worst;
}

/* All clients together hold too much: the slowest pay, each first as one that is slow. Our own
 * connections are not among them: closing the one to the store, because some clients publish more
 * than it takes, would hit everybody, and their openers bound each by its marks. */
static void shed(struct net *net) {
    for (struct conn *c; net->unsent > net->unsent_most && (c = most_behind(net));) {
        metrics_limit(net->metrics, "send_buffers", NULL);
        if (c->state == CONN_OPEN && !c->slow_told) tell_slow(c);
        else conn_close(c, "send buffers are full");
    }
}

static void on_flush(struct deferred *d) {
    struct net *net = container_of(d, struct net, flush);
    for (struct list *link; (link = list_pop(&net->dirty));) {
        struct conn *c = container_of(link, struct conn, dirty);
        if (!c->blocked) output_flush(c);
        else if (c->state == CONN_OPEN) check_marks(c);
    }
    if (net->unsent > net->unsent_most) shed(net);
}

static void on_reap(struct deferred *d) {
    struct net *net = container_of(d, struct net, reap);
    for (struct list *link; (link = list_pop(&net->dead));)
        conn_free(container_of(link, struct conn, dirty));
}

/* ---- events ---- */

static void input_ended(struct conn *c) {
    c->peer_ended = true;
    if (c->state == CONN_FINISHING && !output_waits(c)) {
        conn_close(c, c->reason);
        return;
    }
    watch_update(c);
    if (c->state != CONN_OPEN) return;
    if (c->ops->ended) c->ops->ended(c);
    else conn_close(c, "closed by peer");
}

static ssize_t read_plain(struct conn *c) {
    ssize_t n = recv(c->watch.fd, c->net->read_buffer, NET_READ_SIZE, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

/* Reading may make TLS say something. */
static ssize_t read_secured(struct conn *c) {
    ssize_t n = tls_read(tls_of(c), c->net->read_buffer, NET_READ_SIZE);
    if (tls_unsent(tls_of(c))) flush_later(c);
    return n;
}

static void input_read(struct conn *c) {
    ssize_t n = c->secured ? read_secured(c) : read_plain(c);
    if (n > 0 && c->state == CONN_OPEN) c->ops->received(c, c->net->read_buffer, (size_t)n);
    else if (n == 0) input_ended(c);
    else if (n < 0 && n != -EAGAIN && n != -EINTR) conn_close(c, failure(c));
}

bool conn_is_quiet(const struct conn *c) {
    char byte;
    return c->state == CONN_OPEN && !c->peer_ended &&
           recv(c->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void on_ready(struct watch *w, uint32_t events) {
    struct conn *c = container_of(w, struct conn, watch);
    if (c->secured && tls_write_waits_for_input(tls_of(c)))
        output_flush(c); /* what comes now is for TLS itself, paused or not */
    else if (events & WATCH_READ) input_read(c);
    if (events & WATCH_WRITE && c->state != CONN_CLOSED) output_flush(c);
    if (events & (WATCH_ERROR | WATCH_HANGUP) && !(events & WATCH_READ))
        conn_close(c, "reset by peer");
}

static void on_timer(struct timer *t) {
    struct conn *c = container_of(t, struct conn, timer);
    if (!c->blocked) {
        conn_close(c, c->reason); /* lingered long enough */
        return;
    }
    if (clock_ms(c) - c->sent_at >= c->net->limits->send_stall_timeout) {
        metrics_limit(c->net->metrics, "send_stall_timeout", NULL);
        conn_close(c, "takes no bytes");
        return;
    }
    timer_start(c->net->loop, &c->timer, look_again_ms(c));
    if (c->state == CONN_OPEN) check_marks(c);
}

/* ---- the net ---- */

void net_init(struct net *net, struct loop *loop, struct log *log, struct metrics *metrics,
              struct random *random, const struct limits *limits) {
    *net = (struct net){.loop = loop,
                        .log = log,
                        .metrics = metrics,
                        .random = random,
                        .limits = limits,
                        .most = SIZE_MAX,
                        .unsent_most = UINT64_MAX};
    net->read_buffer = mem_raw(NET_READ_SIZE);
    net->names = names_new(net);
    list_init(&net->conns);
    list_init(&net->outgoing);
    list_init(&net->dirty);
    list_init(&net->dead);
    deferred_init(&net->flush, on_flush);
    deferred_init(&net->reap, on_reap);
}

void net_fini(struct net *net) {
    assert(list_empty(&net->conns) && list_empty(&net->outgoing));
    output_fini(net);
    deferred_cancel(&net->flush);
    deferred_cancel(&net->reap);
    peers_fini(net);
    names_free(net->names);
    mem_free(net->read_buffer);
}
