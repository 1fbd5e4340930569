/* SPDX-License-Identifier: MIT */
/* Records of TLS 1.3 as OpenSSL would never send them, from a server that holds the keys: a peer is
 * not trusted to keep to the protocol because its certificate is good. */
#ifndef SPEC_TLS_FORGE_H
#define SPEC_TLS_FORGE_H

#include "base/buf.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FORGE_SECRET 32

struct forge {
    unsigned char secret[FORGE_SECRET]; /* of what the server sends after the handshake */
    unsigned char sequence;             /* the next record's; the server itself must send none */
};

/* Key material of n bytes for TLS_AES_128_GCM_SHA256. */
static inline void forge_derive(const struct forge *f, char *label, unsigned char *into, size_t n) {
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)f->secret, FORGE_SECRET),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, label, strlen(label)),
        OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_KDF_derive(context, into, n, params), 1);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

/* Appends one record of this type, with plain (at most 1000 bytes) in it. */
static inline void forge_record(struct forge *f, struct text *into, int type, struct slice plain) {
    unsigned char key[16], iv[12], inner[1001], sealed[1001], tag[16];
    int n = (int)plain.n + 1, done;
    unsigned char head[5] = {23, 3, 3, (unsigned char)((n + 16) >> 8), (unsigned char)(n + 16)};
    memcpy(inner, plain.p, plain.n);
    inner[plain.n] = (unsigned char)type;
    forge_derive(f, "key", key, sizeof key);
    forge_derive(f, "iv", iv, sizeof iv);
    iv[11] ^= f->sequence++;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_true(EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, iv));
    assert_true(EVP_EncryptUpdate(c, NULL, &done, head, sizeof head));
    assert_true(EVP_EncryptUpdate(c, sealed, &done, inner, n));
    assert_true(EVP_EncryptFinal_ex(c, sealed + done, &done));
    assert_true(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, sizeof tag, tag));
    EVP_CIPHER_CTX_free(c);
    text_add(into, slice_make((char *)head, sizeof head));
    text_add(into, slice_make((char *)sealed, (size_t)n));
    text_add(into, slice_make((char *)tag, sizeof tag));
}

/* SSL_CTX_set_keylog_callback; the forge is the context's app data. */
static inline void forge_keylog(const SSL *ssl, const char *line) {
    struct forge *f = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24)) return;
    const char *hex = strrchr(line, ' ') + 1;
    for (int i = 0; i < FORGE_SECRET; i++)
        assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &f->secret[i]), 1);
}

#endif
