/* SPDX-License-Identifier: MIT */
/* SockJS sessions without a script: requests over socket pairs, the raw dialect, hooks written in
 * C. */
#include "core/hooks.h"
#include "core/hub.h"
#include "net/net.h"
#include "store/memory.h"
#include "transport/sockjs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the world of one test ---- */

#define CLIENTS 4

struct world {
    struct loop *loop;
    struct net net;
    struct random random;
    struct core core;
    struct site_conf conf;
    struct endpoint_conf endpoint_conf;
    struct site *site;
    struct hooks hooks;
    struct timer guard;
    struct socket *socket; /* the last that connected */
    struct login *login;   /* the last that was asked for */
    size_t connected, disconnected;
    int code; /* of the last disconnect */
    bool close_at_once;
    int fds[CLIENTS];
    struct text got[CLIENTS];
};

/* Hooks find their world by the core. */
static struct world *world_of(const struct site *site) {
    return container_of(site->core, struct world, core);
}

static void on_connect(struct socket *s) {
    struct world *w = world_of(s->site);
    w->connected++;
    w->socket = s;
    if (w->close_at_once) socket_close(s, 3000, "Go away!");
}

static void on_disconnect(struct socket *s, int code, const char *reason) {
    struct world *w = world_of(s->site);
    (void)reason;
    w->disconnected++;
    w->code = code;
    w->socket = NULL;
}

static void on_message(struct socket *s, struct slice data, bool binary) {
    (void)binary;
    if (slice_is(data, "close")) {
        socket_close(s, 3001, "asked");
        return;
    }
    struct buf *text = buf_copy(data);
    socket_send(s, text);
    buf_unref(text);
}

static void on_login(struct login *l) { world_of(l->site)->login = l; }

static void on_guard(struct timer *t) { (void)t; }

static void handler(void *arg, struct request *r) {
    struct world *w = arg;
    sockjs_transport.serve(&w->site->endpoints[0], r, r->path);
}

static int setup(void **state) {
    struct world *w = mem_new(sizeof *w);
    w->loop = loop_new();
    limits_init(&w->conf.limits);
    w->core = (struct core){.loop = w->loop, .random = &w->random, .limits = &w->conf.limits};
    memcpy(w->core.node, "node-1", NODE_LENGTH);
    list_init(&w->core.sites);
    w->core.store = memory_store_new(&w->core, &hub_events);
    net_init(&w->net, w->loop, NULL, NULL, &w->random, &w->conf.limits);
    w->endpoint_conf = (struct endpoint_conf){.path = "/echo",
                                              .auth = AUTH_NONE,
                                              .max_message = 65536,
                                              .max_fragments = 64,
                                              .response_limit = 4096,
                                              .heartbeat_ms = 25000,
                                              .disconnect_delay_ms = 5000,
                                              .websocket = true,
                                              .protocols = "",
                                              .sockjs_url = "/sockjs.js"};
    w->conf.name = "test";
    w->conf.endpoints = &w->endpoint_conf;
    w->conf.endpoint_count = 1;
    w->site = site_new(&w->core, &w->conf);
    w->site->endpoints[0].dialect = &raw_dialect;
    w->hooks = no_hooks;
    w->hooks.connect = on_connect;
    w->hooks.disconnect = on_disconnect;
    w->hooks.message = on_message;
    w->hooks.login = on_login;
    w->site->hooks = &w->hooks;
    w->site->has = HOOK_CONNECT | HOOK_DISCONNECT | HOOK_MESSAGE | HOOK_LOGIN;
    sockjs_transport.open(&w->site->endpoints[0], &w->net);
    w->guard.fired = on_guard;
    for (int i = 0; i < CLIENTS; i++) w->fds[i] = -1;
    *state = w;
    return 0;
}

static void turns(struct world *w, int n) {
    while (n--) {
        timer_start(w->loop, &w->guard, 1);
        loop_turn(w->loop);
    }
}

