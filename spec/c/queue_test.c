/* SPDX-License-Identifier: MIT */
/* The queues of devices (core/queue.h): one table of cases for the stores in memory, in a file and
 * in Redis, and a few for what is one store's own. RELIABILITY.md P6 to P8. */
#include "queue_rig.h"

#include <errno.h>

/* ---- the world of one case ---- */

struct world {
    enum store_kind kind;
    char site[32];
    char path[64];
    struct limits limits;
    struct queue_bounds bounds;
    struct node *node;
};

static struct world *world_new(enum store_kind kind) {
    static unsigned serial;
    struct world *w = mem_new(sizeof *w);
    w->kind = kind;
    limits_init(&w->limits);
    snprintf(w->site, sizeof w->site, "site%u", ++serial);
    snprintf(w->path, sizeof w->path, "/tmp/moonlatch-queue-%d-%u", (int)getpid(), serial);
    w->bounds = (struct queue_bounds){.ttl_ms = 60000,
                                      .lease_ms = 60000,
                                      .messages = 1000,
                                      .bytes = 1048576,
                                      .devices = 8,
                                      .user_prefix = SLICE("user_"),
                                      .public_channel = SLICE("public")};
    return w;
}

static void world_open(struct world *w) {
    w->node = node_open(w->kind, w->site, w->path, &w->limits);
}

static void world_close(struct world *w) {
    if (w->node) node_close(w->node);
    w->node = NULL;
}

static void drop_file(const char *path, const char *end) {
    char name[96];
    snprintf(name, sizeof name, "%s%s", path, end);
    unlink(name);
}

static int setup(void **state) {
    struct world *w = world_new(*(const enum store_kind *)*state);
    world_open(w);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    world_close(w);
    drop_file(w->path, "");
    drop_file(w->path, "-wal");
    drop_file(w->path, "-shm");
    mem_free(w);
    return 0;
}

/* The world's node and bounds, as the cases name them. */
#define WORLD                                                                                      \
    struct world *w = *state;                                                                      \
    struct node *n = w->node;                                                                      \
    struct queue_bounds *b = &w->bounds

#define ONE "[\"user_1\"]"

/* Pushes ids first to last for user_1. */
static void push_all(struct node *n, const struct queue_bounds *b, uint64_t first, uint64_t last) {
    for (uint64_t id = first; id <= last; id++) assert_int_equal(push(n, b, id, ONE, "e"), 0);
}

/* Pushes until the room reaches nobody. */
static void await_nobody(struct node *n, const struct queue_bounds *b, const char *rooms) {
    uint64_t end = loop_now_ms(n->loop) + WAIT_MS;
    for (uint64_t id = 1000; push(n, b, id, rooms, "e") == 0 && *reached(n); id++) {
        assert_true(loop_now_ms(n->loop) < end);
        node_turn(n);
    }
    assert_int_equal(n->status, 0);
}

/* ---- order and reach ---- */

static void keeps_order_across_events(void **state) {
    WORLD;
    const uint64_t high = 7529730996619583488;
    assert_int_equal(enter(n, b, "user_1", "A", ONE), 0);
    assert_string_equal(data_of(n), "[]");
    push(n, b, 9, ONE, "b");
    push(n, b, 10, ONE, "a");
    push(n, b, high + 1, ONE, "b");
    push(n, b, high, ONE, "a"); /* another node's clock is behind */
    push(n, b, high + 2, ONE, "a:b");
    assert_int_equal(read_some(n, "user_1", "A", 0, ALL, ALL), 0);
    assert_string_equal(data_of(n),
                        "[{\"id\":\"9\",\"data\":[\"b\",9]},{\"id\":\"10\",\"data\":[\"a\",10]},"
                        "{\"id\":\"7529730996619583488\",\"data\":[\"a\",7529730996619583488]},"
                        "{\"id\":\"7529730996619583489\",\"data\":[\"b\",7529730996619583489]},"
                        "{\"id\":\"7529730996619583490\",\"data\":[\"a:b\",7529730996619583490]}]");
}

static void gives_on_entering_what_waits(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", ONE);
    push_all(n, b, 1, 3);
    leave(n, b, "user_1", "A");
    push_all(n, b, 4, 4);
    assert_int_equal(enter(n, b, "user_1", "A", ONE), 0);
    assert_string_equal(records(n), "1 2 3 4");
}

