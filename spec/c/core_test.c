/* SPDX-License-Identifier: MIT */
/* The core over fakes: sessions that keep what is sent, hooks written in C, the memory store. */
#include "core/call.h"
#include "core/hooks.h"
#include "core/hub.h"
#include "core/token.h"
#include "store/memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- the world of one test ---- */

struct world {
    struct loop *loop;
    struct random random;
    struct core core;
    struct site_conf conf;
    struct endpoint_conf endpoint_conf;
    struct site *site;
    struct hooks hooks;
};

struct fake {
    struct session session;
    struct text sent; /* messages, each with a newline behind it */
    int closed;       /* the code */
    size_t backlog;
};

static size_t wraps; /* how often wrap ran; tests reset it */

static struct buf *fake_wrap(struct slice text) {
    struct text t = {0};
    wraps++;
    text_char(&t, '<');
    text_add(&t, text);
    text_char(&t, '>');
    return text_take(&t);
}

static void fake_send(struct session *s, struct buf *wire, bool binary) {
    struct fake *f = container_of(s, struct fake, session);
    (void)binary;
    text_add(&f->sent, buf_slice(wire));
    text_char(&f->sent, '\n');
}

static size_t fake_backlog(const struct session *s) {
    return container_of(s, struct fake, session)->backlog;
}

static void fake_close(struct session *s, int code, const char *reason, bool slow) {
    (void)reason;
    (void)slow;
    container_of(s, struct fake, session)->closed = code;
}

static const char *fake_protocol(const struct session *s) {
    (void)s;
    return "fake";
}

static const struct session_ops plain_ops = {
    .send = fake_send, .backlog = fake_backlog, .close = fake_close, .protocol = fake_protocol};
static const struct session_ops wrapped_ops = {.wrap = fake_wrap,
                                               .send = fake_send,
                                               .backlog = fake_backlog,
                                               .close = fake_close,
                                               .protocol = fake_protocol};

static int setup(void **state) {
    struct world *w = mem_new(sizeof *w);
    w->loop = loop_new();
    limits_init(&w->conf.limits);
    w->core = (struct core){.loop = w->loop, .random = &w->random, .limits = &w->conf.limits};
    memcpy(w->core.node, "node-1", NODE_LENGTH);
    list_init(&w->core.sites);
    w->core.store = memory_store_new(&w->core, &hub_events);
    w->endpoint_conf = (struct endpoint_conf){.path = "/s", .auth = AUTH_TOKEN};
    w->conf.name = "test";
    w->conf.endpoints = &w->endpoint_conf;
    w->conf.endpoint_count = 1;
    w->site = site_new(&w->core, &w->conf);
    w->site->endpoints[0].dialect = &token_dialect;
    w->hooks = no_hooks;
    w->site->hooks = &w->hooks;
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    loop_settle(w->loop);
    site_free(w->site);
    w->core.store->ops->close(w->core.store);
    loop_free(w->loop);
    mem_free(w);
    return 0;
}

static struct handshake *some_handshake(void) {
    struct text t = {0};
    struct ip ip = {{0}};
    handshake_add(&t, SLICE(":path"), SLICE("/s"));
    return handshake_new(&t, &ip);
}

static void open_with(struct world *w, struct fake *f, const struct session_ops *ops, const char *auth) {
    *f = (struct fake){.closed = 0};
    session_open(&f->session, ops, &w->site->endpoints[0], some_handshake(),
                 auth ? buf_copy(slice_of(auth)) : NULL);
}

static void open_authed(struct world *w, struct fake *f) { open_with(w, f, &plain_ops, "{}"); }

static void fake_end(struct fake *f) {
    session_ended(&f->session, 1006, "lost");
    text_fini(&f->sent);
}

static void say(struct fake *f, const char *text) {
    session_received(&f->session, slice_of(text), false);
}

/* What was sent since the last look. */
static void assert_sent(struct fake *f, const char *expected) {
    text_char(&f->sent, 0);
    assert_string_equal(text_slice(&f->sent).p, expected);
    text_clear(&f->sent);
}

/* ---- tokens ---- */

struct token_result {
    char token[64];
    int status, count;
};

static void note_token(void *arg, int status, const char *token) {
    struct token_result *r = arg;
    r->status = status;
    r->count++;
    if (token) strcpy(r->token, token);
}

static void note_taken(void *arg, int status, struct buf *auth) {
    struct token_result *r = arg;
    (void)auth;
    if (status == 0) r->count++;
    r->status = status;
}

