/* SPDX-License-Identifier: MIT */
#ifndef SPEC_C_QUEUE_RIG_H
#define SPEC_C_QUEUE_RIG_H

#include "base/json.h"
#include "core/queue.h"
#include "net/net.h"
#include "store/memory.h"
#include "store/redis.h"
#include "store/sqlite.h"

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A site over a store of any kind, asked as if its functions answered at once. Two nodes may be
 * over the same Redis, or one after the other over the same file. */

#define WAIT_MS 10000

enum store_kind { IN_MEMORY, IN_SQLITE, IN_REDIS, STORE_KINDS };
static const char *const store_names[STORE_KINDS] = {"memory", "sqlite", "redis"};

struct node {
    struct loop *loop;
    struct metrics *metrics;
    struct random random;
    struct net net;
    struct core core;
    struct limits limits;
    struct site_conf conf;
    struct site *site;
    struct timer alarm; /* wakes the loop */
    int status;         /* the last answer */
    bool answered;
    struct text data; /* and what came with it, a NUL behind it */
};

/* ---- redis-server ---- */

static pid_t redis_pid;
static int redis_port;

static inline int free_port(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    close(fd);
    return ntohs(at.sin_port);
}

/* It ends with this process, whatever becomes of that. */
static inline void redis_exec(int out, int port) {
    char text[16];
    snprintf(text, sizeof text, "%d", port);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, STDOUT_FILENO);
    execlp("redis-server", "redis-server", "--port", text, "--bind", "127.0.0.1", "--save", "",
           "--appendonly", "no", "--dir", "/tmp", (char *)NULL);
    _exit(127);
}

/* Whether it says that it serves, and not that somebody else has the port. */
static inline bool redis_launch(void) {
    int out[2];
    char line[512];
    bool ready = false;
    assert_int_equal(pipe(out), 0);
    redis_port = free_port();
    redis_pid = fork();
    assert_true(redis_pid >= 0);
    if (!redis_pid) redis_exec(out[1], redis_port);
    close(out[1]);
    FILE *said = fdopen(out[0], "r");
    while (!ready && fgets(line, sizeof line, said))
        ready = strstr(line, "Ready to accept connections");
    if (!ready) waitpid(redis_pid, NULL, 0);
    /* said stays open, so that the server may go on speaking */
    return ready;
}

static inline int redis_up(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++)
        if (redis_launch()) return 0;
    return -1;
}

static inline int redis_down(void **state) {
    (void)state;
    kill(redis_pid, SIGKILL);
    return waitpid(redis_pid, NULL, 0) == redis_pid ? 0 : -1;
}

/* A command, seen from outside; the caller frees the reply. */
static inline redisReply *redis_say(const char *format, ...) {
    va_list args;
    redisContext *c = redisConnect("127.0.0.1", redis_port);
    assert_true(c && !c->err);
    va_start(args, format);
    redisReply *reply = redisvCommand(c, format, args);
    va_end(args);
    assert_non_null(reply);
    redisFree(c);
    return reply;
}

static inline long long redis_number(const char *format, const char *word) {
    redisReply *reply = redis_say(format, word);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    long long n = reply->integer;
    freeReplyObject(reply);
    return n;
}

/* ---- a node ---- */

static inline void on_published(struct site *site, struct slice channel, struct buf *body,
                                const struct position *at) {
    (void)site, (void)channel, (void)body, (void)at;
}
static inline void on_control(struct site *site, struct slice name, struct buf *body) {
    (void)site, (void)name, (void)body;
}
static inline void on_emitted(struct site *site, const struct emission *e) { (void)site, (void)e; }
static inline void on_live(struct site *site, struct slice channel) { (void)site, (void)channel; }
static inline void on_away(struct core *core) { (void)core; }

static const struct store_events silent_events = {.published = on_published,
                                                  .control = on_control,
                                                  .emitted = on_emitted,
                                                  .live = on_live,
                                                  .away = on_away};

static inline void on_alarm(struct timer *t) { (void)t; }

/* One turn, which ends after 5 ms even if nothing happens. */
static inline void node_turn(struct node *n) {
    timer_start(n->loop, &n->alarm, 5);
    loop_turn(n->loop);
}

