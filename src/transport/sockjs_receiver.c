/* SPDX-License-Identifier: MIT */
/* The answers that carry frames. A streaming one is begun when its session takes it and has a chunk
 * for each frame; a polling one is written whole with its only frame, because what it is going to
 * be is not known before. */
#include "transport/sockjs_receiver.h"

/* Frees rc; its request is answered next, and nobody is to be told when it is cut off now. */
static struct request *receiver_free(struct receiver *rc) {
    struct request *r = rc->request;
    r->aborted = NULL;
    r->user = NULL;
    mem_free(rc);
    return r;
}

static void on_aborted(struct request *r) {
    struct receiver *rc = r->user;
    struct sockjs_session *s = rc->session;
    receiver_free(rc);
    sockjs_lost(s);
}

static struct slice callback_of(const struct receiver *rc) {
    return slice_make(rc->callback, rc->callback_length);
}

/* ---- writing ---- */

/* For good answers and refusals alike: a page may read both. */
static void fill_headers(const struct receiver *rc, struct sockjs_headers *h, const char *type,
                         bool nosniff) {
    sockjs_header(h, "Content-Type", slice_of(type));
    if (nosniff) sockjs_header(h, "X-Content-Type-Options", SLICE("nosniff"));
    sockjs_session_headers(h, rc->sockjs, rc->request);
    if (rc->way->cors)
        sockjs_cors_headers(h, rc->sockjs, rc->request, rc->way == &sockjs_eventsource);
}

void receiver_start(struct receiver *rc) {
    if (!rc->way->streaming) return;
    const struct limits *limits = rc->sockjs->endpoint->site->limits;
    struct sockjs_headers h = {0};
    struct text prelude = {0};
    conn_set_marks(rc->request->conn, limits->send_buffer_soft, limits->send_buffer_time,
                   limits->send_buffer_hard);
    fill_headers(rc, &h, rc->way->content_type, rc->way->callback);
    rc->way->prelude(&prelude, callback_of(rc));
    struct buf *piece = text_take(&prelude);
    http_begin(rc->request, 200, h.list);
    http_write(rc->request, piece);
    buf_unref(piece);
}

/* The session lets go of rc before its answer ends: the peer's next request may be handled then. */
static struct request *release(struct receiver *rc) {
    if (rc->session) sockjs_released(rc->session);
    return receiver_free(rc);
}

static void write_streaming(struct receiver *rc, struct buf *piece, bool last) {
    struct request *r = rc->request;
    rc->sent += piece->n;
    http_write(r, piece);
    if (!last && rc->sent < rc->sockjs->endpoint->conf->response_limit) return;
    http_end(release(rc));
}

static void write_polling(struct receiver *rc, struct buf *piece) {
    struct sockjs_headers h = {0};
    fill_headers(rc, &h, rc->way->content_type, rc->way->callback);
    http_reply(release(rc), 200, h.list, buf_slice(piece));
}

static void write_frame(struct receiver *rc, struct slice frame, bool last) {
    struct text text = {0};
    rc->way->frame(&text, frame, callback_of(rc));
    struct buf *piece = text_take(&text);
    if (rc->way->streaming)
        write_streaming(rc, piece, last);
    else
        write_polling(rc, piece);
    buf_unref(piece);
}

void receiver_frame(struct receiver *rc, struct slice frame) { write_frame(rc, frame, false); }
void receiver_last(struct receiver *rc, struct slice frame) { write_frame(rc, frame, true); }

void receiver_refuse(struct receiver *rc, int status) {
    struct sockjs_headers h = {0};
    fill_headers(rc, &h, "text/plain; charset=UTF-8", true);
    http_reply(receiver_free(rc), status, h.list,
               status == 403 ? SLICE("not allowed here\n")
                             : SLICE("no session can be opened now\n"));
}

void receiver_drop(struct receiver *rc, const char *reason) {
    http_drop(receiver_free(rc), reason);
}

bool receiver_is_cut(const struct receiver *rc) { return !conn_is_open(rc->request->conn); }

/* ---- the request ---- */

static void refuse_callback(struct sockjs *k, struct request *r, const char *text) {
    struct sockjs_headers h = {0};
    sockjs_header(&h, "Content-Type", SLICE("text/plain; charset=UTF-8"));
    sockjs_header(&h, "X-Content-Type-Options", SLICE("nosniff"));
    sockjs_session_headers(&h, k, r);
    http_reply(r, 500, h.list, slice_of(text));
}

/* How many parameters of the query name the callback; the last one's value is in raw. */
static int find_callback(struct slice query, struct slice *raw) {
    int found = 0;
    for (struct slice part; slice_next(&query, '&', &part);) {
        struct slice name = slice_upto(part, slice_find(part, '='));
        if (!slice_is(name, "c") && !slice_is(name, "callback")) continue;
        *raw = slice_from(part, name.n + 1);
        found++;
    }
    return found;
}

/* Reads the callback's name into rc, or says what is wrong with it. */
static const char *read_callback(struct receiver *rc) {
    struct slice raw;
    int found = find_callback(rc->request->query, &raw);
    if (!found) return "\"callback\" parameter required";
    struct text name = {0};
    bool good = found == 1 && raw.n <= 3 * SOCKJS_CALLBACK_MAX && url_decode(&name, raw, true) &&
                sockjs_callback_valid(text_slice(&name));
    if (good) {
        rc->callback_length = (uint8_t)name.n;
        memcpy(rc->callback, text_slice(&name).p, name.n);
    }
    text_fini(&name);
    return good ? NULL : "invalid \"callback\" parameter";
}

static void begin(struct receiver *rc, struct slice id) {
    struct sockjs *k = rc->sockjs;
    struct ip ip = waiting_ip(k->net, rc->request);
    int status = sockjs_opening_status(k, rc->request);
    if (!status) status = sockjs_admits(k, &ip);
    if (status)
        receiver_refuse(rc, status);
    else
        sockjs_begin(k, id, &ip, rc);
}

void sockjs_receive(struct sockjs *k, struct request *r, const struct sockjs_way *way,
                    struct slice id) {
    struct receiver *rc = mem_new(sizeof *rc);
    *rc = (struct receiver){.way = way, .sockjs = k, .request = r};
    const char *wrong = way->callback ? read_callback(rc) : NULL;
    if (wrong) {
        refuse_callback(k, receiver_free(rc), wrong);
        return;
    }
    r->user = rc;
    r->aborted = on_aborted;
    struct sockjs_session *s = sockjs_find(k, id);
    if (s && s->receiver && receiver_is_cut(s->receiver)) {
        receiver_drop(s->receiver, "cut off");
        sockjs_lost(s);
        s = NULL;
    }
    if (s)
        sockjs_attach(s, rc);
    else
        begin(rc, id);
}
