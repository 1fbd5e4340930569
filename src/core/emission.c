/* SPDX-License-Identifier: MIT */
/* The word between nodes is JSON, so that it can be kept as any message is; bytes are base64. */
#include "core/emission.h"

#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"

/* ---- attachments ---- */

void attachments_copy(struct attachments *to, const struct attachments *from) {
    *to = (struct attachments){0};
    for (uint32_t i = 0; i < from->count; i++) attachments_add(to, buf_ref(from->list[i]));
}

void attachments_add(struct attachments *a, struct buf *bytes) {
    a->list = mem_grow(a->list, (a->count + 1) * sizeof *a->list);
    a->list[a->count++] = bytes;
}

void attachments_fini(struct attachments *a) {
    while (a->count) buf_unref(a->list[--a->count]);
    mem_free(a->list);
    *a = (struct attachments){0};
}

/* ---- the word ---- */

static void add_bytes(struct text *json, const struct attachments *a) {
    text_str(json, ",\"bytes\":[");
    for (uint32_t i = 0; i < a->count; i++) {
        text_str(json, i ? ",\"" : "\"");
        base64_encode(json, buf_slice(a->list[i]));
        text_char(json, '"');
    }
    text_char(json, ']');
}

static void add_member(struct text *json, const char *name, struct slice raw) {
    if (!raw.n) return;
    text_format(json, "%s\"%s\":", json->n > 1 ? "," : "", name);
    text_add(json, raw);
}

struct buf *emission_write(const struct emission *e) {
    struct text json = {0};
    text_char(&json, '{');
    add_member(&json, "rooms", e->rooms);
    add_member(&json, "except", e->except);
    add_member(&json, "event", e->event);
    add_member(&json, "args", e->args);
    if (e->is_volatile) add_member(&json, "volatile", SLICE("true"));
    if (e->attachments.count) add_bytes(&json, &e->attachments);
    text_char(&json, '}');
    return text_take(&json);
}

/* Another node has written it; but whoever has the store may have, too. */
static bool read_json(struct emission *e, struct slice json, struct json_value *bytes) {
    enum { ROOMS, EXCEPT, EVENT, ARGS, VOLATILE, BYTES, MEMBERS };
    static const struct slice names[MEMBERS] = {{"rooms", 5}, {"except", 6},   {"event", 5},
                                                {"args", 4},  {"volatile", 8}, {"bytes", 5}};
    static const struct json_limits any = {
        .depth = JSON_DEPTH_MAX, .values = UINT64_MAX, .keys = UINT64_MAX};
    struct json_value whole, v[MEMBERS];
    if (json_envelope(json, &any, &whole, names, v, MEMBERS) || whole.type != JSON_OBJECT)
        return false;
    for (int i = ROOMS; i <= EXCEPT; i++)
        if (v[i].type != JSON_ARRAY && v[i].type != JSON_NONE) return false;
    if (v[EVENT].type != JSON_STRING || v[ARGS].type != JSON_ARRAY) return false;
    e->rooms = v[ROOMS].raw;
    e->except = v[EXCEPT].raw;
    if (v[ROOMS].type == JSON_NONE) e->rooms = (struct slice){NULL, 0};
    if (v[EXCEPT].type == JSON_NONE) e->except = (struct slice){NULL, 0};
    e->event = v[EVENT].raw;
    e->args = v[ARGS].raw;
    e->is_volatile = v[VOLATILE].type == JSON_TRUE;
    *bytes = v[BYTES];
    return bytes->type == JSON_NONE || bytes->type == JSON_ARRAY;
}

static bool read_attachments(struct emission *e, struct json_value bytes) {
    struct json_value item;
    struct slice rest = bytes.raw;
    bool good = true;
    while (good && bytes.type == JSON_ARRAY && json_next(&rest, &item)) {
        struct text data = {0};
        good = item.type == JSON_STRING &&
               base64_decode(&data, slice_make(item.raw.p + 1, item.raw.n - 2), false);
        if (good) attachments_add(&e->attachments, text_take(&data));
        else text_fini(&data);
    }
    return good;
}

bool emission_read(struct emission *e, struct slice body) {
    struct json_value bytes;
    *e = (struct emission){0};
    if (!read_json(e, body, &bytes)) return false;
    if (read_attachments(e, bytes)) return true;
    attachments_fini(&e->attachments);
    return false;
}
