/* SPDX-License-Identifier: MIT */
/* The order of the answers is part of the wire: what is wrong with the body, with the query, with
 * the key, with what the body says. */
#include "transport/send_route.h"

#include "base/digest.h"
#include "base/form.h"
#include "base/json.h"
#include "core/push.h"
#include "core/token.h"
#include "transport/opening.h"

#define DEPTH_MAX 64
#define EVENT_MAX 128
#define IDEMPOTENCY_KEY_MAX 255

/* Why a message is not taken: none is {0}. Static. */
struct refusal_text {
    int status;
    const char *text;
    const char *reason; /* in the counter push_refused_total */
};

static const struct refusal_text bad_method = {405, "Use POST.", "method"};
static const struct refusal_text bad_type = {
    415, "Send application/json or application/x-www-form-urlencoded.", "media_type"};
static const struct refusal_text bad_json = {400, "The body is not JSON.", "bad_body"};
static const struct refusal_text bad_form = {400, "The body is not a form.", "bad_body"};
static const struct refusal_text too_long = {413, "The body is too long.", "too_large"};
static const struct refusal_text no_params = {400, "Missing query param 'site' or 'apiKey'.",
                                              "no_params"};
static const struct refusal_text bad_key = {401, "ApiKey invalid.", "unauthorized"};
static const struct refusal_text too_many = {429, "Too many requests.", "rate"};
static const struct refusal_text no_content = {400, "Missing rooms or event.", "no_content"};
static const struct refusal_text long_event = {400, "The event's name is too long.", "no_content"};
static const struct refusal_text bad_once = {400, "Idempotency-Key is too long.", "idempotency"};
static const struct refusal_text other_once = {
    422, "Idempotency-Key was used for another message.", "idempotency"};
static const struct refusal_text unavailable = {503, "Unavailable.", "unavailable"};

/* One request, while it waits for the store. */
struct send {
    struct core *core;
    struct site *site;       /* NULL until the key has opened it */
    struct request *request; /* NULL once the peer is gone */
    struct once_waiter waiter;
    struct buf *once_key; /* NULL: none */
    struct text json;     /* the body as JSON */
    struct text args;     /* room for an array around what is none, */
    struct text rooms;    /* and for this one's */
    struct push_message message;
};

static void send_free(struct send *s) {
    buf_unref(s->once_key);
    text_fini(&s->json);
    text_fini(&s->args);
    text_fini(&s->rooms);
    mem_free(s);
}

/* ---- answers ---- */

static void answer(struct request *r, int status, const char *type, const char *text,
                   struct http_header more) {
    const struct http_header headers[] = {
        {SLICE("Content-Type"), slice_of(type)},
        {SLICE("Cache-Control"), SLICE("no-store")},
        {SLICE("X-Content-Type-Options"), SLICE("nosniff")},
        more,
        {{NULL, 0}, {NULL, 0}},
    };
    http_reply(r, status, headers, slice_of(text));
}

static void refuse(struct send *s, const struct refusal_text *why) {
    struct http_header more = {{NULL, 0}, {NULL, 0}};
    if (why->status == 405) more = (struct http_header){SLICE("Allow"), SLICE("POST")};
    if (why->status == 401) more = (struct http_header){SLICE("WWW-Authenticate"), SLICE("Bearer")};
    if (why->status == 429 || why->status == 503)
        more = (struct http_header){SLICE("Retry-After"), SLICE("1")};
    metrics_count(s->core->metrics, "push_refused_total", "reason", why->reason,
                  s->site ? s->site->name : NULL);
    answer(s->request, why->status, "text/html; charset=utf-8", why->text, more);
}

/* result: as push_send's status. */
static void answer_sent(struct send *s, int result) {
    struct http_header more = {{NULL, 0}, {NULL, 0}};
    if (result > 0) more = (struct http_header){SLICE("Moonlatch-Overflow"), SLICE("true")};
    if (result < 0) refuse(s, &unavailable);
    else answer(s->request, 200, "text/plain; charset=utf-8", "OK", more);
}

/* ---- the body ---- */

static bool type_is(struct slice type, const char *name) {
    return slice_ieq(slice_trim(slice_upto(type, slice_find(type, ';'))), slice_of(name));
}

