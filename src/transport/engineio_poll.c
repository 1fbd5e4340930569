/* SPDX-License-Identifier: MIT */
/* A poll is answered once, with all that is queued then. Clients of protocol 3 read bytes in two
 * forms; the one made of bytes is for those that can, and only where the other would not do. */
#include "transport/engineio.h"

#include "base/json.h"

/* Frees the poll; its request is answered next, and nobody is to be told when it is cut off now. */
static struct request *poll_free(struct eio_poll *poll) {
    struct request *r = poll->request;
    r->aborted = NULL;
    r->user = NULL;
    mem_free(poll);
    return r;
}

/* The session lets go before the answer ends: the peer's next request may be handled then. */
static struct request *release(struct eio_poll *poll) {
    if (poll->session) eio_session_detach(poll->session);
    return poll_free(poll);
}

static void on_aborted(struct request *r) {
    struct eio_poll *poll = r->user;
    struct eio_session *s = poll->session;
    release(poll);
    if (s) eio_session_end(s, 1006, "connection interrupted");
}

struct eio_poll *eio_poll_new(struct engineio *e, struct request *r, const struct eio_query *q) {
    struct eio_poll *poll = mem_new(sizeof *poll);
    *poll = (struct eio_poll){.engineio = e, .request = r, .query = *q};
    r->user = poll;
    r->aborted = on_aborted;
    return poll;
}

bool eio_poll_is_cut(const struct eio_poll *poll) { return !conn_is_open(poll->request->conn); }

void eio_poll_drop(struct eio_poll *poll, const char *reason) { http_drop(release(poll), reason); }

/* ---- the answer ---- */

/* Whether a packet is better carried by bytes. */
static bool wants_bytes(const struct eio_queued *packet) {
    return packet->binary || !eio_text_is_plain(buf_slice(packet->buf));
}

static enum eio_form form_for(const struct eio_poll *poll, const struct eio_queued *packets,
                              size_t n) {
    if (!poll->session->v3) return EIO_FORM_4;
    for (size_t i = 0; i < n && !poll->query.base64; i++)
        if (wants_bytes(&packets[i])) return EIO_FORM_3_BINARY;
    return EIO_FORM_3_TEXT;
}

static void write_packets(struct text *out, enum eio_form form, enum eio_text known,
                          const struct eio_queued *packets, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (packets[i].binary) eio_binary_write(out, form, buf_slice(packets[i].buf));
        else eio_text_write(out, form, buf_slice(packets[i].buf), known);
    }
}

/* ___eio[7]("...");, which the page runs. */
static void write_call(struct text *out, struct slice callback, struct slice payload) {
    text_add(out, SLICE("___eio["));
    text_add(out, callback);
    text_add(out, SLICE("]("));
    json_quote(out, payload);
    text_add(out, SLICE(");"));
}

static const char *type_of(const struct eio_poll *poll, enum eio_form form) {
    if (poll->query.callback.p) return "text/javascript; charset=UTF-8";
    return form == EIO_FORM_3_BINARY ? "application/octet-stream" : "text/plain; charset=UTF-8";
}

void eio_poll_answer(struct eio_poll *poll, const struct eio_queued *packets, size_t n) {
    struct eio_headers h = {0};
    struct text payload = {0}, call = {0};
    enum eio_form form = form_for(poll, packets, n);
    write_packets(&payload, form, poll->session->text, packets, n);
    if (poll->query.callback.p) write_call(&call, poll->query.callback, text_slice(&payload));
    eio_headers_fill(&h, poll->engineio, poll->request, &poll->query, poll->session,
                     type_of(poll, form));
    struct buf *body = text_take(call.n ? &call : &payload);
    http_reply_buf(release(poll), 200, h.list, body);
    buf_unref(body);
    text_fini(&payload);
    text_fini(&call);
}

void eio_poll_answer_text(struct eio_poll *poll, const char *packet) {
    struct eio_queued one = {.buf = buf_copy(slice_of(packet))};
    eio_poll_answer(poll, &one, 1);
    buf_unref(one.buf);
}
