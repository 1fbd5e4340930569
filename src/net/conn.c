/* SPDX-License-Identifier: MIT */
/* Output is a chain of small blocks of entries, each a short head beside a shared buf. A turn's
 * output of one connection leaves in one sendmsg: pieces below GATHER_MAX bytes are copied side by
 * side first, because the kernel takes one piece of 1 KiB faster than thirty of 33 bytes. */
#include "net/conn.h"

#include "net/peers.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK_ENTRIES 16
#define SPARE_BLOCKS_MAX 1024
#define GATHER_MAX 512
#define GATHER_BYTES 16384
#define IOV_PIECES 64

struct out_entry {
    struct buf *buf; /* may be NULL */
    uint8_t head_n;
    char head[CONN_HEAD_MAX];
};

struct out_block {
    struct out_block *next;
    uint32_t sent; /* bytes of the first entry that are gone */
    uint16_t first, end;
    struct out_entry entries[BLOCK_ENTRIES];
};

static size_t entry_size(const struct out_entry *e) { return e->head_n + (e->buf ? e->buf->n : 0); }

/* ---- blocks ---- */

static struct out_block *block_new(struct net *net) {
    struct out_block *b = net->spare_blocks;
    if (b) {
        net->spare_blocks = b->next;
        net->spare_count--;
    } else {
        b = mem_raw(sizeof *b);
    }
    b->next = NULL;
    b->sent = 0;
    b->first = b->end = 0;
    return b;
}

static void block_free(struct net *net, struct out_block *b) {
    if (net->spare_count >= SPARE_BLOCKS_MAX) {
        mem_free(b);
        return;
    }
    b->next = net->spare_blocks;
    net->spare_blocks = b;
    net->spare_count++;
}

/* Takes the first entry off. */
static void entry_pop(struct conn *c) {
    struct out_block *b = c->out_first;
    buf_unref(b->entries[b->first].buf);
    b->first++;
    b->sent = 0;
    if (b->first < b->end) return;
    c->out_first = b->next;
    if (!c->out_first) c->out_last = NULL;
    block_free(c->net, b);
}

static void output_clear(struct conn *c) {
    while (c->out_first) entry_pop(c);
    c->out_bytes = 0;
}

/* ---- states ---- */

static void on_ready(struct watch *w, uint32_t events);
static void on_timer(struct timer *t);

/* Waits for what the state asks for; errors are reported in any case. */
static void watch_update(struct conn *c) {
    uint32_t events = WATCH_ERROR;
    if (!c->paused && !c->peer_ended) events |= WATCH_READ;
    if (c->blocked) events |= WATCH_WRITE;
    if (watch_set(c->net->loop, &c->watch, events)) conn_close(c, "epoll refused the descriptor");
}

struct conn *conn_open(struct net *net, int fd, const struct ip *peer, const struct conn_ops *ops,
                       void *user) {
    struct conn *c = mem_new(sizeof *c);
    c->watch = (struct watch){.fd = fd, .ready = on_ready};
    c->timer.fired = on_timer;
    c->ops = ops;
    c->user = user;
    c->net = net;
    c->peer = *peer;
    c->soft = c->hard = c->soft_ms = UINT32_MAX;
    list_init(&c->dirty);
    list_push(&net->conns, &c->link);
    net->open++;
    c->counted = peer_opened(net, peer);
    watch_update(c);
    return c;
}

void conn_close(struct conn *c, const char *reason) {
    if (c->state == CONN_CLOSED) return;
    c->state = CONN_CLOSED;
    c->reason = reason;
    watch_stop(c->net->loop, &c->watch);
    timer_stop(c->net->loop, &c->timer);
    close(c->watch.fd);
    list_remove(&c->dirty);
    list_push(&c->net->dead, &c->dirty);
    loop_defer(c->net->loop, LOOP_FREE, &c->net->reap);
}

static void conn_free(struct conn *c) {
    c->ops->closed(c, c->reason);
    output_clear(c);
    list_remove(&c->link);
    c->net->open--;
    if (c->counted) peer_closed(c->net, &c->peer);
    mem_free(c);
}

