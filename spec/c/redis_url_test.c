/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "store/redis_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void reads_hosts_ports_and_databases(void **state) {
    static const struct {
        const char *text, *host;
        unsigned port, db;
        bool tls;
    } rows[] = {{"redis://a", "a", 6379, 0, false},
                {"redis://a/", "a", 6379, 0, false},
                {"redis://a.example:1/3", "a.example", 1, 3, false},
                {"rediss://10.0.0.1:65535/0", "10.0.0.1", 65535, 0, true},
                {"redis://[::1]:7/2", "::1", 7, 2, false},
                {"redis://[::1]", "::1", 6379, 0, false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redis_url u;
        assert_true(redis_url_parse(&u, slice_of(rows[i].text)));
        assert_string_equal(u.host, rows[i].host);
        assert_int_equal(u.port, rows[i].port);
        assert_int_equal(u.db, rows[i].db);
        assert_int_equal(u.tls, rows[i].tls);
        assert_null(u.user);
        assert_null(u.path);
        redis_url_fini(&u);
    }
}

static void reads_users_and_passwords(void **state) {
    struct redis_url u;
    (void)state;
    assert_true(redis_url_parse(&u, SLICE("redis://me:a%40b%2F:c@h")));
    assert_string_equal(u.user, "me");
    assert_string_equal(u.password, "a@b/:c");
    assert_string_equal(u.host, "h");
    redis_url_fini(&u);
    assert_true(redis_url_parse(&u, SLICE("redis://:only@h:1")));
    assert_null(u.user);
    assert_string_equal(u.password, "only");
    redis_url_fini(&u);
}

static void reads_sockets_and_sentinels(void **state) {
    struct redis_url u;
    (void)state;
    assert_true(redis_url_parse(&u, SLICE("unix:///run/a%20b.sock?db=9")));
    assert_string_equal(u.path, "/run/a b.sock");
    assert_int_equal(u.db, 9);
    assert_null(u.host);
    redis_url_fini(&u);
    assert_true(redis_url_parse(&u, SLICE("rediss+sentinel://:p@a:1,[::2],c/my%2Fmaster/4")));
    assert_true(u.tls);
    assert_string_equal(u.master, "my/master");
    assert_int_equal(u.db, 4);
    assert_int_equal(u.sentinel_count, 3);
    assert_string_equal(u.sentinels[1].host, "::2");
    assert_int_equal(u.sentinels[0].port, 1);
    assert_int_equal(u.sentinels[2].port, 26379);
    redis_url_fini(&u);
}

static void refuses_what_is_none(void **state) {
    static const char *const texts[] = {
        "", "redis", "redis:", "redis:/a", "redis://", "redis:///1", "redis://a:0", "redis://a:65536",
        "redis://a:b", "redis://a/x", "redis://a/1/2", "redis://a/-1", "redis://a,b", "redis://a?db=1",
        "redis://a#b", "redis://a b", "redis://a\n", "redis://[::1", "redis://[]:1", "redis://u:%zz@a",
        "redis://:%00@a", "redis://@", "unix://", "unix:///", "unix://host/path", "unix:///p?x=1",
        "unix:///p?db=x", "redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel:///m",
        "redis+sentinel://a,/m", "redis+sentinel://a:x/m", "redis+sentinel://a/m/x"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct redis_url u;
        if (redis_url_parse(&u, slice_of(texts[i]))) fail_msg("%s", texts[i]);
        redis_url_fini(&u);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_hosts_ports_and_databases),
        cmocka_unit_test(reads_users_and_passwords),
        cmocka_unit_test(reads_sockets_and_sentinels),
        cmocka_unit_test(refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
