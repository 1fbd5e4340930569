/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_SOCKJS_URL_H
#define TRANSPORT_SOCKJS_URL_H

#include "transport/sockjs_frame.h"

/* What the paths behind an endpoint's own stand for. */

enum sockjs_action {
    SOCKJS_NOTHING, /* 404 */
    SOCKJS_GREETING,
    SOCKJS_INFO,
    SOCKJS_IFRAME,
    SOCKJS_RAW_SOCKET, /* /websocket */
    SOCKJS_SOCKET,     /* /<server>/<session>/websocket */
    SOCKJS_RECEIVE,    /* /<server>/<session>/<one of the ways> */
    SOCKJS_SEND,       /* .../xhr_send */
    SOCKJS_JSONP_SEND  /* .../jsonp_send */
};

struct sockjs_url {
    enum sockjs_action action;
    const struct sockjs_way *way; /* of RECEIVE */
    struct slice session;         /* the id, as it stands in the path; empty where there is none */
};

/* Longest server and session id. */
#define SOCKJS_ID_MAX 64

/* Reads a path, "" or beginning with '/', undecoded and without query. */
struct sockjs_url sockjs_url_parse(struct slice path);

#endif
