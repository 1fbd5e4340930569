/* SPDX-License-Identifier: MIT */
/* The HTTP server fed with anything. The first byte seeds the sizes of the pieces; the rest is what
 * the peer sends. Each input is sent twice, at once and in pieces, and then
 *  - the same requests must have reached the handler, with the same bytes behind an upgrade;
 *  - what came back must be well-formed answers, at most one for each request and one refusal. */
#include "net/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define INPUT_MAX 20000

struct rig {
    struct loop *loop;
    struct net net;
    struct limits limits;
    struct text seen, output;
    size_t handed;
    struct request *later;
};

static void require(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "violated: %s\n", what);
    abort();
}

/* ---- the handler ---- */

static void raw_received(struct conn *c, char *data, size_t n) {
    struct rig *rig = c->user;
    text_add(&rig->seen, slice_make(data, n));
    for (size_t i = 0; i < n; i++) data[i] = 'x';
}

static void raw_closed(struct conn *c, const char *reason) {
    (void)c;
    (void)reason;
}

static const struct conn_ops raw_ops = {.received = raw_received, .closed = raw_closed};

static void on_aborted(struct request *r) {
    struct rig *rig = r->user;
    rig->later = NULL;
}

static void touch_all(struct rig *rig, const struct request *r) {
    struct slice value;
    text_format(&rig->seen, "\n%d %d ", (int)r->method, r->minor);
    text_add(&rig->seen, r->target);
    text_add(&rig->seen, r->host);
    for (size_t i = 0; i < r->header_count; i++) {
        require(r->headers[i].name.n > 0, "headers have names");
        text_add(&rig->seen, r->headers[i].name);
        text_add(&rig->seen, r->headers[i].value);
    }
    text_add(&rig->seen, http_cookie(r, "a"));
    if (http_query(r->query, "a", &value) && !url_decode(&rig->seen, value, true))
        text_str(&rig->seen, "broken");
    text_add(&rig->seen, r->body);
}

static void answer_in_pieces(struct request *r) {
    struct buf *piece = buf_copy(SLICE("piece"));
    http_begin(r, 200, NULL);
    http_write(r, piece);
    http_end(r);
    buf_unref(piece);
}

static void handler(void *arg, struct request *r) {
    struct rig *rig = arg;
    rig->handed++;
    touch_all(rig, r);
    switch (r->path.n > 1 ? r->path.p[1] : 0) {
    case 's': answer_in_pieces(r); break;
    case 'l':
        rig->later = r;
        r->user = rig;
        r->aborted = on_aborted;
        break;
    case 'd': http_drop(r, "fuzz"); break;
    case 'e': http_error(r, 404, "no"); break;
    case 'n': http_reply(r, 204, NULL, SLICE("")); break;
    case 'u':
        if (r->upgrade) {
            http_upgrade(r, "websocket", NULL, &raw_ops, rig);
            break;
        }
        /* fall through */
    default: http_reply(r, 200, NULL, SLICE("ok"));
    }
}

/* ---- what comes back ---- */

static struct slice line_take(struct slice *rest) {
    size_t lf = slice_find(*rest, '\n');
    require(lf < rest->n && lf > 0 && rest->p[lf - 1] == '\r', "lines end with CRLF");
    struct slice line = slice_upto(*rest, lf - 1);
    require(slice_find(line, '\r') == line.n && slice_find(line, 0) == line.n, "lines are clean");
    *rest = slice_from(*rest, lf + 1);
    return line;
}

static void chunks_take(struct slice *rest) {
    for (;;) {
        struct slice size = line_take(rest);
        char text[16] = {0};
        memcpy(text, size.p, size.n < 15 ? size.n : 15);
        size_t n = strtoul(text, NULL, 16);
        require(rest->n >= n + 2, "chunks are whole");
        *rest = slice_from(*rest, n);
        require(line_take(rest).n == 0, "chunks end with CRLF");
        if (!n) return;
    }
}

/* Takes one answer off; false when it was the last. HEAD cannot be told from GET here: a length
 * without a body is then followed by the next answer or nothing. */
