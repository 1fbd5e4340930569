/* SPDX-License-Identifier: MIT */
/* A message is a raw deflate stream that ends with an empty stored block, whose last four bytes
 * (00 00 ff ff) do not travel: the sender cuts them off and the receiver adds them. So a whole
 * message leaves the decoder exactly at a block boundary, and that is how a cut one is told.
 *
 * A sender may also end a message with a final block and an empty one behind it (RFC 7692 7.2.3.4).
 * zlib then says that the stream is over; the next bytes start another one over the same window. */
#include "net/deflate.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

struct deflate {
    struct deflate_terms terms;
    uint8_t level;
    uint8_t tail_given; /* bytes of the tail the decoder has */
    bool ended;         /* the last block was final */
    bool at_boundary;   /* between two blocks; known while the tail is given */
    z_stream *out, *in;
};

static const unsigned char tail[4] = {0x00, 0x00, 0xff, 0xff};

/* ---- offers ---- */

static bool is_token_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_space(struct slice *s) {
    while (s->n && (*s->p == ' ' || *s->p == '\t')) *s = slice_from(*s, 1);
}

/* Takes c off the front, with the spaces around it. */
static bool take_char(struct slice *s, char c) {
    skip_space(s);
    if (!s->n || *s->p != c) return false;
    *s = slice_from(*s, 1);
    skip_space(s);
    return true;
}

static bool take_token(struct slice *s, struct slice *token) {
    size_t n = 0;
    while (n < s->n && is_token_char(s->p[n])) n++;
    *token = slice_upto(*s, n);
    *s = slice_from(*s, n);
    return n > 0;
}

/* A token, or one in quotes. An escape inside them is legal, but no value here has use for it. */
static bool take_value(struct slice *s, struct slice *value) {
    if (!s->n || *s->p != '"') return take_token(s, value);
    *s = slice_from(*s, 1);
    return take_token(s, value) && s->n && *s->p == '"' && (*s = slice_from(*s, 1), true);
}

/* To the next offer: behind the next comma that is in no quotes. False when there is none. */
static bool skip_offer(struct slice *s) {
    bool quoted = false;
    while (s->n) {
        char c = *s->p;
        *s = slice_from(*s, 1);
        if (c == ',' && !quoted) return true;
        if (c == '"') quoted = !quoted;
        else if (c == '\\' && quoted) *s = slice_from(*s, 1);
    }
    return false;
}

enum {
    SERVER_NO_TAKEOVER = 1,
    CLIENT_NO_TAKEOVER = 2,
    SERVER_BITS = 4,
    CLIENT_BITS = 8
};

struct offer {
    unsigned has;
    uint8_t server_bits, client_bits; /* 0: without a value */
};

static bool read_bits(struct slice value, uint8_t *bits) {
    uint64_t n;
    if (!slice_u64(value, &n) || n < 8 || n > 15 || value.p[0] == '0') return false;
    *bits = (uint8_t)n;
    return true;
}

static unsigned param_of(struct slice name) {
    if (slice_is(name, "server_no_context_takeover")) return SERVER_NO_TAKEOVER;
    if (slice_is(name, "client_no_context_takeover")) return CLIENT_NO_TAKEOVER;
    if (slice_is(name, "server_max_window_bits")) return SERVER_BITS;
    if (slice_is(name, "client_max_window_bits")) return CLIENT_BITS;
    return 0;
}

static bool read_param(struct slice *s, struct offer *o) {
    struct slice name, value = {NULL, 0};
    if (!take_token(s, &name)) return false;
    bool valued = take_char(s, '=');
    if (valued && !take_value(s, &value)) return false;
    unsigned param = param_of(name);
    if (!param || o->has & param) return false;
    o->has |= param;
    if (param == SERVER_BITS) return valued && read_bits(value, &o->server_bits);
    if (param == CLIENT_BITS) return !valued || read_bits(value, &o->client_bits);
    return !valued;
}

/* Reads up to the comma or the end. */
static bool read_offer(struct slice *s, struct offer *o) {
    struct slice name;
    *o = (struct offer){0};
    skip_space(s);
    if (!take_token(s, &name) || !slice_is(name, "permessage-deflate")) return false;
    while (take_char(s, ';'))
        if (!read_param(s, o)) return false;
    skip_space(s);
    return !s->n || *s->p == ',';
}

static uint8_t least_bits(uint8_t asked, int ours) {
    return asked && asked < ours ? asked : (uint8_t)ours;
}

static struct deflate_terms terms_for(const struct offer *o, int window_bits, bool takeover) {
    bool may_limit = o->has & CLIENT_BITS;
    struct deflate_terms t = {
        .server_bits = least_bits(o->server_bits, window_bits),
        .client_bits = may_limit ? least_bits(o->client_bits, window_bits) : 15,
        .server_bits_said = o->has & SERVER_BITS,
        .server_no_takeover = !takeover || o->has & SERVER_NO_TAKEOVER,
        .client_no_takeover = !takeover || o->has & CLIENT_NO_TAKEOVER,
    };
    t.client_bits_said = may_limit && (o->client_bits || t.client_bits < 15);
    return t;
}

bool deflate_negotiate(struct slice offers, int window_bits, bool takeover,
                       struct deflate_terms *terms) {
    do {
        struct offer o;
        struct slice offer = offers;
        if (!read_offer(&offer, &o) || o.server_bits == 8) continue;
        *terms = terms_for(&o, window_bits, takeover);
        return true;
    } while (skip_offer(&offers));
    return false;
}

