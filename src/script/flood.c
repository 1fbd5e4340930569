/* SPDX-License-Identifier: MIT */
#include "script/flood.h"

static void on_over(struct deferred *d) {
    struct flood *f = container_of(d, struct flood, over);
    f->bytes = f->copies = 0;
}

void flood_init(struct flood *f) { deferred_init(&f->over, on_over); }

void flood_fini(struct flood *f) { deferred_cancel(&f->over); }

bool flood_admits(struct flood *f, struct site *site, size_t bytes, size_t copies) {
    const struct limits *limits = site->limits;
    const char *limit = f->bytes >= limits->script_publish_bytes     ? "script_publish_bytes"
                        : f->copies >= limits->script_publish_copies ? "script_publish_copies"
                                                                     : NULL;
    if (limit) {
        site_limit(site, limit);
        return false;
    }
    f->bytes += bytes;
    f->copies += copies;
    loop_defer(site->core->loop, LOOP_FREE, &f->over);
    return true;
}
