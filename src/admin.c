/* SPDX-License-Identifier: MIT */
#include "admin.h"

#include "base/digest.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/site.h"
#include "script/script.h"

/* The door: who may ask, what is asked, of which site. Some verbs are answered here, from what the
 * process knows; the others go to the site's script (script/script.h), which may take its time:
 * then a struct command waits for it. */

static const struct slice prefix = {"/admin/", 7};

bool admin_owns(struct slice path) { return slice_starts(path, prefix); }

/* ---- answers ---- */

static void answer(struct request *r, int status, struct slice json) {
    const struct http_header headers[] = {
        {SLICE("Content-Type"), SLICE("application/json; charset=utf-8")},
        {SLICE("Cache-Control"), SLICE("no-store")},
        {SLICE("X-Content-Type-Options"), SLICE("nosniff")},
        {status == 401 ? SLICE("WWW-Authenticate") : (struct slice){NULL, 0}, SLICE("Bearer")},
        {{NULL, 0}, {NULL, 0}},
    };
    http_reply(r, status, headers, json);
}

static void answer_text(struct request *r, struct text *json) {
    answer(r, 200, text_slice(json));
    text_fini(json);
}

/* The same for what went wrong; message ends up before somebody's eyes. */
static void refuse(struct request *r, int status, const char *code, struct slice message) {
    struct text json = {0};
    text_format(&json, "{\"error\":\"%s\",\"message\":", code);
    json_quote(&json, message);
    text_char(&json, '}');
    answer(r, status, text_slice(&json));
    text_fini(&json);
}

/* ---- who may ask ---- */

struct denial {
    int status; /* 0: none */
    const char *code, *message;
};

static bool has_key(const struct request *r, const char *key) {
    struct slice given = http_header(r, "authorization"), scheme = SLICE("bearer ");
    if (!slice_ieq(slice_upto(given, scheme.n), scheme)) return false;
    return digest_equal(slice_trim(slice_from(given, scheme.n)), slice_of(key));
}

/* A form of a strange page can neither name this type nor hide where it comes from. */
static bool is_json(const struct request *r) {
    struct slice type = http_header(r, "content-type");
    return slice_ieq(slice_trim(slice_upto(type, slice_find(type, ';'))),
                     SLICE("application/json"));
}

static struct denial deny(const struct admin *admin, const struct request *r, bool trusted) {
    const char *key = admin->config->admin_key;
    if (http_header(r, "origin").p)
        return (struct denial){403, "origin", "this is not for pages in browsers"};
    if (!trusted && !key)
        return (struct denial){403, "no_key",
                               "no key is configured: set admin.key, or use the unix socket"};
    if (!trusted && !has_key(r, key))
        return (struct denial){401, "unauthorized", "this needs the key of admin.key"};
    if (r->method != HTTP_POST) return (struct denial){405, "method", "verbs are asked with POST"};
    if (!is_json(r))
        return (struct denial){415, "content_type", "the body must be application/json"};
    return (struct denial){0, NULL, NULL};
}

/* ---- what is asked ---- */

struct admin_verb;

/* A request that was understood. Borrowed for the call. */
struct question {
    struct admin *admin;
    const struct admin_verb *verb;
    struct request *request;
    struct slice name; /* of the site; empty: none was named */
    struct site *site; /* NULL: the same, or there is none yet (SITE_NEW) */
};

static void ask_stat(const struct question *q) {
    struct text json = {0};
    admin_stat(q->admin, q->request, q->site, &json);
    answer_text(q->request, &json);
}

static void ask_sites(const struct question *q) {
    struct text json = {0};
    admin_sites(q->admin, &json);
    answer_text(q->request, &json);
}

static struct site *find_site(const struct routes *routes, struct slice name) {
    for (size_t i = 0; i < routes->count; i++)
        if (slice_is(name, routes->sites[i].site->name)) return routes->sites[i].site;
    return NULL;
}

/* Of the site, which may have come only now, or of all. */
static void answer_generations(const struct question *q) {
    struct site *site = q->site ? q->site : find_site(q->admin->routes, q->name);
    struct text json = {0};
    admin_generations(q->admin, site, &json);
    answer_text(q->request, &json);
}

/* The errors are lines; the last needs no end. */
static void ask_reload(const struct question *q) {
    struct text errors = {0};
    if (q->admin->routes->core->draining)
        refuse(q->request, 503, "draining", SLICE("the gateway is about to end"));
    else if (!reload(q->admin->reloader, q->name, &errors)) answer_generations(q);
    else refuse(q->request, 409, "reload_failed", slice_upto(text_slice(&errors), errors.n - 1));
    text_fini(&errors);
}

static void ask_rollback(const struct question *q) {
    struct text error = {0};
    if (script_rollback(q->site, &error)) answer_generations(q);
    else refuse(q->request, 409, "rollback_failed", text_slice(&error));
    text_fini(&error);
}

static void ask_script(const struct question *q);

struct admin_verb {
    const char *name;
    void (*ask)(const struct question *q);
    enum {
        SITE_ONE, /* it is about one site, which need not be named where there is only one */
        SITE_ANY, /* or about all of them */
        SITE_NEW  /* or about one that is not there yet */
    } site;
    bool changes; /* or may change something: that it was asked stands in the log */
};