static struct token_result issue(struct world *w, uint64_t ttl_ms) {
    struct token_result r = {.status = 1};
    struct buf *auth = buf_copy(SLICE("{\"name\":\"ann\"}"));
    assert_int_equal(token_issue(w->site, auth, NULL, ttl_ms, note_token, &r), 0);
    assert_int_equal(r.count, 0); /* never before it returns */
    buf_unref(auth);
    loop_settle(w->loop);
    assert_int_equal(r.status, 0);
    return r;
}

static void a_token_is_good_once(void **state) {
    struct world *w = *state;
    struct token_result issued = issue(w, 30000), taken = {.status = 1};
    assert_true(uuid_v4_valid(slice_of(issued.token)));
    for (int i = 0; i < 8; i++) token_take(w->site, slice_of(issued.token), note_taken, &taken);
    loop_settle(w->loop);
    assert_int_equal(taken.count, 1);
    assert_int_equal(taken.status, -ENOENT);
}

static void a_token_dies_with_its_time(void **state) {
    struct world *w = *state;
    struct token_result issued = issue(w, 1), taken = {0};
    uint64_t until = loop_now_ms(w->loop) + 2;
    while (loop_now_ms(w->loop) < until) loop_update_time(w->loop);
    token_take(w->site, slice_of(issued.token), note_taken, &taken);
    loop_settle(w->loop);
    assert_int_equal(taken.count, 0);
    assert_int_equal(taken.status, -ENOENT);
}

static void a_token_of_another_site_is_unknown(void **state) {
    struct world *w = *state;
    struct site_conf other_conf = w->conf;
    other_conf.name = "other";
    struct site *other = site_new(&w->core, &other_conf);
    struct token_result issued = issue(w, 30000), taken = {0};
    token_take(other, slice_of(issued.token), note_taken, &taken);
    loop_settle(w->loop);
    assert_int_equal(taken.status, -ENOENT);
    site_free(other);
}

static void auth_data_has_a_bound(void **state) {
    struct world *w = *state;
    struct buf *large = buf_new(w->site->limits->token_data + 1);
    assert_int_equal(token_issue(w->site, large, NULL, 1000, note_token, NULL), -E2BIG);
    buf_unref(large);
}

static void the_store_of_tokens_has_a_bound(void **state) {
    struct world *w = *state;
    struct token_result r = {0};
    struct buf *auth = buf_copy(SLICE("{}"));
    w->conf.limits.memory_tokens = 1;
    issue(w, 30000);
    assert_int_equal(token_issue(w->site, auth, NULL, 30000, note_token, &r), 0);
    loop_settle(w->loop);
    assert_int_equal(r.status, -ENOSPC);
    buf_unref(auth);
}

/* ---- the token dialect ---- */

static void a_good_token_lets_in(void **state) {
    struct world *w = *state;
    struct token_result issued = issue(w, 30000);
    struct fake f;
    char message[256], answer[256];
    open_with(w, &f, &plain_ops, NULL);
    snprintf(message, sizeof message, "{\"rpc\":\"auth\",\"token\":\"%s\",\"uuid\":\"u1\"}", issued.token);
    snprintf(answer, sizeof answer,
             "{\"rpc\":\"auth\",\"token\":\"%s\",\"uuid\":\"u1\",\"resp\":\"success\"}\n", issued.token);
    say(&f, message);
    loop_settle(w->loop);
    assert_sent(&f, answer);
    assert_true(slice_is(buf_slice(f.session.socket->auth), "{\"name\":\"ann\"}"));
    say(&f, message); /* who is in does not become somebody else */
    loop_settle(w->loop);
    snprintf(answer, sizeof answer,
             "{\"rpc\":\"auth\",\"token\":\"%s\",\"uuid\":\"u1\",\"error\":\"Forbidden\"}\n", issued.token);
    assert_sent(&f, answer);
    assert_int_equal(f.closed, 0);
    fake_end(&f);
}

