/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_EIO_PAYLOAD_H
#define TRANSPORT_EIO_PAYLOAD_H

#include "base/buf.h"

/* The packets of Engine.IO, and how HTTP bodies carry several of them. All pure: nothing here knows
 * a connection or a session.
 *
 * A packet is a text, whose first character is its type, or the bytes of a binary message. What is
 * sent comes as such texts ("4hello", "2") and bytes; what is received comes apart into type and
 * data. */

enum eio_type { EIO_OPEN, EIO_CLOSE, EIO_PING, EIO_PONG, EIO_MESSAGE, EIO_UPGRADE, EIO_NOOP };

struct eio_packet {
    enum eio_type type;
    bool binary;       /* of a message only */
    struct slice data; /* text (UTF-8) or bytes, without the type */
};

enum eio_form {
    EIO_FORM_4,       /* 4hello 1e bAAEC: protocol 4 */
    EIO_FORM_3_TEXT,  /* 6:4hello10:b4AAEC+g==: protocol 3, lengths in UTF-16 code units */
    EIO_FORM_3_BINARY /* 00 06 ff 4hello 01 05 ff 04 ...: protocol 3, lengths in bytes */
};

/* Clients of 1.x encode each text packet of EIO_FORM_3_TEXT as UTF-8 before the whole is encoded as
 * UTF-8 again; those of 2.x do not, and nothing but their texts tells them apart. What is known of
 * one stays known. */
enum eio_text {
    EIO_TEXT_UNKNOWN, /* only ASCII so far */
    EIO_TEXT_ONCE,
    EIO_TEXT_TWICE
};

/* ---- reading ---- */

/* A text packet of a WebSocket or of a payload. False when it is none: no type, or in protocol 4
 * (v3 false) "b" and in protocol 3 "b4" with what is no base64. Data lies in text or in *room,
 * which has place for one packet and is finished by the caller with text_fini. */
bool eio_packet_read(struct eio_packet *p, struct slice text, bool v3, struct text *room)
    __attribute__((warn_unused_result));

/* A binary message of a WebSocket: protocol 3 has a type before it. False when that is none of a
 * message. */
bool eio_binary_read(struct eio_packet *p, struct slice data, bool v3)
    __attribute__((warn_unused_result));

/* The packets of a body, as far as they are not taken yet. */
struct eio_reader {
    struct slice rest; /* private, as the rest */
    enum eio_form form;
    enum eio_text *known;
    bool last;        /* what rest holds was the last packet's end */
    struct text once; /* a text that came encoded twice */
    struct text room; /* bytes that came as base64 */
};

/* Starts a walk over body (borrowed). known (of protocol 3; borrowed) is what is known of the
 * client, and learns more while the walk goes on. */
void eio_reader_init(struct eio_reader *r, struct slice body, enum eio_form form,
                     enum eio_text *known);

enum eio_read {
    EIO_READ_PACKET, /* *p stands, until the next call */
    EIO_READ_END,    /* there was no more */
    EIO_READ_BROKEN  /* no packet begins here; a body without any packet is broken too */
};

enum eio_read eio_reader_next(struct eio_reader *r, struct eio_packet *p)
    __attribute__((warn_unused_result));

/* Ends the walk, wherever it is. */
void eio_reader_fini(struct eio_reader *r);

/* The payload that a JSONP client sends as the value of its form field, appended: there a newline
 * is written \n, and what looks like that has one more backslash. */
void eio_jsonp_unescape(struct text *out, struct slice field);

/* ---- writing ---- */

/* Whether every client of protocol 3 reads this text packet in EIO_FORM_3_TEXT: it is ASCII, or its
 * data is JSON, which can be written as ASCII. */
bool eio_text_is_plain(struct slice packet);

/* Appends a text packet to a payload. In EIO_FORM_3_TEXT data that is JSON is written as ASCII,
 * with \uXXXX for everything else, which clients of all ages read; other data is encoded as known
 * says. In EIO_FORM_4 a message with the separator U+001E in it, which no JSON has, goes as bytes.
 */
void eio_text_write(struct text *out, enum eio_form form, struct slice packet, enum eio_text known);

/* Appends a binary message. */
void eio_binary_write(struct text *out, enum eio_form form, struct slice data);

/* A binary message as the text packet of a WebSocket whose client takes no bytes, appended. */
void eio_base64_write(struct text *out, struct slice data, bool v3);

#endif
