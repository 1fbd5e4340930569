/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/rate.h"
#include "base/word.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

/* ---- slice ---- */

static void slices_are_compared_and_cut(void **state) {
    (void)state;
    struct slice none = {NULL, 0}, s = SLICE("abc");
    assert_true(slice_eq(none, SLICE("")));
    assert_true(slice_eq(slice_of(NULL), none));
    assert_true(slice_is(s, "abc"));
    assert_false(slice_is(s, "ab"));
    assert_false(slice_eq(s, SLICE("abd")));
    assert_true(slice_is(slice_from(s, 1), "bc"));
    assert_int_equal(slice_from(s, 4).n, 0);
    assert_true(slice_is(slice_upto(s, 2), "ab"));
    assert_true(slice_is(slice_upto(s, 9), "abc"));
    assert_true(slice_starts(s, SLICE("ab")) && slice_starts(s, none));
    assert_false(slice_starts(s, SLICE("abcd")));
    assert_true(slice_ends(s, SLICE("bc")));
    assert_false(slice_ends(s, SLICE("xabc")));
    assert_int_equal(slice_find(s, 'c'), 2);
    assert_int_equal(slice_find(s, 'x'), 3);
    assert_int_equal(slice_find(none, 'x'), 0);
}

static void the_case_of_ascii_letters_may_be_ignored(void **state) {
    (void)state;
    assert_true(slice_ieq(SLICE("Keep-Alive"), SLICE("kEEP-aLIVE")));
    assert_false(slice_ieq(SLICE("a"), SLICE("ab")));
    assert_false(slice_ieq(SLICE("@["), SLICE("`{")));
    assert_false(slice_ieq(SLICE("\xc4"), SLICE("\xe4")));
}

static void parts_are_taken_off_one_by_one(void **state) {
    (void)state;
    static const char *const texts[] = {"a,b", "a,", ",", "a", ",,a"};
    static const char *const parts[][4] = {{"a", "b"}, {"a", ""}, {"", ""}, {"a"}, {"", "", "a"}};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct slice rest = slice_of(texts[i]), part;
        for (int k = 0; parts[i][k]; k++) {
            assert_true(slice_next(&rest, ',', &part));
            assert_true(slice_is(part, parts[i][k]));
        }
        assert_false(slice_next(&rest, ',', &part));
    }
}

static void numbers_are_digits_that_fit(void **state) {
    (void)state;
    uint64_t v = 7;
    assert_true(slice_u64(SLICE("0"), &v) && v == 0);
    assert_true(slice_u64(SLICE("007"), &v) && v == 7);
    assert_true(slice_u64(SLICE("18446744073709551615"), &v) && v == UINT64_MAX);
    static const char *const wrong[] = {
        "", "-1", "+1", " 1", "1 ", "1a", "18446744073709551616", "0x1", "99999999999999999999",
        "1.0", "000000000000000000001"};
    for (size_t i = 0; i < COUNT(wrong); i++) assert_false(slice_u64(slice_of(wrong[i]), &v));
}

static void blanks_are_trimmed_and_order_is_that_of_bytes(void **state) {
    (void)state;
    assert_true(slice_is(slice_trim(SLICE(" \t a b\t ")), "a b"));
    assert_int_equal(slice_trim(SLICE(" \t ")).n, 0);
    assert_true(slice_is(slice_trim(SLICE("\na")), "\na"));
    assert_true(slice_compare(SLICE("a"), SLICE("b")) < 0);
    assert_true(slice_compare(SLICE("b"), SLICE("a")) > 0);
    assert_true(slice_compare(SLICE("a"), SLICE("ab")) < 0);
    assert_true(slice_compare(SLICE("\xff"), SLICE("a")) > 0);
    assert_int_equal(slice_compare(SLICE(""), (struct slice){NULL, 0}), 0);
    char *copy = slice_cstr(SLICE("ab"));
    assert_string_equal(copy, "ab");
    mem_free(copy);
}

static void words_are_tested_a_byte_at_a_time(void **state) {
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 8; at++) {
            char b[8];
            memset(b, 'm', sizeof b);
            b[at] = (char)byte;
            uint64_t w = word_load(b), below = word_below(w, 0x20), above = word_above_ascii(w);
            uint64_t equal = word_equal(w, 0xe2);
            assert_int_equal(below != 0, byte < 0x20);
            assert_int_equal(above != 0, byte >= 0x80);
            assert_int_equal(equal != 0, byte == 0xe2);
            if (below | above) assert_int_equal(word_first(below | above), at);
        }
    }
}