static bool answer_take(struct slice *rest, bool *final) {
    struct slice status = line_take(rest), line;
    require(slice_starts(status, SLICE("HTTP/1.1 ")) && status.n > 12, "answers start so");
    uint64_t length = 0;
    bool close = false, chunked = false;
    while ((line = line_take(rest)).n) {
        require(slice_find(line, ':') < line.n, "headers have a colon");
        if (slice_starts(line, SLICE("Content-Length: ")))
            require(slice_u64(slice_from(line, 16), &length), "lengths are numbers");
        close |= slice_is(line, "Connection: close");
        chunked |= slice_is(line, "Transfer-Encoding: chunked");
    }
    *final = status.p[9] != '1';
    if (chunked && !slice_starts(*rest, SLICE("HTTP/1.1 ")) && rest->n) chunks_take(rest);
    if (length && !slice_starts(*rest, SLICE("HTTP/1.1 ")) && rest->n) {
        require(rest->n >= length, "bodies are whole");
        *rest = slice_from(*rest, length);
    }
    return !close && !slice_starts(status, SLICE("HTTP/1.1 101"));
}

static void output_check(const struct rig *rig) {
    struct slice rest = text_slice(&rig->output);
    size_t answers = 0;
    while (rest.n) {
        bool final;
        bool more = answer_take(&rest, &final);
        answers += final;
        if (!more) break; /* HTTP/1.0 streams have no other end */
    }
    require(answers <= rig->handed + 1, "one answer for each request, and one refusal");
}

/* ---- the peer ---- */

static void turns(struct rig *rig, int peer) {
    for (int i = 0; i < 3; i++) loop_turn(rig->loop);
    char chunk[8192];
    ssize_t n;
    while ((n = read(peer, chunk, sizeof chunk)) > 0)
        text_add(&rig->output, slice_make(chunk, (size_t)n));
    if (!rig->later) return;
    struct request *r = rig->later;
    rig->later = NULL;
    r->aborted = NULL;
    http_reply(r, 200, NULL, SLICE("late"));
}

/* Sends input in pieces by seed; 0: at once. */
static void converse(struct rig *rig, struct slice input, uint32_t seed) {
    int pair[2];
    struct ip none = {{0}};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) abort();
    rig->handed = 0;
    text_clear(&rig->seen);
    text_clear(&rig->output);
    http_accept(&rig->net, pair[1], &none, handler, rig);
    while (input.n) {
        seed = seed * 1664525 + 1013904223 * (seed != 0);
        size_t most = seed ? 1 + (seed >> 16) % 40 : input.n;
        ssize_t n = send(pair[0], input.p, most < input.n ? most : input.n, MSG_NOSIGNAL);
        if (n < 0) break;
        input = slice_from(input, (size_t)n);
        turns(rig, pair[0]);
    }
    shutdown(pair[0], SHUT_WR);
    for (size_t before = SIZE_MAX; before != rig->output.n || rig->later;) {
        before = rig->output.n;
        for (int i = 0; i < 8; i++) turns(rig, pair[0]);
    }
    close(pair[0]);
    while (!list_empty(&rig->net.conns)) loop_turn(rig->loop);
    output_check(rig);
}

static struct rig *rig_new(void) {
    struct rig *rig = mem_new(sizeof *rig);
    rig->loop = loop_new();
    loop_stop(rig->loop); /* no turn waits */
    limits_init(&rig->limits);
    rig->limits.http_max_request_line = 256;
    rig->limits.http_max_header_bytes = 1024;
    rig->limits.http_max_header_count = 12;
    rig->limits.http_max_body = 1024;
    rig->limits.http_requests_per_connection = 40;
    net_init(&rig->net, rig->loop, NULL, NULL, NULL, &rig->limits);
    return rig;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static struct rig *rig;
    if (!rig) rig = rig_new();
    if (n < 2 || n > INPUT_MAX) return 0;
    struct slice input = slice_make(data + 1, n - 1);
    converse(rig, input, 0);
    struct text at_once = rig->seen;
    rig->seen = (struct text){0};
    converse(rig, input, data[0] + 1u);
    require(slice_eq(text_slice(&at_once), text_slice(&rig->seen)), "splits change nothing");
    text_fini(&at_once);
    return 0;
}