static void reads_so_many_from_where_it_is_told(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", ONE);
    push_all(n, b, 1, 12);
    read_some(n, "user_1", "A", 0, 2, ALL);
    assert_string_equal(records(n), "1 2");
    read_some(n, "user_1", "A", 8, 3, ALL);
    assert_string_equal(records(n), "9 10 11");
    read_some(n, "user_1", "A", 12, 3, ALL);
    assert_string_equal(records(n), "");
    read_some(n, "user_1", "A", 0, ALL, 1);
    assert_string_equal(records(n), "1"); /* one, however large */
}

static void reaches_each_device_once(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", "[\"user_1\",\"staff\",\"night\"]");
    enter(n, b, "user_1", "", "[\"user_1\",\"staff\",\"night\"]");
    enter(n, b, "user_2", "A", "[\"user_2\",\"night\"]");
    assert_push(n, b, 1, "[\"night\",\"user_1\",\"staff\",\"night\",\"user_1\"]", "e",
                "user_1/ user_1/A user_2/A");
    assert_queue(n, "user_1", "A", "1");
    assert_queue(n, "user_1", "", "1");
    assert_queue(n, "user_2", "A", "1");
}

static void knows_rooms_without_case(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", "[\"user_1\",\"Staff\",\"\xc3\x84\"]");
    assert_push(n, b, 1, "[\"sTAFF\"]", "e", "user_1/A");
    assert_push(n, b, 2, "[\"USER_1\"]", "e", "user_1/A"); /* a room that the user is in */
    assert_push(n, b, 3, "[\"\xc3\xa4\"]", "e", "");       /* as in ASCII */
    assert_push(n, b, 4, "[\"staf\",\"staff \",\"\",\"*\"]", "e", "");
}

static void knows_users_by_their_prefix_as_it_is(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", "[\"user_1\",\"user_9\"]");
    assert_push(n, b, 1, "[\"user_9\"]", "e", ""); /* a user, who is not there */
    assert_push(n, b, 2, "[\"user_\",\"user_11\"]", "e", "");
    b->user_prefix = SLICE("");
    assert_push(n, b, 3, "[\"user_9\"]", "e", "user_1/A"); /* a room like others */
}

static void has_a_public_channel(void **state) {
    WORLD;
    enter(n, b, "public", "A", "[\"public\",\"user_1\"]");
    enter(n, b, "public", "B", "[\"public\"]");
    enter(n, b, "user_1", "A", "[\"public\",\"user_1\"]");
    assert_push(n, b, 1, "[\"public\"]", "e", "public/A public/B");
    b->public_channel = SLICE("");
    enter(n, b, "user_2", "A", "[\"public\",\"user_2\"]");
    assert_push(n, b, 2, "[\"public\"]", "e", "public/A public/B user_1/A user_2/A");
}

static void takes_the_rooms_of_the_last_who_entered(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", "[\"user_1\",\"staff\"]");
    assert_push(n, b, 1, "[\"staff\"]", "e", "user_1/A");
    enter(n, b, "user_1", "B", "[\"user_1\",\"guests\"]");
    assert_push(n, b, 2, "[\"staff\"]", "e", "");
    assert_push(n, b, 3, "[\"guests\"]", "e", "user_1/A user_1/B");
}

static void reaches_nobody_without_an_error(void **state) {
    WORLD;
    assert_push(n, b, 1, "[\"user_1\",\"staff\"]", "e", "");
    assert_push(n, b, 2, "[]", "e", "");
    enter(n, b, "user_1", "A", ONE);
    assert_string_equal(records(n), ""); /* what came before it was known is not for it */
    assert_queue(n, "user_2", "A", "");
}

static void tells_names_apart(void **state) {
    WORLD;
    static const char *const names[] = {"",     ":",   "%3A", "%",          "*",
                                        "\"\\", "a:e", "a",   "\xc3\xa9 \n"};
    for (size_t i = 0; i < 9; i++) {
        b->devices = 9;
        enter(n, b, "user_1", names[i], ONE);
    }
    enter(n, b, "user_1:a", "", "[\"user_1:a\"]");
    enter(n, b, "user_", "1", "[\"user_\"]");
    push(n, b, 1, ONE, "e");
    push(n, b, 2, "[\"user_1:a\"]", "e"); /* against user_1's a, and :e */
    push(n, b, 3, ONE, "a::e");
    push(n, b, 4, "[\"user_\"]", "e");
    for (size_t i = 0; i < 9; i++) assert_queue(n, "user_1", names[i], "1 3");
    assert_queue(n, "user_1:a", "", "2");
    assert_queue(n, "user_", "1", "4");
}