static inline struct store *redis_store_open(struct node *n) {
    char url[64];
    snprintf(url, sizeof url, "redis://127.0.0.1:%d/0", redis_port);
    struct store *st = redis_store_new(&n->core, &n->net, url, NULL, &silent_events);
    assert_non_null(st);
    for (uint64_t end = loop_now_ms(n->loop) + WAIT_MS; !redis_store_is_up(st); node_turn(n))
        assert_true(loop_now_ms(n->loop) < end);
    return st;
}

static inline struct store *sqlite_store_open(struct node *n, const char *path) {
    struct text error = {0};
    struct keeper *k = sqlite_keeper_new(&n->core, path, &error);
    assert_non_null(k);
    text_fini(&error);
    return local_store_new(&n->core, &silent_events, k);
}

/* name is the site's: one for each test keeps them apart where they share a Redis. path: of the
 * file, where there is one. */
static inline struct node *node_open(enum store_kind kind, char *name, const char *path,
                                     const struct limits *limits) {
    struct node *n = mem_new(sizeof *n);
    n->loop = loop_new();
    n->metrics = metrics_new();
    n->limits = *limits;
    n->alarm.fired = on_alarm;
    n->core = (struct core){
        .loop = n->loop, .metrics = n->metrics, .random = &n->random, .limits = &n->limits};
    random_name(&n->random, n->core.node, NODE_LENGTH);
    list_init(&n->core.sites);
    net_init(&n->net, n->loop, NULL, n->metrics, &n->random, &n->limits);
    n->conf.name = name;
    n->conf.limits = *limits;
    n->site = site_new(&n->core, &n->conf);
    n->core.store = kind == IN_REDIS    ? redis_store_open(n)
                    : kind == IN_SQLITE ? sqlite_store_open(n, path)
                                        : memory_store_new(&n->core, &silent_events);
    return n;
}

static inline void node_close(struct node *n) {
    timer_stop(n->loop, &n->alarm);
    n->core.store->ops->stop(n->core.store);
    loop_settle(n->loop);
    n->core.store->ops->close(n->core.store);
    site_free(n->site);
    loop_settle(n->loop);
    net_fini(&n->net);
    text_fini(&n->data);
    metrics_free(n->metrics);
    loop_free(n->loop);
    mem_free(n);
}

/* ---- asking ---- */

static inline void on_answer(void *arg, int status, struct buf *data) {
    struct node *n = arg;
    assert_false(n->answered);
    n->answered = true;
    n->status = status;
    text_add(&n->data, buf_slice(data));
    text_char(&n->data, 0);
}

static inline const struct queue_ops *ask(struct node *n) {
    n->answered = false;
    text_clear(&n->data);
    return n->core.store->ops->queue;
}

/* The status, once it has come; it does not come before the call has returned. */
static inline int answer(struct node *n) {
    assert_false(n->answered);
    for (uint64_t end = loop_now_ms(n->loop) + WAIT_MS; !n->answered; node_turn(n))
        assert_true(loop_now_ms(n->loop) < end);
    return n->status;
}

static inline const char *data_of(const struct node *n) { return text_slice(&n->data).p; }

#define ALL 1000000

static inline struct device device(const char *user, const char *name) {
    return (struct device){slice_of(user), slice_of(name)};
}

static inline int enter(struct node *n, const struct queue_bounds *b, const char *user,
                        const char *name, const char *rooms) {
    struct device d = device(user, name);
    ask(n)->enter(n->core.store, n->site, &d, slice_of(rooms), b, ALL, ALL, on_answer, n);
    return answer(n);
}

static inline int read_some(struct node *n, const char *user, const char *name, uint64_t after,
                            uint64_t limit, uint64_t bytes) {
    struct device d = device(user, name);
    ask(n)->read(n->core.store, n->site, &d, after, limit, bytes, on_answer, n);
    return answer(n);
}

static inline int touch(struct node *n, const struct queue_bounds *b, const char *user,
                        const char *name) {
    struct device d = device(user, name);
    ask(n)->touch(n->core.store, n->site, &d, 1, b, on_answer, n);
    return answer(n);
}

