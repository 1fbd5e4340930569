/* SPDX-License-Identifier: MIT */
/* Any bytes as MessagePack: what is read is JSON, but for names that are there twice and numbers
 * that are too large; it is not much longer than what it came from; and it has as many bytes handed
 * out as it says. */
#include "base/json.h"
#include "base/msgpack.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEPTH 64
#define GROWTH 64 /* empty bytes are two, and 31 and the digits of their number in JSON */

static void must(bool holds) {
    if (!holds) abort();
}

static bool count(void *arg, struct slice bytes) {
    unsigned *taken = arg;
    buf_unref(buf_copy(bytes)); /* all of them are there */
    return ++*taken < 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct json_limits limits = {DEPTH, UINT64_MAX, UINT64_MAX, false};
    struct text json = {0};
    struct json_value v;
    unsigned taken = 0;
    if (msgpack_to_json(&json, slice_make(data, size), DEPTH, count, &taken)) {
        enum json_error error = json_check(text_slice(&json), &limits, &v);
        must(error == JSON_OK || error == JSON_DUPLICATE);
        must(json.n <= size * GROWTH);
    }
    text_fini(&json);
    return 0;
}
