/* SPDX-License-Identifier: MIT */
#include "store/redis_reader.h"

#include "net/conn.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#define ELEMENTS_MAX 1048576
#define INPUT_MAX 67108864

/* The functions of hiredis's own replies, but for arrays. */
struct reader {
    void *(*create_array)(const redisReadTask *, int);
    redisReplyObjectFunctions functions;
};

static void *create_array(const redisReadTask *task, int elements) {
    const struct reader *own = task->privdata;
    return elements > ELEMENTS_MAX ? NULL : own->create_array(task, elements);
}

redisReader *redis_reader_new(void) {
    redisReader *reader = redisReaderCreate();
    if (!reader) abort();
    struct reader *own = mem_new(sizeof *own);
    own->functions = *reader->fn;
    own->create_array = reader->fn->createArray;
    own->functions.createArray = create_array;
    reader->fn = &own->functions;
    reader->privdata = own;
    return reader;
}

void redis_reader_free(redisReader *reader) {
    if (!reader) return;
    struct reader *own = reader->privdata;
    redisReaderFree(reader);
    mem_free(own);
}

void redis_reader_feed(redisReader *reader, struct slice bytes) {
    redisReaderFeed(reader, bytes.p, bytes.n);
}

redisReply *redis_reader_next(redisReader *reader, const char **error) {
    void *reply = NULL;
    *error = NULL;
    if (redisReaderGetReply(reader, &reply) != REDIS_OK) *error = "not the protocol of Redis";
    else if (!reply && reader->len > INPUT_MAX) *error = "a reply that is too large";
    return *error ? NULL : reply;
}

size_t redis_transmit(struct conn *c, const struct slice *words, size_t n) {
    const char *texts[REDIS_WORDS_MAX];
    size_t lengths[REDIS_WORDS_MAX];
    char *bytes;
    assert(n <= REDIS_WORDS_MAX);
    for (size_t i = 0; i < n; i++) {
        texts[i] = words[i].p ? words[i].p : "";
        lengths[i] = words[i].n;
    }
    int size = redisFormatCommandArgv(&bytes, (int)n, texts, lengths);
    if (size < 0) abort();
    conn_send_copy(c, slice_make(bytes, (size_t)size));
    free(bytes);
    return (size_t)size;
}