void deflate_answer(const struct deflate_terms *terms, struct text *out) {
    text_str(out, "permessage-deflate");
    if (terms->server_no_takeover) text_str(out, "; server_no_context_takeover");
    if (terms->client_no_takeover) text_str(out, "; client_no_context_takeover");
    if (terms->server_bits_said)
        text_format(out, "; server_max_window_bits=%d", terms->server_bits);
    if (terms->client_bits_said)
        text_format(out, "; client_max_window_bits=%d", terms->client_bits);
}

/* ---- streams ---- */

struct deflate *deflate_new(const struct deflate_terms *terms, int level) {
    struct deflate *d = mem_new(sizeof *d);
    d->terms = *terms;
    d->level = (uint8_t)level;
    return d;
}

static void *zlib_alloc(void *opaque, unsigned count, unsigned size) {
    (void)opaque;
    return mem_new((size_t)count * size);
}

static void zlib_free(void *opaque, void *p) {
    (void)opaque;
    mem_free(p);
}

static z_stream *stream_new(void) {
    z_stream *z = mem_new(sizeof *z);
    z->zalloc = zlib_alloc;
    z->zfree = zlib_free;
    return z;
}

static void out_free(struct deflate *d) {
    if (!d->out) return;
    deflateEnd(d->out);
    mem_free(d->out);
    d->out = NULL;
}

static void in_free(struct deflate *d) {
    if (!d->in) return;
    inflateEnd(d->in);
    mem_free(d->in);
    d->in = NULL;
}

void deflate_free(struct deflate *d) {
    if (!d) return;
    out_free(d);
    in_free(d);
    mem_free(d);
}

/* ---- out ---- */

static void out_open(struct deflate *d) {
    if (d->out) return;
    d->out = stream_new();
    int bits = d->terms.server_bits, level = d->level ? d->level : Z_DEFAULT_COMPRESSION;
    int memory = bits == 15 ? 8 : bits - 7; /* tables no larger than the window is worth */
    if (deflateInit2(d->out, level, Z_DEFLATED, -bits, memory, Z_DEFAULT_STRATEGY) != Z_OK) abort();
}

struct buf *deflate_message(struct deflate *d, struct slice message) {
    assert(message.n); /* a second flush with nothing between writes nothing */
    out_open(d);
    z_stream *z = d->out;
    struct text t = {0};
    size_t room = message.n / 2 + 64;
    z->next_in = (unsigned char *)(uintptr_t)message.p;
    z->avail_in = (unsigned)message.n;
    do {
        z->next_out = (unsigned char *)text_reserve(&t, room);
        z->avail_out = (unsigned)room;
        deflate(z, Z_SYNC_FLUSH);
        text_commit(&t, room - z->avail_out);
    } while (z->avail_out == 0);
    t.n -= sizeof tail;
    if (d->terms.server_no_takeover) out_free(d);
    return text_take(&t);
}

/* ---- in ---- */

static void in_open(struct deflate *d) {
    if (d->in) return;
    d->in = stream_new();
    d->ended = false;
    int bits = d->terms.client_bits > 9 ? d->terms.client_bits : 9;
    if (inflateInit2(d->in, -bits) != Z_OK) abort();
}

/* Another stream behind a final block, over the same window. */
static void in_restart(struct deflate *d) {
    unsigned n = 0;
    unsigned char *window = mem_raw(32768);
    inflateGetDictionary(d->in, window, &n);
    inflateReset(d->in);
    if (n) inflateSetDictionary(d->in, window, n);
    mem_free(window);
    d->ended = false;
}

/* zlib says in data_type where it stands; Z_BLOCK makes it stop there. */
#define AT_BLOCK_BOUNDARY 128

/* Runs the decoder until the input is used or the room. Returns the bytes written. */
static ssize_t in_run(struct deflate *d, struct slice *in, char *out, size_t room, int flush) {
    z_stream *z = d->in;
    unsigned offered = room < UINT32_MAX ? (unsigned)room : UINT32_MAX;
    z->next_out = (unsigned char *)out;
    z->avail_out = offered;
    z->next_in = (unsigned char *)(uintptr_t)in->p;
    z->avail_in = (unsigned)in->n;
    int rc = Z_OK;
    while (rc == Z_OK && z->avail_out) {
        if (d->ended && !z->avail_in) break;
        if (d->ended) in_restart(d);
        rc = inflate(z, flush);
        /* a call that has nothing to do loses what the one before it said */
        if (rc == Z_OK) d->at_boundary = z->data_type & AT_BLOCK_BOUNDARY;
        if (rc != Z_STREAM_END) continue;
        d->ended = true;
        rc = Z_OK;
    }
    *in = slice_make(z->next_in, z->avail_in);
    return rc == Z_OK || rc == Z_BUF_ERROR ? (ssize_t)(offered - z->avail_out) : -EBADMSG;
}

ssize_t inflate_piece(struct deflate *d, struct slice *in, char *out, size_t room) {
    in_open(d);
    return in_run(d, in, out, room, Z_SYNC_FLUSH);
}

ssize_t inflate_end(struct deflate *d, char *out, size_t room) {
    in_open(d);
    struct slice rest = slice_make(tail + d->tail_given, sizeof tail - d->tail_given);
    ssize_t n = 0;
    if (!d->ended) n = in_run(d, &rest, out, room, Z_BLOCK);
    d->tail_given = (uint8_t)(sizeof tail - rest.n);
    if (n < 0 || (size_t)n == room) return n;
    bool whole = d->ended || (!rest.n && d->at_boundary);
    d->tail_given = 0;
    if (d->terms.client_no_takeover) in_free(d);
    return whole ? n : -EBADMSG;
}