static void hang_up(struct world *w, int client) {
    if (w->fds[client] >= 0) close(w->fds[client]);
    w->fds[client] = -1;
    text_fini(&w->got[client]);
}

static int teardown(void **state) {
    struct world *w = *state;
    for (int i = 0; i < CLIENTS; i++) hang_up(w, i);
    turns(w, 4);
    sockjs_transport.close(&w->site->endpoints[0]);
    timer_stop(w->loop, &w->guard);
    loop_settle(w->loop);
    assert_int_equal(w->connected, w->disconnected);
    site_free(w->site);
    w->core.store->ops->close(w->core.store);
    net_fini(&w->net);
    loop_free(w->loop);
    mem_free(w);
    return 0;
}

/* Writes bytes on the client's connection, a new one if it has none. */
static void client_write(struct world *w, int client, const char *bytes) {
    if (w->fds[client] < 0) {
        int pair[2];
        struct ip peer;
        assert_true(ip_parse(SLICE("203.0.113.9"), &peer));
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                         0);
        w->fds[client] = pair[0];
        http_accept(&w->net, pair[1], &peer, handler, w);
    }
    size_t n = strlen(bytes);
    assert_int_equal(write(w->fds[client], bytes, n), n);
}

static void request(struct world *w, int client, const char *method, const char *path,
                    const char *body) {
    struct text t = {0};
    text_format(&t, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s", method, path,
                strlen(body), body);
    text_char(&t, 0);
    client_write(w, client, text_slice(&t).p);
    text_fini(&t);
}

/* What has come for the client, from its last look on. */
static const char *output(struct world *w, int client) {
    char bytes[4096];
    struct text *got = &w->got[client];
    text_clear(got);
    turns(w, 5);
    for (ssize_t n; (n = read(w->fds[client], bytes, sizeof bytes)) > 0;)
        text_add(got, slice_make(bytes, (size_t)n));
    text_char(got, 0);
    return text_slice(got).p;
}

static void assert_answer(struct world *w, int client, int status, const char *body) {
    const char *text = output(w, client);
    char head[32];
    snprintf(head, sizeof head, "HTTP/1.1 %d ", status);
    assert_memory_equal(text, head, strlen(head));
    const char *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    assert_string_equal(end + 4, body);
}

static void assert_poll(struct world *w, int client, const char *path, const char *frame) {
    char body[256];
    request(w, client, "POST", path, "");
    snprintf(body, sizeof body, "%s\n", frame);
    assert_answer(w, client, 200, body);
}

static void assert_waits(struct world *w, int client) {
    assert_string_equal(output(w, client), "");
}

static void send_text(struct world *w, const char *text) {
    struct buf *b = buf_copy(slice_of(text));
    socket_send(w->socket, b);
    buf_unref(b);
}

/* Waits up to two seconds for the client to get something. */
static const char *await_output(struct world *w, int client) {
    uint64_t end = loop_now_ms(w->loop) + 2000;
    const char *text;
    do text = output(w, client);
    while (!*text && loop_now_ms(w->loop) < end);
    return text;
}

/* ---- sessions ---- */

static void opens_at_the_first_poll_and_answers_the_second(void **state) {
    struct world *w = *state;
    assert_poll(w, 0, "/0/s/xhr", "o");
    assert_int_equal(w->connected, 1);
    request(w, 1, "POST", "/0/s/xhr_send", "[\"x\",\"y\"]");
    assert_answer(w, 1, 204, "");
    assert_poll(w, 0, "/9/s/xhr", "a[\"x\",\"y\"]");
    request(w, 0, "POST", "/0/s/xhr", "");
    assert_waits(w, 0);
    assert_string_equal(socket_protocol(w->socket), "xhr-polling");
}

