/* SPDX-License-Identifier: MIT */
#include "script/conf.h"

#include <assert.h>

/* Conf files: whatever the text, there is a tree or a line that says why not, each in one line. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct conf_value *v) {
    size_t items = 0;
    assert(v->line > 0);
    LIST_EACH(&v->items, link) {
        const struct conf_value *item = container_of(link, struct conf_value, link);
        if (!item->key) items++;
        else assert(conf_get(v, item->key) == item);
        walk(item);
    }
    assert(items == v->list_count);
    assert((v->type == CONF_STRING) == (v->string != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct text errors = {0};
    if (size > 4096) return 0;
    struct conf_value *v = conf_read_text("f.lua", slice_make(data, size), &errors);
    assert(v || errors.n);
    if (v) walk(v);
    struct slice rest = text_slice(&errors), line;
    while (rest.n && slice_next(&rest, '\n', &line))
        assert(slice_starts(line, SLICE("f.lua:")));
    conf_free(v);
    text_fini(&errors);
    return 0;
}
