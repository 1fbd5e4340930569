/* SPDX-License-Identifier: MIT */
#include "transport/backend.h"

#include "base/json.h"
#include "base/url.h"
#include "core/auth_url.h"
#include "core/socket.h"
#include "net/httpc.h"

#include <ctype.h>
#include <time.h>

struct backend_state {
    struct httpc *client;
    struct list asking;  /* struct asking */
    struct list telling; /* struct telling */
};

/* A login that waits for the backend. */
struct asking {
    struct list link;
    struct login *login;
    struct http_exchange exchange;
};

/* ---- where it is ---- */

/* The conf knows that text is a URL of one host. */
static void take_address(struct http_exchange *x, const char *text, struct url *url, char **host) {
    struct slice name;
    bool parsed = url_parse(slice_of(text), url);
    struct slice hosts = url->hosts;
    x->tls = parsed && slice_is(url->scheme, "https");
    if (!url_next_host(&hosts, &name, x->tls ? 443 : 80, &x->port)) name = (struct slice){NULL, 0};
    x->host = *host = slice_cstr(name);
}

static void add_head(struct text *out, const char *method, const struct url *url) {
    text_format(out, "%s ", method);
    text_add(out, url->path.n ? url->path : SLICE("/"));
    if (url->query.p) text_char(out, '?');
    text_add(out, url->query);
    text_str(out, " HTTP/1.1\r\nHost: ");
    text_add(out, url->hosts);
    text_str(out, "\r\nAccept: */*\r\nUser-Agent: moonlatch\r\n");
}

/* ---- logins ---- */

static void asking_free(struct asking *a) {
    list_remove(&a->link);
    mem_free(a);
}

static void log_failure(const struct login *l, const char *code, const char *why) {
    metrics_count(l->site->core->metrics, "auth_url_failed_total", "code", code, l->site->name);
    LOG(l->site->core->log, LOG_WARN, "auth_url does not answer", log_c("site", l->site->name),
        log_c("code", code), log_c("error", why));
}

static void on_answered(struct http_exchange *x, const char *code, const char *why) {
    struct asking *a = container_of(x, struct asking, exchange);
    struct login *l = a->login;
    if (code) {
        log_failure(l, code, why);
        auth_url_failed(l, code);
    } else {
        auth_url_answered(l, x->response.status, text_slice(&x->response.body));
    }
    asking_free(a);
}

/* A client's word that could break out of its header never gets there. */
static void judge(struct login *l) {
    const struct push_conf *conf = &l->site->conf->push;
    struct backend_state *b = l->site->backend;
    struct asking *a = mem_new(sizeof *a);
    struct text request = {0};
    struct url url;
    char *host;
    a->login = l;
    list_push(&b->asking, &a->link);
    take_address(&a->exchange, conf->auth_url, &url, &host);
    add_head(&request, "GET", &url);
    if (auth_url_headers(&request, conf, l->request)) {
        text_str(&request, "\r\n");
        a->exchange.idempotent = true;
        a->exchange.request = text_take(&request);
        a->exchange.timeout_ms = conf->auth_timeout_ms;
        a->exchange.done = on_answered;
        http_send(b->client, &a->exchange);
    } else {
        auth_url_answered(l, 401, (struct slice){NULL, 0});
        asking_free(a);
    }
    text_fini(&request);
    mem_free(host);
}

/* ---- who comes and goes ---- */

/* Nobody waits for it. */
struct telling {
    struct list link;
    struct site *site;
    struct http_exchange exchange;
};

static void telling_free(struct telling *t) {
    list_remove(&t->link);
    mem_free(t);
}

static void on_told(struct http_exchange *x, const char *code, const char *why) {
    struct telling *t = container_of(x, struct telling, exchange);
    bool good = !code && x->response.status == 200;
    if (!good) {
        metrics_count(t->site->core->metrics, "update_user_failed_total", NULL, NULL,
                      t->site->name);
        LOG(t->site->core->log, LOG_WARN, "update_user_url", log_c("site", t->site->name),
            log_c("error", code ? why : "does not answer 200"),
            log_n("status", code ? 0 : x->response.status));
    }
    telling_free(t);
}