static void messages_of_a_turn_share_a_polling_answer(void **state) {
    struct world *w = *state;
    assert_poll(w, 0, "/0/s/xhr", "o");
    request(w, 0, "POST", "/0/s/xhr", "");
    assert_waits(w, 0);
    send_text(w, "1");
    send_text(w, "2");
    assert_answer(w, 0, 200, "a[\"1\",\"2\"]\n");
}

static void streams_each_message_as_a_chunk(void **state) {
    struct world *w = *state;
    request(w, 0, "POST", "/0/s/xhr_streaming", "");
    const char *text = output(w, 0);
    assert_non_null(strstr(text, "\r\n\r\n801\r\nhhhh"));
    assert_non_null(strstr(text, "h\n\r\n2\r\no\n\r\n"));
    send_text(w, "1");
    send_text(w, "2");
    assert_string_equal(output(w, 0), "7\r\na[\"1\"]\n\r\n7\r\na[\"2\"]\n\r\n");
    assert_string_equal(socket_protocol(w->socket), "xhr-streaming");
}

static void ends_a_stream_at_its_limit_and_goes_on_in_the_next(void **state) {
    struct world *w = *state;
    char big[4001];
    memset(big, 'x', 4000);
    big[4000] = 0;
    request(w, 0, "POST", "/0/s/xhr_streaming", "");
    output(w, 0);
    send_text(w, big);
    assert_null(strstr(output(w, 0), "\r\n0\r\n\r\n"));
    send_text(w, big);
    send_text(w, "late");
    assert_non_null(strstr(output(w, 0), "\r\n0\r\n\r\n"));
    assert_poll(w, 0, "/0/s/xhr", "a[\"late\"]");
    assert_int_equal(w->disconnected, 0);
}

static void refuses_a_second_receiver(void **state) {
    struct world *w = *state;
    assert_poll(w, 0, "/0/s/xhr", "o");
    request(w, 0, "POST", "/0/s/xhr", "");
    assert_waits(w, 0);
    assert_poll(w, 1, "/0/s/xhr", "c[2010,\"Another connection still open\"]");
    send_text(w, "x");
    assert_answer(w, 0, 200, "a[\"x\"]\n");
}

static void a_receiver_that_is_cut_ends_the_session(void **state) {
    struct world *w = *state;
    assert_poll(w, 0, "/0/s/xhr", "o");
    request(w, 0, "POST", "/0/s/xhr", "");
    assert_waits(w, 0);
    hang_up(w, 0);
    turns(w, 3);
    assert_int_equal(w->disconnected, 1);
    assert_int_equal(w->code, 1006);
    assert_poll(w, 1, "/0/s/xhr", "o");
}

static void repeats_the_close_frame_until_the_id_is_free(void **state) {
    struct world *w = *state;
    w->close_at_once = true;
    w->endpoint_conf.disconnect_delay_ms = 60;
    assert_poll(w, 0, "/0/s/xhr", "o");
    assert_int_equal(w->disconnected, 1);
    assert_int_equal(w->code, 3000);
    assert_poll(w, 0, "/0/s/xhr", "c[3000,\"Go away!\"]");
    assert_poll(w, 1, "/0/s/xhr", "c[3000,\"Go away!\"]");
    request(w, 2, "POST", "/0/s/xhr_send", "[\"x\"]");
    assert_answer(w, 2, 204, "");
    uint64_t end = loop_now_ms(w->loop) + 100;
    while (loop_now_ms(w->loop) < end) turns(w, 5);
    assert_poll(w, 0, "/0/s/xhr", "o");
}

static void a_stream_ends_with_the_close_frame(void **state) {
    struct world *w = *state;
    request(w, 0, "POST", "/0/s/xhr_streaming", "");
    output(w, 0);
    send_text(w, "last");
    socket_close(w->socket, 3000, "Go away!");
    assert_string_equal(output(w, 0),
                        "a\r\na[\"last\"]\n\r\n13\r\nc[3000,\"Go away!\"]\n\r\n0\r\n\r\n");
}

