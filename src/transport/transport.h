/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include "core/session.h"
#include "core/site.h"
#include "net/http.h"

/* A way to carry sessions. A static const table; src/routes.c finds the endpoint of a request and
 * hands it to the endpoint's transport. */
struct transport {
    const char *name;
    /* Prepares ep->state when the site starts; the endpoint's conf stands. */
    void (*open)(struct endpoint *ep, struct net *net);
    /* Answers r, now or later. rest is the path behind the endpoint's own: "", "/", "/info", ... */
    void (*serve)(struct endpoint *ep, struct request *r, struct slice rest);
    /* Frees ep->state; its sessions have ended. */
    void (*close)(struct endpoint *ep);
};

extern const struct transport websocket_transport;
extern const struct transport sockjs_transport;
extern const struct transport engineio_transport;

/* The transport of this name, or NULL. */
const struct transport *transport_find(struct slice name);

#endif
