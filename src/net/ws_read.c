/* SPDX-License-Identifier: MIT */
/* From bytes to messages.
 *
 * The short way: a frame lies whole in the buffer, is a whole message and is not compressed. It is
 * unmasked and handed over where it lies. The long way: what is cut by the end of the buffer, or
 * comes in fragments, or is compressed, is collected in a struct ws_inbound, whose memory grows
 * with the bytes that really came, never with what a header announces.
 *
 * Everything that can be refused early is: a header before its payload, a wrong byte of UTF-8 in
 * the read that brings it, too much output in the middle of inflating. */
#include "net/ws_inner.h"

void ws_inbound_free(struct ws_inbound *in) {
    if (!in) return;
    mem_free(in->data);
    mem_free(in);
}

static struct ws_inbound *need_inbound(struct ws *w) {
    if (!w->inbound) {
        w->inbound = mem_new(sizeof *w->inbound);
        w->inbound->began_ms = loop_now_ms(w->conn->net->loop);
    }
    return w->inbound;
}

static bool too_big(struct ws *w) {
    ws_fail_limit(w, 1009, "ws_max_message", "message too big");
    return false;
}

static bool bad_text(struct ws *w) {
    ws_fail(w, 1007, "not UTF-8");
    return false;
}

/* ---- collecting ---- */

/* Compressing can also make a message longer, by this much at most if its sender means well. */
static uint64_t most_on_wire(const struct ws *w) {
    uint64_t max = w->settings->max_message;
    return max + max / 4 + 1024;
}

/* Room for at least one byte more than there may be, so that too much shows. */
static void grow(struct ws_inbound *in, size_t want, uint64_t max_message) {
    if (want <= in->cap) return;
    size_t cap = in->cap * 2 > want ? in->cap * 2 : want;
    if (cap < 256) cap = 256;
    if (cap > max_message + 1 && want <= max_message + 1) cap = (size_t)max_message + 1;
    in->data = mem_grow(in->data, cap);
    in->cap = cap;
}

static bool check_text(struct ws *w, size_t from) {
    struct ws_inbound *in = w->inbound;
    if (in->opcode != WS_TEXT) return true;
    return utf8_feed(&in->utf8, slice_make(in->data + from, in->n - from)) || bad_text(w);
}

/* Inflates a piece, or with piece NULL what is left when all pieces have come. */
static bool add_inflated(struct ws *w, struct slice *piece) {
    struct ws_inbound *in = w->inbound;
    for (;;) {
        grow(in, in->n + 1, w->settings->max_message);
        size_t room = in->cap - in->n, from = in->n;
        ssize_t n = piece ? inflate_piece(w->deflate, piece, in->data + from, room)
                          : inflate_end(w->deflate, in->data + from, room);
        if (n < 0) {
            ws_fail(w, 1007, "cannot be inflated");
            return false;
        }
        in->n += (size_t)n;
        if (in->n > w->settings->max_message) return too_big(w);
        if (!check_text(w, from)) return false;
        if ((size_t)n < room) return true;
    }
}

static void message_begin(struct ws_inbound *in, const struct ws_head *h) {
    in->in_message = true;
    in->compressed = h->rsv1;
    in->opcode = h->opcode;
    in->utf8 = (struct utf8){0};
    in->n = in->fragments = 0;
    in->wire_n = 0;
}

/* The next bytes of a data frame, unmasked. */
static void message_add(struct ws *w, struct slice piece) {
    struct ws_inbound *in = w->inbound;
    if (w->state != WS_OPEN || !piece.n) return;
    in->wire_n += piece.n;
    if (in->compressed) {
        add_inflated(w, &piece);
        return;
    }
    size_t from = in->n;
    grow(in, in->n + piece.n, w->settings->max_message);
    memcpy(in->data + in->n, piece.p, piece.n);
    in->n += piece.n;
    check_text(w, from);
}

/* A data frame is complete. */
static void message_frame_end(struct ws *w, bool fin) {
    struct ws_inbound *in = w->inbound;
    if (w->state != WS_OPEN || !fin) return;
    /* some senders make an empty message of no bytes at all */
    if (in->compressed && in->wire_n && !add_inflated(w, NULL)) return;
    if (in->opcode == WS_TEXT && !utf8_done(&in->utf8)) {
        bad_text(w);
        return;
    }
    in->in_message = false;
    ws_take_message(w, in->opcode, slice_make(in->data, in->n));
    mem_free(in->data);
    in->data = NULL;
    in->n = in->cap = 0;
}

/* ---- frames ---- */

/* Whether a frame may come now, as far as its header is known. */
static bool frame_admitted(struct ws *w, const struct ws_head *h) {
    const struct ws_inbound *in = w->inbound;
    if (ws_is_control(h->opcode) || w->state != WS_OPEN) return true;
    bool in_message = in && in->in_message;
    const char *wrong = NULL;
    if (h->rsv1 && !w->deflate) wrong = "reserved bit";
    else if (!h->opcode && !in_message) wrong = "continuation of nothing";
    else if (h->opcode && in_message) wrong = "message inside a message";
    if (wrong) {
        ws_fail(w, 1002, wrong);
        return false;
    }
    if (in_message && in->fragments >= w->settings->max_fragments) {
        ws_fail_limit(w, 1009, "ws_max_fragments", "too many fragments");
        return false;
    }
    bool compressed = in_message ? in->compressed : h->rsv1;
    uint64_t max = compressed ? most_on_wire(w) : w->settings->max_message;
    uint64_t so_far = in_message ? in->wire_n : 0;
    return h->length <= max - so_far || too_big(w);
}