static void what_was_queued_goes_before_the_close_frame(void **state) {
    struct world *w = *state;
    assert_poll(w, 0, "/0/s/xhr", "o");
    send_text(w, "1");
    send_text(w, "2");
    socket_close(w->socket, 3000, "Go away!");
    assert_poll(w, 0, "/0/s/xhr", "a[\"1\",\"2\"]");
    assert_poll(w, 0, "/0/s/xhr", "c[3000,\"Go away!\"]");
}

static void a_slow_session_loses_what_was_queued(void **state) {
    struct world *w = *state;
    request(w, 0, "POST", "/0/s/xhr_streaming", "");
    output(w, 0);
    send_text(w, "lost");
    w->socket->session->ops->close(w->socket->session, 4503, "slow", true);
    assert_string_equal(output(w, 0), "");
    assert_poll(w, 1, "/0/s/xhr", "c[4503,\"slow\"]");
    assert_int_equal(w->code, 4503);
}

static void closes_when_too_much_is_queued(void **state) {
    struct world *w = *state;
    w->conf.limits.sockjs_queue_messages = 2;
    assert_poll(w, 0, "/0/s/xhr", "o");
    for (int i = 0; i < 4; i++)
        if (w->socket) send_text(w, "m");
    turns(w, 2);
    assert_int_equal(w->code, 1013);
    assert_poll(w, 0, "/0/s/xhr", "a[\"m\",\"m\"]");
    assert_poll(w, 0, "/0/s/xhr", "c[1013,\"Try again later\"]");
}

static void a_receiver_takes_more_than_the_queue_holds(void **state) {
    struct world *w = *state;
    w->conf.limits.sockjs_queue_messages = 2;
    request(w, 0, "POST", "/0/s/xhr_streaming", "");
    output(w, 0);
    for (int i = 0; i < 9; i++) send_text(w, "m");
    const char *text = output(w, 0);
    assert_int_equal(strlen(text), 9 * strlen("7\r\na[\"m\"]\n\r\n"));
    assert_int_equal(w->disconnected, 0);
}

static void beats_while_somebody_waits(void **state) {
    struct world *w = *state;
    w->endpoint_conf.heartbeat_ms = 30;
    assert_poll(w, 0, "/0/s/xhr", "o");
    request(w, 0, "POST", "/0/s/xhr", "");
    assert_non_null(strstr(await_output(w, 0), "\r\n\r\nh\n"));
    request(w, 0, "GET", "/0/t/eventsource", "");
    output(w, 0);
    assert_string_equal(await_output(w, 0), "b\r\ndata: h\r\n\r\n\r\n");
}

static void forgets_a_session_without_receiver(void **state) {
    struct world *w = *state;
    w->endpoint_conf.disconnect_delay_ms = 30;
    assert_poll(w, 0, "/0/s/xhr", "o");
    uint64_t end = loop_now_ms(w->loop) + 2000;
    while (!w->disconnected && loop_now_ms(w->loop) < end) turns(w, 1);
    assert_int_equal(w->code, 1006);
    request(w, 1, "POST", "/0/s/xhr_send", "[\"x\"]");
    assert_answer(w, 1, 404, "404 Error: Page not found\n");
}

static void drops_the_rest_of_a_body_after_a_close(void **state) {
    struct world *w = *state;
    assert_poll(w, 0, "/0/s/xhr", "o");
    request(w, 1, "POST", "/0/s/xhr_send", "[\"a\",\"close\",\"b\"]");
    assert_answer(w, 1, 204, "");
    assert_poll(w, 0, "/0/s/xhr", "a[\"a\"]");
    assert_poll(w, 0, "/0/s/xhr", "c[3001,\"asked\"]");
}