/* Texts of other encodings would have to be translated. */
static bool is_utf8(struct slice type) {
    struct slice part, charset = SLICE("charset=");
    while (slice_next(&type, ';', &part)) {
        part = slice_trim(part);
        if (!slice_ieq(slice_upto(part, charset.n), charset)) continue;
        part = slice_from(part, charset.n);
        return slice_ieq(part, SLICE("utf-8")) || slice_ieq(part, SLICE("\"utf-8\""));
    }
    return true;
}

enum { ROOMS, EVENT, ARGS, MEMBERS };

/* The members of the body, into v; no body is an empty object. */
static const struct refusal_text *read_json(struct send *s, struct json_value *v) {
    static const struct slice names[MEMBERS] = {{"rooms", 5}, {"event", 5}, {"args", 4}};
    const struct limits *limits = s->core->limits;
    struct json_limits bounds = {DEPTH_MAX, limits->json_values, limits->json_keys, false};
    struct json_value whole;
    struct slice text = s->json.n ? text_slice(&s->json) : SLICE("{}");
    if (json_envelope(text, &bounds, &whole, names, v, MEMBERS)) return &bad_json;
    return whole.type == JSON_OBJECT || whole.type == JSON_ARRAY ? NULL : &bad_json;
}

static const struct refusal_text *read_body(struct send *s, struct json_value *v) {
    const struct request *r = s->request;
    struct slice type = http_header(r, "content-type");
    if (r->body.n > s->core->limits->push_body) return &too_long;
    if (r->body.n && http_header(r, "content-encoding").n) return &bad_type;
    if (type_is(type, "application/x-www-form-urlencoded") && is_utf8(type)) {
        if (!form_to_json(&s->json, r->body)) return &bad_form;
    } else if (r->body.n) {
        if (!type_is(type, "application/json") || !is_utf8(type)) return &bad_type;
        text_add(&s->json, r->body);
    }
    return read_json(s, v);
}

/* ---- the query, and the key ---- */

/* Appends a parameter of the query, decoded; empty where there is none. */
static struct slice query_text(const struct request *r, const char *name, struct text *room) {
    struct slice raw;
    if (http_query(r->query, name, &raw) && !url_decode(room, raw, true)) text_clear(room);
    return text_slice(room);
}

/* A header's key comes before that of the query, which ends up in logs of others. */
static struct slice key_of(const struct request *r, struct text *room, bool *in_query) {
    struct slice given = http_header(r, "x-api-key");
    struct slice authorization = http_header(r, "authorization"), scheme = SLICE("bearer ");
    *in_query = false;
    if (given.n) return given;
    if (slice_ieq(slice_upto(authorization, scheme.n), scheme))
        return slice_trim(slice_from(authorization, scheme.n));
    *in_query = true;
    return query_text(r, "apiKey", room);
}

static struct site *find_site(const struct core *core, struct site *only, struct slice name) {
    LIST_EACH(&core->sites, link) {
        struct site *site = container_of(link, struct site, link);
        if (slice_is(name, site->name)) return !only || only == site ? site : NULL;
    }
    return NULL;
}

static void log_bad_key(const struct send *s, const struct site *site, struct slice name,
                        bool in_query) {
    const char *hint = !site       ? "there is no such site"
                       : in_query && !site->conf->push.api_key_in_query
                           ? "push.api_key_in_query is false: send it in a header"
                           : "it is none of push.api_key";
    LOG(s->core->log, LOG_INFO, "api key refused", log_s("site", slice_upto(name, 64)),
        log_c("hint", hint));
}

/* Sets s->site. An unknown site, a wrong key and one in the wrong place read the same. */
static const struct refusal_text *open_site(struct send *s, struct site *only) {
    struct text name_room = {0}, key_room = {0};
    struct ip ip = opening_ip(s->request);
    bool in_query;
    struct slice name = query_text(s->request, "site", &name_room);
    struct slice key = key_of(s->request, &key_room, &in_query);
    const struct refusal_text *why = NULL;
    if (!name.n || !key.n) {
        why = &no_params;
    } else {
        struct site *site = find_site(s->core, only, name);
        int index = push_key_index(site, key);
        bool good = index >= 0 && (!in_query || site->conf->push.api_key_in_query);
        if (site && auth_blocked(site, &ip)) why = &too_many;
        else if (!good) why = &bad_key;
        else s->site = site;
        if (why == &bad_key && site) auth_failed(site, &ip);
        if (why == &bad_key) log_bad_key(s, site, name, in_query);
        if (!why && !push_key_allows(site, index)) why = &too_many;
    }
    text_fini(&name_room);
    text_fini(&key_room);
    return why;
}

