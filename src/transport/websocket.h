/* SPDX-License-Identifier: MIT */
#ifndef TRANSPORT_WEBSOCKET_H
#define TRANSPORT_WEBSOCKET_H

#include "core/site.h"
#include "net/ws.h"

/* What an endpoint's conf and its site's limits say of its WebSockets, plain or inside SockJS. The
 * result borrows from both and stays valid as long as they. */
struct ws_settings websocket_settings(const struct endpoint *ep);

#endif
