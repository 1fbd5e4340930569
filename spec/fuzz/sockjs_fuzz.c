/* SPDX-License-Identifier: MIT */
/* Any bytes as a body, a path and a message. What a client sends comes back the same through a
 * frame; a frame is JSON whatever the message was; no framing lets a message out of its frame. */
#include "base/utf8.h"
#include "transport/sockjs_frame.h"
#include "transport/sockjs_url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds) abort();
}

static struct limits limits_of_test(void) {
    struct limits limits;
    limits_init(&limits);
    return limits;
}

/* The only message of a frame, as a client reads it. */
static struct buf *read_back(const struct buf *frame) {
    struct limits limits = limits_of_test();
    struct sockjs_messages m;
    struct slice message, array = slice_from(buf_slice(frame), 1);
    must(sockjs_body_check(&m, array, &limits, 1, false) == SOCKJS_BODY_GOOD);
    must(sockjs_body_next(&m, &message));
    struct buf *copy = buf_copy(message);
    must(!sockjs_body_next(&m, &message));
    sockjs_body_fini(&m);
    return copy;
}

static void try_framings(const struct buf *frame) {
    static const struct sockjs_way *const ways[] = {
        &sockjs_xhr, &sockjs_xhr_streaming, &sockjs_eventsource, &sockjs_htmlfile, &sockjs_jsonp};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct text t = {0};
        ways[i]->frame(&t, buf_slice(frame), SLICE("cb"));
        struct slice s = text_slice(&t);
        size_t lines = 0;
        for (size_t at = 0; at < s.n; at++) lines += s.p[at] == '\n';
        must(lines == (ways[i] == &sockjs_htmlfile ? 3 : ways[i] == &sockjs_eventsource ? 2 : 1));
        if (ways[i] == &sockjs_htmlfile)
            for (size_t at = 8; at + 12 < s.n; at++) must(s.p[at] != '<');
        text_fini(&t);
    }
}

static void try_message(struct slice message, bool exact) {
    struct buf *frame = sockjs_wrap(message);
    must(utf8_valid(buf_slice(frame)));
    struct buf *back = read_back(frame);
    if (exact) must(slice_eq(buf_slice(back), message));
    try_framings(frame);
    struct buf *twice[] = {frame, frame}, *merged = sockjs_merge(twice, 2);
    must(merged->n == 2 * (size_t)frame->n - 2);
    buf_unref(merged);
    buf_unref(back);
    buf_unref(frame);
}

static void try_body(struct slice body, bool bare) {
    struct limits limits = limits_of_test();
    struct sockjs_messages m;
    struct slice message;
    uint64_t count = 0;
    if (sockjs_body_check(&m, body, &limits, 64, bare) == SOCKJS_BODY_GOOD)
        for (; sockjs_body_next(&m, &message); count++) try_message(message, true);
    must(count <= 64);
    sockjs_body_fini(&m);
}

static void try_path(struct slice path) {
    if (path.n && path.p[0] != '/') return;
    struct sockjs_url url = sockjs_url_parse(path);
    must(url.session.n <= SOCKJS_ID_MAX);
    must((url.action == SOCKJS_RECEIVE) == (url.way != NULL));
    must(slice_find(url.session, '/') == url.session.n);
    must(slice_find(url.session, '.') == url.session.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = slice_make(data, size);
    if (size > 60000) return 0;
    try_body(input, false);
    try_body(input, true);
    try_path(input);
    try_message(input, utf8_valid(input));
    sockjs_callback_valid(input);
    return 0;
}