static void what_is_no_token_closes(void **state) {
    static const struct {
        const char *message, *answer;
        int code;
    } cases[] = {
        {"{\"rpc\":\"auth\",\"token\":\"x53932aab-fbc1-4d14-9f1b-bb8a38dfaef4y\",\"uuid\":1}", "", 1000},
        {"{\"rpc\":\"auth\",\"token\":\"53932AAB-FBC1-4D14-9F1B-BB8A38DFAEF4\"}", "", 1000},
        {"{\"rpc\":\"auth\",\"token\":\"53932aab-fbc1-4d14-9f1b-bb8a38dfaef4\",\"uuid\":\"a\"}",
         "{\"rpc\":\"auth\",\"token\":\"53932aab-fbc1-4d14-9f1b-bb8a38dfaef4\",\"uuid\":\"a\","
         "\"error\":\"Token not found\"}\n", 1000},
        {"{\"rpc\":\"auth\",\"token\":5}", "{\"rpc\":\"auth\",\"token\":5,\"error\":\"Forbidden\"}\n", 1000},
        {"{\"rpc\":\"echo\",\"req\":[1],\"uuid\":\"a\"}",
         "{\"rpc\":\"echo\",\"req\":[1],\"uuid\":\"a\",\"error\":\"Forbidden\"}\n", 4401},
        {"null", "{\"error\":\"Forbidden\"}\n", 4401},
        {"{\"rpc\":\"auth\",\"token\":null}",
         "{\"rpc\":\"auth\",\"token\":null,\"error\":\"Forbidden\"}\n", 4401},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake f;
        open_with(w, &f, &plain_ops, NULL);
        say(&f, cases[i].message);
        loop_settle(w->loop);
        assert_sent(&f, cases[i].answer);
        assert_int_equal(f.closed, cases[i].code);
        fake_end(&f);
    }
}

static void odd_messages_are_answered(void **state) {
    static const struct {
        const char *message, *answer;
    } cases[] = {
        {"null", "{\"error\":\"Invalid request\"}\n"},
        {"[]", "{\"error\":\"Invalid request\"}\n"},
        {"5", "{\"error\":\"Invalid request\"}\n"},
        {"{\"uuid\":{\"a\":1}}", "{\"uuid\":{\"a\":1},\"error\":\"Invalid request\"}\n"},
        {"{\"rpc\":7,\"uuid\":\"a\"}", "{\"rpc\":7,\"uuid\":\"a\",\"error\":\"Invalid request\"}\n"},
        {"{\"rpc\":\"\",\"uuid\":\"a\"}", "{\"rpc\":\"\",\"uuid\":\"a\",\"error\":\"Invalid request\"}\n"},
        {"{\"rpc\":\"_publish\",\"uuid\":\"a\"}",
         "{\"rpc\":\"_publish\",\"uuid\":\"a\",\"error\":\"Invalid request\"}\n"},
        {"{\"rpc\":\"_publish\",\"req\":{\"channel\":\"c\"},\"uuid\":\"a\"}",
         "{\"rpc\":\"_publish\",\"uuid\":\"a\",\"error\":\"Invalid request\"}\n"},
        {"{\"rpc\":\"_subscribe\",\"req\":{\"channel\":{}},\"uuid\":\"a\"}",
         "{\"rpc\":\"_subscribe\",\"uuid\":\"a\",\"error\":\"Invalid request\"}\n"},
        {"{\"rpc\":\"_subscribe\",\"req\":{\"channel\":\"___all___\"},\"uuid\":\"a\"}",
         "{\"rpc\":\"_subscribe\",\"uuid\":\"a\",\"error\":\"Forbidden\"}\n"},
        {"{\"rpc\":\"_publish\",\"req\":{\"channel\":\"___sync___\",\"data\":1},\"uuid\":\"a\"}",
         "{\"rpc\":\"_publish\",\"uuid\":\"a\",\"error\":\"Forbidden\"}\n"},
        {"{\"rpc\":\"_subscribe\",\"req\":{\"channel\":\"a*\"},\"uuid\":\"a\"}",
         "{\"rpc\":\"_subscribe\",\"uuid\":\"a\",\"error\":\"bad_channel\"}\n"},
        {"{\"rpc\":\"nope\",\"uuid\":\"a\"}", "{\"rpc\":\"nope\",\"uuid\":\"a\",\"error\":\"Function not found\"}\n"},
        {"{\"rpc\":\"_ping\",\"req\":{},\"uuid\":\"a\"}",
         "{\"rpc\":\"_ping\",\"uuid\":\"a\",\"resp\":{\"message\":\"pong\"}}\n"},
        {"{\"rpc\":\"_rpc\",\"fid\":\"unknown\",\"resp\":{}}", ""},
        {"{\"rpc\":\"_rpc\",\"fid\":\"unknown\"}", "{\"rpc\":\"_rpc\",\"error\":\"Invalid request\"}\n"},
    };
    struct world *w = *state;
    struct fake f;
    open_authed(w, &f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        say(&f, cases[i].message);
        loop_settle(w->loop);
        assert_sent(&f, cases[i].answer);
        assert_int_equal(f.closed, 0);
    }
    fake_end(&f);
}