static void an_address_may_have_so_many_sessions_waiting(void **state) {
    struct world *w = *state;
    w->conf.limits.sockjs_sessions_per_ip = 2;
    assert_poll(w, 0, "/0/a/xhr", "o");
    assert_poll(w, 0, "/0/b/xhr", "o");
    request(w, 0, "POST", "/0/c/xhr", "");
    assert_memory_equal(output(w, 0), "HTTP/1.1 503 ", 13);
    request(w, 0, "POST", "/0/a/xhr", "");
    assert_waits(w, 0);
    assert_poll(w, 1, "/0/c/xhr", "o");
}

/* ---- requests that a script judges ---- */

static void holds_a_request_until_it_is_judged(void **state) {
    struct world *w = *state;
    w->endpoint_conf.auth = AUTH_REQUEST;
    request(w, 0, "POST", "/0/s/xhr", "");
    assert_waits(w, 0);
    assert_poll(w, 1, "/0/s/xhr", "c[2010,\"Another connection still open\"]");
    request(w, 2, "POST", "/0/s/xhr_send", "[\"x\"]");
    assert_answer(w, 2, 404, "404 Error: Page not found\n");
    w->login->auth = buf_copy(SLICE("{\"name\":\"ann\"}"));
    login_finish(w->login, LOGIN_ADMITTED);
    assert_answer(w, 0, 200, "o\n");
    assert_true(slice_is(buf_slice(w->socket->auth), "{\"name\":\"ann\"}"));
}

static void refuses_what_is_judged_so(void **state) {
    struct world *w = *state;
    w->endpoint_conf.auth = AUTH_REQUEST;
    request(w, 0, "POST", "/0/s/xhr_streaming", "");
    assert_waits(w, 0);
    login_finish(w->login, LOGIN_REFUSED);
    assert_memory_equal(output(w, 0), "HTTP/1.1 403 ", 13);
    request(w, 0, "POST", "/0/s/xhr", "");
    assert_waits(w, 0);
    login_finish(w->login, LOGIN_FAILED);
    assert_memory_equal(output(w, 0), "HTTP/1.1 503 ", 13);
    assert_int_equal(w->connected, 0);
}

static void nobody_waits_for_the_judgement_any_more(void **state) {
    struct world *w = *state;
    w->endpoint_conf.auth = AUTH_REQUEST;
    request(w, 0, "POST", "/0/s/xhr", "");
    assert_waits(w, 0);
    hang_up(w, 0);
    turns(w, 3);
    login_finish(w->login, LOGIN_ADMITTED);
    turns(w, 3);
    assert_int_equal(w->connected, 0);
}

/* ---- WebSocket ---- */

#define HANDSHAKE                                                                                  \
    " HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"            \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n"

/* Sends a short text frame with the mask 0. */
static void ws_write(struct world *w, int client, const char *text) {
    char frame[140] = {(char)0x81, (char)(0x80 | strlen(text))};
    size_t n = strlen(text);
    memcpy(frame + 6, text, n);
    assert_true(n < 126 && w->fds[client] >= 0);
    assert_int_equal(write(w->fds[client], frame, n + 6), n + 6);
}

static void speaks_frames_over_a_websocket(void **state) {
    struct world *w = *state;
    client_write(w, 0, "GET /0/s/websocket" HANDSHAKE);
    const char *text = output(w, 0);
    assert_memory_equal(text, "HTTP/1.1 101 ", 13);
    assert_string_equal(strstr(text, "\r\n\r\n") + 4, "\x81\x01o");
    ws_write(w, 0, "[\"x\",\"y\"]");
    assert_string_equal(output(w, 0), "\x81\x06"
                                      "a[\"x\"]\x81\x06"
                                      "a[\"y\"]");
    ws_write(w, 0, "\"bare\"");
    assert_string_equal(output(w, 0), "\x81\x09"
                                      "a[\"bare\"]");
    ws_write(w, 0, "\"close\"");
    assert_string_equal(output(w, 0), "\x81\x0f"
                                      "c[3001,\"asked\"]\x88\x10\x03\xe8Normal closure");
    hang_up(w, 0);
    turns(w, 3);
    assert_int_equal(w->code, 3001);
}

