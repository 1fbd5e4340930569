/* SPDX-License-Identifier: MIT */
/* The load: one scenario against a server on this machine, measured for some seconds, printed as
 * one line of name=value. It says how fast it went and, above all, what CPU time the server's
 * threads had for each message, which other work on the machine hardly changes.
 *
 * Every message carries the time it was sent as "@" and 16 hex digits; the server is expected to
 * give that back exactly once (an echo, the uuid of a call, a published body), so messages are
 * counted and timed by looking for the mark, whatever the framing. */

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "client.h"
#include "measure.h"

#define WARM_UP_NS 300000000u
#define BODY_SIZE 64
#define SOCKETIO_PATH "/socket.io/?EIO=4&transport=websocket&deviceId=A"
#define BODY "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define API_KEY "bench-bench-bench-bench-bench-bench" /* of bench/conf */

struct options {
    const char *scenario, *path, *publish_path, *token_path;
    enum wire wire;
    int port, conns, flight, seconds, cpu;
    int publish_port; /* of another node; 0: the same */
    bool fresh; /* a new connection for every token, too */
    pid_t pid;
};

/* A message as bytes to send, and where in them the time stands. */
struct stamped {
    char bytes[1024];
    size_t size, mark;
};

struct run {
    struct options options;
    struct client client;
    struct stamped message;
    struct histogram latencies;
    struct peer *publisher;
    struct peer *http;
    char token[64];
    int missing; /* deliveries of the message that is out; answers of a set-up */
    bool measuring;
};

/* One connect after another: token, WebSocket, login, hang up. */
struct slot {
    struct run *run;
    struct peer *http, *ws;
    uint64_t started_ns;
};

/* ---- marks ---- */

static void mark_write(char *at, uint64_t value) {
    for (int i = 15; i >= 0; i--, value >>= 4) at[i] = "0123456789abcdef"[value & 15];
}

