/* SPDX-License-Identifier: MIT */
/* The answer of an HTTP backend. The first byte chooses how: bits 0 to 3 the size of the pieces it
 * comes in, bit 4 that it answers a HEAD request. Whole and in pieces it has to come to the same;
 * of two things wrong with it, either may be found first. */
#include "net/http_response.h"

#include <stdlib.h>

#define MAX_HEAD 2000
#define MAX_BODY 4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum response_step read_all(struct http_response *out, struct slice bytes, size_t piece,
                                   bool head) {
    struct response_parser *p = response_parser_new(out, head, MAX_HEAD, MAX_BODY);
    enum response_step step = RESPONSE_MORE;
    while (bytes.n && step == RESPONSE_MORE) {
        step = response_feed(p, slice_upto(bytes, piece));
        bytes = slice_from(bytes, piece);
    }
    if (step == RESPONSE_MORE) step = response_end(p);
    response_parser_free(p);
    return step;
}

static void must(bool condition) {
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size || size > 20000) return 0;
    struct slice bytes = slice_make(data + 1, size - 1);
    size_t piece = data[0] & 15 ? data[0] & 15 : 1;
    struct http_response whole = {0}, pieces = {0};
    enum response_step a = read_all(&whole, bytes, SIZE_MAX, data[0] & 16);
    enum response_step b = read_all(&pieces, bytes, piece, data[0] & 16);
    must((a == RESPONSE_DONE) == (b == RESPONSE_DONE));
    must(whole.body.n <= MAX_BODY && whole.head.n <= MAX_HEAD);
    if (a == RESPONSE_DONE) {
        must(whole.status == pieces.status && whole.status >= 200);
        must(slice_eq(text_slice(&whole.body), text_slice(&pieces.body)));
        must(slice_eq(text_slice(&whole.head), text_slice(&pieces.head)));
    }
    http_response_fini(&whole);
    http_response_fini(&pieces);
    return 0;
}
