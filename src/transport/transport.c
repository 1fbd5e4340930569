/* SPDX-License-Identifier: MIT */
#include "transport/transport.h"

const struct transport *transport_find(struct slice name) {
    static const struct transport *const all[] = {&websocket_transport, &sockjs_transport,
                                                  &engineio_transport};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (slice_is(name, all[i]->name)) return all[i];
    return NULL;
}
