/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_READER_H
#define STORE_REDIS_READER_H

#include "base/slice.h"

/* hiredis's reader and formatter, with bounds: an array of more than a million elements is refused
 * before there is memory for it, and so is more input than 64 MiB for one reply. */
struct redisReader;
struct redisReply;
struct conn;

struct redisReader *redis_reader_new(void) __attribute__((returns_nonnull, warn_unused_result));

/* NULL does nothing. */
void redis_reader_free(struct redisReader *reader);

/* Bytes that came. */
void redis_reader_feed(struct redisReader *reader, struct slice bytes);

/* The next whole reply, the caller's (freeReplyObject), or NULL: there is none yet, or *error is a
 * constant text. */
struct redisReply *redis_reader_next(struct redisReader *reader, const char **error);

/* Sends a command of n words (at most REDIS_WORDS_MAX); returns its bytes. */
#define REDIS_WORDS_MAX 1024
size_t redis_transmit(struct conn *c, const struct slice *words, size_t n);

#endif