/* ---- acknowledging ---- */

static void an_ack_removes_its_record(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", ONE);
    enter(n, b, "user_1", "B", ONE);
    push_all(n, b, 1, 11);
    assert_int_equal(ack(n, "user_1", "A", "e", 1, false), 0); /* and not 11 */
    assert_int_equal(ack(n, "user_1", "A", "e", 3, false), 0);
    assert_queue(n, "user_1", "A", "2 4 5 6 7 8 9 10 11");
    assert_queue(n, "user_1", "B", "1 2 3 4 5 6 7 8 9 10 11");
}

static void an_ack_of_what_is_gone_says_so(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", ONE);
    push_all(n, b, 1, 2);
    assert_int_equal(ack(n, "user_1", "A", "e", 1, false), 0);
    assert_int_equal(ack(n, "user_1", "A", "e", 1, false), -ENOENT);
    assert_int_equal(ack(n, "user_1", "A", "other", 2, false), -ENOENT);
    assert_int_equal(ack(n, "user_1", "Z", "e", 2, false), -ENOENT);
    assert_queue(n, "user_1", "A", "2");
}

static void an_ack_in_order_takes_the_oldest_of_its_event(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", ONE);
    push(n, b, 1, ONE, "other");
    push(n, b, 2, ONE, "e");
    push(n, b, 3, ONE, "e");
    assert_int_equal(ack(n, "user_1", "A", "e", 2, true), 0);
    assert_int_equal(ack(n, "user_1", "A", "e", 3, true), 0);
    assert_int_equal(ack(n, "user_1", "A", "other", 1, true), 0);
    assert_queue(n, "user_1", "A", "");
}

static void an_ack_out_of_order_clears_its_event_once(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", ONE);
    push(n, b, 1, ONE, "other");
    for (uint64_t id = 2; id <= 4; id++) push(n, b, id, ONE, "e");
    assert_int_equal(ack(n, "user_1", "A", "e", 3, true), 1);
    assert_queue(n, "user_1", "A", "1");
    push(n, b, 5, ONE, "e");
    assert_int_equal(ack(n, "user_1", "A", "e", 2, true), -ENOENT); /* it was cleared, and told */
    assert_int_equal(ack(n, "user_1", "A", "e", 4, true), -ENOENT);
    assert_queue(n, "user_1", "A", "1 5");
    assert_int_equal(ack(n, "user_1", "A", "e", 5, true), 0);
    assert_int_equal(ack(n, "user_1", "A", "e", 5, true), -ENOENT); /* by its other socket */
    assert_queue(n, "user_1", "A", "1");
}

static void an_ack_of_a_batch_removes_the_batch(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", ONE);
    push(n, b, 1, ONE, "a");
    push(n, b, 2, ONE, "b");
    push(n, b, 3, ONE, "a");
    push(n, b, 11, ONE, "a"); /* while the batch is out */
    push(n, b, 12, ONE, "c");
    assert_int_equal(ack_batch(n, "user_1", "A", "[\"1\",\"2\",\"3\",\"99\"]", false), 0);
    assert_queue(n, "user_1", "A", "11 12");
    assert_int_equal(ack_batch(n, "user_1", "A", "[]", false), 0);
    assert_int_equal(ack_batch(n, "user_1", "Z", "[\"11\"]", true), 0);
    assert_queue(n, "user_1", "A", "11 12");
}

/* ---- bounds ---- */

static void a_full_queue_becomes_one_resync(void **state) {
    WORLD;
    b->messages = 3;
    enter(n, b, "user_1", "A", ONE);
    push_all(n, b, 1, 1);
    enter(n, b, "user_1", "B", ONE);
    push_all(n, b, 2, 3);
    assert_push(n, b, 4, ONE, "e", "user_1/A! user_1/B");
    assert_queue(n, "user_1", "A", "resync");
    assert_queue(n, "user_1", "B", "2 3 4");
    push_all(n, b, 5, 5);
    assert_queue(n, "user_1", "A", "resync 5"); /* nothing older follows it */
    ack_batch(n, "user_1", "A", "[\"5\"]", false);
    assert_int_equal(enter(n, b, "user_1", "A", ONE), 0);
    assert_string_equal(records(n), "resync"); /* not told yet */
    ack_batch(n, "user_1", "A", "[]", true);
    assert_queue(n, "user_1", "A", "");
}

