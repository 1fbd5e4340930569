/* SPDX-License-Identifier: MIT */
/* Reading what a request brings in its headers, its query and its cookies. All of it stays as it
 * came: nothing is decoded unless the caller asks for it. */
#include "net/http.h"

struct slice http_header(const struct request *r, const char *name) {
    struct slice wanted = slice_of(name);
    for (size_t i = 0; i < r->header_count; i++)
        if (slice_ieq(r->headers[i].name, wanted)) return r->headers[i].value;
    return (struct slice){NULL, 0};
}

static bool list_has(struct slice list, struct slice token) {
    for (struct slice item; slice_next(&list, ',', &item);)
        if (slice_ieq(slice_trim(item), token)) return true;
    return false;
}

bool http_header_has(const struct request *r, const char *name, const char *token) {
    struct slice wanted = slice_of(name);
    for (size_t i = 0; i < r->header_count; i++)
        if (slice_ieq(r->headers[i].name, wanted) &&
            list_has(r->headers[i].value, slice_of(token)))
            return true;
    return false;
}

/* Splits "name=value"; without '=' the value is empty. */
static struct slice pair_value(struct slice pair, struct slice *name) {
    size_t equals = slice_find(pair, '=');
    *name = slice_upto(pair, equals);
    return slice_from(pair, equals + 1);
}

struct slice http_cookie(const struct request *r, const char *name) {
    for (size_t i = 0; i < r->header_count; i++) {
        if (!slice_ieq(r->headers[i].name, SLICE("cookie"))) continue;
        struct slice list = r->headers[i].value;
        for (struct slice pair; slice_next(&list, ';', &pair);) {
            struct slice found, value = pair_value(slice_trim(pair), &found);
            if (slice_is(found, name)) return value;
        }
    }
    return (struct slice){NULL, 0};
}

bool http_query(struct slice query, const char *name, struct slice *raw) {
    for (struct slice pair; slice_next(&query, '&', &pair);) {
        struct slice found, value = pair_value(pair, &found);
        if (!pair.n || !slice_is(found, name)) continue;
        *raw = value;
        return true;
    }
    return false;
}