static const struct admin_verb verbs[] = {
    {"stat", ask_stat, SITE_ANY, false},
    {"sites", ask_sites, SITE_ANY, false},
    {"reload", ask_reload, SITE_NEW, true},
    {"rollback", ask_rollback, SITE_ONE, true},
    {"sockets", ask_script, SITE_ONE, false},
    {"channels", ask_script, SITE_ONE, false},
    {"channel", ask_script, SITE_ONE, false},
    {"explain", ask_script, SITE_ONE, true},
    {"publish", ask_script, SITE_ONE, true},
    {"call", ask_script, SITE_ONE, true},
    {"eval", ask_script, SITE_ONE, true},
    {"token", ask_script, SITE_ONE, true},
    {NULL, NULL, SITE_ANY, false},
};

static const struct admin_verb *find_verb(struct slice name) {
    for (const struct admin_verb *verb = verbs; verb->name; verb++)
        if (slice_is(name, verb->name)) return verb;
    return NULL;
}

/* ---- what scripts answer ---- */

/* A request that waits for a script. */
struct command {
    struct request *request;
    struct inquiry inquiry;
};

static void on_answered(struct inquiry *inquiry, int status, struct slice json) {
    struct command *c = container_of(inquiry, struct command, inquiry);
    if (json.n <= ADMIN_ANSWER_MAX) answer(c->request, status, json);
    else refuse(c->request, 422, "too_large", SLICE("the answer is longer than a megabyte"));
    mem_free(c);
}

/* The operator does not wait any longer. */
static void on_aborted(struct request *r) {
    struct command *c = r->user;
    script_inquiry_cancel(&c->inquiry);
    mem_free(c);
}

static void ask_script(const struct question *q) {
    struct command *c = mem_new(sizeof *c);
    c->request = q->request;
    c->inquiry.answered = on_answered;
    c->request->user = c;
    c->request->aborted = on_aborted;
    script_inquire(q->site, q->verb->name, q->request->body, &c->inquiry); /* may free c */
}

/* ---- of which site ---- */

static void refuse_site(const struct question *q) {
    struct text message = {0};
    const struct routes *routes = q->admin->routes;
    const char *named = q->name.n ? "; there are: " : "? There are: ";
    if (q->name.n) text_format(&message, "there is no site '%.*s'", (int)q->name.n, q->name.p);
    else text_str(&message, routes->count ? "which site" : "there are no sites");
    for (size_t i = 0; i < routes->count; i++)
        text_format(&message, "%s%s", i ? ", " : named, routes->sites[i].site->name);
    refuse(q->request, q->name.n ? 404 : 400, q->name.n ? "no_such_site" : "which_site",
           text_slice(&message));
    text_fini(&message);
}

/* Finds the site that was named, or the only one that there is. False when it was refused. */
static bool take_site(struct question *q) {
    const struct admin_verb *verb = q->verb;
    const struct routes *routes = q->admin->routes;
    q->site = find_site(routes, q->name);
    if (!q->name.n && verb->site == SITE_ONE && routes->count == 1) q->site = routes->sites[0].site;
    if (q->site || verb->site == SITE_NEW || (!q->name.n && verb->site == SITE_ANY)) return true;
    refuse_site(q);
    return false;
}

static void log_question(const struct question *q, bool trusted) {
    const struct admin_verb *verb = q->verb;
    char ip[IP_TEXT_MAX];
    ip_format(&q->request->conn->peer, ip);
    LOG(q->admin->routes->core->log, verb->changes ? LOG_INFO : LOG_DEBUG, "admin",
        log_c("verb", verb->name), log_s("site", q->site ? slice_of(q->site->name) : q->name),
        log_c("from", trusted ? "socket" : ip));
}

/* Whether the body is an object of which the member site can be used; else it was refused. */
static bool take_body(const struct question *q, struct json_value *site) {
    const struct limits *limits = q->admin->routes->core->limits;
    struct json_limits bounds = {limits->json_depth, limits->json_values, limits->json_keys, false};
    struct json_value body;
    const struct slice name = SLICE("site");
    enum json_error error = json_envelope(q->request->body, &bounds, &body, &name, site, 1);
    if (error) refuse(q->request, 400, "bad_json", slice_of(json_error_text(error)));
    else if (body.type != JSON_OBJECT)
        refuse(q->request, 400, "bad_json", SLICE("the body must be an object"));
    else if (site->type != JSON_NONE && site->type != JSON_STRING)
        refuse(q->request, 400, "bad_request", SLICE("site must be a name"));
    else return true;
    return false;
}

static void handle_question(struct question *q, bool trusted) {
    struct json_value site;
    struct text room = {0};
    if (!take_body(q, &site)) return;
    if (site.type == JSON_STRING) q->name = json_string(site.raw, &room);
    if (take_site(q)) {
        log_question(q, trusted);
        q->verb->ask(q);
    }
    text_fini(&room);
}

void admin_handle(struct admin *admin, struct request *r, bool trusted) {
    struct denial denial = deny(admin, r, trusted);
    if (denial.status) {
        char ip[IP_TEXT_MAX];
        LOG(admin->routes->core->log, LOG_WARN, "admin refused",
            log_c("ip", ip_format(&r->conn->peer, ip)), log_c("error", denial.code));
        refuse(r, denial.status, denial.code, slice_of(denial.message));
        return;
    }
    struct slice name = slice_from(r->path, prefix.n);
    const struct admin_verb *verb = find_verb(name);
    struct question q = {.admin = admin, .verb = verb, .request = r};
    if (verb) handle_question(&q, trusted);
    else refuse(r, 404, "unknown_verb", SLICE("there is no such verb"));
}