static void a_queue_has_so_many_bytes(void **state) {
    WORLD;
    b->bytes = 3 * strlen("[\"e\",1]");
    enter(n, b, "user_1", "A", ONE);
    push_all(n, b, 1, 3);
    assert_queue(n, "user_1", "A", "1 2 3");
    assert_push(n, b, 4, ONE, "e", "user_1/A!");
    assert_queue(n, "user_1", "A", "resync");
}

/* Every way out gives the room back, and none gives more. */
static void what_went_makes_room(void **state) {
    WORLD;
    b->messages = 3;
    b->bytes = 3 * strlen("[\"e\",1]");
    enter(n, b, "user_1", "A", ONE);
    push_all(n, b, 1, 3);
    ack(n, "user_1", "A", "e", 2, false);
    ack(n, "user_1", "A", "e", 2, false);
    assert_push(n, b, 4, ONE, "e", "user_1/A");
    ack_batch(n, "user_1", "A", "[\"1\",\"3\",\"3\"]", false);
    assert_push(n, b, 5, ONE, "e", "user_1/A");
    assert_push(n, b, 6, ONE, "e", "user_1/A");
    assert_int_equal(ack(n, "user_1", "A", "e", 6, true), 1);
    push_all(n, b, 7, 9);
    assert_queue(n, "user_1", "A", "7 8 9");
    assert_push(n, b, 1, ONE, "e", "user_1/A!");
    push_all(n, b, 2, 4);
    assert_queue(n, "user_1", "A", "resync 2 3 4");
    assert_push(n, b, 5, ONE, "e", "user_1/A!");
}

static void the_device_that_was_away_longest_goes(void **state) {
    WORLD;
    b->devices = 3;
    assert_int_equal(enter(n, b, "user_1", "A", ONE), 0);
    assert_int_equal(enter(n, b, "user_1", "B", ONE), 0);
    assert_int_equal(enter(n, b, "user_1", "C", ONE), 0);
    push_all(n, b, 1, 1);
    assert_int_equal(enter(n, b, "user_1", "A", ONE), 0); /* it is one of them */
    leave(n, b, "user_1", "B");
    assert_int_equal(enter(n, b, "user_1", "D", ONE), 1);
    assert_push(n, b, 2, ONE, "e", "user_1/A user_1/C user_1/D");
    assert_queue(n, "user_1", "A", "1 2");
    assert_int_equal(enter(n, b, "user_2", "B", "[\"user_2\"]"), 0); /* another user's count */
    leave(n, b, "user_1", "D");
    assert_int_equal(enter(n, b, "user_1", "B", ONE), 1);
    assert_string_equal(records(n), ""); /* what it had went with it */
}

/* A device that had to go does not come back at the cost of another's records. */
static void a_touch_takes_no_other_devices_place(void **state) {
    WORLD;
    b->devices = 2;
    enter(n, b, "user_1", "A", ONE);
    enter(n, b, "user_1", "B", ONE);
    leave(n, b, "user_1", "A");
    enter(n, b, "user_1", "C", ONE);
    push_all(n, b, 1, 1);
    assert_int_equal(touch(n, b, "user_1", "A"), 0);
    assert_push(n, b, 2, ONE, "e", "user_1/B user_1/C");
    assert_queue(n, "user_1", "B", "1 2");
    assert_queue(n, "user_1", "C", "1 2");
}

/* ---- time ---- */

static void a_device_that_left_is_forgotten_after_ttl(void **state) {
    WORLD;
    struct queue_bounds brief = *b;
    brief.ttl_ms = 100;
    enter(n, b, "user_1", "A", "[\"user_1\",\"staff\"]");
    push_all(n, b, 1, 2);
    uint64_t left_ms = loop_now_ms(n->loop);
    leave(n, &brief, "user_1", "A");
    assert_push(n, b, 3, ONE, "e", "user_1/A");
    await_nobody(n, b, ONE);
    loop_update_time(n->loop);
    assert_true(loop_now_ms(n->loop) - left_ms >= 100);
    assert_push(n, b, 2000, "[\"staff\"]", "e", "");
    assert_int_equal(leave(n, b, "user_1", "A"), 0);
    assert_int_equal(ack(n, "user_1", "A", "e", 1, false), -ENOENT);
    assert_int_equal(ack(n, "user_1", "A", "e", 1, true), 1); /* it does not know what it missed */
    assert_queue(n, "user_1", "A", "");
    enter(n, b, "user_1", "A", ONE);
    assert_string_equal(records(n), "");
}

