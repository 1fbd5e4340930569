/* SPDX-License-Identifier: MIT */
/* OpenSSL reads and writes through a BIO of ours, for three reasons. Its own for sockets has no
 * MSG_NOSIGNAL. It makes OpenSSL keep a record that the kernel did not take, together with a claim
 * on the same bytes at the next call, and then a connection could not drop output that waits. And
 * it lets reading wait for writing. Ours takes everything, and what the kernel leaves is unsent.
 *
 * What is never switched on: read-ahead, with which records would be waiting here that epoll knows
 * nothing of. */
#include "net/tls.h"

#include "base/buf.h"
#include "base/ip.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A record, and what the protocol says by itself; a peer that makes us say more and reads nothing
 * has failed. */
#define UNSENT_MAX 65536

struct tls_context {
    unsigned refs;
    SSL_CTX *ctx;
    BIO_METHOD *method;
};

struct tls {
    struct tls_context *context;
    SSL *ssl;
    int fd;
    int error;          /* errno of the descriptor */
    bool ended;         /* the descriptor is at its end */
    bool write_waits;   /* tls_write_waits_for_input */
    const char *reason; /* not NULL: it has failed */
    struct text unsent;
    size_t sent; /* of unsent */
};

/* ---- the descriptor ---- */

size_t tls_unsent(const struct tls *t) { return t->unsent.n - t->sent; }

/* Hands bytes to the kernel; how many it took, 0 when none. On an error false. */
static bool send_some(struct tls *t, struct slice bytes, size_t *taken) {
    ssize_t n;
    do n = send(t->fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    *taken = n < 0 ? 0 : (size_t)n;
    if (n >= 0 || errno == EAGAIN) return true;
    t->error = errno;
    return false;
}

static int bio_write(BIO *bio, const char *data, size_t n, size_t *written) {
    struct tls *t = BIO_get_data(bio);
    struct slice bytes = slice_make(data, n);
    size_t taken = 0;
    BIO_clear_retry_flags(bio);
    if (!tls_unsent(t) && !send_some(t, bytes, &taken)) return 0;
    if (tls_unsent(t) + n - taken > UNSENT_MAX) {
        t->error = ENOBUFS;
        return 0;
    }
    text_add(&t->unsent, slice_from(bytes, taken));
    *written = n;
    return 1;
}

static int bio_read(BIO *bio, char *into, size_t n, size_t *got) {
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t r;
    do r = recv(t->fd, into, n, MSG_DONTWAIT);
    while (r < 0 && errno == EINTR);
    if (r > 0) {
        *got = (size_t)r;
        return 1;
    }
    if (r == 0) t->ended = true;
    else if (errno == EAGAIN) BIO_set_retry_read(bio);
    else t->error = errno;
    return 0;
}

static long bio_control(BIO *bio, int what, long number, void *pointer) {
    (void)bio;
    (void)number;
    (void)pointer;
    return what == BIO_CTRL_FLUSH; /* nothing is held back that could be pushed */
}

int tls_flush(struct tls *t) {
    if (!tls_unsent(t)) return 0;
    size_t taken;
    if (!send_some(t, slice_from(text_slice(&t->unsent), t->sent), &taken)) {
        t->reason = "reset by peer";
        return -EPROTO;
    }
    t->sent += taken;
    if (tls_unsent(t)) return -EAGAIN;
    t->sent = 0;
    text_fini(&t->unsent); /* an idle connection keeps no buffer */
    return 0;
}

/* ---- reasons ---- */

static const char *reason_of_verification(long result) {
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return "certificate verify failed: expired";
    case X509_V_ERR_CERT_NOT_YET_VALID: return "certificate verify failed: not yet valid";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return "certificate verify failed: it is for another host";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return "certificate verify failed: unknown authority";
    case X509_V_ERR_CERT_REVOKED: return "certificate verify failed: revoked";
    case X509_V_ERR_INVALID_PURPOSE: return "certificate verify failed: it is not for a server";
    default: return "certificate verify failed";
    }
}

static const char *reason_of_protocol(void) {
    unsigned long error = ERR_peek_error();
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER)
        return "the peer speaks no TLS";
    const char *text = ERR_reason_error_string(error);
    return text ? text : "TLS failed";
}

static const char *reason_of(const struct tls *t) {
    if (t->error == ENOBUFS) return "takes no bytes";
    if (t->error) return "reset by peer";
    if (t->ended)
        return SSL_is_init_finished(t->ssl) ? "ended without close_notify"
                                            : "closed by peer in the TLS handshake";
    long verified = SSL_get_verify_result(t->ssl);
    return verified != X509_V_OK ? reason_of_verification(verified) : reason_of_protocol();
}

/* What it means that a call of OpenSSL's gave nothing: -EAGAIN, 0 for the peer's orderly end, or
 * that all has failed. */
static int judge(struct tls *t, int result) {
    int error = SSL_get_error(t->ssl, result);
    if (error == SSL_ERROR_WANT_READ) return -EAGAIN;
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    t->reason = reason_of(t);
    return -EPROTO;
}

const char *tls_reason(const struct tls *t) { return t->reason; }

/* ---- bytes ---- */

/* What a call on another connection left in the thread's queue of errors would be taken for one of
 * this connection's: it is emptied before each call. */