/* ---- buf and text ---- */

static void a_buf_lives_until_its_last_owner_leaves(void **state) {
    (void)state;
    struct buf *b = buf_copy(SLICE("hello"));
    assert_ptr_equal(buf_ref(b), b);
    buf_unref(b);
    assert_true(slice_is(buf_slice(b), "hello"));
    buf_unref(b);
    buf_unref(NULL);
    assert_int_equal(buf_slice(NULL).n, 0);
    b = buf_copy((struct slice){NULL, 0});
    assert_int_equal(b->n, 0);
    buf_unref(b);
}

static void a_text_grows_and_becomes_a_buf(void **state) {
    (void)state;
    struct text t = {0};
    text_str(&t, "n=");
    text_u64(&t, 0);
    text_char(&t, ' ');
    text_u64(&t, UINT64_MAX);
    text_format(&t, " %s-%d", "x", 5);
    text_add(&t, (struct slice){NULL, 0});
    assert_true(slice_is(text_slice(&t), "n=0 18446744073709551615 x-5"));
    for (int i = 0; i < 10000; i++) text_char(&t, 'a');
    struct buf *b = text_take(&t);
    assert_int_equal(b->n, 10028);
    assert_int_equal(b->data[10027], 'a');
    assert_int_equal(text_slice(&t).n, 0);
    buf_unref(b);
    b = text_take(&t);
    assert_int_equal(b->n, 0);
    buf_unref(b);
    memcpy(text_reserve(&t, 3), "abc", 3);
    text_commit(&t, 2);
    assert_true(slice_is(text_slice(&t), "ab"));
    text_clear(&t);
    assert_int_equal(text_slice(&t).n, 0);
    text_fini(&t);
    text_fini(&t);
}

/* ---- list ---- */

struct item {
    struct list link;
    int value;
};

static int sum_in_order(const struct list *head) {
    int sum = 0;
    LIST_EACH(head, link) sum = sum * 10 + container_of(link, struct item, link)->value;
    return sum;
}

static void a_list_keeps_its_order(void **state) {
    (void)state;
    struct list head, other;
    struct item items[4];
    list_init(&head);
    list_init(&other);
    assert_null(list_pop(&head));
    for (int i = 0; i < 4; i++) {
        list_init(&items[i].link);
        items[i].value = i + 1;
        assert_false(list_linked(&items[i].link));
    }
    list_push(&head, &items[0].link);
    list_push(&head, &items[1].link);
    list_push_front(&head, &items[2].link);
    list_insert_before(&items[1].link, &items[3].link);
    assert_int_equal(sum_in_order(&head), 3142);
    list_remove(&items[3].link);
    list_remove(&items[3].link);
    assert_int_equal(sum_in_order(&head), 312);
    list_push(&other, &items[3].link);
    list_move(&other, &head);
    assert_true(list_empty(&head));
    assert_int_equal(sum_in_order(&other), 4312);
    list_move(&other, &head);
    LIST_EACH(&other, link) list_remove(link);
    assert_true(list_empty(&other));
    list_push(&head, &items[0].link);
    assert_ptr_equal(list_pop(&head), &items[0].link);
    assert_false(list_linked(&items[0].link));
}

/* ---- map ---- */

struct thing {
    struct map_link link;
    char name[12];
};

static void a_map_finds_what_it_holds(void **state) {
    (void)state;
    enum { N = 3000 };
    struct thing *things = mem_new(N * sizeof *things);
    struct map m = {0};
    assert_null(map_find(&m, SLICE("0")));
    assert_null(map_next(&m, NULL));
    for (int i = 0; i < N; i++) {
        snprintf(things[i].name, sizeof things[i].name, "%d", i);
        map_add(&m, &things[i].link, slice_of(things[i].name));
    }
    assert_int_equal(m.count, N);
    for (int i = 0; i < N; i += 2) map_remove(&m, &things[i].link);
    for (int i = 0; i < N; i++) {
        struct map_link *l = map_find(&m, slice_of(things[i].name));
        assert_ptr_equal(l, i % 2 ? &things[i].link : NULL);
    }
    size_t walked = 0;
    for (struct map_link *l = map_next(&m, NULL); l; l = map_next(&m, l)) walked++;
    assert_int_equal(walked, N / 2);
    map_fini(&m);
    assert_int_equal(m.count, 0);
    mem_free(things);
}