/* Nobody need have swept. */
static void a_device_whose_time_is_over_is_gone_at_once(void **state) {
    WORLD;
    struct queue_bounds brief = *b;
    brief.ttl_ms = 0;
    b->devices = 1;
    enter(n, b, "user_1", "A", "[\"user_1\",\"staff\"]");
    push_all(n, b, 1, 1);
    leave(n, &brief, "user_1", "A");
    assert_queue(n, "user_1", "A", "");
    assert_int_equal(ack(n, "user_1", "A", "e", 1, false), -ENOENT);
    leave(n, b, "user_1", "A"); /* that does not bring it back */
    assert_push(n, b, 2, ONE, "e", "");
    assert_push(n, b, 3, "[\"staff\"]", "e", "");
    assert_int_equal(enter(n, b, "user_1", "B", ONE), 0); /* it is in nobody's way */
    leave(n, &brief, "user_1", "B");
    assert_int_equal(touch(n, b, "user_1", "A"), 0);
    assert_queue(n, "user_1", "A", "");
    assert_push(n, b, 4, ONE, "e", "user_1/A");
}

static void a_device_that_comes_back_in_time_stays(void **state) {
    WORLD;
    struct queue_bounds brief = *b;
    brief.ttl_ms = 100;
    enter(n, b, "user_1", "A", ONE);
    enter(n, b, "user_2", "A", "[\"user_2\"]");
    push_all(n, b, 1, 2);
    leave(n, &brief, "user_1", "A");
    leave(n, &brief, "user_2", "A");
    enter(n, b, "user_1", "A", ONE);
    await_nobody(n, b, "[\"user_2\"]");
    assert_queue(n, "user_1", "A", "1 2");
}

/* A node that died touches nobody. */
static void a_device_that_nobody_touches_has_left(void **state) {
    WORLD;
    struct queue_bounds brief = *b;
    brief.ttl_ms = brief.lease_ms = 100;
    enter(n, &brief, "user_1", "A", "[\"user_1\",\"staff\"]");
    enter(n, &brief, "user_2", "A", "[\"user_2\",\"staff\"]");
    uint64_t end = loop_now_ms(n->loop) + WAIT_MS, id = 1;
    do {
        assert_true(loop_now_ms(n->loop) < end);
        touch(n, b, "user_2", "A");
        node_turn(n);
        assert_int_equal(push(n, b, id++, "[\"staff\"]", "e"), 0);
    } while (strcmp(reached(n), "user_2/A"));
    assert_queue(n, "user_1", "A", "");
}

static void without_a_ttl_it_is_for_ever(void **state) {
    WORLD;
    struct queue_bounds brief = *b;
    b->ttl_ms = LIMIT_OFF;
    b->lease_ms = 1;
    brief.ttl_ms = 100;
    enter(n, b, "user_1", "A", ONE);
    enter(n, b, "user_1", "B", ONE);
    enter(n, b, "user_2", "A", "[\"user_2\"]");
    push_all(n, b, 1, 1);
    leave(n, b, "user_1", "A"); /* B has no lease any more either */
    leave(n, &brief, "user_2", "A");
    await_nobody(n, b, "[\"user_2\"]");
    assert_push(n, b, 2, ONE, "e", "user_1/A user_1/B");
    assert_queue(n, "user_1", "A", "1 2");
    assert_queue(n, "user_1", "B", "1 2");
}

/* Whoever was in a room and was forgotten is not in it when he comes back without it. */
static void a_user_who_was_forgotten_has_no_rooms_left(void **state) {
    WORLD;
    struct queue_bounds brief = *b;
    brief.ttl_ms = 50;
    enter(n, b, "user_1", "A", "[\"user_1\",\"staff\"]");
    leave(n, &brief, "user_1", "A");
    if (w->kind == IN_REDIS) {
        char key[64];
        snprintf(key, sizeof key, "moonlatch:{%s}:queue:rooms:user_1", w->site);
        assert_int_equal(redis_number("EXISTS %s", key), 1);
        while (redis_number("EXISTS %s", key)) node_turn(n);
    } else {
        await_nobody(n, b, ONE);
    }
    enter(n, b, "user_1", "A", ONE);
    assert_push(n, b, 1, "[\"staff\"]", "e", "");
    assert_push(n, b, 2, ONE, "e", "user_1/A");
}

/* ---- what is a store's own ---- */

static enum store_kind in_memory = IN_MEMORY, in_sqlite = IN_SQLITE, in_redis = IN_REDIS;

