/* SPDX-License-Identifier: MIT */
/* Each site's script has a connection of its own, so that a command that takes long in Redis keeps
 * only its own site waiting. */
#include "store/redis_inner.h"

#include "core/site.h"
#include "store/redis_pack.h"

#include <errno.h>
#include <hiredis/hiredis.h>

struct site_conn {
    struct redis_conn conn;
    struct site *site;
    size_t waiting; /* commands */
};

struct site_call {
    struct site_conn *from;
    store_done *done;
    void *arg;
};

static void ignore(struct redis_conn *conn) { (void)conn; }

static const struct redis_conn_ops site_ops = {.up = ignore, .down = ignore};

void redis_site_open(struct store *st, struct site *site) {
    struct redis *r = redis_of(st);
    if (!r || site->stored) return;
    struct site_conn *s = site->stored = mem_new(sizeof *s);
    s->site = site;
    redis_conn_open(&s->conn, r->net, &r->url, r->tls, "moonlatch-script", &site_ops);
}

void redis_site_close(struct site *site) {
    struct site_conn *s = site->stored;
    if (!s) return;
    redis_conn_close(&s->conn);
    site->stored = NULL;
    mem_free(s);
}

static void on_reply(void *arg, int status, const redisReply *reply) {
    struct site_call call = *(struct site_call *)arg;
    struct buf *packed = NULL;
    mem_free(arg);
    call.from->waiting--;
    if (reply) {
        struct text t = {0};
        redis_pack(&t, reply);
        packed = text_take(&t);
    }
    call.done(call.arg, status, packed);
    buf_unref(packed);
}

size_t redis_site_room(const struct site *site) {
    const struct site_conn *s = site->stored;
    uint64_t most = site->limits->redis_calls;
    return s && s->waiting < most ? (size_t)(most - s->waiting) : 0;
}

int redis_site_send(struct store *st, struct site *site, const struct slice *words, size_t n,
                    store_done *done, void *arg) {
    struct site_conn *s = site->stored;
    if (!redis_of(st) || !s) return -ENOTCONN;
    if (!redis_site_room(site)) return -ENOBUFS;
    struct site_call *call = mem_new(sizeof *call);
    *call = (struct site_call){.from = s, .done = done, .arg = arg};
    int status = redis_conn_send(&s->conn, words, n, on_reply, call);
    if (status) mem_free(call);
    else s->waiting++;
    return status;
}
