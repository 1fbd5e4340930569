/* SPDX-License-Identifier: MIT */
/* The URL map of an endpoint. Any path but the greeting's may end in one more slash. */
#include "transport/sockjs_url.h"

/* Ids are opaque: '.' and '/' are out, and so are their escapes, because whoever stands before us
 * may have decoded what we do not. */
static bool id_valid(struct slice id) {
    if (id.n == 0 || id.n > SOCKJS_ID_MAX) return false;
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] == '.' || id.p[i] == '/') return false;
        struct slice escape = slice_upto(slice_from(id, i), 3);
        if (slice_ieq(escape, SLICE("%2f")) || slice_ieq(escape, SLICE("%2e"))) return false;
    }
    return true;
}

/* "/iframe", anything of [0-9-.a-z_], ".html". */
static bool is_iframe(struct slice path) {
    const struct slice head = SLICE("/iframe"), tail = SLICE(".html");
    if (path.n < head.n + tail.n || !slice_starts(path, head) || !slice_ends(path, tail))
        return false;
    for (size_t i = head.n; i < path.n - tail.n; i++) {
        char c = path.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'))
            return false;
    }
    return true;
}

static struct sockjs_url of_session(struct slice session, struct slice what) {
    static const struct sockjs_way *const ways[] = {
        &sockjs_xhr, &sockjs_xhr_streaming, &sockjs_eventsource, &sockjs_htmlfile, &sockjs_jsonp};
    struct sockjs_url url = {.session = session};
    if (slice_is(what, "websocket"))
        url.action = SOCKJS_SOCKET;
    else if (slice_is(what, "xhr_send"))
        url.action = SOCKJS_SEND;
    else if (slice_is(what, "jsonp_send"))
        url.action = SOCKJS_JSONP_SEND;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!slice_is(what, ways[i]->what)) continue;
        url.action = SOCKJS_RECEIVE;
        url.way = ways[i];
    }
    return url;
}

struct sockjs_url sockjs_url_parse(struct slice path) {
    if (path.n == 0 || slice_is(path, "/")) return (struct sockjs_url){.action = SOCKJS_GREETING};
    if (slice_ends(path, SLICE("/"))) path.n--;
    if (slice_is(path, "/info")) return (struct sockjs_url){.action = SOCKJS_INFO};
    if (slice_is(path, "/websocket")) return (struct sockjs_url){.action = SOCKJS_RAW_SOCKET};
    if (is_iframe(path)) return (struct sockjs_url){.action = SOCKJS_IFRAME};

    struct slice rest = slice_from(path, 1), server, session, what;
    if (slice_next(&rest, '/', &server) && slice_next(&rest, '/', &session) &&
        slice_next(&rest, '/', &what) && !rest.p && id_valid(server) && id_valid(session))
        return of_session(session, what);
    return (struct sockjs_url){.action = SOCKJS_NOTHING};
}