static void what_is_no_json_strikes(void **state) {
    struct world *w = *state;
    struct fake f;
    open_authed(w, &f);
    say(&f, "{");
    say(&f, "x");
    assert_sent(&f, "{\"error\":\"Invalid message\"}\n{\"error\":\"Invalid message\"}\n");
    assert_int_equal(f.closed, 0);
    say(&f, "");
    assert_int_equal(f.closed, 1008);
    fake_end(&f);
}

static void binary_is_not_for_this_dialect(void **state) {
    struct world *w = *state;
    struct fake f;
    open_authed(w, &f);
    session_received(&f.session, SLICE("{}"), true);
    assert_int_equal(f.closed, 1003);
    fake_end(&f);
}

static void who_does_not_authenticate_is_closed(void **state) {
    struct world *w = *state;
    struct fake f;
    w->conf.limits.unauth_timeout = 1;
    open_with(w, &f, &plain_ops, NULL);
    while (!f.closed) loop_turn(w->loop);
    assert_int_equal(f.closed, 4408);
    fake_end(&f);
}

static void a_user_has_so_many_sockets(void **state) {
    struct world *w = *state;
    struct token_result issued = issue(w, 30000);
    struct fake a, b, other, nobody;
    char message[256], answer[256];
    w->conf.user = "name";
    w->conf.limits.max_connections_per_user = 1;
    open_with(w, &a, &plain_ops, "{\"name\":\"ann\"}");
    open_with(w, &other, &plain_ops, "{\"name\":\"bob\"}");
    open_with(w, &nobody, &plain_ops, "{}");
    open_with(w, &b, &plain_ops, NULL);
    snprintf(message, sizeof message, "{\"rpc\":\"auth\",\"token\":\"%s\"}", issued.token);
    snprintf(answer, sizeof answer, "{\"rpc\":\"auth\",\"token\":\"%s\",\"error\":\"too_many\"}\n",
             issued.token);
    say(&b, message);
    loop_settle(w->loop);
    assert_sent(&b, answer);
    assert_int_equal(b.closed, 4409);
    assert_int_equal(a.closed + other.closed + nobody.closed, 0);
    fake_end(&b);
    fake_end(&a);
    open_with(w, &a, &plain_ops, "{\"name\":\"ann\"}"); /* there is room again */
    assert_int_equal(a.closed, 0);
    fake_end(&a);
    fake_end(&other);
    fake_end(&nobody);
    assert_int_equal(w->site->users.count, 0);
}

/* ---- channels ---- */

static void subscribe(struct fake *f, const char *channel) {
    char message[128];
    snprintf(message, sizeof message,
             "{\"rpc\":\"_subscribe\",\"req\":{\"channel\":\"%s\"},\"uuid\":\"s\"}", channel);
    say(f, message);
}

static void publish(struct fake *f, const char *channel, const char *data) {
    char message[256];
    snprintf(message, sizeof message,
             "{\"rpc\":\"_publish\",\"req\":{\"channel\":\"%s\",\"data\":%s},\"uuid\":\"p\"}", channel, data);
    say(f, message);
}

static void a_subscriber_gets_what_is_published_in_order(void **state) {
    struct world *w = *state;
    struct fake a, b;
    open_authed(w, &a);
    open_authed(w, &b);
    subscribe(&a, "c");
    assert_sent(&a, ""); /* not before it is live */
    loop_settle(w->loop);
    assert_sent(&a, "{\"internal\":true,\"command\":\"subscribe\",\"data\":{\"rpc\":\"_subscribe\","
                    "\"req\":{\"channel\":\"c\"},\"uuid\":\"s\",\"channel\":\"c\"}}\n");
    publish(&b, "c", "{\"n\": 1.50 }");
    publish(&b, "c", "[]");
    publish(&a, "c", "\"own\"");
    assert_sent(&a, ""); /* never inside the publishing call */
    loop_settle(w->loop);
    assert_sent(&a, "{\"channel\":\"c\",\"message\":{\"n\": 1.50 }}\n{\"channel\":\"c\",\"message\":[]}\n"
                    "{\"channel\":\"c\",\"message\":\"own\"}\n");
    assert_sent(&b, "");
    fake_end(&a);
    fake_end(&b);
    assert_int_equal(w->site->channels.count, 0);
}

