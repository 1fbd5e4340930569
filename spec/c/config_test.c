/* SPDX-License-Identifier: MIT */
#include "config/config.h"
#include "config/checks.h"
#include "config/keys.h"
#include "config/socket_path.h"
#include "script/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- conf files as plain values ---- */

static struct conf_value *read_text(const char *source, const char *expected) {
    struct text errors = {0};
    struct conf_value *v = conf_read_text("x.lua", slice_of(source), &errors);
    text_char(&errors, 0);
    assert_string_equal(text_slice(&errors).p, expected);
    text_fini(&errors);
    return v;
}

static void refuses(const char *source, const char *error) {
    assert_null(read_text(source, error));
}

/* The value under a path such as "a.b.2", whose line must be this. */
static const struct conf_value *at(const struct conf_value *v, const char *path, int line) {
    struct slice rest = slice_of(path), part;
    while (slice_next(&rest, '.', &part)) {
        uint64_t index;
        char *key = slice_cstr(part);
        if (slice_u64(part, &index)) {
            const struct list *link = v->items.next;
            while (--index)
                link = link->next;
            v = container_of(link, struct conf_value, link);
        } else {
            v = conf_get(v, key);
        }
        mem_free(key);
        assert_non_null(v);
    }
    assert_int_equal(v->line, line);
    return v;
}

static void a_conf_is_read_with_types_and_lines(void **state) {
    (void)state;
    struct conf_value *v = read_text("local n = 2 -- { a = 1, a = 1 }\n"
                                     "return {\n"
                                     "  b = true, i = n * 4,\n"
                                     "  d = 0.5,\n"
                                     "  s = [==[\n]]x]==], [\"long key\"] =\n 'it\\'s',\n"
                                     "  list = { 10, --[[ } ]]\n 20; { k = \"}\" }, },\n"
                                     "}\n",
                                     "");
    assert_true(at(v, "b", 3)->flag);
    assert_int_equal(at(v, "i", 3)->integer, 8);
    assert_true(at(v, "i", 3)->number == 8.0);
    assert_int_equal(at(v, "d", 4)->type, CONF_NUMBER);
    assert_string_equal(at(v, "s", 5)->string, "]]x");
    assert_string_equal(at(v, "long key", 6)->string, "it's");
    assert_int_equal(at(v, "list", 8)->list_count, 3);
    assert_int_equal(at(v, "list.1", 8)->integer, 10);
    assert_int_equal(at(v, "list.2", 9)->integer, 20);
    assert_string_equal(at(v, "list.3.k", 9)->string, "}");
    assert_null(conf_get(v, "none"));
    conf_free(v);
}

static void members_come_as_the_list_and_then_by_name(void **state) {
    (void)state;
    struct conf_value *v = read_text("return { z = 1, 'one', a = 2, 'two', [3] = 'three' }", "");
    const char *order[] = {NULL, NULL, NULL, "a", "z"};
    size_t n = 0;
    LIST_EACH(&v->items, link) {
        const struct conf_value *item = container_of(link, struct conf_value, link);
        assert_true(n < 5);
        if (order[n]) assert_string_equal(item->key, order[n]);
        else assert_null(item->key);
        n++;
    }
    assert_int_equal(n, 5);
    conf_free(v);
}

static void what_has_no_line_of_its_own_has_that_of_its_table(void **state) {
    (void)state;
    struct conf_value *v = read_text("local t = { x = 1 }\nt.y = { 5 }\n\nreturn t", "");
    at(v, "x", 4);
    at(v, "y", 4);
    conf_free(v);
    v = read_text("local inner = { x = 1 }\nreturn {\n a = inner,\n}", "");
    at(v, "a.x", 3);
    conf_free(v);
}

static void keys_given_twice_are_reported_and_read_all_the_same(void **state) {
    (void)state;
    struct conf_value *v = read_text("return {\n a = 1,\n b = { c = 1,\n ['c'] = 2 },\n a = 3 }",
                                     "x.lua:4: 'c' is given twice, first in line 3\n"
                                     "x.lua:5: 'a' is given twice, first in line 2\n");
    assert_non_null(v);
    conf_free(v);
}

static void what_is_no_data_is_refused(void **state) {
    (void)state;
    refuses("return {\n a = }", "x.lua:2: unexpected symbol near '}'\n");
    refuses("return 5", "x.lua:1: the result must be a table: return { ... }\n");
    refuses("\nreturn nil", "x.lua:2: the result must be a table: return { ... }\n");
    refuses("return {\n a = { 1 },\n b = { 1, nil, 3 } }",
            "x.lua:3: b is a list with holes\n");
    refuses("return { a = { f = env } }",
            "x.lua:1: a.f is a function; a conf file holds data only\n");
    refuses("return {\n a = 0/0 }", "x.lua:2: a is not a finite number\n");
    refuses("return {\n a = 'x\\0y' }", "x.lua:2: a has a zero byte\n");
    refuses("return { a = {\n[true] = 1 } }",
            "x.lua:1: a has keys that are neither names nor 1..n\n");
    refuses("local t = {} t[1] = { t } return t",
            "x.lua:1: [1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1]"
            "[1][1][1][1][1][1] is nested too deeply\n");
    refuses("\x1bLua", "x.lua: attempt to load a binary chunk (mode is 't')\n");
}