void conn_finish(struct conn *c, uint64_t linger_ms, const char *reason) {
    if (c->state != CONN_OPEN) return;
    c->state = CONN_FINISHING;
    c->reason = reason;
    c->linger_ms = linger_ms < UINT32_MAX ? (uint32_t)linger_ms : UINT32_MAX;
    c->paused = false;
    if (!list_linked(&c->dirty)) list_push(&c->net->dirty, &c->dirty);
    loop_defer(c->net->loop, LOOP_FLUSH, &c->net->flush);
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

static struct out_entry *entry_push(struct conn *c) {
    struct out_block *b = c->out_last;
    if (!b || b->end == BLOCK_ENTRIES) {
        struct out_block *fresh = block_new(c->net);
        if (b) b->next = fresh;
        else c->out_first = fresh;
        c->out_last = b = fresh;
    }
    return &b->entries[b->end++];
}

void conn_send(struct conn *c, struct slice head, struct buf *buf) {
    assert(head.n <= CONN_HEAD_MAX);
    if (c->state != CONN_OPEN) return;
    struct out_entry *e = entry_push(c);
    e->head_n = (uint8_t)head.n;
    if (head.n) memcpy(e->head, head.p, head.n);
    e->buf = buf ? buf_ref(buf) : NULL;
    c->out_bytes += (uint32_t)entry_size(e);
    bool told_later = c->blocked && (c->out_bytes <= c->hard || c->slow_told);
    if (told_later) return; /* the kernel says when it has room */
    if (!list_linked(&c->dirty)) list_push(&c->net->dirty, &c->dirty);
    loop_defer(c->net->loop, LOOP_FLUSH, &c->net->flush);
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

void conn_drop_output(struct conn *c) {
    struct out_block *b = c->out_first;
    if (!b) return;
    if (!b->sent) {
        output_clear(c);
        return;
    }
    for (uint16_t i = b->first + 1; i < b->end; i++) buf_unref(b->entries[i].buf);
    b->end = b->first + 1;
    c->out_bytes = (uint32_t)entry_size(&b->entries[b->first]) - b->sent;
    while (b->next) {
        struct out_block *rest = b->next;
        b->next = rest->next;
        for (uint16_t i = rest->first; i < rest->end; i++) buf_unref(rest->entries[i].buf);
        block_free(c->net, rest);
    }
    c->out_last = b;
}

void conn_set_marks(struct conn *c, uint64_t soft, uint64_t soft_ms, uint64_t hard) {
    c->soft = soft < UINT32_MAX ? (uint32_t)soft : UINT32_MAX;
    c->soft_ms = soft_ms < UINT32_MAX ? (uint32_t)soft_ms : UINT32_MAX;
    c->hard = hard < UINT32_MAX ? (uint32_t)hard : UINT32_MAX;
}

/* What one sendmsg takes. */
struct gather {
    struct iovec iov[IOV_PIECES];
    size_t pieces, bytes;
    size_t copied;
    char copy[GATHER_BYTES];
};

/* False when there is no room for it. */
static bool gather_add(struct gather *g, const char *p, size_t n) {
    if (!n) return true;
    struct iovec *last = g->pieces ? &g->iov[g->pieces - 1] : NULL;
    if (n <= GATHER_MAX && n <= GATHER_BYTES - g->copied) {
        char *to = g->copy + g->copied;
        memcpy(to, p, n);
        if (last && (char *)last->iov_base + last->iov_len == to) {
            last->iov_len += n;
        } else {
            if (g->pieces == IOV_PIECES) return false;
            g->iov[g->pieces++] = (struct iovec){to, n};
        }
        g->copied += n;
    } else {
        if (g->pieces == IOV_PIECES) return false;
        g->iov[g->pieces++] = (struct iovec){(void *)(uintptr_t)p, n};
    }
    g->bytes += n;
    return true;
}

/* head and buf without their first skip bytes. */
static bool gather_entry(struct gather *g, const struct out_entry *e, size_t skip) {
    size_t head_skip = skip < e->head_n ? skip : e->head_n;
    if (!gather_add(g, e->head + head_skip, e->head_n - head_skip)) return false;
    if (!e->buf) return true;
    size_t buf_skip = skip - head_skip;
    return gather_add(g, e->buf->data + buf_skip, e->buf->n - buf_skip);
}

static void gather_output(struct gather *g, const struct conn *c) {
    g->pieces = g->bytes = g->copied = 0;
    for (const struct out_block *b = c->out_first; b; b = b->next)
        for (uint16_t i = b->first; i < b->end; i++)
            if (!gather_entry(g, &b->entries[i], i == b->first ? b->sent : 0)) return;
}

static void output_sent(struct conn *c, size_t n) {
    c->out_bytes -= (uint32_t)n;
    while (n) {
        struct out_block *b = c->out_first;
        size_t left = entry_size(&b->entries[b->first]) - b->sent;
        if (n < left) {
            b->sent += (uint32_t)n;
            return;
        }
        n -= left;
        entry_pop(c);
    }
    /* entries of no bytes at all */
    while (c->out_first && !c->out_bytes) entry_pop(c);
}

static void tell_slow(struct conn *c) {
    if (c->slow_told) return;
    c->slow_told = true;
    if (c->ops->slow) c->ops->slow(c);
    else conn_close(c, "slow");
}

static uint32_t clock_ms(const struct conn *c) { return (uint32_t)loop_now_ms(c->net->loop); }

static void check_marks(struct conn *c) {
    if (c->out_bytes <= c->soft) {
        c->over_soft = c->slow_told = false;
        return;
    }
    uint32_t now = clock_ms(c);
    if (!c->over_soft) {
        c->over_soft = true;
        c->soft_since = now;
    }
    if (c->out_bytes > c->hard || now - c->soft_since >= c->soft_ms) tell_slow(c);
}

/* How often a connection that cannot write is looked at. */
static uint64_t look_again_ms(const struct conn *c) {
    uint64_t least = c->net->limits->send_stall_timeout;
    if (c->soft_ms < least) least = c->soft_ms;
    return least < 40 ? 10 : least < 4000 ? least / 4 : 1000;
}

static void set_blocked(struct conn *c, bool blocked) {
    if (blocked == c->blocked) return;
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

/* Writes until the queue is empty or the kernel is full. */
static void output_flush(struct conn *c) {
    while (c->out_bytes) {
        struct gather g;
        gather_output(&g, c);
        struct msghdr m = {.msg_iov = g.iov, .msg_iovlen = g.pieces};
        ssize_t n = sendmsg(c->watch.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN) {
            conn_close(c, "reset by peer");
            return;
        }
        if (n > 0) {
            output_sent(c, (size_t)n);
            c->sent_at = clock_ms(c);
        }
        if (n < (ssize_t)g.bytes) {
            set_blocked(c, true);
            if (c->state == CONN_OPEN) check_marks(c);
            return;
        }
    }
    while (c->out_first) entry_pop(c);
    c->over_soft = c->slow_told = false;
    output_done(c);
}

static void on_flush(struct deferred *d) {
    struct net *net = container_of(d, struct net, flush);
    for (struct list *link; (link = list_pop(&net->dirty));) {
        struct conn *c = container_of(link, struct conn, dirty);
        if (!c->blocked) output_flush(c);
        else if (c->state == CONN_OPEN) check_marks(c);
    }
}

static void on_reap(struct deferred *d) {
    struct net *net = container_of(d, struct net, reap);
    for (struct list *link; (link = list_pop(&net->dead));)
        conn_free(container_of(link, struct conn, dirty));
}

/* ---- events ---- */

static void input_ended(struct conn *c) {
    c->peer_ended = true;
    if (c->state == CONN_FINISHING && !c->out_bytes) {
        conn_close(c, c->reason);
        return;
    }
    watch_update(c);
    if (c->state != CONN_OPEN) return;
    if (c->ops->ended) c->ops->ended(c);
    else conn_close(c, "closed by peer");
}

static void input_read(struct conn *c) {
    ssize_t n = recv(c->watch.fd, c->net->read_buffer, NET_READ_SIZE, MSG_DONTWAIT);
    if (n > 0 && c->state == CONN_OPEN) c->ops->received(c, c->net->read_buffer, (size_t)n);
    else if (n == 0) input_ended(c);
    else if (n < 0 && errno != EAGAIN && errno != EINTR) conn_close(c, "reset by peer");
}

static void on_ready(struct watch *w, uint32_t events) {
    struct conn *c = container_of(w, struct conn, watch);
    if (events & WATCH_READ) input_read(c);
    if (events & WATCH_WRITE && c->state != CONN_CLOSED) output_flush(c);
    if (events & (WATCH_ERROR | WATCH_HANGUP) && !(events & WATCH_READ)) conn_close(c, "reset by peer");
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
    *net = (struct net){.loop = loop, .log = log, .metrics = metrics, .random = random,
                        .limits = limits, .most = SIZE_MAX};
    net->read_buffer = mem_raw(NET_READ_SIZE);
    list_init(&net->conns);
    list_init(&net->dirty);
    list_init(&net->dead);
    deferred_init(&net->flush, on_flush);
    deferred_init(&net->reap, on_reap);
}

void net_fini(struct net *net) {
    assert(list_empty(&net->conns));
    while (net->spare_blocks) {
        struct out_block *b = net->spare_blocks;
        net->spare_blocks = b->next;
        mem_free(b);
    }
    deferred_cancel(&net->flush);
    deferred_cancel(&net->reap);
    peers_fini(net);
    mem_free(net->read_buffer);
}
