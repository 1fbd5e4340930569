/* SPDX-License-Identifier: MIT */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/slice.h"

#include <sys/types.h>

/* TLS on a connection's descriptor. It never waits: who waits for the descriptor (dial.c until the
 * handshake is complete, conn.c from then on) calls again when it is ready.
 *
 * For what: after -EAGAIN for the descriptor to be writable while tls_unsent is not 0, else to be
 * readable. What the kernel does not take at once is kept here (unsent), so reading never waits for
 * room to write. Nor are there bytes that epoll does not show: a record is taken off the descriptor
 * only when it is read, and then read whole. */
struct tls_context;
struct tls;

/* The most plain bytes of one record. */
#define TLS_RECORD 16384

/* Whom we trust, for connections that we open: the authorities in ca_file (PEM), or the system's
 * when that is NULL. The peer must show a certificate of theirs, with the name it was dialed by;
 * TLS 1.2 at least. Returns NULL and a constant text in error. */
struct tls_context *tls_context_new(const char *ca_file, const char **error)
    __attribute__((warn_unused_result));

struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);

/* The client's side of TLS on fd, which stays the caller's; name is a host name, or an address: the
 * one the certificate must be for. Keeps a reference to context. */
struct tls *tls_new(struct tls_context *context, int fd, const char *name)
    __attribute__((returns_nonnull, warn_unused_result));

/* NULL does nothing. What is unsent is lost. */
void tls_free(struct tls *t);

/* Goes on with the handshake. Returns 0 when it is complete and the certificate is good, -EAGAIN,
 * or another negative errno; then tls_reason says why. */
int tls_handshake(struct tls *t) __attribute__((warn_unused_result));

/* Reads at most one record; n is at least TLS_RECORD. Returns how many bytes came, 0 when the peer
 * has ended its side, -EAGAIN, or another negative errno. An end without the peer's word for it
 * could be anybody's, and is an error unless tls_end was called. */
ssize_t tls_read(struct tls *t, char *into, size_t n) __attribute__((warn_unused_result));

/* Takes at most TLS_RECORD bytes, when nothing is unsent. Returns how many it took, which leave at
 * once or are unsent from now on; or -EAGAIN, or another negative errno. */
ssize_t tls_write(struct tls *t, struct slice bytes) __attribute__((warn_unused_result));

/* Whether tls_write, in spite of having nothing unsent, said -EAGAIN: half a message of the
 * handshake's protocol has come (a session ticket), and the rest must be read first. tls_write does
 * that when the descriptor is readable. */
bool tls_write_waits_for_input(const struct tls *t);

/* Bytes that the kernel has not taken yet; about a record at the most. */
size_t tls_unsent(const struct tls *t);

/* Writes what is unsent. Returns 0 when nothing is any more, -EAGAIN, or another negative errno. */
int tls_flush(struct tls *t) __attribute__((warn_unused_result));

/* Tells the peer that we write no more; may be called again. Returns as tls_flush. */
int tls_end(struct tls *t) __attribute__((warn_unused_result));

/* Why it failed: a constant text. Each call fails from then on. */
const char *tls_reason(const struct tls *t);

#endif
