/* SPDX-License-Identifier: MIT */
/* Dials over TLS to a server of the test itself, which is OpenSSL over memory: what it gets and
 * what leaves it, and when, is the test's choice. Certificates are made on the spot. */
#include "dial_rig.h"
#include "net/tls.h"
#include "tls_forge.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/mman.h>

/* ---- certificates ---- */

struct issued {
    X509 *cert;
    EVP_PKEY *key;
};

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(e);
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
}

/* by NULL: signed by itself, an authority. names: the SAN. */
static struct issued issue(const struct issued *by, const char *name, const char *names,
                           long from_s, long to_s) {
    static long serial;
    struct issued i = {X509_new(), EVP_EC_gen("P-256")};
    X509 *issuer = by ? by->cert : i.cert;
    X509_set_version(i.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(i.cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(i.cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(i.cert), to_s);
    X509_set_pubkey(i.cert, i.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(i.cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(i.cert, X509_get_subject_name(issuer));
    add_extension(i.cert, issuer, NID_basic_constraints, by ? "CA:FALSE" : "critical,CA:TRUE");
    if (names) add_extension(i.cert, issuer, NID_subject_alt_name, names);
    assert_true(X509_sign(i.cert, by ? by->key : i.key, EVP_sha256()) > 0);
    return i;
}

static void issued_free(struct issued *i) {
    X509_free(i->cert);
    EVP_PKEY_free(i->key);
}

/* A file that nobody need remove. */
static int cert_file(const struct issued *i, char path[32]) {
    int fd = memfd_create("ca", MFD_CLOEXEC);
    FILE *f = fdopen(dup(fd), "w");
    PEM_write_X509(f, i->cert);
    fclose(f);
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

/* ---- the server ---- */

#define FREELY SIZE_MAX

struct server {
    struct issued ca, leaf;
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    struct text leaving;       /* encrypted, not yet sent */
    size_t left;               /* of leaving */
    size_t may_send, may_read; /* bytes that it does so far; FREELY: all */
    struct text got;
    bool got_end;
    struct tls_context *trust; /* the client's */
};

#define DAY_S 86400

static SSL_CTX *server_context(const struct issued *leaf) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, leaf->cert);
    SSL_CTX_use_PrivateKey(ctx, leaf->key);
    SSL_CTX_set_num_tickets(ctx, 1);
    return ctx;
}

static struct tls_context *trust_in(const struct issued *ca) {
    char path[32];
    const char *error = NULL;
    int fd = cert_file(ca, path);
    struct tls_context *context = tls_context_new(path, &error);
    assert_non_null(context);
    close(fd);
    return context;
}

static void serve(struct server *s, int fd) {
    char part[1500];
    ssize_t n = 0;
    for (int i = 0; i < 16 && s->may_read; i++) {
        n = recv(fd, part, s->may_read < sizeof part ? s->may_read : sizeof part, MSG_DONTWAIT);
        if (n <= 0) break;
        if (s->may_read != FREELY) s->may_read -= (size_t)n;
        BIO_write(s->in, part, (int)n);
    }
    ERR_clear_error();
    if (!SSL_is_init_finished(s->ssl)) SSL_do_handshake(s->ssl);
    int got = 0;
    while (SSL_is_init_finished(s->ssl) && (got = SSL_read(s->ssl, part, 777)) > 0)
        text_add(&s->got, slice_make(part, (size_t)got));
    if (got <= 0 && SSL_get_error(s->ssl, got) == SSL_ERROR_ZERO_RETURN) s->got_end = true;
    while ((got = BIO_read(s->out, part, sizeof part)) > 0)
        text_add(&s->leaving, slice_make(part, (size_t)got));
    struct slice rest = slice_upto(slice_from(text_slice(&s->leaving), s->left), s->may_send);
    n = rest.n ? send(fd, rest.p, rest.n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (n <= 0) return;
    s->left += (size_t)n;
    if (s->may_send != FREELY) s->may_send -= (size_t)n;
}

static void accept_only(struct world *w) {
    if (w->peer >= 0) return;
    int on = 1;
    w->peer = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK);
    setsockopt(w->peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void beside(struct world *w) {
    accept_only(w);
    if (w->peer >= 0) serve(w->other, w->peer);
}

static void server_says(struct server *s, struct slice bytes) {
    assert_int_equal(SSL_write(s->ssl, bytes.p, (int)bytes.n), bytes.n);
}

static void server_new_ssl(struct server *s) {
    s->ssl = SSL_new(s->ctx);
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_accept_state(s->ssl);
}

/* Presents leaf (taken) from now on. */
static void server_set_leaf(struct server *s, struct issued leaf) {
    issued_free(&s->leaf);
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
    s->leaf = leaf;
    s->ctx = server_context(&s->leaf);
    server_new_ssl(s);
}

static int tls_setup(void **state) {
    setup(state);
    struct world *w = *state;
    struct server *s = mem_new(sizeof *s);
    listen_tcp(w, 4);
    fcntl(w->listener, F_SETFL, O_NONBLOCK);
    s->may_send = s->may_read = FREELY;
    s->ca = issue(NULL, "the authority", NULL, -DAY_S, DAY_S);
    s->leaf = issue(&s->ca, "leaf", "DNS:localhost,IP:127.0.0.1,IP:::1", -DAY_S, DAY_S);
    s->ctx = server_context(&s->leaf);
    s->trust = trust_in(&s->ca);
    server_new_ssl(s);
    w->other = s;
    w->beside = beside;
    return 0;
}

static int tls_teardown(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    tls_context_unref(s->trust); /* before the connection: it has a reference of its own */
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
    issued_free(&s->leaf);
    issued_free(&s->ca);
    text_fini(&s->leaving);
    text_fini(&s->got);
    mem_free(s);
    return teardown(state);
}

static void dial_tls(struct world *w, const char *host, const char *server_name, uint64_t ms) {
    const struct server *s = w->other;
    dial(w,
         (struct dial_target){
             .host = host, .port = w->port, .server_name = server_name, .tls = s->trust},
         ms);
}

/* ---- the client's callbacks ---- */

static struct {
    int ended, drained, slow;
    bool pause, in_resume, drop_in_slow;
} seen;

static void got(struct conn *c, char *data, size_t n) {
    assert_false(seen.in_resume);
    received(c, data, n);
    if (seen.pause) conn_pause(c);
}
static void got_end(struct conn *c) {
    (void)c;
    seen.ended++;
}
static void got_room(struct conn *c) {
    (void)c;
    seen.drained++;
}
static void got_slow(struct conn *c) {
    seen.slow++;
    if (!seen.drop_in_slow) return;
    conn_drop_output(c);
    conn_send_copy(c, SLICE("bye"));
    conn_finish(c, 1000, "slow");
}
static const struct conn_ops all_ops = {got, got_end, got_room, got_slow, closed};

static void connect_tls(struct world *w) {
    memset(&seen, 0, sizeof seen);
    dial_tls(w, "127.0.0.1", NULL, LONG_MS);
    until_done(w);
    if (!w->conn) fail_msg("%s", w->reason);
    conn_hand_over(w->conn, &all_ops, w);
}

static void until_received(struct world *w, size_t n) {
    while (w->received.n < n) turn(w);
}

static void until_server_got(struct world *w, size_t n) {
    const struct server *s = w->other;
    while (s->got.n < n) turn(w);
}

static void bytes_pass(struct world *w) {
    struct server *s = w->other;
    conn_send_copy(w->conn, SLICE("ask"));
    until_server_got(w, 3);
    server_says(s, SLICE("answer"));
    until_received(w, 6);
    assert_true(slice_is(text_slice(&s->got), "ask"));
    assert_true(slice_is(text_slice(&w->received), "answer"));
}

/* ---- who is trusted ---- */

static void the_right_host_is_trusted(void **state) {
    struct world *w = *state;
    dial_tls(w, "localhost", NULL, LONG_MS);
    until_done(w);
    assert_string_equal(
        SSL_get_servername(((struct server *)w->other)->ssl, TLSEXT_NAMETYPE_host_name),
        "localhost");
    bytes_pass(w);
}

static void the_right_address_is_trusted(void **state) {
    struct world *w = *state;
    connect_tls(w);
    assert_null(SSL_get_servername(((struct server *)w->other)->ssl, TLSEXT_NAMETYPE_host_name));
    bytes_pass(w);
}

static void the_name_to_trust_may_be_another_than_the_host(void **state) {
    struct world *w = *state;
    dial_tls(w, "127.0.0.1", "localhost.", LONG_MS);
    until_done(w);
    bytes_pass(w);
}

static void tls_1_2_will_do(void **state) {
    struct world *w = *state;
    SSL_set_max_proto_version(((struct server *)w->other)->ssl, TLS1_2_VERSION);
    connect_tls(w);
    bytes_pass(w);
}

static void tls_1_1_will_not(void **state) {
    struct world *w = *state;
    SSL *ssl = ((struct server *)w->other)->ssl;
    SSL_set_security_level(ssl, 0);
    SSL_set_min_proto_version(ssl, TLS1_VERSION);
    SSL_set_max_proto_version(ssl, TLS1_1_VERSION);
    dial_tls(w, "127.0.0.1", NULL, LONG_MS);
    expect_failure(w, "tlsv1 alert protocol version");
}

static void another_host_is_not_trusted(void **state) {
    struct world *w = *state;
    dial_tls(w, "127.0.0.1", "example.com", LONG_MS);
    expect_failure(w, "certificate verify failed: it is for another host");
}

static void another_address_is_not_trusted(void **state) {
    struct world *w = *state;
    dial_tls(w, "127.0.0.1", "127.0.0.2", LONG_MS);
    expect_failure(w, "certificate verify failed: it is for another host");
}

static void an_unknown_authority_is_not_trusted(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    struct issued other = issue(NULL, "another authority", NULL, -DAY_S, DAY_S);
    server_set_leaf(s, issue(&other, "leaf", "DNS:localhost,IP:127.0.0.1", -DAY_S, DAY_S));
    dial_tls(w, "127.0.0.1", NULL, LONG_MS);
    expect_failure(w, "certificate verify failed: unknown authority");
    issued_free(&other);
}

static void an_expired_certificate_is_not_trusted(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    server_set_leaf(s, issue(&s->ca, "leaf", "DNS:localhost,IP:127.0.0.1", -2 * DAY_S, -DAY_S));
    dial_tls(w, "127.0.0.1", NULL, LONG_MS);
    expect_failure(w, "certificate verify failed: expired");
}

static void a_certificate_of_tomorrow_is_not_trusted(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    server_set_leaf(s, issue(&s->ca, "leaf", "DNS:localhost,IP:127.0.0.1", DAY_S, 2 * DAY_S));
    dial_tls(w, "127.0.0.1", NULL, LONG_MS);
    expect_failure(w, "certificate verify failed: not yet valid");
}

static void without_a_name_nobody_is_trusted(void **state) {
    struct world *w = *state;
    dial_tls(w, "127.0.0.1", "", LONG_MS);
    expect_failure(w, "no server name that a certificate can be for");
}

static void a_context_needs_authorities(void **state) {
    (void)state;
    const char *error = NULL;
    assert_null(tls_context_new("/nonexistent/ca.pem", &error));
    assert_non_null(error);
    assert_null(tls_context_new("/dev/null", &error));
    struct tls_context *systems = tls_context_new(NULL, &error);
    assert_non_null(systems);
    tls_context_unref(systems);
}

/* ---- handshakes that fail ---- */

static void hang_up(struct world *w) {
    char part[4096];
    accept_only(w);
    if (w->peer < 0 || recv(w->peer, part, sizeof part, 0) <= 0) return;
    shutdown(w->peer, SHUT_WR);
}

static void speak_plain(struct world *w) {
    char part[4096];
    accept_only(w);
    if (w->peer < 0 || recv(w->peer, part, sizeof part, 0) <= 0) return;
    assert_int_equal(send(w->peer, "-ERR Protocol error\r\n", 21, 0), 21);
}

static void a_peer_may_hang_up_in_the_handshake(void **state) {
    struct world *w = *state;
    w->beside = hang_up;
    dial_tls(w, "127.0.0.1", NULL, LONG_MS);
    expect_failure(w, "closed by peer in the TLS handshake");
}

static void a_peer_may_hang_up_in_the_middle_of_its_answer(void **state) {
    struct world *w = *state;
    ((struct server *)w->other)->may_send = 300;
    dial_tls(w, "127.0.0.1", NULL, LONG_MS);
    while (((struct server *)w->other)->may_send) turn(w);
    turns(w, 3);
    assert_int_equal(w->done, 0);
    shutdown(w->peer, SHUT_WR);
    expect_failure(w, "closed by peer in the TLS handshake");
}

static void a_peer_may_speak_no_tls(void **state) {
    struct world *w = *state;
    w->beside = speak_plain;
    dial_tls(w, "127.0.0.1", NULL, LONG_MS);
    expect_failure(w, "the peer speaks no TLS");
}

static void a_peer_may_never_answer(void **state) {
    struct world *w = *state;
    w->beside = accept_only;
    dial_tls(w, "127.0.0.1", NULL, 30);
    expect_failure(w, "timeout of the TLS handshake");
}

static void a_handshake_is_cancelled(void **state) {
    struct world *w = *state;
    for (size_t bytes = 0; bytes <= 600; bytes += 100) {
        struct server *s = w->other;
        s->may_send = bytes;
        dial_tls(w, "127.0.0.1", NULL, LONG_MS);
        turns(w, 6);
        assert_int_equal(w->done, 0);
        dial_cancel(w->dial);
        w->dial = NULL;
        turns(w, 2);
        assert_int_equal(w->done, 0);
        if (w->peer >= 0) close(w->peer);
        w->peer = -1;
        s->left = s->leaving.n;
        SSL_free(s->ssl);
        server_new_ssl(s);
    }
}

static void errors_of_others_do_no_harm(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    connect_tls(w);
    s->may_send = 10;
    server_says(s, SLICE("answer"));
    while (s->may_send) turn(w);
    for (int i = 0; i < 5; i++) { /* a part of a record: TLS asks for more, which is no error */
        ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
        loop_turn(w->loop);
    }
    assert_int_equal(w->closed, 0);
    s->may_send = FREELY;
    until_received(w, 6);
}

static void count_hellos(int out, int version, int type, const void *data, size_t n, SSL *ssl,
                         void *arg) {
    (void)version, (void)ssl;
    int *hellos = arg;
    if (!out && type == SSL3_RT_HANDSHAKE && n && *(const char *)data == SSL3_MT_CLIENT_HELLO)
        ++*hellos;
}

static void nothing_is_negotiated_anew(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    int hellos = 0;
    SSL_set_max_proto_version(s->ssl, TLS1_2_VERSION);
    SSL_set_msg_callback(s->ssl, count_hellos);
    SSL_set_msg_callback_arg(s->ssl, &hellos);
    connect_tls(w);
    SSL_renegotiate(s->ssl);
    SSL_do_handshake(s->ssl); /* asks the client to */
    turns(w, 5);
    assert_int_equal(hellos, 1);
}

/* ---- bytes ---- */

#define MUCH 5000000

static struct buf *pattern(unsigned seed) {
    struct buf *b = buf_new(MUCH);
    for (size_t i = 0; i < MUCH; i++) {
        seed = seed * 1103515245 + 12345;
        b->data[i] = (char)(seed >> 16);
    }
    return b;
}

/* In pieces of all sizes, on one side while the other is at it too; now and then new keys. */
static void much_passes_both_ways(struct world *w, bool new_keys) {
    struct server *s = w->other;
    struct buf *up = pattern(1), *down = pattern(2);
    size_t sent = 0, said = 0, step = 1;
    connect_tls(w);
    while (s->got.n < MUCH || w->received.n < MUCH) {
        size_t n = step < MUCH - sent ? step : MUCH - sent;
        if (conn_backlog(w->conn) < 300000) {
            if (n) conn_send_copy(w->conn, slice_make(up->data + sent, n));
            sent += n;
        }
        n = step < MUCH - said ? step : MUCH - said;
        if (s->leaving.n - s->left < 300000) {
            if (n) server_says(s, slice_make(down->data + said, n));
            said += n;
            if (new_keys && step % 5 == 0) SSL_key_update(s->ssl, SSL_KEY_UPDATE_REQUESTED);
        }
        step = step * 3 % 80021;
        turn(w);
    }
    assert_memory_equal(s->got.buf->data, up->data, MUCH);
    assert_memory_equal(w->received.buf->data, down->data, MUCH);
    assert_int_equal(conn_backlog(w->conn), 0);
    buf_unref(up);
    buf_unref(down);
}

static void much_passes_over_tls_1_3(void **state) { much_passes_both_ways(*state, true); }

static void much_passes_over_tls_1_2(void **state) {
    struct world *w = *state;
    SSL_set_max_proto_version(((struct server *)w->other)->ssl, TLS1_2_VERSION);
    much_passes_both_ways(w, false);
}

static void a_shared_buf_and_small_pieces_come_in_order(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    struct text expected = {0};
    struct buf *large = buf_new(70000);
    memset(large->data, 'L', large->n);
    connect_tls(w);
    for (int i = 0; i < 300; i++) {
        char head[CONN_HEAD_MAX];
        size_t n = (size_t)snprintf(head, sizeof head, "<%d>", i);
        struct buf *b = i % 50 == 49 ? large : NULL;
        conn_send(w->conn, slice_make(head, n), b);
        text_add(&expected, slice_make(head, n));
        text_add(&expected, buf_slice(b));
    }
    until_server_got(w, expected.n);
    assert_true(slice_eq(text_slice(&s->got), text_slice(&expected)));
    buf_unref(large);
    text_fini(&expected);
}

static void while_paused_nothing_is_received(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    connect_tls(w);
    seen.pause = true;
    for (int i = 0; i < 5; i++) server_says(s, SLICE("record"));
    until_received(w, 6);
    turns(w, 5);
    assert_int_equal(w->received.n, 6); /* the other four have come by now */
    for (int i = 2; i <= 5; i++) {
        seen.in_resume = true;
        conn_resume(w->conn);
        seen.in_resume = false;
        turns(w, 3);
        assert_int_equal(w->received.n, 6 * i);
    }
}

static void a_record_in_pieces_is_received_whole(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    struct buf *record = buf_new(TLS_RECORD);
    memset(record->data, 'r', record->n);
    connect_tls(w);
    s->may_send = 0;
    server_says(s, buf_slice(record));
    for (size_t sent = 0; sent < TLS_RECORD; sent += 500) {
        assert_int_equal(w->received.n, 0);
        s->may_send = 500;
        turns(w, 2);
    }
    s->may_send = FREELY;
    until_received(w, TLS_RECORD);
    buf_unref(record);
}

/* A ticket larger than a record, of which only a part comes at first. */
static int large_ticket(SSL *ssl, void *arg) {
    char data[3000] = {0};
    (void)arg;
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data, sizeof data);
}
static SSL_TICKET_RETURN no_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                   size_t n, SSL_TICKET_STATUS status, void *arg) {
    (void)ssl, (void)session, (void)name, (void)n, (void)status, (void)arg;
    return SSL_TICKET_RETURN_IGNORE;
}

static void writing_waits_for_the_rest_of_a_ticket(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    SSL_CTX_set_session_ticket_cb(s->ctx, large_ticket, no_ticket, NULL);
    SSL_set_max_send_fragment(s->ssl, 512);
    s->may_read = 1; /* for the handshake, but not yet the client's last message */
    dial_tls(w, "127.0.0.1", NULL, LONG_MS);
    while (!w->conn) {
        turn(w);
        if (!w->done) s->may_read = 1;
    }
    memset(&seen, 0, sizeof seen);
    conn_hand_over(w->conn, &all_ops, w);
    s->may_send = 700;
    s->may_read = FREELY;
    while (s->may_send) turn(w);
    turns(w, 3);
    struct buf *much = pattern(7); /* waits for the ticket, and then for the kernel */
    conn_pause(w->conn);
    conn_send(w->conn, (struct slice){NULL, 0}, much);
    turns(w, 5);
    assert_int_equal(s->got.n, 0);
    assert_true(conn_is_blocked(w->conn));
    assert_false(w->conn->watch.events & WATCH_WRITE); /* which would come again and again */
    s->may_send = FREELY;
    server_says(s, SLICE("answer"));
    until_server_got(w, MUCH);
    turns(w, 3);
    assert_memory_equal(s->got.buf->data, much->data, MUCH);
    buf_unref(much);
    assert_int_equal(seen.drained, 1);
    assert_int_equal(w->received.n, 0); /* it is paused all the same */
    conn_resume(w->conn);
    until_received(w, 6);
}

/* ---- ends ---- */

static void finishing_says_so(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    connect_tls(w);
    conn_send_copy(w->conn, SLICE("last words"));
    conn_finish(w->conn, 60000, "done");
    while (!s->got_end) turn(w);
    assert_true(slice_is(text_slice(&s->got), "last words"));
    server_says(s, SLICE("ignored"));
    turns(w, 3);
    assert_int_equal(w->closed, 0);
    shutdown(w->peer, SHUT_WR); /* without a word: nothing can be missing */
    while (!w->closed) turn(w);
    assert_string_equal(w->reason, "done");
    assert_int_equal(w->received.n, 0);
}

static void a_finish_without_lingering_says_so_too(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    connect_tls(w);
    conn_send_copy(w->conn, SLICE("last words"));
    conn_finish(w->conn, 0, "done");
    while (!w->closed) turn(w);
    while (!s->got_end) turn(w);
    assert_true(slice_is(text_slice(&s->got), "last words"));
}

static void a_finish_waits_for_a_slow_peer(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    struct buf *much = pattern(3);
    connect_tls(w);
    s->may_read = 0;
    conn_send(w->conn, (struct slice){NULL, 0}, much);
    conn_finish(w->conn, 60000, "done");
    turns(w, 5);
    assert_true(conn_backlog(w->conn) > 0);
    s->may_read = FREELY;
    while (!s->got_end) turn(w);
    assert_int_equal(s->got.n, MUCH);
    assert_memory_equal(s->got.buf->data, much->data, MUCH);
    SSL_shutdown(s->ssl);
    while (!w->closed) turn(w);
    assert_string_equal(w->reason, "done");
    buf_unref(much);
}

/* Until the kernel takes no more, and all that waits is a record in TLS. */
static void fill_up_to_a_record(struct world *w, struct text *sent) {
    char part[1000];
    while (!conn_is_blocked(w->conn)) {
        memset(part, 'a' + (int)(sent->n / sizeof part % 26), sizeof part);
        conn_send_copy(w->conn, slice_make(part, sizeof part));
        text_add(sent, slice_make(part, sizeof part));
        loop_settle(w->loop);
    }
    assert_int_equal(conn_backlog(w->conn), 0);
}

static void what_tls_holds_is_not_lost_at_the_peers_end(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    struct text sent = {0};
    connect_tls(w);
    s->may_read = 0;
    fill_up_to_a_record(w, &sent);
    conn_finish(w->conn, 60000, "done");
    SSL_shutdown(s->ssl);
    turns(w, 5);
    assert_int_equal(w->closed, 0);
    s->may_read = FREELY;
    while (!s->got_end) turn(w);
    assert_true(slice_eq(text_slice(&s->got), text_slice(&sent)));
    while (!w->closed) turn(w);
    text_fini(&sent);
}

static void what_tls_holds_is_output_that_waits(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    struct text sent = {0};
    connect_tls(w);
    s->may_read = 0;
    fill_up_to_a_record(w, &sent);
    conn_send_copy(w->conn, SLICE("more"));
    assert_int_equal(seen.drained, 0);
    s->may_read = FREELY;
    until_server_got(w, sent.n + 4);
    turns(w, 2);
    assert_int_equal(seen.drained, 1);
    text_fini(&sent);
}

static void the_peers_end_is_told(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    connect_tls(w);
    server_says(s, SLICE("answer"));
    SSL_shutdown(s->ssl);
    while (!seen.ended) turn(w);
    assert_true(slice_is(text_slice(&w->received), "answer"));
    conn_send_copy(w->conn, SLICE("late")); /* our side is still open */
    turns(w, 3);
    assert_int_equal(conn_backlog(w->conn), 0);
    assert_int_equal(w->closed, 0);
}

static void an_end_without_a_word_is_an_error(void **state) {
    struct world *w = *state;
    connect_tls(w);
    shutdown(w->peer, SHUT_WR);
    while (!w->closed) turn(w);
    assert_string_equal(w->reason, "ended without close_notify");
    assert_int_equal(seen.ended, 0);
}

static void a_reset_closes(void **state) {
    struct world *w = *state;
    struct linger now = {.l_onoff = 1};
    connect_tls(w);
    setsockopt(w->peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(w->peer);
    w->peer = -1;
    w->beside = NULL;
    while (!w->closed) turn(w);
    assert_string_equal(w->reason, "reset by peer");
}

static void a_forged_record_closes(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    connect_tls(w);
    server_says(s, SLICE("answer"));
    text_add(&s->leaving, SLICE("\x17\x03\x03\x00\x20"
                                "0123456789abcdef0123456789abcdef"));
    while (!w->closed) turn(w);
    assert_int_equal(w->received.n, 0); /* out of place, the true one is none either */
    assert_string_equal(w->reason, "decryption failed or bad record mac");
}

/* ---- peers that do not keep to the protocol ---- */

static void connect_forging(struct world *w, struct forge *f) {
    struct server *s = w->other;
    SSL_CTX_set_app_data(s->ctx, f);
    SSL_CTX_set_keylog_callback(s->ctx, forge_keylog);
    SSL_set_ciphersuites(s->ssl, "TLS_AES_128_GCM_SHA256");
    SSL_set_num_tickets(s->ssl, 0);
    connect_tls(w);
}

static void forge(struct world *w, struct forge *f, int type, struct slice plain) {
    forge_record(f, &((struct server *)w->other)->leaving, type, plain);
}

/* Of a session ticket of 200 bytes. */
static struct slice half_a_ticket(void) {
    static char half[100] = {SSL3_MT_NEWSESSION_TICKET, 0, 0, (char)200};
    return slice_make(half, sizeof half);
}

static void a_forger_can_be_understood(void **state) {
    struct world *w = *state;
    struct forge f = {0};
    connect_forging(w, &f);
    forge(w, &f, SSL3_RT_APPLICATION_DATA, SLICE("answer"));
    until_received(w, 6);
}

static void bytes_within_a_message_of_the_handshakes_close(void **state) {
    struct world *w = *state;
    struct forge f = {0};
    connect_forging(w, &f);
    forge(w, &f, SSL3_RT_HANDSHAKE, half_a_ticket());
    forge(w, &f, SSL3_RT_APPLICATION_DATA, SLICE("answer"));
    while (!w->closed) turn(w);
    assert_int_equal(w->received.n, 0);
    assert_string_equal(w->reason, "unexpected record");
}

static void an_end_within_a_message_of_the_handshakes_has_a_reason(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    struct forge f = {0};
    connect_forging(w, &f);
    forge(w, &f, SSL3_RT_HANDSHAKE, half_a_ticket());
    while (s->left < s->leaving.n) turn(w);
    turns(w, 3);
    conn_send_copy(w->conn, SLICE("ask")); /* waits for the rest */
    turns(w, 3);
    assert_true(conn_is_blocked(w->conn));
    forge(w, &f, SSL3_RT_ALERT, SLICE("\1\0")); /* close_notify */
    while (!w->closed) turn(w);
    assert_string_equal(w->reason, "ended in the middle of a message");
}

static void after_such_an_end_nothing_can_be_sent(void **state) {
    struct world *w = *state;
    struct forge f = {0};
    connect_forging(w, &f);
    forge(w, &f, SSL3_RT_HANDSHAKE, half_a_ticket());
    forge(w, &f, SSL3_RT_ALERT, SLICE("\1\0"));
    while (!seen.ended) turn(w);
    conn_send_copy(w->conn, SLICE("ask"));
    while (!w->closed) turn(w);
    assert_string_equal(w->reason, "ended in the middle of a message");
}

static void what_tls_says_to_itself_holds_nobody_up(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    connect_tls(w);
    for (int i = 0; i < 1000; i++) {
        SSL_key_update(s->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
        SSL_do_handshake(s->ssl);
    }
    server_says(s, SLICE("answer"));
    turns(w, 100);
    assert_int_equal(w->received.n, 0); /* so others had their turn a hundred times */
    until_received(w, 6);
}

/* As some servers send them. What is left of the record is in TLS, where epoll does not see it. */
static void two_tickets_may_be_in_a_record(void **state) {
    static char tickets[] = "\4\0\0\16\0\0\16\20\0\0\0\0\0\0\1A\0\0"
                            "\4\0\0\16\0\0\16\20\0\0\0\0\0\0\1B\0\0";
    struct world *w = *state;
    struct server *s = w->other;
    struct forge f = {0};
    connect_forging(w, &f);
    forge(w, &f, SSL3_RT_HANDSHAKE, slice_make(tickets, sizeof tickets - 1));
    while (s->left < s->leaving.n) turn(w);
    turns(w, 3);
    conn_send_copy(w->conn, SLICE("ask"));
    until_server_got(w, 3);
    forge(w, &f, SSL3_RT_APPLICATION_DATA, SLICE("answer"));
    until_received(w, 6);
}

static void say_new_keys(struct world *w) {
    struct server *s = w->other;
    if (s->got_end) SSL_key_update(s->ssl, SSL_KEY_UPDATE_REQUESTED);
    if (s->got_end) SSL_do_handshake(s->ssl);
    beside(w);
}

static void lingering_ends_though_new_keys_are_asked_for(void **state) {
    struct world *w = *state;
    connect_tls(w);
    w->beside = say_new_keys;
    conn_finish(w->conn, 50, "done");
    uint64_t began_ms = loop_now_ms(w->loop);
    while (!w->closed && loop_now_ms(w->loop) < began_ms + 2000) turn(w);
    assert_int_equal(w->closed, 1);
}

/* ---- slow peers ---- */

static void above_the_hard_mark_it_is_slow(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    struct buf *much = pattern(4);
    connect_tls(w);
    s->may_read = 0;
    seen.drop_in_slow = true;
    conn_set_marks(w->conn, 1000, LIMIT_OFF, 500000);
    for (int i = 0; i < 3; i++) conn_send(w->conn, (struct slice){NULL, 0}, much);
    turns(w, 3);
    assert_int_equal(seen.slow, 1);
    s->may_read = FREELY;
    while (!s->got_end) turn(w);
    assert_int_equal(s->got.n, MUCH + 3); /* what was begun came whole */
    assert_memory_equal(s->got.buf->data, much->data, MUCH);
    assert_true(slice_ends(text_slice(&s->got), SLICE("bye")));
    buf_unref(much);
}

static void who_takes_nothing_is_closed(void **state) {
    struct world *w = *state;
    struct buf *much = pattern(5);
    connect_tls(w);
    ((struct server *)w->other)->may_read = 0;
    w->limits.send_stall_timeout = 20;
    conn_send(w->conn, (struct slice){NULL, 0}, much);
    while (!w->closed) turn(w);
    assert_string_equal(w->reason, "takes no bytes");
    buf_unref(much);
}

static void dropping_leaves_the_stream_in_order(void **state) {
    struct world *w = *state;
    struct server *s = w->other;
    struct buf *much = pattern(6);
    connect_tls(w);
    s->may_read = 0;
    conn_send(w->conn, SLICE("head"), much);
    for (int i = 0; i < 40; i++) conn_send(w->conn, SLICE("never"), much);
    turns(w, 3);
    assert_true(conn_is_blocked(w->conn));
    conn_drop_output(w->conn);
    conn_send_copy(w->conn, SLICE("end"));
    s->may_read = FREELY;
    until_server_got(w, MUCH + 7);
    turns(w, 3);
    assert_int_equal(s->got.n, MUCH + 7);
    assert_true(slice_ends(text_slice(&s->got), SLICE("end")));
    assert_int_equal(seen.drained, 1);
    buf_unref(much);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, tls_setup, tls_teardown)
    const struct CMUnitTest tests[] = {
        T(the_right_host_is_trusted),
        T(the_right_address_is_trusted),
        T(the_name_to_trust_may_be_another_than_the_host),
        T(tls_1_2_will_do),
        T(tls_1_1_will_not),
        T(another_host_is_not_trusted),
        T(another_address_is_not_trusted),
        T(an_unknown_authority_is_not_trusted),
        T(an_expired_certificate_is_not_trusted),
        T(a_certificate_of_tomorrow_is_not_trusted),
        T(without_a_name_nobody_is_trusted),
        T(a_context_needs_authorities),
        T(a_peer_may_hang_up_in_the_handshake),
        T(a_peer_may_hang_up_in_the_middle_of_its_answer),
        T(a_peer_may_speak_no_tls),
        T(a_peer_may_never_answer),
        T(a_handshake_is_cancelled),
        T(errors_of_others_do_no_harm),
        T(nothing_is_negotiated_anew),
        T(much_passes_over_tls_1_3),
        T(much_passes_over_tls_1_2),
        T(a_shared_buf_and_small_pieces_come_in_order),
        T(while_paused_nothing_is_received),
        T(a_record_in_pieces_is_received_whole),
        T(writing_waits_for_the_rest_of_a_ticket),
        T(finishing_says_so),
        T(a_finish_without_lingering_says_so_too),
        T(a_finish_waits_for_a_slow_peer),
        T(what_tls_holds_is_not_lost_at_the_peers_end),
        T(what_tls_holds_is_output_that_waits),
        T(the_peers_end_is_told),
        T(an_end_without_a_word_is_an_error),
        T(a_reset_closes),
        T(a_forged_record_closes),
        T(a_forger_can_be_understood),
        T(bytes_within_a_message_of_the_handshakes_close),
        T(an_end_within_a_message_of_the_handshakes_has_a_reason),
        T(after_such_an_end_nothing_can_be_sent),
        T(what_tls_says_to_itself_holds_nobody_up),
        T(two_tickets_may_be_in_a_record),
        T(lingering_ends_though_new_keys_are_asked_for),
        T(above_the_hard_mark_it_is_slow),
        T(who_takes_nothing_is_closed),
        T(dropping_leaves_the_stream_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