/* resync=false has to mean so, and so has resync=0. */
static bool wants_resync(const struct request *r) {
    struct text room = {0};
    struct slice value = query_text(r, "resync", &room);
    bool wants = value.n && !slice_ieq(value, SLICE("false")) && !slice_is(value, "0");
    text_fini(&room);
    return wants;
}

/* ---- what is sent ---- */

static bool are_texts(struct slice array) {
    struct json_value item;
    while (json_next(&array, &item))
        if (item.type != JSON_STRING) return false;
    return true;
}

static struct slice in_array(struct text *room, struct slice raw) {
    text_char(room, '[');
    text_add(room, raw);
    text_char(room, ']');
    return text_slice(room);
}

static const struct refusal_text *take_message(struct send *s, const struct json_value *v) {
    struct push_message *m = &s->message;
    if (v[ROOMS].type == JSON_STRING) m->rooms = in_array(&s->rooms, v[ROOMS].raw);
    else if (v[ROOMS].type == JSON_ARRAY && are_texts(v[ROOMS].raw)) m->rooms = v[ROOMS].raw;
    else return &no_content;
    if (v[EVENT].type != JSON_STRING || v[EVENT].raw.n <= 2) return &no_content;
    if (v[EVENT].raw.n > EVENT_MAX + 2) return &long_event;
    m->event = v[EVENT].raw;
    if (v[ARGS].type == JSON_ARRAY) m->args = v[ARGS].raw;
    else m->args = in_array(&s->args, v[ARGS].type ? v[ARGS].raw : SLICE("null"));
    m->resync = wants_resync(s->request) || s->site->conf->push.resync;
    return NULL;
}

/* ---- once ---- */

static void on_sent(void *arg, int status) {
    struct send *s = arg;
    if (s->once_key) once_end(push_once(s->site), buf_slice(s->once_key), status);
    if (s->request) answer_sent(s, status);
    send_free(s);
}

/* The same message had come before, and has been sent now. */
static void on_waited(struct once_waiter *w, int result) {
    struct send *s = container_of(w, struct send, waiter);
    if (s->request) answer_sent(s, result);
    send_free(s);
}

/* The peer is gone: what is on its way is sent all the same. */
static void on_aborted(struct request *r) {
    struct send *s = r->user;
    s->request = NULL;
}

static void send_now(struct send *s) {
    s->request->user = s;
    s->request->aborted = on_aborted;
    push_send(s->site, &s->message, on_sent, s);
}

static void digest_message(const struct send *s, unsigned char digest[32]) {
    struct text t = {0};
    text_str(&t, s->message.resync ? "resync " : "");
    text_add(&t, text_slice(&s->json));
    digest_sha256(text_slice(&t), digest);
    text_fini(&t);
}

/* Answers s now (true: it is over), or later. */
static bool send_once(struct send *s, struct slice key) {
    unsigned char digest[32];
    int result = 0;
    if (key.n > IDEMPOTENCY_KEY_MAX) {
        refuse(s, &bad_once);
        return true;
    }
    digest_message(s, digest);
    s->waiter.done = on_waited;
    s->once_key = buf_copy(key);
    switch (once_begin(push_once(s->site), loop_now_ms(s->core->loop), key, digest, &s->waiter,
                       &result)) {
    case ONCE_FIRST: send_now(s); return false;
    case ONCE_WAIT:
        s->request->user = s;
        s->request->aborted = on_aborted;
        return false;
    case ONCE_DONE: answer_sent(s, result); return true;
    case ONCE_OTHER: break;
    }
    refuse(s, &other_once);
    return true;
}

void send_route_serve(struct core *core, struct site *only, struct request *r) {
    struct json_value v[MEMBERS] = {{0}};
    struct send *s = mem_new(sizeof *s);
    s->core = core;
    s->request = r;
    const struct refusal_text *why = r->method == HTTP_POST ? read_body(s, v) : &bad_method;
    if (!why) why = open_site(s, only);
    if (!why) why = take_message(s, v);
    struct slice once_key = http_header(r, "idempotency-key");
    if (why) refuse(s, why);
    if (!why && !once_key.n) send_now(s);
    if (why || (once_key.n && send_once(s, once_key))) send_free(s);
}

bool send_route_is_open(const struct core *core) {
    LIST_EACH(&core->sites, link) {
        char *const *keys = container_of(link, struct site, link)->conf->push.api_keys;
        if (keys && keys[0]) return true;
    }
    return false;
}