/* What the store has no room for is refused, for all devices, and harms nothing else. */
static void a_full_store_takes_all_or_nothing(void **state) {
    WORLD;
    static char large[20000];
    struct text data = {0};
    memset(large, 'x', sizeof large - 1);
    world_close(w);
    w->limits.memory_queues = w->limits.sqlite_size = 1048576;
    world_open(w);
    n = w->node;
    enter(n, b, "user_1", "A", ONE);
    enter(n, b, "user_1", "B", ONE);
    text_format(&data, "[\"e\",\"%s\"]", large);
    struct queue_message m = {0, SLICE(ONE), SLICE("e"), text_slice(&data)};
    int status = 0;
    while (!status) {
        m.id++;
        assert_true(m.id < 100);
        ask(n)->push(n->core.store, n->site, &m, b, on_answer, n);
        status = answer(n);
    }
    assert_true(status < 0);
    assert_true(m.id > 10);
    read_some(n, "user_1", "A", m.id - 1, ALL, ALL);
    assert_string_equal(data_of(n), "[]");
    read_some(n, "user_1", "B", m.id - 1, ALL, ALL);
    assert_string_equal(data_of(n), "[]");
    for (uint64_t id = 1; id < m.id; id++) {
        assert_int_equal(ack(n, "user_1", "A", "e", id, false), 0);
        assert_int_equal(ack(n, "user_1", "B", "e", id, false), 0);
    }
    assert_push(n, b, 1000, ONE, "e", "user_1/A user_1/B");
    text_fini(&data);
}

/* Opens, pushes ids without end, and writes a byte for each that was answered. */
static void push_for_ever(struct world *w, int out) {
    alarm(30);
    world_open(w);
    enter(w->node, &w->bounds, "user_1", "A", "[\"user_1\",\"staff\"]");
    for (uint64_t id = 1;; id++)
        if (push(w->node, &w->bounds, id, "[\"staff\"]", "e") || write(out, "1", 1) != 1) _exit(1);
}

static void what_was_answered_outlives_kill_9(void **state) {
    WORLD;
    int out[2];
    char byte;
    uint64_t answered = 0;
    node_close(n);
    w->node = NULL;
    b->messages = ALL;
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) push_for_ever(w, out[1]);
    close(out[1]);
    while (answered < 20 && read(out[0], &byte, 1) == 1) answered++;
    assert_int_equal(answered, 20);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    while (read(out[0], &byte, 1) == 1) answered++;
    close(out[0]);
    world_open(w);
    read_some(w->node, "user_1", "A", 0, answered, ALL);
    struct text expected = {0};
    for (uint64_t id = 1; id <= answered; id++)
        text_format(&expected, "%s{\"id\":\"%llu\",\"data\":[\"e\",%llu]}", id > 1 ? "," : "[",
                    (unsigned long long)id, (unsigned long long)id);
    text_str(&expected, "]");
    text_char(&expected, 0);
    assert_string_equal(data_of(w->node), text_slice(&expected).p);
    text_fini(&expected);
    assert_push(w->node, b, 100000, "[\"STAFF\"]", "e", "user_1/A"); /* rooms and devices as well */
}

static void two_nodes_see_the_same(void **state) {
    WORLD;
    struct node *m = node_open(IN_REDIS, w->site, w->path, &w->limits);
    enter(n, b, "user_1", "A", "[\"user_1\",\"staff\"]");
    enter(m, b, "user_1", "B", "[\"user_1\",\"staff\"]");
    assert_push(m, b, 1, "[\"staff\"]", "e", "user_1/A user_1/B");
    assert_push(n, b, 2, ONE, "e", "user_1/A user_1/B");
    assert_queue(m, "user_1", "A", "1 2");
    assert_int_equal(ack(m, "user_1", "A", "e", 1, true), 0);
    assert_int_equal(ack(n, "user_1", "A", "e", 1, true), -ENOENT);
    assert_queue(n, "user_1", "A", "2");
    leave(n, b, "user_1", "A");
    node_close(m); /* B's node goes without a word */
    assert_push(n, b, 3, ONE, "e", "user_1/A user_1/B");
    enter(n, b, "user_1", "B", ONE);
    assert_string_equal(records(n), "1 2 3");
}