static void subscribing_twice_delivers_once(void **state) {
    struct world *w = *state;
    struct fake f;
    open_authed(w, &f);
    subscribe(&f, "c");
    subscribe(&f, "c");
    loop_settle(w->loop);
    text_clear(&f.sent);
    publish(&f, "c", "1");
    loop_settle(w->loop);
    assert_sent(&f, "{\"channel\":\"c\",\"message\":1}\n");
    fake_end(&f);
}

static void a_message_is_encoded_once_for_each_form(void **state) {
    struct world *w = *state;
    struct fake plain[2], wrapped[5];
    for (int i = 0; i < 2; i++) open_with(w, &plain[i], &plain_ops, "{}");
    for (int i = 0; i < 5; i++) open_with(w, &wrapped[i], &wrapped_ops, "{}");
    for (int i = 0; i < 2; i++) subscribe(&plain[i], "c");
    for (int i = 0; i < 5; i++) subscribe(&wrapped[i], "c");
    loop_settle(w->loop);
    for (int i = 0; i < 5; i++) text_clear(&wrapped[i].sent);
    wraps = 0;
    publish(&plain[0], "c", "1");
    loop_settle(w->loop);
    assert_int_equal(wraps, 1);
    for (int i = 0; i < 5; i++) assert_sent(&wrapped[i], "<{\"channel\":\"c\",\"message\":1}>\n");
    for (int i = 0; i < 2; i++) fake_end(&plain[i]);
    for (int i = 0; i < 5; i++) fake_end(&wrapped[i]);
}

static void a_broadcast_comes_once_for_each_channel(void **state) {
    struct world *w = *state;
    struct fake two, none;
    open_authed(w, &two);
    open_authed(w, &none);
    subscribe(&two, "a");
    subscribe(&two, "b");
    loop_settle(w->loop);
    text_clear(&two.sent);
    say(&none, "{\"rpc\":\"_broadcast\",\"req\":{\"data\":7},\"uuid\":\"x\"}");
    loop_settle(w->loop);
    text_char(&two.sent, 0);
    assert_non_null(strstr(text_slice(&two.sent).p, "{\"channel\":\"a\",\"message\":7}\n"));
    assert_non_null(strstr(text_slice(&two.sent).p, "{\"channel\":\"b\",\"message\":7}\n"));
    assert_sent(&none, "");
    fake_end(&two);
    fake_end(&none);
}

static void unsubscribe_all_tells_everybody(void **state) {
    struct world *w = *state;
    struct fake a, b;
    open_authed(w, &a);
    open_authed(w, &b);
    subscribe(&a, "c");
    subscribe(&b, "c");
    loop_settle(w->loop);
    text_clear(&a.sent);
    text_clear(&b.sent);
    assert_int_equal(hub_unsubscribe_all(w->site, SLICE("c")), 0);
    loop_settle(w->loop);
    assert_sent(&a, "{\"internal\":true,\"command\":\"unsubscribe\",\"data\":{\"channel\":\"c\"}}\n");
    assert_sent(&b, "{\"internal\":true,\"command\":\"unsubscribe\",\"data\":{\"channel\":\"c\"}}\n");
    assert_int_equal(w->site->channels.count, 0);
    fake_end(&a);
    fake_end(&b);
}

/* A filter that ends the membership of the next reader while the channel is walked. */
static struct socket *victim;
static enum verdict leave_next(struct socket *s, const struct msg *m, struct buf **replacement) {
    (void)replacement;
    if (victim && s != victim) hub_unsubscribe(victim, m->channel);
    hub_unsubscribe(s, m->channel);
    return ALLOW;
}

static void leaving_during_delivery_is_safe(void **state) {
    struct world *w = *state;
    struct fake f[4];
    w->hooks.filter = leave_next;
    w->site->has = HOOK_FILTER;
    for (int i = 0; i < 4; i++) {
        open_authed(w, &f[i]);
        subscribe(&f[i], "c");
    }
    loop_settle(w->loop);
    for (int i = 0; i < 4; i++) text_clear(&f[i].sent);
    victim = f[1].session.socket;
    struct buf *body = buf_copy(SLICE("1"));
    hub_publish(w->site, SLICE("c"), body, NULL, NULL);
    buf_unref(body);
    loop_settle(w->loop);
    assert_sent(&f[0], "{\"channel\":\"c\",\"message\":1}\n");
    assert_sent(&f[1], "");
    assert_sent(&f[2], "{\"channel\":\"c\",\"message\":1}\n");
    assert_sent(&f[3], "{\"channel\":\"c\",\"message\":1}\n");
    assert_int_equal(w->site->channels.count, 0);
    for (int i = 0; i < 4; i++) fake_end(&f[i]);
    victim = NULL;
}

