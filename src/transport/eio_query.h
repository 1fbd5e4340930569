/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_EIO_QUERY_H
#define TRANSPORT_EIO_QUERY_H

#include "base/slice.h"

/* What the query of an Engine.IO request says. Every request has the application's own parameters
 * too, which are none of our business. */

enum eio_carrier { EIO_UNKNOWN, EIO_POLLING, EIO_WEBSOCKET };

#define EIO_CALLBACK_MAX 10

struct eio_query {
    int version; /* 4 or 3; 0: another */
    enum eio_carrier transport;
    struct slice sid;      /* p is NULL when there is none */
    struct slice callback; /* j, of protocol 3: a number; p is NULL when there is none */
    bool base64;           /* b64: the client takes no bytes in bodies */
    bool bad_callback;     /* j is there and no number */
};

/* Reads a query as it came. What is there twice is as good as nothing we know. The slices point
 * into the query. */
struct eio_query eio_query_read(struct slice query);

#endif
