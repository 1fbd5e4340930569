/* SPDX-License-Identifier: MIT */
#ifndef CORE_SOCKETIO_PACKET_H
#define CORE_SOCKETIO_PACKET_H

#include "base/json.h"

/* The packets of Socket.IO, protocols 5 and 4 (wire/socketio.md section 4); pure.
 *
 *   <type>[<attachments>-][/namespace[?query],][<id>][<JSON>] */

enum sio_type {
    SIO_CONNECT,
    SIO_DISCONNECT,
    SIO_EVENT,
    SIO_ACK,
    SIO_CONNECT_ERROR, /* protocol 4: ERROR */
    SIO_BINARY_EVENT,
    SIO_BINARY_ACK
};

/* All slices point into the text that was read. */
struct sio_packet {
    enum sio_type type;
    uint32_t attachments;   /* binary messages that follow */
    struct slice ns;        /* "/" where none is named; as it came, without a query */
    struct slice query;     /* of a CONNECT: what stood behind "?"; protocol 4 */
    struct slice id;        /* digits; empty: there is none */
    struct json_value data; /* checked; JSON_NONE: none */
};

/* What clients may not name their events. */
bool sio_is_reserved(struct slice event);

/* Reads one; false when it is none, or its data does not fit its type: an object or nothing for
 * CONNECT, nothing for DISCONNECT, an array that begins with a name for events, an array for acks.
 * Names that are reserved are refused too. */
bool sio_packet_read(struct sio_packet *p, struct slice text, const struct json_limits *limits)
    __attribute__((warn_unused_result));

/* The name of an event and what stands behind it: the text of a string's value, or the digits of a
 * number, which some clients use. rest, with json_next, goes through the arguments. The name lies in
 * data or in *room (json_string). */
struct slice sio_event_name(struct slice data, struct slice *rest, struct text *room);

/* Appends what stands before the JSON. */
void sio_head(struct text *t, enum sio_type type, uint32_t attachments, struct slice ns,
              struct slice id);

#endif