static inline int leave(struct node *n, const struct queue_bounds *b, const char *user,
                        const char *name) {
    struct device d = device(user, name);
    ask(n)->leave(n->core.store, n->site, &d, b, on_answer, n);
    return answer(n);
}

/* data is ["event",id]. */
static inline int push(struct node *n, const struct queue_bounds *b, uint64_t id, const char *rooms,
                       const char *event) {
    struct text data = {0};
    text_char(&data, '[');
    json_quote(&data, slice_of(event));
    text_format(&data, ",%llu]", (unsigned long long)id);
    struct queue_message m = {id, slice_of(rooms), slice_of(event), text_slice(&data)};
    ask(n)->push(n->core.store, n->site, &m, b, on_answer, n);
    text_fini(&data);
    return answer(n);
}

static inline int ack(struct node *n, const char *user, const char *name, const char *event,
                      uint64_t id, bool in_order) {
    struct device d = device(user, name);
    ask(n)->ack(n->core.store, n->site, &d, slice_of(event), id, in_order, on_answer, n);
    return answer(n);
}

static inline int ack_batch(struct node *n, const char *user, const char *name, const char *ids,
                            bool resync) {
    struct device d = device(user, name);
    ask(n)->ack_batch(n->core.store, n->site, &d, slice_of(ids), resync, on_answer, n);
    return answer(n);
}

/* ---- what was answered ---- */

/* Whom a push reached, sorted: "user_1/A user_2/B!", with a mark where its queue overflowed. */
static inline int by_text(const void *a, const void *b) { return strcmp(a, b); }

static inline const char *reached(const struct node *n) {
    static char all[2048];
    char each[32][128];
    size_t count = 0;
    struct slice rest = slice_of(data_of(n));
    struct json_value item;
    struct text user = {0}, name = {0};
    assert_true(rest.n >= 2);
    while (json_next(&rest, &item)) {
        struct slice u = json_string(json_member(item.raw, SLICE("user")).raw, &user);
        struct slice d = json_string(json_member(item.raw, SLICE("device")).raw, &name);
        bool over = json_member(item.raw, SLICE("overflow")).type == JSON_TRUE;
        assert_true(count < 32);
        snprintf(each[count++], sizeof *each, "%.*s/%.*s%s", (int)u.n, u.p, (int)d.n,
                 d.n ? d.p : "", over ? "!" : "");
    }
    text_fini(&user);
    text_fini(&name);
    qsort(each, count, sizeof *each, by_text);
    all[0] = 0;
    for (size_t i = 0; i < count; i++) {
        if (i) strcat(all, " ");
        strcat(all, each[i]);
    }
    return all;
}

/* Records as "1 2 3", after "resync" where that is to be told; each is what push made of its id. */
static inline const char *records(const struct node *n) {
    static char all[4096];
    size_t used = 0;
    struct slice rest = slice_of(data_of(n));
    struct json_value item;
    assert_true(rest.n >= 2);
    all[0] = 0;
    while (json_next(&rest, &item)) {
        bool mark = item.type == JSON_STRING;
        struct slice id = mark ? item.raw : json_member(item.raw, SLICE("id")).raw;
        id = slice_make(id.p + 1, id.n - 2);
        if (!mark) { /* data: [event,id] */
            struct slice data = json_member(item.raw, SLICE("data")).raw;
            assert_true(slice_ends(slice_upto(data, data.n - 1), id));
        }
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%.*s", used ? " " : "",
                                 (int)id.n, id.p);
        assert_true(used < sizeof all);
    }
    return all;
}

#define assert_queue(n, user, name, expected)                                                      \
    do {                                                                                           \
        assert_int_equal(read_some(n, user, name, 0, ALL, ALL), 0);                                \
        assert_string_equal(records(n), expected);                                                 \
    } while (0)

#define assert_push(n, b, id, rooms, event, expected)                                              \
    do {                                                                                           \
        assert_int_equal(push(n, b, id, rooms, event), 0);                                         \
        assert_string_equal(reached(n), expected);                                                 \
    } while (0)

#endif