static void a_hash_depends_on_every_byte_and_on_the_length(void **state) {
    (void)state;
    char b[24] = {0};
    for (size_t n = 0; n < sizeof b; n++) {
        uint64_t h = map_hash(slice_make(b, n));
        assert_true(h == map_hash(slice_make(b, n)));
        assert_true(h != map_hash(slice_make(b, n + 1)));
        for (size_t at = 0; at < n; at++) {
            b[at] = 1;
            assert_true(h != map_hash(slice_make(b, n)));
            b[at] = 0;
        }
    }
}

/* ---- rate ---- */

static int allowed(struct rate *r, uint64_t now_ms, uint64_t per_second, uint64_t burst) {
    int n = 0;
    while (n < 1000 && rate_allow(r, now_ms, per_second, burst)) n++;
    return n;
}

static void a_rate_lets_a_burst_through_and_then_so_many_a_second(void **state) {
    (void)state;
    struct rate r = {0};
    assert_int_equal(allowed(&r, 5000, 10, 30), 30);
    assert_int_equal(allowed(&r, 5000, 10, 30), 0);
    assert_int_equal(allowed(&r, 5099, 10, 30), 0);
    assert_int_equal(allowed(&r, 5100, 10, 30), 1);
    assert_int_equal(allowed(&r, 6100, 10, 30), 10);
    assert_int_equal(allowed(&r, 60000, 10, 30), 30);
    struct rate one = {0};
    assert_int_equal(allowed(&one, 1000, 1, 1), 1);
    assert_int_equal(allowed(&one, 1999, 1, 1), 0);
    assert_int_equal(allowed(&one, 2000, 1, 1), 1);
}

static void a_rate_may_be_off_or_nothing(void **state) {
    (void)state;
    struct rate r = {0};
    assert_int_equal(allowed(&r, 0, LIMIT_OFF, 1), 1000);
    assert_int_equal(allowed(&r, 0, 0, 100), 0);
    assert_int_equal(allowed(&r, 1, 10, LIMIT_OFF), 1000);
    struct rate fast = {0};
    assert_int_equal(allowed(&fast, 1, 10000000, 5), 5);
}

/* ---- ip ---- */

static struct ip ip(const char *text) {
    struct ip out;
    if (!ip_parse(slice_of(text), &out)) fail_msg("%s", text);
    return out;
}

static void addresses_are_read_and_written(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"1.2.3.4", "1.2.3.4"}, {"::ffff:1.2.3.4", "1.2.3.4"}, {"::1", "::1"}, {"[::1]", "::1"},
        {"2001:DB8::0:1", "2001:db8::1"}, {"::", "::"}, {"255.255.255.255", "255.255.255.255"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[IP_TEXT_MAX];
        struct ip a = ip(rows[i][0]);
        assert_string_equal(ip_format(&a, text), rows[i][1]);
    }
    static const char *const wrong[] = {
        "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4:80", "::1%lo", "a", "1.2.3.4 ", "[", "[]",
        "::1::", "01.2.3.4", "localhost", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
    struct ip out;
    for (size_t i = 0; i < COUNT(wrong); i++)
        if (ip_parse(slice_of(wrong[i]), &out)) fail_msg("%s", wrong[i]);
    assert_false(ip_parse(SLICE("1.2.3.4\0"), &out));
}

static void both_spellings_of_a_peer_are_one_address(void **state) {
    (void)state;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    inet_pton(AF_INET, "10.1.2.3", &v4.sin_addr);
    inet_pton(AF_INET6, "::ffff:10.1.2.3", &v6.sin6_addr);
    struct ip a = ip_of_sockaddr((struct sockaddr *)&v4);
    struct ip b = ip_of_sockaddr((struct sockaddr *)&v6);
    assert_memory_equal(&a, &b, sizeof a);
    struct ip none = ip_of_sockaddr(&(struct sockaddr){.sa_family = AF_UNIX});
    assert_true(ip_is_private(&none));
}

