/* SPDX-License-Identifier: MIT */
#include "core/socketio_packet.h"

/* Ids are counters of the client; more digits than a double holds exactly are none. */
#define ID_DIGITS 16
#define ATTACHMENT_DIGITS 4

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static size_t count_digits(struct slice s) {
    size_t n = 0;
    while (n < s.n && is_digit(s.p[n])) n++;
    return n;
}

/* ---- the parts ---- */

static bool take_type(struct sio_packet *p, struct slice *rest) {
    if (!rest->n || rest->p[0] < '0' || rest->p[0] > '0' + SIO_BINARY_ACK) return false;
    p->type = (enum sio_type)(rest->p[0] - '0');
    *rest = slice_from(*rest, 1);
    return true;
}

static bool take_attachments(struct sio_packet *p, struct slice *rest) {
    if (p->type != SIO_BINARY_EVENT && p->type != SIO_BINARY_ACK) return true;
    size_t n = count_digits(*rest);
    uint64_t count;
    if (!n || n > ATTACHMENT_DIGITS || n == rest->n || rest->p[n] != '-') return false;
    if (!slice_u64(slice_upto(*rest, n), &count)) return false;
    p->attachments = (uint32_t)count;
    *rest = slice_from(*rest, n + 1);
    return true;
}

/* Up to a comma or the end: clients of 1.x write none where nothing follows. */
static void take_namespace(struct sio_packet *p, struct slice *rest) {
    p->ns = SLICE("/");
    if (!rest->n || rest->p[0] != '/') return;
    p->ns = slice_upto(*rest, slice_find(*rest, ','));
    *rest = slice_from(*rest, p->ns.n + 1);
    size_t mark = slice_find(p->ns, '?');
    if (p->type == SIO_CONNECT) p->query = slice_from(p->ns, mark + 1);
    p->ns = slice_upto(p->ns, mark);
}

static bool take_id(struct sio_packet *p, struct slice *rest) {
    size_t n = count_digits(*rest);
    p->id = slice_upto(*rest, n);
    *rest = slice_from(*rest, n);
    return n <= ID_DIGITS;
}

/* ---- the data ---- */

bool sio_is_reserved(struct slice event) {
    static const char *const names[] = {"connect",       "connect_error", "disconnect",
                                        "disconnecting", "newListener",   "removeListener"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_is(event, names[i])) return true;
    return false;
}

static bool has_name(struct slice data) {
    struct json_value first;
    struct text room = {0};
    struct slice rest = data;
    if (!json_next(&rest, &first)) return false;
    if (first.type == JSON_NUMBER) return true;
    bool good = first.type == JSON_STRING && !sio_is_reserved(json_string(first.raw, &room));
    text_fini(&room);
    return good;
}

static bool data_fits(const struct sio_packet *p) {
    enum json_type type = p->data.type;
    switch (p->type) {
    case SIO_CONNECT: return type == JSON_NONE || type == JSON_OBJECT;
    case SIO_DISCONNECT: return type == JSON_NONE;
    case SIO_EVENT:
    case SIO_BINARY_EVENT: return type == JSON_ARRAY && has_name(p->data.raw);
    case SIO_ACK:
    case SIO_BINARY_ACK: return type == JSON_ARRAY && p->id.n;
    default: return type == JSON_STRING || type == JSON_OBJECT;
    }
}

bool sio_packet_read(struct sio_packet *p, struct slice text, const struct json_limits *limits) {
    *p = (struct sio_packet){0};
    if (!take_type(p, &text) || !take_attachments(p, &text)) return false;
    take_namespace(p, &text);
    if (!take_id(p, &text)) return false;
    if (text.n && json_check(text, limits, &p->data)) return false;
    return data_fits(p);
}

struct slice sio_event_name(struct slice data, struct slice *rest, struct text *room) {
    struct json_value first;
    *rest = data;
    if (!json_next(rest, &first)) return (struct slice){NULL, 0};
    return first.type == JSON_STRING ? json_string(first.raw, room) : first.raw;
}

void sio_head(struct text *t, enum sio_type type, uint32_t attachments, struct slice ns,
              struct slice id) {
    text_char(t, (char)('0' + type));
    if (type == SIO_BINARY_EVENT || type == SIO_BINARY_ACK) {
        text_u64(t, attachments);
        text_char(t, '-');
    }
    if (!slice_is(ns, "/")) {
        text_add(t, ns);
        text_char(t, ',');
    }
    text_add(t, id);
}