static enum verdict replace_for_one(struct socket *s, const struct msg *m, struct buf **replacement) {
    (void)m;
    if (s == victim) *replacement = buf_copy(SLICE("\"secret\""));
    return ALLOW;
}

static void a_filter_changes_the_message_of_one(void **state) {
    struct world *w = *state;
    struct fake a, b;
    w->hooks.filter = replace_for_one;
    w->site->has = HOOK_FILTER;
    open_authed(w, &a);
    open_authed(w, &b);
    subscribe(&a, "c");
    subscribe(&b, "c");
    loop_settle(w->loop);
    text_clear(&a.sent);
    text_clear(&b.sent);
    victim = a.session.socket;
    publish(&b, "c", "1");
    loop_settle(w->loop);
    assert_sent(&a, "{\"channel\":\"c\",\"message\":\"secret\"}\n");
    assert_sent(&b, "{\"channel\":\"c\",\"message\":1}\n");
    victim = NULL;
    fake_end(&a);
    fake_end(&b);
}

static void a_slow_reader_is_told_of_the_gap(void **state) {
    struct world *w = *state;
    struct fake f;
    w->conf.slow = SLOW_DROP;
    open_authed(w, &f);
    subscribe(&f, "c");
    loop_settle(w->loop);
    text_clear(&f.sent);
    f.backlog = w->conf.limits.send_buffer_soft + 1;
    publish(&f, "c", "1");
    loop_settle(w->loop);
    assert_sent(&f, "");
    f.backlog = 0;
    publish(&f, "c", "2");
    loop_settle(w->loop);
    assert_sent(&f, "{\"internal\":true,\"command\":\"gap\",\"data\":{\"channel\":\"c\"}}\n"
                    "{\"channel\":\"c\",\"message\":2}\n");
    fake_end(&f);
}

static void limits_of_channels_are_answered(void **state) {
    struct world *w = *state;
    struct fake f;
    w->conf.limits.subscriptions_per_socket = 1;
    w->conf.limits.publish_burst = 1;
    w->conf.limits.published_message = 4;
    open_authed(w, &f);
    subscribe(&f, "a");
    loop_settle(w->loop);
    text_clear(&f.sent);
    subscribe(&f, "b");
    loop_settle(w->loop);
    assert_sent(&f, "{\"rpc\":\"_subscribe\",\"uuid\":\"s\",\"error\":\"channel_limit\"}\n");
    publish(&f, "x", "12345");
    publish(&f, "x", "1");
    publish(&f, "x", "1");
    loop_settle(w->loop);
    assert_sent(&f, "{\"rpc\":\"_publish\",\"uuid\":\"p\",\"error\":\"too_big\"}\n"
                    "{\"rpc\":\"_publish\",\"uuid\":\"p\",\"error\":\"rate\"}\n");
    fake_end(&f);
}

/* ---- ops ---- */

static struct op *waiting[8];
static size_t waiting_count;
static enum verdict wait_always(struct op *op) {
    waiting[waiting_count++] = op;
    return WAIT;
}

static void ops_of_a_socket_take_effect_in_order(void **state) {
    struct world *w = *state;
    struct fake f;
    waiting_count = 0;
    w->hooks.authorize = wait_always;
    w->site->has = HOOK_SUBSCRIBE;
    open_authed(w, &f);
    subscribe(&f, "c");
    publish(&f, "c", "1"); /* needs nobody's permission, but waits for the subscribe before it */
    loop_settle(w->loop);
    assert_sent(&f, "");
    assert_int_equal(waiting_count, 1);
    op_decide(waiting[0], ALLOW, NULL);
    loop_settle(w->loop);
    text_char(&f.sent, 0);
    const char *joined = strstr(text_slice(&f.sent).p, "\"command\":\"subscribe\"");
    const char *message = strstr(text_slice(&f.sent).p, "\"message\":1");
    assert_non_null(joined);
    assert_non_null(message);
    assert_true(joined < message);
    fake_end(&f);
}