static void blocks_hold_their_addresses(void **state) {
    (void)state;
    static const struct {
        const char *block, *ip;
        bool has;
    } rows[] = {{"10.0.0.0/8", "10.255.0.1", true},    {"10.0.0.0/8", "11.0.0.1", false},
                {"10.0.0.0/8", "::ffff:10.0.0.1", true}, {"1.2.3.4", "1.2.3.4", true},
                {"1.2.3.4", "1.2.3.5", false},          {"1.2.3.4/31", "1.2.3.5", true},
                {"0.0.0.0/0", "9.9.9.9", true},         {"0.0.0.0/0", "::1", false},
                {"::/0", "9.9.9.9", true},              {"2001:db8::/33", "2001:db8:7fff::1", true},
                {"2001:db8::/33", "2001:db8:8000::1", false}, {"::1/128", "::1", true},
                {"::ffff:10.0.0.0/104", "10.9.9.9", true}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cidr block;
        struct ip a = ip(rows[i].ip);
        assert_true(cidr_parse(slice_of(rows[i].block), &block));
        if (cidr_has(&block, &a) != rows[i].has) fail_msg("%s %s", rows[i].block, rows[i].ip);
    }
    static const char *const wrong[] = {
        "10.0.0.0/33", "10.0.0.0/", "/8", "::/129", "10.0.0.0/8/8", "10/8", "10.0.0.0/-1", ""};
    struct cidr block;
    for (size_t i = 0; i < COUNT(wrong); i++) assert_false(cidr_parse(slice_of(wrong[i]), &block));
}