/* "user_5_admin" is user 5. */
static struct slice id_of(struct slice user) {
    struct slice behind = slice_from(user, slice_find(user, '_') + 1);
    return slice_upto(behind, slice_find(behind, '_'));
}

static void add_time(struct text *out) {
    struct timespec now;
    struct tm utc;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    text_format(out, "%s.%03ldZ", text, now.tv_nsec / 1000000);
}

static void add_body(struct text *out, struct slice id, bool here) {
    text_str(out, "{\"id\":");
    json_quote(out, id);
    text_format(out, ",\"user\":{\"%s\":\"", here ? "last_connected" : "last_disconnected");
    add_time(out);
    text_str(out, "\"}}");
}

/* What stands in a path without meaning anything there. */
static void add_escaped(struct text *out, struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x80 && (isalnum(c) || c == '-' || c == '_')) text_char(out, s.p[i]);
        else text_format(out, "%%%02X", c);
    }
}

/* The address of a user, NUL-terminated: ":id" stands for it. */
static void add_address(struct text *out, const char *address, struct slice id) {
    const char *at = strstr(address, ":id");
    if (at) {
        text_add(out, slice_make(address, (size_t)(at - address)));
        add_escaped(out, id);
        at += strlen(":id");
    }
    text_str(out, at ? at : address);
    text_char(out, 0);
}

static void tell(struct socket *s, struct slice user, bool here) {
    const struct push_conf *conf = &s->site->conf->push;
    struct backend_state *b = s->site->backend;
    struct telling *t = mem_new(sizeof *t);
    struct text address = {0}, request = {0}, body = {0};
    struct url url;
    char *host;
    t->site = s->site;
    list_push(&b->telling, &t->link);
    add_address(&address, conf->update_user_url, id_of(user));
    take_address(&t->exchange, text_slice(&address).p, &url, &host);
    add_head(&request, "PUT", &url);
    add_body(&body, id_of(user), here);
    if (auth_url_headers(&request, conf, s->handshake)) {
        text_format(&request, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                    body.n);
        text_add(&request, text_slice(&body));
        t->exchange.idempotent = true;
        t->exchange.request = text_take(&request);
        t->exchange.timeout_ms = conf->auth_timeout_ms;
        t->exchange.done = on_told;
        http_send(b->client, &t->exchange);
    } else {
        telling_free(t);
    }
    text_fini(&address);
    text_fini(&request);
    text_fini(&body);
    mem_free(host);
}

/* ---- the site's ---- */

void backend_open(struct site *site, struct net *net, struct tls_context *tls) {
    const struct push_conf *conf = &site->conf->push;
    if (!conf->auth_url && !conf->update_user_url) return;
    struct backend_state *b = site->backend = mem_new(sizeof *b);
    list_init(&b->asking);
    list_init(&b->telling);
    b->client = httpc_new(net, tls, site->limits, site->name);
    if (conf->auth_url) site->judge = judge;
    if (conf->update_user_url) site->tell_user = tell;
}

void backend_close(struct site *site) {
    struct backend_state *b = site->backend;
    if (!b) return;
    LIST_EACH(&b->asking, link) {
        struct asking *a = container_of(link, struct asking, link);
        http_cancel(&a->exchange);
        auth_url_failed(a->login, "cancelled");
        asking_free(a);
    }
    LIST_EACH(&b->telling, link) {
        struct telling *t = container_of(link, struct telling, link);
        http_cancel(&t->exchange);
        telling_free(t);
    }
    httpc_free(b->client);
    mem_free(b);
    site->backend = NULL;
    site->judge = NULL;
    site->tell_user = NULL;
}