int tls_handshake(struct tls *t) {
    if (t->reason) return -EPROTO;
    int flushed = tls_flush(t);
    if (flushed) return flushed;
    ERR_clear_error();
    int result = SSL_do_handshake(t->ssl);
    if (result == 1) return tls_unsent(t) ? -EAGAIN : 0;
    result = judge(t, result);
    if (result) return result;
    t->reason = "closed by peer in the TLS handshake";
    return -EPROTO;
}

ssize_t tls_read(struct tls *t, char *into, size_t n) {
    assert(n >= TLS_RECORD);
    if (t->reason) return -EPROTO;
    ERR_clear_error();
    size_t got;
    int result = SSL_read_ex(t->ssl, into, n, &got);
    assert(result != 1 || !SSL_pending(t->ssl)); /* else it may: a record that was out of place */
    if (result == 1) return (ssize_t)got;
    result = judge(t, result);
    return t->ended && SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN ? 0 : result;
}

ssize_t tls_write(struct tls *t, struct slice bytes) {
    assert(bytes.n && bytes.n <= TLS_RECORD && !tls_unsent(t));
    if (t->reason) return -EPROTO;
    ERR_clear_error();
    size_t taken;
    int result = SSL_write_ex(t->ssl, bytes.p, bytes.n, &taken);
    t->write_waits = false;
    if (result == 1) return (ssize_t)taken;
    result = judge(t, result);
    /* A message of the protocol's own must be whole before bytes can leave. After the peer's end it
     * never will be: that is then no reason to wait. */
    bool peer_ended = SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN;
    t->write_waits = result == -EAGAIN && !peer_ended;
    if (result && (result != -EAGAIN || !peer_ended)) return result;
    t->reason = "ended in the middle of a message";
    return -EPIPE;
}

bool tls_write_waits_for_input(const struct tls *t) { return t->write_waits; }

int tls_end(struct tls *t) {
    if (!t->reason && !(SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN)) {
        ERR_clear_error();
        SSL_shutdown(t->ssl); /* its answer is about the peer's half, which whoever reads sees */
    }
    return tls_flush(t);
}

/* ---- life ---- */

/* OpenSSL fails here for want of memory only. */
static void *must(void *made) {
    if (!made) abort();
    return made;
}

/* Whom the certificate is to be for; a name is also told to the server, which may have several. */
static bool set_name(SSL *ssl, const char *name) {
    struct ip ip;
    if (ip_parse(slice_of(name), &ip)) {
        bool v4 = ip_is_v4(&ip);
        return X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl), v4 ? ip.b + 12 : ip.b, v4 ? 4 : 16);
    }
    struct slice host = slice_of(name);
    if (slice_ends(host, SLICE("."))) host.n--; /* it keeps the resolver from searching, no more */
    if (!host.n) return false;                  /* OpenSSL would then check no name at all */
    char *text = slice_cstr(host);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool set = SSL_set1_host(ssl, text) && SSL_set_tlsext_host_name(ssl, text);
    mem_free(text);
    return set;
}

struct tls *tls_new(struct tls_context *context, int fd, const char *name) {
    struct tls *t = mem_new(sizeof *t);
    t->context = tls_context_ref(context);
    t->fd = fd;
    ERR_clear_error();
    t->ssl = must(SSL_new(context->ctx));
    BIO *bio = must(BIO_new(context->method));
    BIO_set_data(bio, t);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_connect_state(t->ssl);
    if (!set_name(t->ssl, name)) t->reason = "no server name that a certificate can be for";
    return t;
}

void tls_free(struct tls *t) {
    if (!t) return;
    SSL_free(t->ssl);
    text_fini(&t->unsent);
    tls_context_unref(t->context);
    mem_free(t);
}

static bool trust(SSL_CTX *ctx, const char *ca_file, const char **error) {
    ERR_clear_error();
    if (ca_file ? SSL_CTX_load_verify_file(ctx, ca_file) : SSL_CTX_set_default_verify_paths(ctx))
        return true;
    *error = ca_file ? "no certificate authorities in the file" : "no certificate authorities";
    return false;
}

struct tls_context *tls_context_new(const char *ca_file, const char **error) {
    struct tls_context *context = mem_new(sizeof *context);
    context->refs = 1;
    context->ctx = must(SSL_CTX_new(TLS_client_method()));
    context->method = must(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "moonlatch"));
    BIO_meth_set_write_ex(context->method, bio_write);
    BIO_meth_set_read_ex(context->method, bio_read);
    BIO_meth_set_ctrl(context->method, bio_control);
    SSL_CTX_set_verify(context->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(context->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(context->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    /* A call returns after each message of the protocol's own: it would go on for as long as more
     * of them come, and a peer can send new keys faster than they are worked out. */
    SSL_CTX_clear_mode(context->ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(context->ctx, SSL_SESS_CACHE_OFF);
    if (trust(context->ctx, ca_file, error)) return context;
    tls_context_unref(context);
    return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *context) {
    context->refs++;
    return context;
}

void tls_context_unref(struct tls_context *context) {
    if (!context || --context->refs) return;
    SSL_CTX_free(context->ctx);
    BIO_meth_free(context->method);
    mem_free(context);
}
