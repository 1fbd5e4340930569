/* SPDX-License-Identifier: MIT */
/* Any bytes as a body of each form, as packets of a WebSocket, as a JSONP field. What is read can
 * be written, and what is written is read back the same. */
#include "base/utf8.h"
#include "transport/eio_payload.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds) abort();
}

/* Appends the packet to a payload; true when it may come back longer, as JSON in ASCII. */
static bool write_packet(struct text *out, enum eio_form form, const struct eio_packet *p,
                         enum eio_text known) {
    struct text packet = {0};
    if (p->binary) {
        eio_binary_write(out, form, p->data);
        return false;
    }
    text_char(&packet, (char)('0' + p->type));
    text_add(&packet, p->data);
    eio_text_write(out, form, text_slice(&packet), known);
    bool plain = eio_text_is_plain(text_slice(&packet));
    text_fini(&packet);
    return plain && form == EIO_FORM_3_TEXT;
}

static void write_and_read(enum eio_form form, const struct eio_packet *p, enum eio_text known) {
    struct text out = {0};
    struct eio_reader r;
    struct eio_packet back;
    bool longer = write_packet(&out, form, p, known);
    eio_reader_init(&r, text_slice(&out), form, &known);
    must(eio_reader_next(&r, &back) == EIO_READ_PACKET);
    must(back.type == p->type && back.binary == p->binary);
    must(slice_eq(back.data, p->data) || (longer && back.data.n > p->data.n));
    must(eio_reader_next(&r, &back) == EIO_READ_END);
    eio_reader_fini(&r);
    text_fini(&out);
}

static void try_packet(const struct eio_packet *p) {
    if (!p->binary) must(utf8_valid(p->data));
    for (int form = EIO_FORM_4; form <= EIO_FORM_3_BINARY; form++) {
        /* a text with the separator comes back as bytes there */
        if (form == EIO_FORM_4 && !p->binary && slice_find(p->data, '\x1e') < p->data.n) continue;
        write_and_read((enum eio_form)form, p, EIO_TEXT_ONCE);
        write_and_read((enum eio_form)form, p, EIO_TEXT_TWICE);
    }
}

static void try_body(struct slice body, enum eio_form form) {
    struct eio_reader r;
    struct eio_packet p;
    enum eio_text known = EIO_TEXT_UNKNOWN;
    size_t count = 0;
    eio_reader_init(&r, body, form, &known);
    for (; eio_reader_next(&r, &p) == EIO_READ_PACKET; count++)
        if (count < 64) try_packet(&p);
    must(count <= body.n);
    eio_reader_fini(&r);
}

static void try_websocket(struct slice message, bool v3) {
    struct eio_packet p;
    struct text room = {0};
    if (utf8_valid(message) && eio_packet_read(&p, message, v3, &room)) try_packet(&p);
    if (eio_binary_read(&p, message, v3)) try_packet(&p);
    text_fini(&room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = slice_make(data, size);
    struct text field = {0};
    if (size > 20000) return 0;
    for (int form = EIO_FORM_4; form <= EIO_FORM_3_BINARY; form++)
        try_body(input, (enum eio_form)form);
    try_websocket(input, false);
    try_websocket(input, true);
    eio_jsonp_unescape(&field, input);
    must(field.n <= input.n);
    text_fini(&field);
    return 0;
}