static void a_conf_cannot_use_up_the_machine(void **state) {
    (void)state;
    refuses("\nwhile true do end", "x.lua:2: runs for more than a second\n");
    refuses("local s = 'x' while true do s = s .. s end", "x.lua: not enough memory\n");
    struct text errors = {0};
    struct slice bomb = SLICE("local t = { 1, 1 }\nfor i = 1, 30 do t = { t, t } end\nreturn t");
    assert_null(conf_read_text("x.lua", bomb, &errors));
    assert_true(slice_ends(text_slice(&errors), SLICE("is one value too many\n")));
    text_fini(&errors);
}

static void a_conf_sees_the_environment_and_nothing_else(void **state) {
    (void)state;
    setenv("MOONLATCH_TEST_TEXT", "hello", 1);
    setenv("MOONLATCH_TEST_NUMBER", "42", 1);
    setenv("MOONLATCH_TEST_BOOL", "false", 1);
    struct conf_value *v = read_text("return { a = env('MOONLATCH_TEST_TEXT'), b = env('N_1', 'x'),\n"
                                     "c = env('MOONLATCH_TEST_NUMBER', 7), d = env('NONE_2'),\n"
                                     "e = env('MOONLATCH_TEST_BOOL', true), f = env('NONE_3', 3) }",
                                     "");
    assert_string_equal(at(v, "a", 1)->string, "hello");
    assert_string_equal(at(v, "b", 1)->string, "x");
    assert_int_equal(at(v, "c", 2)->integer, 42);
    assert_null(conf_get(v, "d"));
    assert_false(at(v, "e", 3)->flag);
    assert_int_equal(at(v, "f", 3)->integer, 3);
    conf_free(v);
    refuses("\nreturn { a = env('MOONLATCH_TEST_TEXT', 1) }",
            "x.lua:2: the environment variable MOONLATCH_TEST_TEXT must be a number\n");
    refuses("return {\n a = os }", "x.lua:2: unknown name 'os'\n");
    refuses("return { a = ('x'):rep(9) }",
            "x.lua:1: attempt to index a string value (constant 'x')\n");
}

static void files_that_are_none_say_so(void **state) {
    (void)state;
    struct text errors = {0};
    assert_null(conf_read("/nonexistent/x.lua", &errors));
    assert_null(conf_read("/tmp", &errors));
    text_char(&errors, 0);
    assert_string_equal(text_slice(&errors).p,
                        "/nonexistent/x.lua: No such file or directory\n/tmp: not a file\n");
    text_fini(&errors);
}

/* ---- the configuration ---- */

/* A folder with conf files and scripts, and what is read from it. */
struct fixture {
    char dir[64], conf[96], scripts[96];
    struct text errors;
    struct config *config;
};

static void write_file(const char *folder, const char *name, const char *content) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(content, f);
    fclose(f);
}