static void broken_frames_close_a_websocket(void **state) {
    struct world *w = *state;
    client_write(w, 0, "GET /0/s/websocket" HANDSHAKE);
    output(w, 0);
    ws_write(w, 0, "[\"a");
    assert_string_equal(output(w, 0), "\x88\x11\x0b\xb8"
                                      "Broken framing.");
    hang_up(w, 0);
    turns(w, 3);
    assert_int_equal(w->code, 3000);
}

static void the_raw_websocket_has_no_frames(void **state) {
    struct world *w = *state;
    client_write(w, 0, "GET /websocket" HANDSHAKE);
    const char *text = output(w, 0);
    assert_string_equal(strstr(text, "\r\n\r\n") + 4, "");
    ws_write(w, 0, "[\"x\"]");
    assert_string_equal(output(w, 0), "\x81\x05[\"x\"]");
    ws_write(w, 0, "close");
    assert_string_equal(output(w, 0), "\x88\x07\x0b\xb9"
                                      "asked");
}

static void a_websocket_waits_for_its_judgement_too(void **state) {
    struct world *w = *state;
    w->endpoint_conf.auth = AUTH_REQUEST;
    client_write(w, 0, "GET /0/s/websocket" HANDSHAKE);
    assert_waits(w, 0);
    w->login->auth = buf_copy(SLICE("{}"));
    login_finish(w->login, LOGIN_ADMITTED);
    assert_memory_equal(output(w, 0), "HTTP/1.1 101 ", 13);
    client_write(w, 1, "GET /websocket" HANDSHAKE);
    assert_waits(w, 1);
    login_finish(w->login, LOGIN_REFUSED);
    assert_memory_equal(output(w, 1), "HTTP/1.1 403 ", 13);
    client_write(w, 2, "GET /websocket" HANDSHAKE);
    assert_waits(w, 2);
    hang_up(w, 2);
    turns(w, 3);
    login_finish(w->login, LOGIN_ADMITTED);
    turns(w, 3);
    assert_int_equal(w->connected, 1);
}

#define SESSION_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        SESSION_TEST(opens_at_the_first_poll_and_answers_the_second),
        SESSION_TEST(messages_of_a_turn_share_a_polling_answer),
        SESSION_TEST(streams_each_message_as_a_chunk),
        SESSION_TEST(ends_a_stream_at_its_limit_and_goes_on_in_the_next),
        SESSION_TEST(refuses_a_second_receiver),
        SESSION_TEST(a_receiver_that_is_cut_ends_the_session),
        SESSION_TEST(repeats_the_close_frame_until_the_id_is_free),
        SESSION_TEST(a_stream_ends_with_the_close_frame),
        SESSION_TEST(what_was_queued_goes_before_the_close_frame),
        SESSION_TEST(a_slow_session_loses_what_was_queued),
        SESSION_TEST(closes_when_too_much_is_queued),
        SESSION_TEST(a_receiver_takes_more_than_the_queue_holds),
        SESSION_TEST(beats_while_somebody_waits),
        SESSION_TEST(forgets_a_session_without_receiver),
        SESSION_TEST(drops_the_rest_of_a_body_after_a_close),
        SESSION_TEST(an_address_may_have_so_many_sessions_waiting),
        SESSION_TEST(holds_a_request_until_it_is_judged),
        SESSION_TEST(refuses_what_is_judged_so),
        SESSION_TEST(nobody_waits_for_the_judgement_any_more),
        SESSION_TEST(speaks_frames_over_a_websocket),
        SESSION_TEST(broken_frames_close_a_websocket),
        SESSION_TEST(the_raw_websocket_has_no_frames),
        SESSION_TEST(a_websocket_waits_for_its_judgement_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
