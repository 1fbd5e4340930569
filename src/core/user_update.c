/* SPDX-License-Identifier: MIT */
#include "core/user_update.h"

#include "base/json.h"

#include <ctype.h>
#include <time.h>

struct slice user_update_id(struct slice room) {
    struct slice part = {NULL, 0};
    bool more = slice_next(&room, '_', &part) && room.p && slice_next(&room, '_', &part);
    if (!more || slice_is(part, ".") || slice_is(part, "..")) return (struct slice){NULL, 0};
    return part;
}

static void add_segment(struct text *out, struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (isalnum(c) || (c && strchr("-._~", c))) text_char(out, (char)c);
        else text_format(out, "%%%02X", c);
    }
}

void user_update_url(struct text *out, const char *url, struct slice id) {
    const char *place = strstr(url, ":id");
    text_add(out, slice_make(url, (size_t)(place - url)));
    add_segment(out, id);
    text_str(out, place + strlen(":id"));
}

void user_update_body(struct text *out, struct slice id, bool here, uint64_t at_ms) {
    char when[32];
    time_t at = (time_t)(at_ms / 1000);
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&at, &utc));
    text_str(out, "{\"id\":");
    json_quote(out, id);
    text_format(out, ",\"user\":{\"last_%s\":\"%s.%03uZ\"}}", here ? "connected" : "disconnected",
                when, (unsigned)(at_ms % 1000));
}