static void a_refused_op_tells_why(void **state) {
    struct world *w = *state;
    struct fake f;
    waiting_count = 0;
    w->hooks.authorize = wait_always;
    w->site->has = HOOK_SUBSCRIBE | HOOK_PUBLISH;
    open_authed(w, &f);
    subscribe(&f, "c");
    op_decide(waiting[0], DENY, buf_copy(SLICE("\"staff only\"")));
    assert_sent(&f, "{\"rpc\":\"_subscribe\",\"uuid\":\"s\",\"error\":\"staff only\"}\n");
    publish(&f, "c", "1");
    op_decide(waiting[1], DENY, NULL);
    assert_sent(&f, "{\"rpc\":\"_publish\",\"uuid\":\"p\",\"error\":\"Forbidden\"}\n");
    fake_end(&f);
}

static void an_op_outlives_its_socket(void **state) {
    struct world *w = *state;
    struct fake f;
    waiting_count = 0;
    w->hooks.authorize = wait_always;
    w->site->has = HOOK_SUBSCRIBE;
    open_authed(w, &f);
    subscribe(&f, "c");
    subscribe(&f, "d");
    fake_end(&f);
    op_decide(waiting[0], ALLOW, NULL);
    loop_settle(w->loop);
    assert_int_equal(waiting_count, 1); /* the second never started */
    assert_int_equal(w->site->channels.count, 0);
}

static void note_call(struct op *op) { waiting[waiting_count++] = op; }

static void a_call_is_answered_once(void **state) {
    struct world *w = *state;
    struct fake f;
    waiting_count = 0;
    w->hooks.call = note_call;
    w->site->has = HOOK_CALL;
    w->conf.limits.rpc_timeout = 1;
    open_authed(w, &f);
    say(&f, "{\"rpc\":\"a.b\",\"req\":{\"x\":1},\"uuid\":\"1\"}");
    say(&f, "{\"rpc\":\"c\",\"uuid\":\"2\"}");
    assert_true(slice_is(waiting[0]->name, "a.b"));
    assert_true(slice_is(waiting[0]->request, "{\"x\":1}"));
    op_reply(waiting[1], NULL);
    assert_sent(&f, "{\"rpc\":\"c\",\"uuid\":\"2\"}\n");
    while (!f.sent.n) loop_turn(w->loop);
    assert_sent(&f, "{\"rpc\":\"a.b\",\"uuid\":\"1\",\"error\":\"timeout\"}\n");
    op_reply(waiting[0], buf_copy(SLICE("1"))); /* too late */
    assert_sent(&f, "");
    assert_int_equal(w->site->running, 0);
    fake_end(&f);
}

static void too_many_calls_are_refused(void **state) {
    struct world *w = *state;
    struct fake f;
    waiting_count = 0;
    w->hooks.call = note_call;
    w->site->has = HOOK_CALL;
    w->conf.limits.rpc_concurrency = 1;
    open_authed(w, &f);
    say(&f, "{\"rpc\":\"a\",\"uuid\":\"1\"}");
    say(&f, "{\"rpc\":\"a\",\"uuid\":\"2\"}");
    assert_sent(&f, "{\"rpc\":\"a\",\"uuid\":\"2\",\"error\":\"overload\"}\n");
    op_reply(waiting[0], NULL);
    fake_end(&f);
}

/* ---- calls to clients ---- */

struct asked {
    struct call call;
    int count;
    enum call_status status;
    char value[64];
};

static void note_answer(struct call *c, enum call_status status, struct slice value) {
    struct asked *a = container_of(c, struct asked, call);
    a->count++;
    a->status = status;
    snprintf(a->value, sizeof a->value, "%.*s", (int)value.n, value.p);
}

static int ask(struct fake *f, struct asked *a, uint64_t timeout_ms) {
    *a = (struct asked){.call.done = note_answer};
    return call_start(&a->call, f->session.socket, buf_copy(SLICE("prompt")), buf_copy(SLICE("{}")),
                      timeout_ms);
}

static void answer_as(struct fake *f, const char *fid, const char *resp) {
    char message[256];
    snprintf(message, sizeof message, "{\"rpc\":\"_rpc\",\"fid\":\"%s\",\"resp\":%s}", fid, resp);
    say(f, message);
}

static void a_call_is_bound_to_its_socket(void **state) {
    struct world *w = *state;
    struct fake a, b;
    struct asked q;
    open_authed(w, &a);
    open_authed(w, &b);
    assert_int_equal(ask(&a, &q, 1000), 0);
    char fid[UUID_LENGTH + 1], expected[256];
    strcpy(fid, q.call.fid);
    snprintf(expected, sizeof expected,
             "{\"internal\":true,\"command\":\"rpc\",\"data\":{\"fid\":\"%s\",\"command\":\"prompt\","
             "\"args\":{}}}\n", fid);
    assert_sent(&a, expected);
    answer_as(&b, fid, "{\"data\":1}");
    assert_int_equal(q.count, 0);
    answer_as(&a, fid, "{\"data\":{\"n\":2}}");
    answer_as(&a, fid, "{\"data\":3}");
    assert_int_equal(q.count, 1);
    assert_int_equal(q.status, CALL_ANSWERED);
    assert_string_equal(q.value, "{\"n\":2}");
    fake_end(&a);
    fake_end(&b);
}

