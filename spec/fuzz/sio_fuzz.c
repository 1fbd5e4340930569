/* SPDX-License-Identifier: MIT */
/* Any messages on a Socket.IO session, with two sites behind it: one that lets everybody in, and one
 * that judges by chance. The input is a list of messages: a byte for its kind, and up to the next
 * zero byte what it says. All that is sent is a packet and as many attachments as it tells of. */
#include "core/call.h"
#include "core/hooks.h"
#include "core/hub.h"
#include "core/socketio_packet.h"
#include "store/memory.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds) abort();
}

/* ---- the session ---- */

struct fake {
    struct session session;
    uint32_t owed; /* attachments of the last packet */
    bool closing;
    int code;
};

static void on_send(struct session *s, struct buf *wire, bool binary) {
    static const struct json_limits wide = {64, 1000000, 100000, false};
    struct fake *f = container_of(s, struct fake, session);
    struct sio_packet p;
    if (binary) {
        must(f->owed > 0);
        f->owed--;
        return;
    }
    must(f->owed == 0);
    bool read = sio_packet_read(&p, buf_slice(wire), &wide);
    must(read || wire->data[0] == '3'); /* an ack with an id that is ours */
    if (read) f->owed = p.attachments;
}

static size_t on_backlog(const struct session *s) {
    (void)s;
    return 0;
}

static void on_close(struct session *s, int code, const char *reason, bool slow) {
    (void)reason, (void)slow;
    container_of(s, struct fake, session)->code = code;
    container_of(s, struct fake, session)->closing = true;
}

static const char *protocol(const struct session *s) {
    (void)s;
    return "fake";
}

static const struct session_ops ops = {.send = on_send,
                                       .backlog = on_backlog,
                                       .close = on_close,
                                       .protocol = protocol,
                                       .binary = true};

/* ---- the sites ---- */

static void on_call_done(struct call *c, enum call_status status, struct slice value) {
    (void)status, (void)value;
    mem_free(c);
}

/* An event is answered with itself; some close the socket, or ask its client. */
static void on_call(struct op *op) {
    struct socket *s = socket_ref(op->socket);
    size_t n = op->name.n;
    op->answered = op->attachments;
    op->attachments = (struct attachments){0};
    op_reply(op, buf_copy(op->request));
    if (n % 5 == 1) socket_close(s, 4000, "by chance");
    if (n % 7 == 2) socket_close_whole(s, 4001, "by chance");
    if (n % 3 == 0 && socket_is_open(s)) {
        struct call *c = mem_new(sizeof *c);
        c->done = on_call_done;
        if (call_start(c, s, buf_copy(SLICE("ask")), buf_copy(SLICE("1")), 1000)) mem_free(c);
    }
    socket_unref(s);
}

static void on_login(struct login *l) {
    struct slice auth = handshake_get(l->request, ":auth");
    if (auth.n % 3 == 1) {
        l->error = buf_copy(SLICE("no"));
        if (auth.n % 2) l->error_data = buf_copy(SLICE("{\"code\":1}"));
        login_finish(l, LOGIN_FAILED);
    } else if (auth.n % 3 == 2) {
        login_finish(l, LOGIN_REFUSED);
    } else {
        l->auth = buf_copy(SLICE("{}"));
        login_finish(l, LOGIN_ADMITTED);
    }
}

struct world {
    struct loop *loop;
    struct random random;
    struct core core;
    struct site_conf shared_conf, confs[2];
    struct endpoint_conf way_in, namespaces[2];
    struct hooks hooks;
    struct site *shared, *sites[2];
};

static void world_open(struct world *w) {
    static char *names[] = {"open", "judged"}, *paths[] = {"/", "/judged"};
    *w = (struct world){.loop = loop_new()};
    limits_init(&w->shared_conf.limits);
    w->core = (struct core){.loop = w->loop, .random = &w->random, .limits = &w->shared_conf.limits};
    w->core.log = log_new(w->loop, -1);
    w->core.metrics = metrics_new();
    list_init(&w->core.sites);
    w->core.store = memory_store_new(&w->core, &hub_events);
    w->hooks = no_hooks;
    w->hooks.call = on_call;
    w->hooks.login = on_login;
    w->shared_conf.name = "shared";
    w->shared_conf.endpoints = &w->way_in;
    w->shared_conf.endpoint_count = 1;
    w->way_in = (struct endpoint_conf){.path = "/socket.io", .auth = AUTH_NONE};
    w->shared = site_new_shared(&w->core, &w->shared_conf);
    w->shared->endpoints[0].dialect = &socketio_dialect;
    for (int i = 0; i < 2; i++) {
        limits_init(&w->confs[i].limits);
        w->namespaces[i].path = paths[i];
        w->namespaces[i].auth = i ? AUTH_REQUEST : AUTH_NONE;
        w->confs[i].name = names[i];
        w->confs[i].namespaces = &w->namespaces[i];
        w->confs[i].namespace_count = 1;
        w->sites[i] = site_new(&w->core, &w->confs[i]);
        w->sites[i]->hooks = &w->hooks;
        w->sites[i]->has = HOOK_CALL;
    }
}

static void world_close(struct world *w) {
    loop_settle(w->loop);
    for (int i = 0; i < 2; i++) site_free(w->sites[i]);
    site_free(w->shared);
    map_fini(&w->core.namespaces);
    w->core.store->ops->close(w->core.store);
    metrics_free(w->core.metrics);
    log_free(w->core.log);
    loop_free(w->loop);
}

static struct handshake *some_handshake(void) {
    struct text t = {0};
    struct ip ip = {{0}};
    handshake_add(&t, SLICE(":path"), SLICE("/socket.io"));
    handshake_add(&t, SLICE(":query"), SLICE("EIO=3&a=1"));
    return handshake_new(&t, &ip);
}

static void say(struct fake *f, struct slice message) {
    bool binary = message.n && message.p[0] == 1;
    if (f->closing) return;
    session_received(&f->session, binary ? slice_from(message, 1) : message, binary);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world w;
    struct fake f = {.code = 0};
    struct slice rest = slice_make(data, size), message;
    if (size > 8192) return 0;
    world_open(&w);
    f.session.eio3 = size && data[0] % 2;
    session_open(&f.session, &ops, &w.shared->endpoints[0], some_handshake(), NULL);
    while (slice_next(&rest, 0, &message) && rest.p) {
        say(&f, message);
        if (message.n % 4 == 0) loop_settle(w.loop);
    }
    session_ended(&f.session, 1006, "lost");
    world_close(&w);
    return 0;
}
