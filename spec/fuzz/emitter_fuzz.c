/* SPDX-License-Identifier: MIT */
/* Any bytes as a message of an emitter: what is good is an emission that comes back from the word
 * between nodes as it was. */
#include "base/json.h"
#include "store/redis_emitter.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds) abort();
}

static void compare(const struct emission *e) {
    struct emission back;
    struct buf *word = emission_write(e);
    must(emission_read(&back, buf_slice(word)));
    must(slice_eq(e->rooms, back.rooms) && slice_eq(e->except, back.except));
    must(slice_eq(e->event, back.event) && slice_eq(e->args, back.args));
    must(e->is_volatile == back.is_volatile && e->attachments.count == back.attachments.count);
    for (uint32_t i = 0; i < back.attachments.count; i++)
        must(slice_eq(buf_slice(e->attachments.list[i]), buf_slice(back.attachments.list[i])));
    attachments_fini(&back.attachments);
    buf_unref(word);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice payload = slice_make(data, size), rooms[] = {{NULL, 0}, SLICE("r1")};
    for (size_t i = 0; i < 2; i++) {
        struct redis_emission r;
        if (redis_emission_read(&r, payload, SLICE("/"), rooms[i]) == REDIS_EMISSION_GOOD)
            compare(&r.emission);
        redis_emission_fini(&r);
    }
    return 0;
}