static void a_call_ends_by_error_clock_or_close(void **state) {
    struct world *w = *state;
    struct fake f;
    struct asked refused, late, closed;
    open_authed(w, &f);
    ask(&f, &refused, 1000);
    ask(&f, &late, 1);
    ask(&f, &closed, 1000);
    answer_as(&f, refused.call.fid, "{\"error\":\"no\"}");
    assert_int_equal(refused.status, CALL_REFUSED);
    assert_string_equal(refused.value, "\"no\"");
    while (!late.count) loop_turn(w->loop);
    assert_int_equal(late.status, CALL_TIMEOUT);
    struct socket *s = socket_ref(f.session.socket);
    fake_end(&f);
    assert_int_equal(closed.count, 1);
    assert_int_equal(closed.status, CALL_CLOSED);
    struct asked after = {.call.done = note_answer};
    assert_int_equal(call_start(&after.call, s, buf_copy(SLICE("x")), NULL, 10), -ENOTCONN);
    socket_unref(s);
}

/* ---- logins ---- */

static struct login *judging;
static void judge_later(struct login *l) { judging = l; }

struct asker {
    int count;
    enum login_outcome outcome;
};

static void note_login(struct login *l) {
    struct asker *a = l->asker;
    a->count++;
    a->outcome = l->outcome;
    login_free(l);
}

static void a_login_is_judged_after_the_call(void **state) {
    struct world *w = *state;
    struct asker a = {0};
    login_start(w->site, some_handshake(), true, note_login, &a); /* no_hooks refuse at once */
    assert_int_equal(a.count, 0);
    loop_settle(w->loop);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.outcome, LOGIN_REFUSED);
}

static void a_login_that_takes_too_long_fails_once(void **state) {
    struct world *w = *state;
    struct asker a = {0};
    w->hooks.login = judge_later;
    w->conf.limits.rpc_timeout = 1;
    login_start(w->site, some_handshake(), true, note_login, &a);
    while (!a.count) loop_turn(w->loop);
    assert_int_equal(a.outcome, LOGIN_FAILED);
    login_finish(judging, LOGIN_ADMITTED); /* nobody waits any more */
    loop_settle(w->loop);
    assert_int_equal(a.count, 1);
}

static void a_login_outlives_its_asker(void **state) {
    struct world *w = *state;
    struct asker a = {0};
    w->hooks.login = judge_later;
    struct login *l = login_start(w->site, some_handshake(), true, note_login, &a);
    l->asker = NULL;
    login_finish(judging, LOGIN_ADMITTED);
    loop_settle(w->loop);
    assert_int_equal(a.count, 0);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_token_is_good_once),
        T(a_token_dies_with_its_time),
        T(a_token_of_another_site_is_unknown),
        T(auth_data_has_a_bound),
        T(the_store_of_tokens_has_a_bound),
        T(a_good_token_lets_in),
        T(what_is_no_token_closes),
        T(odd_messages_are_answered),
        T(what_is_no_json_strikes),
        T(binary_is_not_for_this_dialect),
        T(who_does_not_authenticate_is_closed),
        T(a_user_has_so_many_sockets),
        T(a_subscriber_gets_what_is_published_in_order),
        T(subscribing_twice_delivers_once),
        T(a_message_is_encoded_once_for_each_form),
        T(a_broadcast_comes_once_for_each_channel),
        T(unsubscribe_all_tells_everybody),
        T(leaving_during_delivery_is_safe),
        T(a_filter_changes_the_message_of_one),
        T(a_slow_reader_is_told_of_the_gap),
        T(limits_of_channels_are_answered),
        T(ops_of_a_socket_take_effect_in_order),
        T(a_refused_op_tells_why),
        T(an_op_outlives_its_socket),
        T(a_call_is_answered_once),
        T(too_many_calls_are_refused),
        T(a_call_is_bound_to_its_socket),
        T(a_call_ends_by_error_clock_or_close),
        T(a_login_is_judged_after_the_call),
        T(a_login_that_takes_too_long_fails_once),
        T(a_login_outlives_its_asker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