static uint64_t mark_read(const char *at) {
    uint64_t value = 0;
    for (int i = 0; i < 16; i++) {
        char c = at[i];
        value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return value;
}

static void stamped_make(struct stamped *m, enum wire wire, const char *text) {
    m->size = frame_make(wire, text, m->bytes, sizeof m->bytes);
    const char *at = memchr(m->bytes, '@', m->size);
    if (!at) die("a message without a mark");
    m->mark = (size_t)(at - m->bytes) + 1;
}

static void stamped_send(struct stamped *m, struct peer *p, uint64_t now) {
    mark_write(m->bytes + m->mark, now);
    peer_add(p, m->bytes, m->size);
}

/* How many messages the payload holds; their latencies are kept while we measure. */
static int marks_count(struct run *run, const char *payload, size_t size, uint64_t now) {
    int count = 0;
    const char *end = payload + size, *at;
    while ((at = memchr(payload, '@', (size_t)(end - payload))) && end - at > 16) {
        if (run->measuring) histogram_add(&run->latencies, now - mark_read(at + 1));
        payload = at + 17;
        count++;
    }
    return count;
}

static void body_make(char body[BODY_SIZE + 1], bool marked) {
    memset(body, 'x', BODY_SIZE);
    body[BODY_SIZE] = 0;
    if (marked) memcpy(body, "@0000000000000000", 17);
}

/* ---- measuring ---- */

static void run_measure(struct run *run) {
    uint64_t start = clock_ns() + WARM_UP_NS;
    while (clock_ns() < start) client_turn(&run->client, 50);
    uint64_t cpu = process_cpu_ns(run->options.pid), now;
    start = clock_ns();
    run->measuring = true;
    uint64_t end = start + (uint64_t)run->options.seconds * 1000000000u;
    while ((now = clock_ns()) < end) client_turn(&run->client, 50);
    cpu = process_cpu_ns(run->options.pid) - cpu;

    const struct histogram *h = &run->latencies;
    double seconds = (double)(now - start) / 1e9, count = (double)h->count;
    if (!h->count) die("no message came back");
    printf("messages=%" PRIu64 " seconds=%.2f rate=%.0f p50_us=%.1f p99_us=%.1f cpu_us=%.3f\n",
           h->count, seconds, count / seconds, histogram_us(h, 0.5), histogram_us(h, 0.99),
           (double)cpu / 1000 / count);
}

/* ---- set-up ---- */

static void token_came(struct peer *p, const char *payload, size_t size) {
    struct run *run = p->client->user;
    const char *at = memmem(payload, size, "\"token\":\"", 9);
    if (!at || size - (size_t)(at - payload) < 9 + 36) die("no token: %.*s", (int)size, payload);
    memcpy(run->token, at + 9, 36);
    run->token[36] = 0;
}

static bool has_token(enum wire wire) { return wire == WIRE_PLAIN || wire == WIRE_SOCKJS; }

/* A token, or NULL where the wire needs none. */
static const char *token_get(struct run *run) {
    if (run->options.wire == WIRE_SOCKETIO) return "/bench";
    if (!has_token(run->options.wire)) return NULL;
    run->client.message = token_came;
    run->token[0] = 0;
    if (!run->http) run->http = peer_open(&run->client, WIRE_HTTP, NULL, NULL);
    peer_say(run->http, run->options.token_path);
    peer_flush(run->http);
    while (!run->token[0]) client_turn(&run->client, 1000);
    return run->token;
}

/* A connection that went through all its handshakes. */
static struct peer *ready_peer(struct run *run, const char *path) {
    struct peer *p = peer_open(&run->client, run->options.wire, path, token_get(run));
    while (p->state != PEER_READY) client_turn(&run->client, 1000);
    return p;
}

/* ---- scenarios ---- */

static void echo_came(struct peer *p, const char *payload, size_t size) {
    struct run *run = p->client->user;
    uint64_t now = clock_ns();
    for (int n = marks_count(run, payload, size, now); n > 0; n--)
        stamped_send(&run->message, p, now);
}

/* Every connection has always so many messages under way: raw echoes, or calls of the controller.
 */
static void scenario_echo(struct run *run) {
    struct options *o = &run->options;
    char body[BODY_SIZE + 1], text[256];
    body_make(body, !has_token(o->wire));
    snprintf(text, sizeof text, "%s", body);
    if (o->wire == WIRE_SOCKETIO) snprintf(text, sizeof text, "42/bench,1[\"echo\",\"%s\"]", body);
    else if (o->wire != WIRE_RAW)
        snprintf(text, sizeof text,
                 "{\"rpc\":\"echo\",\"req\":\"%s\",\"uuid\":\"@0000000000000000\"}", body);
    stamped_make(&run->message, o->wire, text);

    struct peer **peers = calloc((size_t)o->conns, sizeof *peers);
    if (!peers) die("out of memory");
    for (int i = 0; i < o->conns; i++) peers[i] = ready_peer(run, o->path);
    run->client.message = echo_came;
    for (int i = 0; i < o->conns; i++) {
        for (int k = 0; k < o->flight; k++) stamped_send(&run->message, peers[i], clock_ns());
        peer_flush(peers[i]);
    }
    free(peers);
    run_measure(run);
}

static void delivery_came(struct peer *p, const char *payload, size_t size) {
    struct run *run = p->client->user;
    uint64_t now = clock_ns();
    run->missing -= marks_count(run, payload, size, now);
    if (run->missing > 0) return;
    run->missing = run->options.conns;
    stamped_send(&run->message, run->publisher, now);
    peer_flush(run->publisher);
}

static void subscribed_came(struct peer *p, const char *payload, size_t size) {
    struct run *run = p->client->user;
    if (!memmem(payload, size, "internal", 8) && !memmem(payload, size, "true", 4)) die("not subscribed: %.*s", (int)size, payload);
    run->missing--;
}

static void subscribe(struct run *run) {
    struct peer *p = ready_peer(run, run->options.path);
    if (run->options.wire == WIRE_RAW) return;
    run->missing = 1;
    run->client.message = subscribed_came;
    peer_say(p, run->options.wire == WIRE_SOCKETIO
                    ? "42/bench,1[\"join\",\"bench\"]"
                    : "{\"rpc\":\"_subscribe\",\"req\":{\"channel\":\"bench\"},\"uuid\":\"s\"}");
    peer_flush(p);
    while (run->missing) client_turn(&run->client, 1000);
}

/* One publisher; the next message goes out when every subscriber has this one. */
static void scenario_fanout(struct run *run) {
    struct options *o = &run->options;
    char body[BODY_SIZE + 1], text[256];
    body_make(body, true);
    snprintf(text, sizeof text, "%s", body);
    if (o->wire == WIRE_SOCKETIO) snprintf(text, sizeof text, "42/bench,[\"say\",\"%s\"]", body);
    else if (o->wire != WIRE_RAW)
        snprintf(
            text, sizeof text,
            "{\"rpc\":\"_publish\",\"req\":{\"channel\":\"bench\",\"data\":\"%s\"},\"uuid\":\"p\"}",
            body);
    stamped_make(&run->message, o->wire, text);
    for (int i = 0; i < o->conns; i++) subscribe(run);
    if (o->publish_port) run->client.port = o->publish_port;
    run->publisher = ready_peer(run, o->publish_path ? o->publish_path : o->path);
    run->client.port = o->port;
    run->client.message = delivery_came;
    run->missing = o->conns;
    stamped_send(&run->message, run->publisher, clock_ns());
    peer_flush(run->publisher);
    run_measure(run);
}

static void settle(struct run *run, uint64_t ns) {
    for (uint64_t end = clock_ns() + ns; clock_ns() < end;) client_turn(&run->client, 50);
}

/* What a connection that says nothing costs in the server's memory. */
static void scenario_idle(struct run *run) {
    struct options *o = &run->options;
    for (int i = 0; i < 100; i++) ready_peer(run, o->path); /* what is paid once */
    settle(run, 300000000);
    uint64_t before = process_rss(o->pid);
    for (int i = 0; i < o->conns; i++) ready_peer(run, o->path);
    settle(run, 1500000000);
    uint64_t after = process_rss(o->pid);
    printf("conns=%d before=%" PRIu64 " after=%" PRIu64 " bytes=%.0f\n", o->conns, before, after,
           ((double)after - (double)before) / o->conns);
}

static void slot_start(struct slot *slot) {
    struct run *run = slot->run;
    struct options *o = &run->options;
    slot->started_ns = clock_ns();
    if (!has_token(o->wire)) {
        slot->ws = peer_open(&run->client, o->wire, o->path, "/bench");
        slot->ws->user = slot;
        return;
    }
    if (!slot->http) {
        slot->http = peer_open(&run->client, WIRE_HTTP, NULL, NULL);
        slot->http->user = slot;
    }
    peer_say(slot->http, o->token_path);
    peer_flush(slot->http);
}

static void slot_token(struct peer *p, const char *payload, size_t size) {
    struct slot *slot = p->user;
    struct run *run = slot->run;
    if (p != slot->http) return;
    token_came(p, payload, size);
    slot->ws = peer_open(&run->client, run->options.wire, run->options.path, run->token);
    slot->ws->user = slot;
}

static void slot_ready(struct peer *p) {
    struct slot *slot = p->user;
    struct run *run = slot->run;
    if (run->measuring) histogram_add(&run->latencies, clock_ns() - slot->started_ns);
    peer_close(p);
    if (run->options.fresh && slot->http) {
        peer_close(slot->http);
        slot->http = NULL;
    }
    slot_start(slot);
}

/* Connects that come and go, so many at a time. */
static void scenario_connect(struct run *run) {
    struct slot *slots = calloc((size_t)run->options.conns, sizeof *slots);
    if (!slots) die("out of memory");
    run->client.ready = slot_ready;
    run->client.message = slot_token;
    for (int i = 0; i < run->options.conns; i++) {
        slots[i].run = run;
        slot_start(&slots[i]);
    }
    run_measure(run);
    free(slots);
}

/* A backend's POST /send, one after the other on each connection. */
struct sender {
    struct run *run;
    uint64_t sent_ns;
};

static void post(struct peer *p, struct sender *s) {
    static const char body[] = "{\"rooms\":[\"user_1\"],\"event\":\"news\",\"args\":[\"" BODY "\"]}";
    char request[512];
    int n = snprintf(request, sizeof request,
                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Api-Key: %s\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     s->run->options.path, p->client->port, API_KEY, sizeof body - 1, body);
    s->sent_ns = clock_ns();
    peer_add(p, request, (size_t)n);
}

static void post_answered(struct peer *p, const char *payload, size_t size) {
    struct sender *s = p->user;
    (void)payload, (void)size;
    if (!s) return;
    if (s->run->measuring) histogram_add(&s->run->latencies, clock_ns() - s->sent_ns);
    post(p, s);
}

static void scenario_send(struct run *run) {
    struct sender *senders = calloc((size_t)run->options.conns, sizeof *senders);
    if (!senders) die("out of memory");
    if (run->options.wire == WIRE_SOCKETIO) { /* a device that never acknowledges */
        struct peer *device = peer_open(&run->client, WIRE_SOCKETIO, SOCKETIO_PATH, "/users");
        while (device->state != PEER_READY) client_turn(&run->client, 1000);
    }
    run->client.message = post_answered;
    for (int i = 0; i < run->options.conns; i++) {
        struct peer *p = peer_open(&run->client, WIRE_HTTP, NULL, NULL);
        p->user = &senders[i];
        senders[i].run = run;
        post(p, &senders[i]);
        peer_flush(p);
    }
    run_measure(run);
    free(senders);
}

/* ---- the command line ---- */

static const struct {
    const char *name;
    void (*play)(struct run *run);
} scenarios[] = {
    {"idle", scenario_idle},
    {"echo", scenario_echo},
    {"fanout", scenario_fanout},
    {"connect", scenario_connect},
    {"send", scenario_send},
};

static enum wire wire_named(const char *name) {
    if (!strcmp(name, "raw")) return WIRE_RAW;
    if (!strcmp(name, "plain")) return WIRE_PLAIN;
    if (!strcmp(name, "sockjs")) return WIRE_SOCKJS;
    if (!strcmp(name, "socketio")) return WIRE_SOCKETIO;
    die("no wire %s: raw, plain, sockjs or socketio", name);
}

static const char usage[] =
    "load idle|echo|fanout|connect|send --port PORT --pid PID [--wire raw|plain|sockjs|socketio] [--path PATH]\n"
    "     [--publish-path PATH] [--token-path PATH] [--conns N] [--flight N] [--seconds N]\n"
    "     [--cpu N] [--fresh yes]";

static void option_read(struct options *o, const char *name, const char *value) {
    if (!strcmp(name, "--port"))
        o->port = atoi(value);
    else if (!strcmp(name, "--pid"))
        o->pid = atoi(value);
    else if (!strcmp(name, "--wire"))
        o->wire = wire_named(value);
    else if (!strcmp(name, "--path"))
        o->path = value;
    else if (!strcmp(name, "--publish-path"))
        o->publish_path = value;
    else if (!strcmp(name, "--publish-port"))
        o->publish_port = atoi(value);
    else if (!strcmp(name, "--token-path"))
        o->token_path = value;
    else if (!strcmp(name, "--conns"))
        o->conns = atoi(value);
    else if (!strcmp(name, "--flight"))
        o->flight = atoi(value);
    else if (!strcmp(name, "--seconds"))
        o->seconds = atoi(value);
    else if (!strcmp(name, "--cpu"))
        o->cpu = atoi(value);
    else if (!strcmp(name, "--fresh"))
        o->fresh = !strcmp(value, "yes");
    else
        die("unknown option %s\n%s", name, usage);
}

static void process_prepare(const struct options *o) {
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (o->cpu < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)o->cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0) die("--cpu %d: %s", o->cpu, strerror(errno));
}

int main(int argc, char **argv) {
    static struct run run; /* large, and all zero */
    struct options *o = &run.options;
    *o = (struct options){.path = "/echo",
                          .token_path = "/socket/token?user=bench",
                          .wire = WIRE_RAW,
                          .conns = 50,
                          .flight = 1,
                          .seconds = 2,
                          .cpu = -1};
    if (argc < 2 || argc % 2) die("%s", usage);
    o->scenario = argv[1];
    for (int i = 2; i < argc; i += 2) option_read(o, argv[i], argv[i + 1]);
    if (!o->port || !o->pid || o->conns < 1 || o->flight < 1 || o->seconds < 1) die("%s", usage);
    process_prepare(o);
    client_init(&run.client, o->port);
    run.client.user = &run;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (strcmp(o->scenario, scenarios[i].name) != 0) continue;
        scenarios[i].play(&run);
        return 0;
    }
    die("%s", usage);
}