/* Acks of two nodes at once: each record is taken once, and the first out of order is the last. */
static void two_nodes_clear_an_event_once(void **state) {
    WORLD;
    struct node *m = node_open(IN_REDIS, w->site, w->path, &w->limits);
    struct device d = device("user_1", "A");
    static const uint64_t ids[] = {1, 3, 2, 6, 4, 5};
    int statuses[3] = {0};
    enter(n, b, "user_1", "A", ONE);
    push_all(n, b, 1, 6);
    for (size_t i = 0; i < 6; i += 2) {
        ask(n)->ack(n->core.store, n->site, &d, SLICE("e"), ids[i], true, on_answer, n);
        ask(m)->ack(m->core.store, m->site, &d, SLICE("e"), ids[i + 1], true, on_answer, m);
        answer(n);
        answer(m);
        for (size_t k = 0; k < 2; k++) {
            int status = (k ? m : n)->status;
            statuses[status == -ENOENT ? 2 : status]++;
        }
    }
    assert_int_equal(statuses[1], 1);
    assert_true(statuses[2] >= 4); /* before 1, or after it, came 3 */
    assert_queue(n, "user_1", "A", "");
    node_close(m);
}

/* As the service of old had them (wire/socketio-webservice.md 4.3). */
static void lists_are_those_of_the_service_of_old(void **state) {
    WORLD;
    char key[64];
    enter(n, b, "user_7", "A", "[\"user_7\"]");
    push(n, b, 7529730996619583488, "[\"user_7\"]", "update_store");
    push(n, b, 7529730996619583489, "[\"user_7\"]", "update_store");
    snprintf(key, sizeof key, "/%s:socket.io:user_7:A:update_store", w->site);
    redisReply *list = redis_say("LRANGE %s 0 -1", key);
    assert_int_equal(list->elements, 2);
    assert_string_equal(list->element[0]->str,
                        "7529730996619583488:[\"update_store\",7529730996619583488]");
    assert_string_equal(list->element[1]->str,
                        "7529730996619583489:[\"update_store\",7529730996619583489]");
    freeReplyObject(list);
    /* lease and ttl, and a second for the keys */
    assert_in_range(redis_number("PTTL %s", key), 60000, 121000);
    b->ttl_ms = 5000;
    leave(n, b, "user_7", "A");
    assert_in_range(redis_number("PTTL %s", key), 1, 6000);
    b->ttl_ms = LIMIT_OFF;
    enter(n, b, "user_7", "A", "[\"user_7\"]");
    assert_int_equal(redis_number("PTTL %s", key), -1);
    ack_batch(n, "user_7", "A", "[\"7529730996619583488\",\"7529730996619583489\"]", false);
    assert_int_equal(redis_number("EXISTS %s", key), 0);
}

/* What the database holds of a site that nobody uses any more. */
static long long keys_of(const struct world *w) {
    char pattern[64];
    snprintf(pattern, sizeof pattern, "*%s[:}]*", w->site);
    redisReply *keys = redis_say("KEYS %s", pattern);
    long long count = (long long)keys->elements;
    freeReplyObject(keys);
    return count;
}

static void leaves_nothing_behind(void **state) {
    WORLD;
    struct queue_bounds brief = *b;
    brief.ttl_ms = 50;
    enter(n, b, "user_1", "A", "[\"user_1\"]");
    push_all(n, b, 1, 3);
    push(n, b, 4, ONE, "other");
    assert_true(keys_of(w) > 0);
    leave(n, &brief, "user_1", "A");
    uint64_t end = loop_now_ms(n->loop) + WAIT_MS;
    while (keys_of(w) > 1) { /* users:user_1 is looked after by the next push */
        assert_true(loop_now_ms(n->loop) < end);
        node_turn(n);
    }
    assert_int_equal(ack(n, "user_1", "A", "e", 1, true), 1);
    assert_int_equal(ack(n, "user_1", "A", "e", 1, false), -ENOENT);
    ack_batch(n, "user_1", "A", "[\"1\"]", true);
    leave(n, b, "user_1", "A");
    assert_queue(n, "user_1", "A", "");
    assert_push(n, b, 5, "[\"user_1\",\"USER_1\"]", "e", "");
    assert_int_equal(keys_of(w), 0);
}

static void scripts_that_were_thrown_away_come_back(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", ONE);
    freeReplyObject(redis_say("SCRIPT FLUSH"));
    assert_int_equal(push(n, b, 1, ONE, "e"), -ENOTCONN);
    assert_push(n, b, 2, ONE, "e", "user_1/A");
    assert_queue(n, "user_1", "A", "2"); /* what was refused was not kept */
}

