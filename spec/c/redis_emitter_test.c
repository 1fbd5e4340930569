/* SPDX-License-Identifier: MIT */
/* What emitters publish: their channels, all shapes of their messages, and what is none. */
#include "store/redis_emitter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define BYTES(literal) {literal, sizeof(literal) - 1}

static void assert_slice(struct slice s, const char *expected) {
    assert_int_equal(s.n, strlen(expected));
    if (s.n) assert_memory_equal(s.p, expected, s.n);
}

static void a_pattern_takes_a_namespace_literally(void **state) {
    struct text t = {0};
    (void)state;
    redis_emitter_pattern(&t, SLICE("socket.io"), SLICE("/a*b?[c]\\"));
    assert_slice(text_slice(&t), "socket.io#/a\\*b\\?\\[c]\\\\#*");
    text_fini(&t);
}

static void a_channel_may_name_a_room(void **state) {
    static const struct {
        const char *channel, *ns, *room; /* room NULL: it is not the namespace's */
    } rows[] = {
        {"sio#/#", "/", ""},          {"sio#/chat#", "/chat", ""}, {"sio#/#r1#", "/", "r1"},
        {"sio#/chat#a#b#", "/chat", "a#b"}, {"sio#/a#b#", "/a#b", ""}, {"sio#/##", "/", NULL},
        {"sio#/#r1", "/", NULL},      {"sio#/", "/", NULL},        {"sio#/chat#", "/", NULL},
        {"sio#/chat", "/chat", NULL}, {"sio#emitter", "/", NULL},  {"sio-request#/#", "/", NULL},
        {"sio", "/", NULL},           {"", "/", NULL},             {"other#/#", "/", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice room;
        bool good = redis_emitter_room(slice_of(rows[i].channel), SLICE("sio"),
                                       slice_of(rows[i].ns), &room);
        if (good != (rows[i].room != NULL)) fail_msg("%s", rows[i].channel);
        if (good) assert_slice(room, rows[i].room);
    }
}

#define UID "\xa7" "emitter"
#define PACKET(data) "\x83\xa4type\x02\xa4" "data" data "\xa3nsp\xa1/"
#define EVENT PACKET("\x92\xa2" "ev\x01")
#define NO_OPTS "\x80"

static void reads_all_shapes(void **state) {
    static const struct {
        struct slice in;
        const char *ns, *room, *event, *args, *rooms, *except;
        bool is_volatile;
    } rows[] = {
        /* 5.x */
        {BYTES("\x93" UID EVENT "\x83\xa5rooms\x91\xa2r1\xa5" "flags\x80\xa6" "except\x90"), "/", "r1",
         "\"ev\"", "[1]", "[\"r1\"]", "[]", false},
        {BYTES("\x93" UID EVENT "\x83\xa5rooms\x90\xa5" "flags\x81\xa8volatile\xc3\xa6" "except\x92\xa1"
               "a\xa1" "b"), "/", "", "\"ev\"", "[1]", "[]", "[\"a\",\"b\"]", true},
        /* 3.x: without except */
        {BYTES("\x93" UID EVENT "\x82\xa5rooms\x92\xa1" "a\xa1" "b\xa5" "flags\x80"), "/", "", "\"ev\"",
         "[1]", "[\"a\",\"b\"]", "[]", false},
        /* 1.x: in the channel of each room */
        {BYTES("\x93" UID EVENT "\x82\xa5rooms\x92\xa1" "a\xa1" "b\xa5" "flags\x80"), "/", "a", "\"ev\"",
         "[1]", "[\"a\",\"b\"]", "[]", false},
        /* the first: two elements, and no namespace where it is the root's */
        {BYTES("\x92\x82\xa4type\x02\xa4" "data\x91\xa2" "ev" NO_OPTS), "/", "", "\"ev\"", "[]", "[]",
         "[]", false},
        {BYTES("\x93" UID "\x83\xa4type\x02\xa4" "data\x93\xa2" "ev\xc0\x90\xa3nsp\xa5/chat" NO_OPTS),
         "/chat", "", "\"ev\"", "[null,[]]", "[]", "[]", false},
        /* rooms that are numbers, and none at all */
        {BYTES("\x93" UID EVENT "\x81\xa5rooms\x91\x05"), "/", "5", "\"ev\"", "[1]", "[\"5\"]", "[]",
         false},
        {BYTES("\x93" UID EVENT "\x83\xa5rooms\xc0\xa6" "except\xc0\xa5" "flags\xc0"), "/", "", "\"ev\"",
         "[1]", "[]", "[]", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redis_emission r;
        enum redis_emission_verdict verdict =
            redis_emission_read(&r, rows[i].in, slice_of(rows[i].ns), slice_of(rows[i].room));
        if (verdict != REDIS_EMISSION_GOOD) fail_msg("row %zu", i);
        assert_slice(r.emission.event, rows[i].event);
        assert_slice(r.emission.args, rows[i].args);
        assert_slice(r.emission.rooms, rows[i].rooms);
        assert_slice(r.emission.except, rows[i].except);
        assert_int_equal(r.emission.is_volatile, rows[i].is_volatile);
        assert_int_equal(r.emission.attachments.count, 0);
        redis_emission_fini(&r);
    }
}

static void bytes_are_attachments(void **state) {
    static const char in[] = "\x93" UID "\x83\xa4type\x05\xa4" "data\x93\xa2" "ev\xc4\x02hi\x81\xa1x\xc4"
                             "\x00\xa3nsp\xa1/" NO_OPTS;
    struct redis_emission r;
    (void)state;
    assert_int_equal(
        redis_emission_read(&r, slice_make(in, sizeof in - 1), SLICE("/"), (struct slice){NULL, 0}),
        REDIS_EMISSION_GOOD);
    assert_slice(r.emission.args, "[{\"_placeholder\":true,\"num\":0},"
                                  "{\"x\":{\"_placeholder\":true,\"num\":1}}]");
    assert_int_equal(r.emission.attachments.count, 2);
    assert_slice(buf_slice(r.emission.attachments.list[0]), "hi");
    assert_slice(buf_slice(r.emission.attachments.list[1]), "");
    redis_emission_fini(&r);
}

static void leaves_out_what_is_not_for_us(void **state) {
    static const struct {
        struct slice in;
        const char *room, *why;
        enum redis_emission_verdict verdict;
    } rows[] = {
        {BYTES("\x93\xa6" "abcdef" EVENT NO_OPTS), "", "a server's", REDIS_EMISSION_FOREIGN},
        {BYTES("\x93" UID EVENT "\x81\xa5rooms\x92\xa1" "a\xa1" "b"), "b", "said for a already",
         REDIS_EMISSION_FOREIGN},
        {BYTES("\x93" UID EVENT NO_OPTS), "a", "a room's channel, but no rooms",
         REDIS_EMISSION_FOREIGN},
        {BYTES("\x93" UID PACKET("\x91\xaa" "disconnect") NO_OPTS), "", "reserved", REDIS_EMISSION_NONE},
        {BYTES("\x93" UID PACKET("\x91\x05") NO_OPTS), "", "a number as a name", REDIS_EMISSION_NONE},
        {BYTES("\x93" UID PACKET("\x90") NO_OPTS), "", "no name", REDIS_EMISSION_NONE},
        {BYTES("\x93" UID PACKET("\x80") NO_OPTS), "", "no array", REDIS_EMISSION_NONE},
        {BYTES("\x93" UID "\x83\xa4type\x03\xa4" "data\x91\xa2" "ev\xa3nsp\xa1/" NO_OPTS), "", "an ack",
         REDIS_EMISSION_NONE},
        {BYTES("\x93" UID "\x83\xa4type\x02\xa4" "data\x91\xa2" "ev\xa3nsp\xa2/x" NO_OPTS), "",
         "another namespace", REDIS_EMISSION_NONE},
        {BYTES("\x93" UID "\x83\xa4type\x02\xa4" "data\x91\xa2" "ev\xa3nsp\x05" NO_OPTS), "",
         "a namespace that is a number", REDIS_EMISSION_NONE},
        {BYTES("\x93" UID EVENT "\x81\xa5rooms\xa1" "a"), "", "rooms that are no list",
         REDIS_EMISSION_NONE},
        {BYTES("\x93" UID EVENT "\x81\xa5rooms\x91\x90"), "", "a room that is a list",
         REDIS_EMISSION_NONE},
        {BYTES("\x93" UID EVENT "\x81\xa6" "except\x91\xc0"), "", "null left out", REDIS_EMISSION_NONE},
        {BYTES("\x93" UID EVENT "\x82\xa5rooms\x90\xa5rooms\x91\xa1" "a"), "", "rooms twice",
         REDIS_EMISSION_NONE},
        {BYTES("\x92" UID EVENT), "", "no opts", REDIS_EMISSION_NONE},
        {BYTES("\x94" UID EVENT NO_OPTS "\xc0"), "", "four elements", REDIS_EMISSION_NONE},
        {BYTES("\x93" UID "\xc0" NO_OPTS), "", "no packet", REDIS_EMISSION_NONE},
        {BYTES("\x91" UID), "", "a uid only", REDIS_EMISSION_NONE},
        {BYTES("\x90"), "", "nothing", REDIS_EMISSION_NONE},
        {BYTES("\x80"), "", "no array", REDIS_EMISSION_NONE},
        {BYTES("[\"emitter\"]"), "", "JSON", REDIS_EMISSION_NONE},
        {BYTES(""), "", "no bytes", REDIS_EMISSION_NONE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redis_emission r;
        if (redis_emission_read(&r, rows[i].in, SLICE("/"), slice_of(rows[i].room)) !=
            rows[i].verdict)
            fail_msg("%s", rows[i].why);
        redis_emission_fini(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_takes_a_namespace_literally),
        cmocka_unit_test(a_channel_may_name_a_room),
        cmocka_unit_test(reads_all_shapes),
        cmocka_unit_test(bytes_are_attachments),
        cmocka_unit_test(leaves_out_what_is_not_for_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