/* The header of a data frame that takes the long way. */
static void fragment_begin(struct ws *w, const struct ws_head *h) {
    struct ws_inbound *in = need_inbound(w);
    if (h->opcode) message_begin(in, h);
    in->fragments++;
}

/* A frame that lies in the buffer whole, unmasked. */
static void take_frame(struct ws *w, const struct ws_head *h, struct slice payload) {
    if (ws_is_control(h->opcode)) {
        ws_take_control(w, h->opcode, payload);
    } else if (w->state != WS_OPEN) {
        return;
    } else if (h->fin && h->opcode && !h->rsv1) {
        if (h->opcode == WS_TEXT && !utf8_valid(payload)) bad_text(w);
        else ws_take_message(w, h->opcode, payload);
    } else {
        fragment_begin(w, h);
        message_add(w, payload);
        message_frame_end(w, h->fin);
    }
}

/* A frame whose payload is not all there: the header only; read_payload takes the rest. */
static void cut_frame_begin(struct ws *w, const struct ws_head *h) {
    struct ws_inbound *in = need_inbound(w);
    if (!ws_is_control(h->opcode) && w->state == WS_OPEN) fragment_begin(w, h);
    in->frame = *h;
    in->left = h->length;
    in->in_frame = true;
}

/* Returns the bytes used. */
static size_t read_payload(struct ws *w, char *p, size_t n) {
    struct ws_inbound *in = w->inbound;
    if (n > in->left) n = (size_t)in->left;
    uint64_t offset = in->frame.length - in->left;
    ws_unmask(p, n, in->frame.mask, offset);
    in->left -= n;
    bool control = ws_is_control(in->frame.opcode);
    if (control) memcpy(in->bytes + offset, p, n);
    else message_add(w, slice_make(p, n));
    if (in->left) return n;
    in->in_frame = false;
    if (control) ws_take_control(w, in->frame.opcode, slice_make(in->bytes, in->frame.length));
    else message_frame_end(w, in->frame.fin);
    return n;
}

/* Reads the header at p. Returns its size, 0 when it is cut, or -1 when w has failed. */
static int read_head(struct ws *w, struct ws_head *h, const char *p, size_t n) {
    const char *wrong;
    int size = ws_head_read(h, p, n, &wrong);
    if (size >= 0) return frame_admitted(w, h) ? size : -1;
    ws_fail(w, 1002, wrong);
    return -1;
}

/* At the beginning of a frame. Returns the bytes used. */
static size_t read_frame(struct ws *w, char *p, size_t n) {
    struct ws_head h;
    int size = read_head(w, &h, p, n);
    if (size < 0) return n;
    if (size == 0) {
        struct ws_inbound *in = need_inbound(w);
        memcpy(in->bytes, p, n);
        in->head_n = (uint8_t)n;
        return n;
    }
    char *payload = p + size;
    if (h.length > n - (size_t)size) {
        cut_frame_begin(w, &h);
        return (size_t)size;
    }
    ws_unmask(payload, (size_t)h.length, h.mask, 0);
    take_frame(w, &h, slice_make(payload, (size_t)h.length));
    return (size_t)size + (size_t)h.length;
}

/* The rest of a header of which the beginning is kept. Returns the bytes used. */
static size_t read_cut_head(struct ws *w, const char *p, size_t n) {
    struct ws_inbound *in = w->inbound;
    size_t had = in->head_n, more = WS_HEAD_MAX - had;
    if (more > n) more = n;
    memcpy(in->bytes + had, p, more);
    struct ws_head h;
    int size = read_head(w, &h, in->bytes, had + more);
    if (size < 0) return n;
    if (size == 0) {
        in->head_n = (uint8_t)(had + more);
        return more;
    }
    in->head_n = 0;
    if (h.length) cut_frame_begin(w, &h);
    else take_frame(w, &h, (struct slice){NULL, 0});
    return (size_t)size - had;
}

static bool inbound_idle(const struct ws_inbound *in) {
    return !in->in_frame && !in->in_message && !in->head_n;
}

size_t ws_read(struct ws *w, char *p, size_t n) {
    size_t at = 0;
    while (at < n && w->state != WS_CLOSED && !(w->flags & WS_HOLDS)) {
        struct ws_inbound *in = w->inbound;
        if (!in || (!in->in_frame && !in->head_n)) at += read_frame(w, p + at, n - at);
        else if (in->in_frame) at += read_payload(w, p + at, n - at);
        else at += read_cut_head(w, p + at, n - at);
    }
    if (w->inbound && inbound_idle(w->inbound)) {
        ws_inbound_free(w->inbound);
        w->inbound = NULL;
    }
    return at;
}