static void make_folder(struct fixture *f, const char *name) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int setup(void **state) {
    struct fixture *f = mem_new(sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/moonlatch-config.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->conf, sizeof f->conf, "%s/conf", f->dir);
    snprintf(f->scripts, sizeof f->scripts, "%s/scripts", f->dir);
    static const char *const folders[] = {"conf", "conf/sites", "scripts", "scripts/a",
                                          "scripts/a/public", "scripts/b"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        make_folder(f, folders[i]);
    write_file(f->scripts, "a/init.lua", "return {}");
    write_file(f->scripts, "b/init.lua", "return {}");
    write_file(f->conf, "gateway.lua", "return {}");
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    char command[128];
    config_free(f->config);
    text_fini(&f->errors);
    snprintf(command, sizeof command, "rm -r %s", f->dir);
    assert_int_equal(system(command), 0);
    mem_free(f);
    return 0;
}

static void load_with(struct fixture *f, const char *const *set, const char *const *listen) {
    struct config_options options = {
        .conf_dir = f->conf, .scripts_dir = f->scripts, .set = set, .listen = listen};
    config_free(f->config);
    text_fini(&f->errors);
    f->config = config_load(&options, &f->errors);
    text_char(&f->errors, 0);
}

/* Loads; the errors must be these, without the folder's name in front. */
static void load(struct fixture *f, const char *expected) {
    load_with(f, NULL, NULL);
    struct text short_errors = {0};
    const char *p = text_slice(&f->errors).p, *hit;
    for (; (hit = strstr(p, f->dir)); p = hit + strlen(f->dir) + 1)
        text_add(&short_errors, slice_make(p, (size_t)(hit - p)));
    text_str(&short_errors, p);
    text_char(&short_errors, 0);
    assert_string_equal(text_slice(&short_errors).p, expected);
    text_fini(&short_errors);
    if (*expected) assert_null(f->config);
    else assert_non_null(f->config);
}

static void gateway(struct fixture *f, const char *source, const char *errors) {
    write_file(f->conf, "gateway.lua", source);
    load(f, errors);
}

static void site(struct fixture *f, const char *source, const char *errors) {
    write_file(f->conf, "sites/a.lua", source);
    load(f, errors);
}

static void an_empty_conf_has_every_default(void **state) {
    struct fixture *f = *state;
    load(f, "");
    const struct config *c = f->config;
    assert_string_equal(c->listen[0], "127.0.0.1:8000");
    assert_null(c->listen[1]);
    assert_string_equal(c->store, "memory");
    assert_null(c->admin);
    assert_string_equal(c->admin_socket, "auto");
    assert_null(c->admin_key);
    assert_string_equal(c->metrics_path, "/metrics");
    assert_string_equal(c->live_path, "/health/live");
    assert_int_equal(c->log_level, LOG_INFO);
    assert_false(c->log_json || c->count_private || c->trusted_count || c->site_count || c->dev);
    struct limits standard;
    limits_init(&standard);
    assert_memory_equal(&c->limits, &standard, sizeof standard);
    assert_memory_equal(&c->most, &standard, sizeof standard);
}

static void every_key_of_the_gateway_arrives(void **state) {
    struct fixture *f = *state;
    gateway(f,
            "return { listen = { ':0', '[::1]:80' }, admin = { listen = 'localhost:1',\n"
            "socket = 'off', key = 'abcdefghijklmnopqrstuvwxyz012345' },\n"
            "log = { level = 'error', format = 'json' }, metrics = 'off', store = 'memory',\n"
            "health = { live = '/l/', ready = false }, trusted_proxies = { '10.0.0.0/8', '::1' },\n"
            "limits = { count_private = true, ws_max_message = '1.5K', rpc_timeout = 2,\n"
            "max_lifetime = '2h', tokens_per_ip = 'off', call_timeout = '250ms',\n"
            "max = { script_memory = '64M' } } }",
            "");
    const struct config *c = f->config;
    assert_string_equal(c->listen[1], "[::1]:80");
    assert_string_equal(c->admin, "localhost:1");
    assert_null(c->admin_socket);
    assert_string_equal(c->admin_key, "abcdefghijklmnopqrstuvwxyz012345");
    assert_int_equal(c->log_level, LOG_ERROR);
    assert_true(c->log_json);
    assert_null(c->metrics_path);
    assert_string_equal(c->live_path, "/l");
    assert_null(c->ready_path);
    assert_int_equal(c->trusted_count, 2);
    assert_int_equal(c->trusted_proxies[0].bits, 104);
    assert_int_equal(c->trusted_proxies[1].bits, 128);
    assert_true(c->count_private);
    assert_int_equal(c->limits.ws_max_message, 1536);
    assert_int_equal(c->limits.rpc_timeout, 2000);
    assert_int_equal(c->limits.max_lifetime, 7200000);
    assert_true(c->limits.tokens_per_ip == LIMIT_OFF);
    assert_int_equal(c->limits.call_timeout, 250);
    assert_int_equal(c->most.script_memory, 64 << 20);
    assert_int_equal(c->most.rpc_timeout, 2000);
}

static void mistakes_of_the_gateway_are_named_with_their_line(void **state) {
    struct fixture *f = *state;
    gateway(f, "return {\n lisen = ':0' }",
            "conf/gateway.lua:2: unknown key 'lisen'; did you mean 'listen'?\n");
    gateway(f, "return {\n log = {\n levle = 'x' } }",
            "conf/gateway.lua:3: unknown key 'log.levle'; did you mean 'level'?\n");
    gateway(f, "return { unauth_timeout = 1 }",
            "conf/gateway.lua:1: unknown key 'unauth_timeout'; did you mean "
            "'limits.unauth_timeout'?\n");
    gateway(f, "return { ['log.level'] = 'info' }",
            "conf/gateway.lua:1: unknown key 'log.level'; did you mean 'log'?\n");
    gateway(f, "return { log = 'debug' }", "conf/gateway.lua:1: log must be a table\n");
    gateway(f, "return { log = { level = 'loud' } }",
            "conf/gateway.lua:1: log.level must be \"debug\", \"info\", \"warn\" or \"error\", not "
            "\"loud\"\n");
    gateway(f, "return { store = 'disk://x' }",
            "conf/gateway.lua:1: store must be \"memory\", \"sqlite:PATH\", \"redis://HOST:6379/0\" or "
            "\"unix:///PATH\", not \"disk://x\"\n");
    gateway(f, "return { listen = 8000 }",
            "conf/gateway.lua:1: listen must be a list of texts, not 8000\n");
    gateway(f, "return { listen = {} }", "conf/gateway.lua:1: listen has no address\n");
    gateway(f, "return { 'x' }",
            "conf/gateway.lua:1: a value without a key; write key = value\n");
    gateway(f, "return { trusted_proxies = { '10.0.0.0/33' } }",
            "conf/gateway.lua:1: trusted_proxies must be addresses or blocks such as "
            "\"10.0.0.0/8\", not \"10.0.0.0/33\"\n");
    gateway(f, "return { limits = {\n rpc_timeout = '2h',\n ws_max_message = '8',\n"
               "unauth_timeout = 'fast', ws_max_fragments = 'off', rpc_concurrency = 1.5 } }",
            "conf/gateway.lua:4: limits.rpc_concurrency must be a whole number, not 1.5\n"
            "conf/gateway.lua:2: limits.rpc_timeout must be from \"10ms\" to \"1h\", not \"2h\"\n"
            "conf/gateway.lua:4: limits.unauth_timeout must be a duration such as \"30s\" or "
            "\"250ms\", or seconds, not \"fast\"\n"
            "conf/gateway.lua:4: limits.ws_max_fragments must be from 1 to 65536, not \"off\"\n"
            "conf/gateway.lua:3: limits.ws_max_message must be from 16 to \"16M\", not \"8\"\n");
    gateway(f, "return { limits = {\n max = { rpc_timeout = '1s' } } }",
            "conf/gateway.lua:2: limits.max.rpc_timeout is below limits.rpc_timeout\n");
    gateway(f, "return { limits = { max = { http_max_body = '1M' } } }",
            "conf/gateway.lua:1: unknown key 'limits.max.http_max_body'; did you mean "
            "'limits.http_max_body'?\n");
}

static void a_site_has_its_defaults(void **state) {
    struct fixture *f = *state;
    site(f, "return {}", "");
    const struct site_conf *s = f->config->sites;
    assert_int_equal(f->config->site_count, 1);
    assert_string_equal(s->name, "a");
    assert_string_equal(s->path, "/a");
    assert_string_equal(s->script + strlen(f->dir), "/scripts/a");
    assert_null(s->static_dir);
    assert_false(s->hosts[0] || s->origins[0] || s->listen[0] || s->libraries[0]);
    assert_true(slice_is(buf_slice(s->options), "{}"));
    assert_string_equal(s->token.path, "/socket/token");
    assert_int_equal(s->token.ttl_ms, 30000);
    assert_int_equal(s->token.jsonp, JSONP_LISTED);
    assert_int_equal(s->slow, SLOW_CLOSE);
    assert_int_equal(s->endpoint_count, 2);
    const struct endpoint_conf *sockjs = s->endpoints, *plain = s->endpoints + 1;
    assert_string_equal(sockjs->path, "/sockets");
    assert_string_equal(sockjs->transport, "sockjs");
    assert_string_equal(plain->path, "/ws");
    assert_string_equal(plain->transport, "websocket");
    assert_string_equal(plain->dialect, "token");
    assert_int_equal(plain->auth, AUTH_TOKEN);
    assert_int_equal(plain->max_message, 65536);
    assert_int_equal(plain->max_fragments, 64);
    assert_int_equal(plain->window_bits, 12);
    assert_int_equal(plain->compress_min, 1024);
    assert_false(plain->compress || plain->context_takeover);
    assert_string_equal(plain->protocols, "");
    assert_true(plain->ping && sockjs->websocket && !sockjs->jsessionid);
    assert_int_equal(sockjs->heartbeat_ms, 25000);
    assert_int_equal(sockjs->disconnect_delay_ms, 5000);
    assert_int_equal(sockjs->response_limit, 131072);
    assert_int_equal(plain->ping_interval_ms, 25000);
    assert_int_equal(plain->ping_timeout_ms, 20000);
    assert_int_equal(plain->upgrade_timeout_ms, 10000);
    assert_int_equal(plain->max_payload, 1048576);
    assert_true(plain->eio3 && !plain->cookie);
}

static void every_key_of_a_site_arrives(void **state) {
    struct fixture *f = *state;
    site(f,
         "return { path = '/chat/', hosts = 'Chat.Example.COM', origins = { 'HTTPS://a.b', '*' },\n"
         "listen = ':0', script = 'b', static = false, slow = 'drop', libraries = { 'cjson' },\n"
         "token = { path = '/t', ttl = '1s', jsonp = true, jsonp_errors = true, cors = true,\n"
         "reauth = true }, limits = { unauth_timeout = '1s', ws_max_message = '1K' },\n"
         "options = { n = 1, f = 2.0, t = { 1, 'x' }, e = {}, ['a\"'] = true },\n"
         "endpoints = { { path = '/', transport = 'websocket', dialect = 'raw', ping = false,\n"
         "  compress = { level = 1, min = 0, window_bits = 15, context_takeover = true },\n"
         "  protocols = { 'x', 'y' }, max_message = '16M', max_fragments = 65536 },\n"
         "{ path = '/s', transport = 'sockjs', auth = 'request', response_limit = 4096,\n"
         "  heartbeat = '1s', disconnect_delay = 2, websocket = false, jsessionid = true,\n"
         "  sockjs_url = '/sockjs.js', compress = true, protocols = 'a, b' },\n"
         "{ path = '/engine.io/', transport = 'engineio', dialect = 'raw', ping_interval = '1s',\n"
         "  ping_timeout = 2, upgrade_timeout = '3s', max_payload = '4K', eio3 = false,\n"
         "  cookie = true } } }",
         "");
    const struct site_conf *s = f->config->sites;
    assert_string_equal(s->path, "/chat");
    assert_string_equal(s->hosts[0], "chat.example.com");
    assert_string_equal(s->origins[0], "https://a.b");
    assert_string_equal(s->listen[0], ":0");
    assert_string_equal(s->script + strlen(f->dir), "/scripts/b");
    assert_string_equal(s->libraries[0], "cjson");
    assert_int_equal(s->slow, SLOW_DROP);
    assert_string_equal(s->token.path, "/t");
    assert_int_equal(s->token.ttl_ms, 1000);
    assert_int_equal(s->token.jsonp, JSONP_ANY);
    assert_true(s->token.jsonp_errors && s->token.cors && s->token.reauth);
    assert_int_equal(s->limits.unauth_timeout, 1000);
    assert_true(slice_is(buf_slice(s->options),
                         "{\"a\\\"\":true,\"e\":{},\"f\":2.0,\"n\":1,\"t\":[1,\"x\"]}"));
    const struct endpoint_conf *raw = s->endpoints, *sockjs = s->endpoints + 1;
    assert_string_equal(raw->path, "/");
    assert_int_equal(raw->auth, AUTH_NONE);
    assert_true(raw->compress && raw->context_takeover && !raw->ping);
    assert_int_equal(raw->compress_level, 1);
    assert_int_equal(raw->compress_min, 0);
    assert_int_equal(raw->window_bits, 15);
    assert_string_equal(raw->protocols, "x,y");
    assert_int_equal(raw->max_message, 16777216);
    assert_int_equal(raw->max_fragments, 65536);
    assert_int_equal(sockjs->auth, AUTH_REQUEST);
    assert_int_equal(sockjs->max_message, 1024);
    assert_int_equal(sockjs->response_limit, 4096);
    assert_int_equal(sockjs->heartbeat_ms, 1000);
    assert_int_equal(sockjs->disconnect_delay_ms, 2000);
    assert_true(!sockjs->websocket && sockjs->jsessionid && sockjs->compress);
    assert_int_equal(sockjs->compress_level, 6);
    assert_string_equal(sockjs->sockjs_url, "/sockjs.js");
    assert_string_equal(sockjs->protocols, "a,b");
    const struct endpoint_conf *eio = s->endpoints + 2;
    assert_string_equal(eio->path, "/engine.io");
    assert_int_equal(eio->auth, AUTH_NONE);
    assert_int_equal(eio->ping_interval_ms, 1000);
    assert_int_equal(eio->ping_timeout_ms, 2000);
    assert_int_equal(eio->upgrade_timeout_ms, 3000);
    assert_int_equal(eio->max_payload, 4096);
    assert_true(!eio->eio3 && eio->cookie);
}

static void a_site_may_do_without_token_and_script(void **state) {
    struct fixture *f = *state;
    site(f, "return { token = false, script = false, endpoints = {}, static = 'public' }", "");
    const struct site_conf *s = f->config->sites;
    assert_string_equal(s->token.path, "");
    assert_null(s->script);
    assert_int_equal(s->endpoint_count, 0);
    assert_string_equal(s->static_dir + strlen(f->dir), "/scripts/a/public");
}

static void mistakes_of_a_site_are_named_with_their_line(void **state) {
    struct fixture *f = *state;
    site(f, "return {\n\n tokn = false }",
         "conf/sites/a.lua:3: unknown key 'tokn'; did you mean 'token'?\n");
    site(f, "return { token = { tll = 1 } }",
         "conf/sites/a.lua:1: unknown key 'token.tll'; did you mean 'ttl'?\n");
    site(f, "return { token = 5 }", "conf/sites/a.lua:1: token must be a table or false, not 5\n");
    site(f, "return { endpoints = {\n{ path = '/a', transprt = 'sockjs',\ntransport = 'sockjs' } } }",
         "conf/sites/a.lua:2: unknown key 'endpoints[1].transprt'; did you mean 'transport'?\n");
    site(f, "return { endpoints = {\n{}, 5 } }",
         "conf/sites/a.lua:2: endpoints[1] has no path\n"
         "conf/sites/a.lua:2: endpoints[1] has no transport: \"websocket\", \"sockjs\" or \"engineio\"\n"
         "conf/sites/a.lua:2: endpoints must be a list of tables\n");
    site(f, "return { endpoints = { { path = '/a', transport = 'grpc', dialect = 'broker' } } }",
         "conf/sites/a.lua:1: endpoints[1].dialect must be \"token\", \"raw\" or \"socketio\", not \"broker\"\n"
         "conf/sites/a.lua:1: endpoints[1].transport must be \"websocket\", \"sockjs\" or "
         "\"engineio\", not \"grpc\"\n");
    site(f, "return { endpoints = { { path = '/a', transport = 'websocket',\n heartbeat = 1 } } }",
         "conf/sites/a.lua:2: endpoints[1].heartbeat is for transport \"sockjs\" only\n");
    site(f, "return { endpoints = { { path = '/a', transport = 'sockjs',\n eio3 = true } } }",
         "conf/sites/a.lua:2: endpoints[1].eio3 is for transport \"engineio\" only\n");
    site(f, "return { endpoints = { { path = '/a', transport = 'sockjs' },\n"
            "{ path = '/a', transport = 'sockjs' }, { path = '/socket/token', transport = 'sockjs' } } }",
         "conf/sites/a.lua:2: endpoints[2].path \"/a\" is taken\n"
         "conf/sites/a.lua:2: endpoints[3].path \"/socket/token\" is taken\n");
    site(f, "return { limits = {\n http_max_body = 1024,\n unauth_timeout = '1m' } }",
         "conf/sites/a.lua:2: limits.http_max_body is a limit of the whole process; set it in "
         "gateway.lua\n"
         "conf/sites/a.lua:3: limits.unauth_timeout is above the gateway's; "
         "gateway.lua may allow it with limits.max.unauth_timeout\n");
    site(f, "return { options = { 1 } }",
         "conf/sites/a.lua:1: options must be a table with keys, not a table\n");
    site(f, "return { options = { a = { 1, b = 2 } } }",
         "conf/sites/a.lua:1: options hold a table that is a list and has the key 'b'\n");
    site(f, "return { options = { a = '\xff' } }",
         "conf/sites/a.lua:1: options hold a text that is not UTF-8\n");
    site(f, "return {\n path = '/x', path = '/y' }",
         "conf/sites/a.lua:2: 'path' is given twice, first in line 2\n");
    site(f, "return { script = '../b' }",
         "conf/sites/a.lua:1: script must be a name of at most 64 letters, digits, \"-\" and "
         "\"_\", not \"../b\"\n");
    site(f, "return { static = 'none' }",
         "conf/sites/a.lua:1: there is no folder scripts/a/none\n");
    site(f, "return { script = 'c' }",
         "conf/sites/a.lua:1: there is no scripts/c/init.lua; a site without script says script = "
         "false\n");
}

static void two_sites_must_be_told_apart(void **state) {
    struct fixture *f = *state;
    write_file(f->conf, "sites/b.lua", "return { path = '/x' }");
    site(f, "return { path = '/x', script = 'b' }",
         "conf/sites/b.lua:1: site 'b' shares its path with site 'a' of conf/sites/a.lua\n");
    site(f, "return { path = '/x', hosts = 'h' }", "");
    write_file(f->conf, "sites/b.lua", "return { path = '/x', hosts = { 'g', 'H' } }");
    load(f, "conf/sites/b.lua:1: site 'b' shares its path and host with site 'a' of "
            "conf/sites/a.lua\n");
    write_file(f->conf, "sites/b.lua", "return { path = '/x', hosts = { 'g' } }");
    load(f, "");
    assert_string_equal(f->config->sites[1].hosts[0], "g");
    write_file(f->conf, "sites/b.lua", "return { path = '/x', listen = ':80' }");
    site(f, "return { path = '/x', listen = { ':80' } }",
         "conf/sites/b.lua:1: site 'b' shares its address with site 'a' of conf/sites/a.lua\n");
    site(f, "return { path = '/x', listen = { ':81' } }", "");
}

static void sites_may_stand_in_gateway_lua(void **state) {
    struct fixture *f = *state;
    gateway(f, "return { sites = { b = { path = '/' } } }", "");
    assert_string_equal(f->config->sites[0].name, "b");
    site(f, "return {}", "");
    assert_string_equal(f->config->sites[0].name, "a");
    gateway(f, "return { sites = {\n a = {} } }",
            "conf/sites/a.lua:1: site 'a' shares its name with site 'a' of conf/gateway.lua\n");
    gateway(f, "return { sites = { ['a b'] = {} } }",
            "conf/gateway.lua:1: sites must be tables with names of letters and digits\n");
}

static void the_command_line_goes_over_the_files(void **state) {
    struct fixture *f = *state;
    write_file(f->conf, "gateway.lua", "return { listen = ':1', log = { level = 'warn' } }");
    const char *set[] = {"log.level=debug", "limits.unauth_timeout=2s", "limits.ws_max_fragments=9",
                         "limits.count_private=true", "trusted_proxies=10.0.0.1,::1", NULL};
    const char *listen[] = {":0", "[::1]:0", NULL};
    load_with(f, set, listen);
    assert_non_null(f->config);
    assert_string_equal(f->config->listen[0], ":0");
    assert_string_equal(f->config->listen[1], "[::1]:0");
    assert_int_equal(f->config->log_level, LOG_DEBUG);
    assert_int_equal(f->config->limits.unauth_timeout, 2000);
    assert_int_equal(f->config->limits.ws_max_fragments, 9);
    assert_true(f->config->count_private);
    assert_int_equal(f->config->trusted_count, 2);
}

static void mistakes_of_the_command_line_are_named(void **state) {
    struct fixture *f = *state;
    const char *set[] = {"log.levl=debug", "limits.unauth_timeout=soon", "x", "sites=1", "listen=",
                         NULL};
    const char *listen[] = {"nowhere", NULL};
    load_with(f, set, listen);
    assert_null(f->config);
    assert_string_equal(
        text_slice(&f->errors).p,
        "--set: unknown key 'log.levl'; did you mean 'log.level'?\n"
        "--set: limits.unauth_timeout must be a duration such as \"30s\" or \"250ms\", or seconds, "
        "not \"soon\"\n"
        "--set: 'x' is not KEY=VALUE\n"
        "--set: unknown key 'sites'; did you mean 'listen'?\n"
        "--listen: 'nowhere' must be an address such as \"127.0.0.1:8000\", \"[::1]:8000\", "
        "\":8000\" or \"unix:/path\"\n");
}

static void what_is_printed_reads_back_as_the_same(void **state) {
    struct fixture *f = *state;
    write_file(f->conf, "sites/b.lua",
               "return { token = false, script = false, options = { a = { 1, 2.5, 'x\\n\"' } },\n"
               "limits = { unauth_timeout = '1s' }, hosts = { 'h' }, endpoints = {\n"
               "{ path = '/r', transport = 'websocket', dialect = 'raw', compress = true } } }");
    write_file(f->conf, "sites/a.lua", "return { static = 'public' }");
    gateway(f, "return { limits = { tokens_per_ip = 'off', max = { rpc_timeout = '1m' } } }", "");
    struct text first = {0}, second = {0};
    config_print(f->config, &first);
    text_char(&first, 0);
    char command[400];
    snprintf(command, sizeof command, "rm %s/sites/*.lua", f->conf);
    assert_int_equal(system(command), 0);
    gateway(f, text_slice(&first).p, "");
    config_print(f->config, &second);
    text_char(&second, 0);
    assert_string_equal(text_slice(&first).p, text_slice(&second).p);
    text_fini(&first);
    text_fini(&second);
}

static void folders_that_are_missing_are_named(void **state) {
    struct fixture *f = *state;
    struct config_options options = {.conf_dir = "/nonexistent/c", .scripts_dir = "/nonexistent/s"};
    assert_null(config_load(&options, &f->errors));
    text_char(&f->errors, 0);
    assert_string_equal(text_slice(&f->errors).p, "--conf: there is no folder /nonexistent/c\n"
                                                  "--scripts: there is no folder /nonexistent/s\n");
    options = (struct config_options){.conf_dir = f->scripts, .scripts_dir = f->scripts};
    text_clear(&f->errors);
    assert_null(config_load(&options, &f->errors));
    assert_true(slice_ends(text_slice(&f->errors),
                           SLICE("gateway.lua: is missing, and so is the folder sites beside it\n")));
}

/* ---- texts ---- */

static void checks(const char *(*check)(char *), const char *given, const char *kept) {
    char *text = slice_cstr(slice_of(given));
    const char *must = check(text);
    if (kept && must) fail_msg("%s: %s", given, must);
    if (!kept && !must) fail_msg("%s was taken", given);
    if (kept) assert_string_equal(text, kept);
    mem_free(text);
}

static void texts_are_checked(void **state) {
    (void)state;
    static const char *const bad_paths[] = {"", "x", "//", "/a//b", "/a/../b", "/..", "/.", "/a b",
                                            "/a?b", "/a%20", "/\xc3\xa4", "/a\\b", "/a#"};
    for (size_t i = 0; i < sizeof bad_paths / sizeof *bad_paths; i++)
        checks(check_path, bad_paths[i], NULL);
    checks(check_path, "/", "/");
    checks(check_path, "/a/b-c_~.d/", "/a/b-c_~.d");
    static const char *const bad_addresses[] = {"",     "x",      "1",        ":",      ":65536",
                                                ":-1",  "a b:1",  "[::1]",    "::1:80", "http://x:1",
                                                "[x]:1", "/sock", "127.0.0.1"};
    for (size_t i = 0; i < sizeof bad_addresses / sizeof *bad_addresses; i++)
        checks(check_address, bad_addresses[i], NULL);
    checks(check_address, ":0", ":0");
    checks(check_address, "unix:/run/a.sock", "unix:/run/a.sock");
    checks(check_address, "localhost:65535", "localhost:65535");
    static const char *const bad_origins[] = {"", "a.b", "http://", "http://a/", "://a", "null",
                                              "http://a:x", "ht tp://a", "http://a b"};
    for (size_t i = 0; i < sizeof bad_origins / sizeof *bad_origins; i++)
        checks(check_origin, bad_origins[i], NULL);
    checks(check_origin, "http://[::1]:8080", "http://[::1]:8080");
    checks(check_host, "A.B", "a.b");
    checks(check_host, "a:80", NULL);
    checks(check_host, "", NULL);
    checks(check_protocols, " a , b ", "a,b");
    checks(check_protocols, "*", "*");
    checks(check_protocols, "a,,b", NULL);
    checks(check_protocols, "a b", NULL);
    checks(check_folder, "public/www", "public/www");
    checks(check_folder, "../x", NULL);
    checks(check_folder, "/x", NULL);
    checks(check_folder, "", NULL);
    checks(check_url, "https://x/y.js", "https://x/y.js");
    checks(check_url, "javascript:x", NULL);
    checks(check_url, "/\"><script>", NULL);
}

static void distances_count_letters_and_swaps(void **state) {
    (void)state;
    assert_int_equal(text_distance(SLICE("token"), SLICE("token")), 0);
    assert_int_equal(text_distance(SLICE("tokn"), SLICE("token")), 1);
    assert_int_equal(text_distance(SLICE("toekn"), SLICE("token")), 1);
    assert_int_equal(text_distance(SLICE(""), SLICE("token")), 5);
    assert_int_equal(text_distance(SLICE("listen"), SLICE("silent")), 4);
}

/* ---- the admin socket ---- */

/* Whether the folder will do, for a socket in it. */
static bool folder_will_do(const struct fixture *f, const char *name, const char *why) {
    struct text error = {0};
    char path[300];
    snprintf(path, sizeof path, "%s/%s/x.sock", f->dir, name);
    bool good = socket_folder_make(path, &error);
    text_char(&error, 0);
    assert_true(good || strstr(text_slice(&error).p, why));
    text_fini(&error);
    return good;
}

static void the_folder_of_the_socket_must_be_ours_alone(void **state) {
    struct fixture *f = *state;
    char path[300], other[300];
    struct stat made;
    assert_true(folder_will_do(f, "new", ""));
    snprintf(path, sizeof path, "%s/new", f->dir);
    assert_int_equal(stat(path, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0700);
    assert_true(folder_will_do(f, "new", ""));
    snprintf(other, sizeof other, "%s/link", f->dir);
    assert_int_equal(symlink(path, other), 0);
    assert_false(folder_will_do(f, "link", "is no folder"));
    assert_int_equal(chmod(path, 0750), 0);
    assert_false(folder_will_do(f, "new", "is open to others"));
    assert_false(folder_will_do(f, "none/new", "No such file"));
}

static void a_folder_has_one_socket_however_it_is_spelt(void **state) {
    struct fixture *f = *state;
    char spelt[300];
    snprintf(spelt, sizeof spelt, "%s/../conf/", f->conf);
    char *a = socket_path_tmp(f->conf), *b = socket_path_tmp(spelt), *c = socket_path_tmp(f->dir);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conf_is_read_with_types_and_lines),
        cmocka_unit_test(members_come_as_the_list_and_then_by_name),
        cmocka_unit_test(what_has_no_line_of_its_own_has_that_of_its_table),
        cmocka_unit_test(keys_given_twice_are_reported_and_read_all_the_same),
        cmocka_unit_test(what_is_no_data_is_refused),
        cmocka_unit_test(a_conf_cannot_use_up_the_machine),
        cmocka_unit_test(a_conf_sees_the_environment_and_nothing_else),
        cmocka_unit_test(files_that_are_none_say_so),
        WITH_FILES(an_empty_conf_has_every_default),
        WITH_FILES(every_key_of_the_gateway_arrives),
        WITH_FILES(mistakes_of_the_gateway_are_named_with_their_line),
        WITH_FILES(a_site_has_its_defaults),
        WITH_FILES(every_key_of_a_site_arrives),
        WITH_FILES(a_site_may_do_without_token_and_script),
        WITH_FILES(mistakes_of_a_site_are_named_with_their_line),
        WITH_FILES(two_sites_must_be_told_apart),
        WITH_FILES(sites_may_stand_in_gateway_lua),
        WITH_FILES(the_command_line_goes_over_the_files),
        WITH_FILES(mistakes_of_the_command_line_are_named),
        WITH_FILES(what_is_printed_reads_back_as_the_same),
        WITH_FILES(the_folder_of_the_socket_must_be_ours_alone),
        WITH_FILES(a_folder_has_one_socket_however_it_is_spelt),
        WITH_FILES(folders_that_are_missing_are_named),
        cmocka_unit_test(texts_are_checked),
        cmocka_unit_test(distances_count_letters_and_swaps),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
