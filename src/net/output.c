/* SPDX-License-Identifier: MIT */
/* A block holds copied bytes, and behind them at most one reference; then it takes no more. What
 * one output_add adds is always within one block, so blocks are what output_drop may take away.
 * Blocks come in two sizes, a small one to begin with and a large one for more, and are kept for
 * reuse. */
#include "net/output.h"

#include <assert.h>

#define COPY_MAX 512
#define SMALL_BLOCK 640
#define LARGE_BLOCK 8192
#define SPARE_MAX 2048

struct out_block {
    struct out_block *next;
    struct buf *buf;  /* behind bytes; may be NULL */
    uint32_t written; /* of bytes and buf */
    uint16_t n;       /* of bytes */
    uint16_t size;    /* of the block; 0 when it has no spare room and is not kept */
    char bytes[];
};

static size_t block_bytes(const struct out_block *b) { return b->n + (b->buf ? b->buf->n : 0); }
static size_t block_room(const struct out_block *b) {
    return b->buf || !b->size ? 0 : b->size - sizeof *b - b->n;
}

/* ---- blocks ---- */

static struct out_block *block_init(struct out_block *b, size_t size) {
    b->next = NULL;
    b->buf = NULL;
    b->written = 0;
    b->n = 0;
    b->size = (uint16_t)size;
    return b;
}

static struct out_block *block_new(struct net *net, bool large) {
    size_t size = large ? LARGE_BLOCK : SMALL_BLOCK;
    struct spare_blocks *spare = &net->spare_blocks[large];
    struct out_block *b = spare->first;
    if (!b) return block_init(mem_raw(size), size);
    spare->first = b->next;
    spare->count--;
    return block_init(b, size);
}

static void block_free(struct net *net, struct out_block *b) {
    struct spare_blocks *spare = &net->spare_blocks[b->size == LARGE_BLOCK];
    buf_unref(b->buf);
    if (!b->size || spare->count >= SPARE_MAX) {
        mem_free(b);
        return;
    }
    b->next = spare->first;
    spare->first = b;
    spare->count++;
}

void output_fini(struct net *net) {
    for (int large = 0; large < 2; large++) {
        for (struct out_block *b; (b = net->spare_blocks[large].first);) {
            net->spare_blocks[large].first = b->next;
            mem_free(b);
        }
    }
}

static struct out_block *block_push(struct output *out, struct out_block *b) {
    if (out->last) out->last->next = b;
    else out->first = b;
    return out->last = b;
}

static void block_pop(struct net *net, struct output *out) {
    struct out_block *b = out->first;
    out->first = b->next;
    if (!out->first) out->last = NULL;
    block_free(net, b);
}

/* ---- adding ---- */

static void set_bytes(struct net *net, struct output *out, size_t bytes) {
    if (!out->uncounted) net->unsent += (uint64_t)bytes - out->bytes;
    out->bytes = (uint32_t)bytes;
}

static void copy_in(struct out_block *b, struct slice s) {
    if (s.n) memcpy(b->bytes + b->n, s.p, s.n);
    b->n = (uint16_t)(b->n + s.n);
}

void output_add(struct net *net, struct output *out, struct slice head, struct buf *buf) {
    assert(head.n <= OUTPUT_HEAD_MAX);
    size_t body = buf ? buf->n : 0;
    struct out_block *b = out->last;
    set_bytes(net, out, out->bytes + head.n + body);
    if (body > COPY_MAX) {
        b = block_push(out, block_init(mem_raw(sizeof *b + OUTPUT_HEAD_MAX), 0));
        copy_in(b, head);
        b->buf = buf_ref(buf);
        return;
    }
    if (!b || block_room(b) < head.n + body) b = block_push(out, block_new(net, b != NULL));
    copy_in(b, head);
    copy_in(b, buf_slice(buf));
}

/* ---- writing ---- */

size_t output_pieces(const struct output *out, struct iovec *pieces, size_t max) {
    size_t count = 0;
    for (const struct out_block *b = out->first; b && count + 2 <= max; b = b->next) {
        size_t skip = b->written < b->n ? b->written : b->n;
        if (skip < b->n)
            pieces[count++] = (struct iovec){(void *)(uintptr_t)(b->bytes + skip), b->n - skip};
        skip = b->written - skip;
        if (b->buf) pieces[count++] = (struct iovec){b->buf->data + skip, b->buf->n - skip};
    }
    return count;
}

void output_written(struct net *net, struct output *out, size_t n) {
    set_bytes(net, out, out->bytes - n);
    while (out->first) {
        struct out_block *b = out->first;
        size_t left = block_bytes(b) - b->written;
        if (n < left) {
            b->written += (uint32_t)n;
            return;
        }
        n -= left;
        block_pop(net, out);
    }
}

void output_drop(struct net *net, struct output *out) {
    struct out_block *begun = out->first;
    if (!begun || !begun->written) {
        output_clear(net, out);
        return;
    }
    while (begun->next) {
        struct out_block *rest = begun->next;
        begun->next = rest->next;
        block_free(net, rest);
    }
    out->last = begun;
    set_bytes(net, out, block_bytes(begun) - begun->written);
}

void output_clear(struct net *net, struct output *out) {
    while (out->first) block_pop(net, out);
    set_bytes(net, out, 0);
}