static void a_full_redis_takes_nothing(void **state) {
    WORLD;
    enter(n, b, "user_1", "A", ONE);
    enter(n, b, "user_1", "B", ONE);
    freeReplyObject(redis_say("CONFIG SET maxmemory 1"));
    int status = push(n, b, 1, ONE, "e");
    freeReplyObject(redis_say("CONFIG SET maxmemory 0"));
    assert_int_equal(status, -ENOTCONN);
    assert_queue(n, "user_1", "A", "");
    assert_queue(n, "user_1", "B", "");
    assert_push(n, b, 2, ONE, "e", "user_1/A user_1/B");
}

static const struct CMUnitTest own[] = {
    {"memory: a_full_store_takes_all_or_nothing", a_full_store_takes_all_or_nothing, setup,
     teardown, &in_memory},
    {"sqlite: a_full_store_takes_all_or_nothing", a_full_store_takes_all_or_nothing, setup,
     teardown, &in_sqlite},
    {"sqlite: what_was_answered_outlives_kill_9", what_was_answered_outlives_kill_9, setup,
     teardown, &in_sqlite},
    {"redis: two_nodes_see_the_same", two_nodes_see_the_same, setup, teardown, &in_redis},
    {"redis: two_nodes_clear_an_event_once", two_nodes_clear_an_event_once, setup, teardown,
     &in_redis},
    {"redis: lists_are_those_of_the_service_of_old", lists_are_those_of_the_service_of_old, setup,
     teardown, &in_redis},
    {"redis: a_full_redis_takes_nothing", a_full_redis_takes_nothing, setup, teardown, &in_redis},
    {"redis: leaves_nothing_behind", leaves_nothing_behind, setup, teardown, &in_redis},
    {"redis: scripts_that_were_thrown_away_come_back", scripts_that_were_thrown_away_come_back,
     setup, teardown, &in_redis},
};

#define OWN (sizeof own / sizeof *own)

/* ---- the table ---- */

#define CASE(f)                                                                                    \
    { #f, f, setup, teardown, NULL }

static const struct CMUnitTest cases[] = {
    CASE(keeps_order_across_events),
    CASE(gives_on_entering_what_waits),
    CASE(reads_so_many_from_where_it_is_told),
    CASE(reaches_each_device_once),
    CASE(knows_rooms_without_case),
    CASE(knows_users_by_their_prefix_as_it_is),
    CASE(has_a_public_channel),
    CASE(takes_the_rooms_of_the_last_who_entered),
    CASE(reaches_nobody_without_an_error),
    CASE(tells_names_apart),
    CASE(an_ack_removes_its_record),
    CASE(an_ack_of_what_is_gone_says_so),
    CASE(an_ack_in_order_takes_the_oldest_of_its_event),
    CASE(an_ack_out_of_order_clears_its_event_once),
    CASE(an_ack_of_a_batch_removes_the_batch),
    CASE(a_full_queue_becomes_one_resync),
    CASE(a_queue_has_so_many_bytes),
    CASE(what_went_makes_room),
    CASE(the_device_that_was_away_longest_goes),
    CASE(a_touch_takes_no_other_devices_place),
    CASE(a_device_that_left_is_forgotten_after_ttl),
    CASE(a_device_whose_time_is_over_is_gone_at_once),
    CASE(a_device_that_comes_back_in_time_stays),
    CASE(a_device_that_nobody_touches_has_left),
    CASE(without_a_ttl_it_is_for_ever),
    CASE(a_user_who_was_forgotten_has_no_rooms_left),
};

#define CASES (sizeof cases / sizeof *cases)

/* cases for each store, then those of one. */
int main(void) {
    enum store_kind *kinds[STORE_KINDS] = {&in_memory, &in_sqlite, &in_redis};
    static char names[STORE_KINDS][CASES][80];
    struct CMUnitTest tests[STORE_KINDS * CASES + OWN];
    size_t n = 0;
    for (size_t kind = 0; kind < STORE_KINDS; kind++)
        for (size_t i = 0; i < CASES; i++) {
            snprintf(names[kind][i], sizeof names[kind][i], "%s: %s", store_names[kind],
                     cases[i].name);
            tests[n] = cases[i];
            tests[n].name = names[kind][i];
            tests[n++].initial_state = kinds[kind];
        }
    for (size_t i = 0; i < OWN; i++) tests[n++] = own[i];
    signal(SIGPIPE, SIG_IGN);
    alarm(120);
    return _cmocka_run_group_tests("queues", tests, n, redis_up, redis_down);
}
