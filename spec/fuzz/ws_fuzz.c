/* SPDX-License-Identifier: MIT */
/* The bytes of a WebSocket peer behind its handshake. The first byte chooses how: bits 0 to 3 the
 * size of the pieces they come in, bit 4 compression, bit 5 with context takeover, bit 6 that the
 * session closes at the second message. Without compression wslay has to come to the same. */
#include "../c/ws_oracle.h"

#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void heard(struct rig *rig, struct slice data, bool binary) {
    if (!binary && !utf8_valid(data)) abort();
    if (data.n > rig->settings.max_message) abort();
    struct buf *b = buf_copy(data);
    ws_send(&rig->ws, b, binary);
    buf_unref(b);
    if (rig->count == 2) ws_close(&rig->ws, 4000, SLICE("enough"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size || size > 70000) return 0;
    unsigned how = data[0];
    struct slice bytes = slice_make(data + 1, size - 1);
    bool compress = how & 16, closes = how & 64;
    struct rig rig;
    rig_init(&rig);
    rig.settings.max_message = 20000;
    rig.settings.max_fragments = 1000000;
    rig.settings.compress = compress;
    rig.settings.context_takeover = how & 32;
    if (compress || closes) rig.heard = heard;
    rig_connect(&rig, compress ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "",
                (struct slice){NULL, 0});
    if (rig.ws.state != WS_OPEN) abort();
    rig_feed(&rig, bytes, how & 15 ? how & 15 : SIZE_MAX);
    sent_close(&rig);
    if (!rig.heard && !oracle_agrees(&rig, bytes)) abort();
    rig_fini(&rig);
    return 0;
}
