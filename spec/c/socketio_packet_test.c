/* SPDX-License-Identifier: MIT */
/* The packets of Socket.IO and the word of emissions: what clients send, what is none, and what
 * comes back as it went. */
#include "core/emission.h"
#include "core/socketio_packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct json_limits limits = {32, 1000, 100, false};

static void assert_slice(struct slice s, const char *expected) {
    assert_int_equal(s.n, strlen(expected));
    if (s.n) assert_memory_equal(s.p, expected, s.n);
}

static void reads_what_clients_send(void **state) {
    static const struct {
        const char *text;
        enum sio_type type;
        uint32_t attachments;
        const char *ns, *query, *id, *data;
    } rows[] = {
        {"0", SIO_CONNECT, 0, "/", "", "", ""},
        {"0{\"token\":\"x\"}", SIO_CONNECT, 0, "/", "", "", "{\"token\":\"x\"}"},
        {"0/admin,", SIO_CONNECT, 0, "/admin", "", "", ""},
        {"0/admin", SIO_CONNECT, 0, "/admin", "", "", ""},
        {"0/admin,{\"a\":1}", SIO_CONNECT, 0, "/admin", "", "", "{\"a\":1}"},
        {"0/admin?token=x&y=1", SIO_CONNECT, 0, "/admin", "token=x&y=1", "", ""},
        {"0/admin?token=x,", SIO_CONNECT, 0, "/admin", "token=x", "", ""},
        {"1", SIO_DISCONNECT, 0, "/", "", "", ""},
        {"1/admin,", SIO_DISCONNECT, 0, "/admin", "", "", ""},
        {"2[\"ev\"]", SIO_EVENT, 0, "/", "", "", "[\"ev\"]"},
        {"2/admin,12[\"ev\",1]", SIO_EVENT, 0, "/admin", "", "12", "[\"ev\",1]"},
        {"20[7,null]", SIO_EVENT, 0, "/", "", "0", "[7,null]"},
        {"312[\"a\"]", SIO_ACK, 0, "/", "", "12", "[\"a\"]"},
        {"30[]", SIO_ACK, 0, "/", "", "0", "[]"},
        {"4/x,\"nope\"", SIO_CONNECT_ERROR, 0, "/x", "", "", "\"nope\""},
        {"52-[\"ev\",{\"_placeholder\":true,\"num\":0}]", SIO_BINARY_EVENT, 2, "/", "", "",
         "[\"ev\",{\"_placeholder\":true,\"num\":0}]"},
        {"50-[\"ev\"]", SIO_BINARY_EVENT, 0, "/", "", "", "[\"ev\"]"},
        {"61-/x,0[{\"_placeholder\":true,\"num\":0}]", SIO_BINARY_ACK, 1, "/x", "", "0",
         "[{\"_placeholder\":true,\"num\":0}]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sio_packet p;
        if (!sio_packet_read(&p, slice_of(rows[i].text), &limits)) fail_msg("%s", rows[i].text);
        assert_int_equal(p.type, rows[i].type);
        assert_int_equal(p.attachments, rows[i].attachments);
        assert_slice(p.ns, rows[i].ns);
        assert_slice(p.query, rows[i].query);
        assert_slice(p.id, rows[i].id);
        assert_slice(p.data.raw, rows[i].data);
    }
}

static void refuses_what_is_none(void **state) {
    static const char *const rows[] = {
        "",        "7",           "a",          "2",          "2[",         "2[]",
        "2{}",     "2\"ev\"",     "2[null]",    "2[{}]",      "2[\"connect\"]", "2[\"disconnect\"]",
        "2[\"disconnecting\"]", "2[\"connect_error\"]", "2[\"newListener\"]",
        "2[\"removeListener\"]", "2[\"conn\\u0065ct\"]",
        "0[]",     "0\"x\"",      "0null",      "0{\"a\"}",   "1{}",        "1/x,[]",
        "3[]",     "30",          "30{}",       "3x[]",       "4",          "4[]",
        "5[\"e\"]", "5-[\"e\"]",  "5x-[\"e\"]", "599999-[\"e\"]", "51[\"e\"]",
        "6[]",     "61-[]",       "212345678901234567[\"e\"]", "2[\"e\"]x"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sio_packet p;
        if (sio_packet_read(&p, slice_of(rows[i]), &limits)) fail_msg("%s", rows[i]);
    }
}

static void keeps_to_the_limits(void **state) {
    static const struct json_limits small = {2, 4, 1, false};
    struct sio_packet p;
    (void)state;
    assert_true(sio_packet_read(&p, SLICE("2[\"e\",[1]]"), &small));
    assert_false(sio_packet_read(&p, SLICE("2[\"e\",[[1]]]"), &small));
    assert_false(sio_packet_read(&p, SLICE("2[\"e\",1,2,3]"), &small));
    assert_false(sio_packet_read(&p, SLICE("2[\"e\",{\"a\":1,\"b\":2}]"), &small));
}

static void names_events(void **state) {
    struct slice rest;
    struct json_value argument;
    struct text room = {0};
    (void)state;
    assert_slice(sio_event_name(SLICE("[ \"a\\u00e9\" , 1 ]"), &rest, &room), "a\xc3\xa9");
    assert_true(json_next(&rest, &argument));
    assert_slice(argument.raw, "1");
    assert_false(json_next(&rest, &argument));
    assert_slice(sio_event_name(SLICE("[12]"), &rest, &room), "12");
    text_fini(&room);
}

static void writes_heads(void **state) {
    struct text t = {0};
    (void)state;
    sio_head(&t, SIO_EVENT, 0, SLICE("/"), (struct slice){NULL, 0});
    sio_head(&t, SIO_ACK, 0, SLICE("/chat"), SLICE("7"));
    sio_head(&t, SIO_BINARY_EVENT, 3, SLICE("/"), (struct slice){NULL, 0});
    sio_head(&t, SIO_BINARY_ACK, 1, SLICE("/chat"), SLICE("0"));
    assert_slice(text_slice(&t), "23/chat,753-61-/chat,0");
    text_fini(&t);
}

/* ---- emissions ---- */

static void emissions_come_back_as_they_went(void **state) {
    struct emission e = {.rooms = SLICE("[\"a\",\"b\"]"),
                         .except = SLICE("[\"c\"]"),
                         .event = SLICE("\"news\""),
                         .args = SLICE("[1,{\"_placeholder\":true,\"num\":0}]"),
                         .is_volatile = true};
    struct emission back;
    (void)state;
    attachments_add(&e.attachments, buf_copy(SLICE("\0:\xff")));
    attachments_add(&e.attachments, buf_copy(SLICE("")));
    struct buf *word = emission_write(&e);
    assert_true(emission_read(&back, buf_slice(word)));
    assert_slice(back.rooms, "[\"a\",\"b\"]");
    assert_slice(back.except, "[\"c\"]");
    assert_slice(back.event, "\"news\"");
    assert_slice(back.args, "[1,{\"_placeholder\":true,\"num\":0}]");
    assert_true(back.is_volatile);
    assert_int_equal(back.attachments.count, 2);
    assert_int_equal(back.attachments.list[0]->n, 3);
    assert_memory_equal(back.attachments.list[0]->data, "\0:\xff", 3);
    assert_int_equal(back.attachments.list[1]->n, 0);
    for (size_t n = 0; n < word->n; n++) { /* a part of it is none */
        struct emission part;
        assert_false(emission_read(&part, slice_upto(buf_slice(word), n)));
    }
    attachments_fini(&back.attachments);
    attachments_fini(&e.attachments);
    buf_unref(word);
}

static void refuses_words_that_are_none(void **state) {
    static const char *const rows[] = {
        "",
        "{}",
        "[]",
        "{\"event\":1,\"args\":[]}",
        "{\"event\":\"e\",\"args\":{}}",
        "{\"event\":\"e\",\"args\":[],\"rooms\":\"r\"}",
        "{\"event\":\"e\",\"args\":[],\"except\":{}}",
        "{\"event\":\"e\",\"args\":[],\"bytes\":\"YQ==\"}",
        "{\"event\":\"e\",\"args\":[],\"bytes\":[1]}",
        "{\"event\":\"e\",\"args\":[],\"bytes\":[\"YQ==\",\"?\"]}"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct emission e;
        if (emission_read(&e, slice_of(rows[i]))) fail_msg("%s", rows[i]);
    }
    struct emission good;
    assert_true(emission_read(&good, SLICE("{\"event\":\"e\",\"args\":[]}")));
    assert_int_equal(good.rooms.n, 0);
}

#define T(name) cmocka_unit_test(name)

int main(void) {
    static const struct CMUnitTest tests[] = {
        T(reads_what_clients_send),
        T(refuses_what_is_none),
        T(keeps_to_the_limits),
        T(names_events),
        T(writes_heads),
        T(emissions_come_back_as_they_went),
        T(refuses_words_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
