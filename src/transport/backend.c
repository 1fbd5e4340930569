/* SPDX-License-Identifier: MIT */
#include "transport/backend.h"

#include "base/url.h"
#include "core/auth_url.h"
#include "core/socket.h"
#include "core/user_update.h"
#include "net/httpc.h"

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

/* A user that the backend is told of. */
struct telling {
    struct list link;
    struct site *site;
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

/* ---- users ---- */

static void on_told(struct http_exchange *x, const char *code, const char *why) {
    struct telling *t = container_of(x, struct telling, exchange);
    if (code || x->response.status != 200) {
        metrics_count(t->site->core->metrics, "update_user_failed_total", NULL, NULL, t->site->name);
        LOG(t->site->core->log, LOG_WARN, "update_user_url did not take it",
            log_c("site", t->site->name), log_n("status", code ? 0 : x->response.status),
            log_c("error", code ? why : "the status is not 200"));
    }
    list_remove(&t->link);
    mem_free(t);
}

static uint64_t unix_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The whole request; NULL: what the client said may not stand in it. */
static struct buf *tell_request(const struct socket *s, const struct url *url, struct slice id,
                                bool here) {
    struct text out = {0}, body = {0};
    struct buf *request = NULL;
    add_head(&out, "PUT", url);
    user_update_body(&body, id, here, unix_ms());
    if (auth_url_authorization(&out, &s->site->conf->push, s->handshake)) {
        text_format(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body.n);
        text_add(&out, text_slice(&body));
        request = text_take(&out);
    }
    text_fini(&out);
    text_fini(&body);
    return request;
}

static void tell_user(const struct socket *s, struct slice user, bool here) {
    struct backend_state *b = s->site->backend;
    struct slice id = user_update_id(user);
    struct text address = {0};
    struct url url;
    char *host;
    if (!id.n) return;
    struct telling *t = mem_new(sizeof *t);
    t->site = s->site;
    user_update_url(&address, s->site->conf->push.update_user_url, id);
    text_char(&address, 0);
    take_address(&t->exchange, text_slice(&address).p, &url, &host);
    t->exchange.request = tell_request(s, &url, id, here);
    t->exchange.idempotent = true;
    t->exchange.timeout_ms = s->site->conf->push.auth_timeout_ms;
    t->exchange.done = on_told;
    list_push(&b->telling, &t->link);
    if (t->exchange.request) http_send(b->client, &t->exchange);
    else on_told(&t->exchange, "refused", "the client's token cannot be sent");
    text_fini(&address);
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
    if (conf->update_user_url) site->tell_user = tell_user;
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
        list_remove(&t->link);
        mem_free(t);
    }
    httpc_free(b->client);
    mem_free(b);
    site->backend = NULL;
    site->judge = NULL;
    site->tell_user = NULL;
}