static void private_addresses_are_known(void **state) {
    (void)state;
    static const char *const own[] = {
        "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "::1", "::", "fc00::1", "fd12::1", "fe80::1", "::ffff:127.0.0.1"};
    static const char *const foreign[] = {
        "8.8.8.8", "172.32.0.1", "172.15.0.1", "192.169.0.1", "11.0.0.1", "2001:db8::1", "::2",
        "fec0::1", "126.255.255.255"};
    for (size_t i = 0; i < COUNT(own); i++) {
        struct ip a = ip(own[i]);
        if (!ip_is_private(&a)) fail_msg("%s", own[i]);
    }
    for (size_t i = 0; i < COUNT(foreign); i++) {
        struct ip a = ip(foreign[i]);
        if (ip_is_private(&a)) fail_msg("%s", foreign[i]);
    }
}

static void addresses_count_in_groups(void **state) {
    (void)state;
    struct ip a = ip("2001:db8:1:2:3:4:5:6"), b = ip("2001:db8:1:2::"), c = ip("1.2.3.4");
    struct ip group = ip_group(&a);
    assert_memory_equal(&group, &b, sizeof b);
    group = ip_group(&c);
    assert_memory_equal(&group, &c, sizeof c);
}

/* ---- digest ---- */

static void expect_hex(const unsigned char *digest, size_t n, const char *hex) {
    struct text t = {0};
    hex_encode(&t, slice_make(digest, n));
    assert_true(slice_is(text_slice(&t), hex));
    text_fini(&t);
}

static void digests_are_those_of_the_standards(void **state) {
    (void)state;
    unsigned char d[32];
    digest_sha1(SLICE("abc"), d);
    expect_hex(d, 20, "a9993e364706816aba3e25717850c26c9cd0d89d");
    digest_sha256(SLICE("abc"), d);
    expect_hex(d, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_sha256((struct slice){NULL, 0}, d);
    expect_hex(d, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    /* RFC 4231, test cases 2 and 6 */
    digest_hmac_sha256(SLICE("Jefe"), SLICE("what do ya want for nothing?"), d);
    expect_hex(d, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    char key[131];
    memset(key, 0xaa, sizeof key);
    digest_hmac_sha256(slice_make(key, sizeof key),
                       SLICE("Test Using Larger Than Block-Size Key - Hash Key First"), d);
    expect_hex(d, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    digest_hmac_sha256((struct slice){NULL, 0}, (struct slice){NULL, 0}, d);
    expect_hex(d, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void base64_is_that_of_the_rfc(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"", "", ""}, {"f", "Zg==", "Zg"}, {"fo", "Zm8=", "Zm8"}, {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"}, {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"}, {"\xfb\xff", "+/8=", "-_8"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int url = 0; url < 2; url++) {
            struct text text = {0}, back = {0};
            if (url) base64url_encode(&text, slice_of(rows[i][0]));
            else base64_encode(&text, slice_of(rows[i][0]));
            assert_true(slice_is(text_slice(&text), rows[i][1 + url]));
            assert_true(base64_decode(&back, text_slice(&text), url));
            assert_true(slice_is(text_slice(&back), rows[i][0]));
            text_fini(&text);
            text_fini(&back);
        }
    }
}

static void base64_that_is_not_canonical_is_refused(void **state) {
    (void)state;
    static const char *const standard[] = {
        "Zg", "Zg=", "Zh==", "Zm9", "Zm8=Zg==", "=", "====", "Z===", "Zg==\n", "Zm-v", "Zm_v",
        " Zm9v", "Zm9v=", "Zm9=", "Z\xff==", "=Zg="};
    static const char *const url[] = {
        "Zg==", "Zh", "Z", "Zm9", "Zm+v", "Zm/v", "Zm9v ", "Zm9vY", "Zm9vYh"};
    struct text t = {0};
    for (size_t i = 0; i < COUNT(standard); i++)
        if (base64_decode(&t, slice_of(standard[i]), false)) fail_msg("%s", standard[i]);
    for (size_t i = 0; i < COUNT(url); i++)
        if (base64_decode(&t, slice_of(url[i]), true)) fail_msg("%s", url[i]);
    assert_false(base64_decode(&t, SLICE("Zg\0="), false));
    text_fini(&t);
}

static void digests_are_equal_when_all_bytes_are(void **state) {
    (void)state;
    assert_true(digest_equal(SLICE("abc"), SLICE("abc")));
    assert_true(digest_equal((struct slice){NULL, 0}, SLICE("")));
    assert_false(digest_equal(SLICE("abc"), SLICE("abd")));
    assert_false(digest_equal(SLICE("abc"), SLICE("abcd")));
}

/* ---- id ---- */

static void ids_are_uuids_of_version_4_and_differ(void **state) {
    (void)state;
    struct random r = {0};
    char before[UUID_LENGTH + 1] = "", id[UUID_LENGTH + 1];
    for (int i = 0; i < 1000; i++) {
        uuid_v4(&r, id);
        assert_int_equal(strlen(id), UUID_LENGTH);
        assert_true(uuid_v4_valid(slice_of(id)));
        assert_string_not_equal(id, before);
        memcpy(before, id, sizeof id);
    }
}

static void only_whole_lower_case_ids_are_valid(void **state) {
    (void)state;
    assert_true(uuid_v4_valid(SLICE("61ae901a-09ff-43af-a4dc-192b0133231f")));
    static const char *const wrong[] = {
        "", "61ae901a-09ff-43af-a4dc-192b0133231", "61ae901a-09ff-43af-a4dc-192b0133231ff",
        "61AE901A-09ff-43af-a4dc-192b0133231f", "61ae901a-09ff-53af-a4dc-192b0133231f",
        "61ae901a-09ff-43af-c4dc-192b0133231f", "61ae901a-09ff-43af-a4dc_192b0133231f",
        "61ae901a09ff-43af-a4dc-192b0133231f0", " 61ae901a-09ff-43af-a4dc-192b0133231f",
        "61ae901a-09ff-43af-a4dc-192b0133231\n", "g1ae901a-09ff-43af-a4dc-192b0133231f"};
    for (size_t i = 0; i < COUNT(wrong); i++) assert_false(uuid_v4_valid(slice_of(wrong[i])));
    assert_false(uuid_v4_valid(SLICE("61ae901a-09ff-43af-\0\0\0\0-192b0133231f")));
}

static void random_values_fill_what_they_should(void **state) {
    (void)state;
    struct random r = {0};
    unsigned char big[3000] = {0}, seen[256] = {0};
    random_bytes(&r, big, sizeof big - 1);
    int kinds = 0;
    for (size_t i = 0; i < sizeof big - 1; i++) kinds += !seen[big[i]]++;
    assert_in_range(kinds, 200, 256);
    assert_int_equal(big[sizeof big - 1], 0);
    int below = 0;
    for (int i = 0; i < 1000; i++) below |= 1 << random_below(&r, 5);
    assert_int_equal(below, 31);
    assert_int_equal(random_below(&r, 1), 0);
    assert_true(random_u32(&r) != random_u32(&r) || random_u32(&r) != random_u32(&r));
}

/* ---- metrics ---- */

static void series_of_a_site_add_up(void **state) {
    (void)state;
    struct metrics *m = metrics_new();
    metrics_limit(m, "json_depth", "a");
    metrics_limit(m, "json_depth", "a");
    metrics_limit(m, "json_keys", "a");
    metrics_limit(m, "json_keys", "ba");
    metrics_limit(m, "max_connections", NULL);
    metrics_count(m, "limit_hits_total_more", NULL, NULL, "a");
    assert_int_equal(metrics_sum(m, "limit_hits_total", "a"), 3);
    assert_int_equal(metrics_sum(m, "limit_hits_total", "ba"), 1);
    assert_int_equal(metrics_sum(m, "limit_hits_total", "c"), 0);
    metrics_free(m);
}

static void metrics_are_counted_and_shown(void **state) {
    (void)state;
    struct metrics *m = metrics_new();
    metrics_limit(m, "json_depth", "chat");
    metrics_limit(m, "json_depth", "chat");
    metrics_count(m, "up_total", NULL, NULL, NULL);
    metrics_count(NULL, "up_total", NULL, NULL, NULL);
    int64_t *cell = metrics_cell(m, "open", NULL, NULL, "a\"\\\nb");
    *cell = -5;
    assert_ptr_equal(metrics_cell(m, "open", NULL, NULL, "a\"\\\nb"), cell);
    metrics_cell(m, "closed_total", "code", "1000", NULL);
    struct text t = {0};
    metrics_write(m, &t);
    assert_true(slice_is(text_slice(&t),
                         "moonlatch_closed_total{code=\"1000\"} 0\n"
                         "moonlatch_limit_hits_total{limit=\"json_depth\",site=\"chat\"} 2\n"
                         "moonlatch_open{site=\"a\\\"\\\\ b\"} -5\n"
                         "moonlatch_up_total 1\n"));
    text_fini(&t);
    metrics_free(m);
    metrics_free(NULL);
}

/* ---- limits ---- */

static void every_limit_has_a_default_within_its_bounds(void **state) {
    (void)state;
    struct limits l;
    limits_init(&l);
    size_t n = 0;
    for (const struct limit_row *row = limit_rows; row->name; row++, n++) {
        const uint64_t *value = (const uint64_t *)(const void *)((const char *)&l + row->offset);
        assert_true(*value == row->standard);
        if (row->least > row->greatest) fail_msg("%s", row->name);
        bool within = row->standard == LIMIT_OFF ||
                      (row->standard >= row->least && row->standard <= row->greatest);
        if (!within) fail_msg("%s", row->name);
    }
    assert_int_equal(n, sizeof l / sizeof(uint64_t));
    assert_int_equal(l.json_depth, 32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_compared_and_cut),
        cmocka_unit_test(the_case_of_ascii_letters_may_be_ignored),
        cmocka_unit_test(parts_are_taken_off_one_by_one),
        cmocka_unit_test(numbers_are_digits_that_fit),
        cmocka_unit_test(blanks_are_trimmed_and_order_is_that_of_bytes),
        cmocka_unit_test(words_are_tested_a_byte_at_a_time),
        cmocka_unit_test(a_buf_lives_until_its_last_owner_leaves),
        cmocka_unit_test(a_text_grows_and_becomes_a_buf),
        cmocka_unit_test(a_list_keeps_its_order),
        cmocka_unit_test(a_map_finds_what_it_holds),
        cmocka_unit_test(a_hash_depends_on_every_byte_and_on_the_length),
        cmocka_unit_test(a_rate_lets_a_burst_through_and_then_so_many_a_second),
        cmocka_unit_test(a_rate_may_be_off_or_nothing),
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(both_spellings_of_a_peer_are_one_address),
        cmocka_unit_test(blocks_hold_their_addresses),
        cmocka_unit_test(private_addresses_are_known),
        cmocka_unit_test(addresses_count_in_groups),
        cmocka_unit_test(digests_are_those_of_the_standards),
        cmocka_unit_test(base64_is_that_of_the_rfc),
        cmocka_unit_test(base64_that_is_not_canonical_is_refused),
        cmocka_unit_test(digests_are_equal_when_all_bytes_are),
        cmocka_unit_test(ids_are_uuids_of_version_4_and_differ),
        cmocka_unit_test(only_whole_lower_case_ids_are_valid),
        cmocka_unit_test(random_values_fill_what_they_should),
        cmocka_unit_test(metrics_are_counted_and_shown),
        cmocka_unit_test(series_of_a_site_add_up),
        cmocka_unit_test(every_limit_has_a_default_within_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
