/* SPDX-License-Identifier: MIT */
#include "transport/eio_query.h"

#include "net/http.h"

/* Whether name stands in the query just once; *value is then what it has. */
static bool once(struct slice query, const char *name, struct slice *value) {
    int found = 0;
    for (struct slice part; slice_next(&query, '&', &part);) {
        size_t end = slice_find(part, '=');
        if (!slice_is(slice_upto(part, end), name)) continue;
        *value = slice_from(part, end + 1);
        found++;
    }
    return found == 1;
}

/* Absent, it is 3: the oldest clients do not name it. */
static int read_version(struct slice query) {
    struct slice value;
    if (!http_query(query, "EIO", &value)) return 3;
    if (!once(query, "EIO", &value) || value.n != 1) return 0;
    return value.p[0] == '4' ? 4 : value.p[0] == '3' ? 3 : 0;
}

static enum eio_carrier read_transport(struct slice query) {
    struct slice value;
    if (!once(query, "transport", &value)) return EIO_UNKNOWN;
    if (slice_is(value, "websocket")) return EIO_WEBSOCKET;
    return slice_is(value, "polling") ? EIO_POLLING : EIO_UNKNOWN;
}

/* A sid that stands twice is one that nobody has. */
static struct slice read_sid(struct slice query) {
    struct slice value;
    if (!http_query(query, "sid", &value)) return (struct slice){NULL, 0};
    return once(query, "sid", &value) ? value : SLICE("");
}

static bool is_number(struct slice s) {
    uint64_t number;
    return s.n && s.n <= EIO_CALLBACK_MAX && slice_u64(s, &number);
}

static void read_callback(struct eio_query *q, struct slice query) {
    struct slice value;
    if (q->version != 3 || !http_query(query, "j", &value)) return;
    q->bad_callback = !once(query, "j", &value) || !is_number(value);
    if (!q->bad_callback) q->callback = value;
}

struct eio_query eio_query_read(struct slice query) {
    struct eio_query q = {
        .version = read_version(query), .transport = read_transport(query), .sid = read_sid(query)};
    struct slice base64;
    read_callback(&q, query);
    /* what JSONP carries is JavaScript: bytes have no place there */
    q.base64 = q.callback.p || (http_query(query, "b64", &base64) && base64.n);
    return q;
}
