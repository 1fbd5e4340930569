/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include "admin.h"
#include "script/script.h"
#include "transport/send_route.h"
#include "transport/token_route.h"
#include "transport/transport.h"

/* The part of path behind prefix, which "/" and "" mean all of; p is NULL when it is not below it.
 */
static struct slice below(struct slice path, struct slice prefix) {
    if (prefix.n && prefix.p[prefix.n - 1] == '/') prefix.n--;
    if (!slice_starts(path, prefix)) return (struct slice){NULL, 0};
    struct slice rest = slice_from(path, prefix.n);
    return !rest.n || rest.p[0] == '/' ? rest : (struct slice){NULL, 0};
}

/* ---- fixed paths ---- */

static const struct http_header plain_headers[] = {
    {{"Content-Type", 12}, {"text/plain; charset=utf-8", 25}},
    {{"Cache-Control", 13}, {"no-store", 8}},
    {{NULL, 0}, {NULL, 0}}};

static bool is_path(const struct request *r, const char *path) {
    return path && slice_is(r->path, path) && (r->method == HTTP_GET || r->method == HTTP_HEAD);
}

static bool serve_health(const struct routes *routes, struct request *r) {
    if (is_path(r, routes->config->live_path)) {
        http_reply(r, 200, plain_headers, SLICE("ok\n"));
        return true;
    }
    if (is_path(r, routes->config->check_path)) {
        http_reply(r, 200, plain_headers, SLICE("ok"));
        return true;
    }
    if (is_path(r, routes->config->ready_path)) {
        bool draining = routes->core->draining;
        http_reply(r, draining ? 503 : 200, plain_headers,
                   draining ? SLICE("draining\n") : SLICE("ok\n"));
        return true;
    }
    return false;
}

/* The push service. An address of one site's own leads to that one. */
static bool serve_send(const struct entrance *e, struct request *r) {
    const char *path = e->routes->config->send_path;
    if (!path || !slice_is(r->path, path) || !send_route_is_open(e->routes->core)) return false;
    send_route_serve(e->routes->core, e->site ? e->site->site : NULL, r);
    return true;
}

/* What there is at the moment; all other figures are counted as things happen. */
static void take_stock(const struct routes *routes, const struct request *r) {
    struct metrics *m = routes->metrics;
    *metrics_cell(m, "connections", NULL, NULL, NULL) = (int64_t)r->conn->net->open;
    for (size_t i = 0; i < routes->count; i++) {
        const struct site *site = routes->sites[i].site;
        *metrics_cell(m, "sockets", NULL, NULL, site->name) = (int64_t)site->sockets.count;
        *metrics_cell(m, "channels", NULL, NULL, site->name) = (int64_t)site->channels.count;
        *metrics_cell(m, "calls_running", NULL, NULL, site->name) = (int64_t)site->running;
        script_measure(site, m);
    }
}

static void serve_admin(const struct entrance *e, struct request *r) {
    const struct routes *routes = e->routes;
    if (admin_owns(r->path)) {
        admin_handle(e->admin, r, e->trusted);
        return;
    }
    if (!is_path(r, routes->config->metrics_path)) {
        http_error(r, 404, "no such page");
        return;
    }
    struct text out = {0};
    take_stock(routes, r);
    metrics_write(routes->metrics, &out);
    http_reply(r, 200, plain_headers, text_slice(&out));
    text_fini(&out);
}

/* ---- sites ---- */

static bool has_host(const struct site_conf *conf, struct slice host) {
    for (char **h = conf->hosts; h && *h; h++)
        if (slice_ieq(host, slice_of(*h))) return true;
    return false;
}

/* By Host, and among several of one host by the longest path; a site of that host whose path does
 * not fit is meant all the same. Then by path among the sites that name no host. */
static const struct route *find_site(const struct routes *routes, const struct request *r) {
    const struct route *best = NULL, *of_host = NULL;
    for (int by_host = 1; by_host >= 0 && !best; by_host--) {
        for (size_t i = 0; i < routes->count; i++) {
            const struct route *route = &routes->sites[i];
            const struct site_conf *conf = route->site->conf;
            bool named = conf->hosts && conf->hosts[0];
            if (by_host ? !has_host(conf, r->host) : named || (conf->listen && conf->listen[0]))
                continue;
            if (by_host && !of_host) of_host = route;
            if (!below(r->path, slice_of(conf->path)).p) continue;
            if (!best || strlen(conf->path) > strlen(best->site->conf->path)) best = route;
        }
    }
    return of_host && (!best || !has_host(best->site->conf, r->host)) ? of_host : best;
}

static struct endpoint *find_endpoint(struct site *site, struct slice path, struct slice *rest) {
    struct endpoint *best = NULL;
    for (size_t i = 0; i < site->endpoint_count; i++) {
        struct endpoint *ep = &site->endpoints[i];
        struct slice behind = below(path, slice_of(ep->conf->path));
        if (!behind.p || (best && strlen(ep->conf->path) <= strlen(best->conf->path))) continue;
        best = ep;
        *rest = behind;
    }
    return best;
}

static bool is_token_path(const struct site *site, struct slice path) {
    const char *own = site->conf->token.path;
    if (path.n > 1 && path.p[path.n - 1] == '/') path.n--; /* as Express has it */
    return own && own[0] && slice_is(path, own);
}

static void serve_site(const struct route *route, struct request *r, struct slice path) {
    struct slice rest = {NULL, 0};
    if (is_token_path(route->site, path)) {
        token_route_serve(route->site, r);
        return;
    }
    if (!r->upgrade && route->files && files_serve(route->files, r, path)) return;
    struct endpoint *ep = find_endpoint(route->site, path, &rest);
    if (ep) ep->transport->serve(ep, r, rest);
    else http_error(r, 404, "no such page");
}

/* The path of r as the site sees it: one that was found by its name may be addressed without its
 * path. */
static struct slice path_in(const struct site *site, const struct request *r) {
    struct slice path = below(r->path, slice_of(site->conf->path));
    return path.p ? path : r->path;
}

/* A site that has an endpoint of its own at that path comes first; route may be NULL. */
static bool serve_shared(const struct routes *routes, const struct route *route,
                         struct request *r) {
    struct slice rest, own;
    struct endpoint *ep = find_endpoint(routes->shared, r->path, &rest);
    if (!ep) return false;
    if (route && find_endpoint(route->site, path_in(route->site, r), &own)) return false;
    ep->transport->serve(ep, r, rest);
    return true;
}

void routes_handle(void *arg, struct request *r) {
    const struct entrance *e = arg;
    if (e->admin) {
        serve_admin(e, r);
        return;
    }
    if (serve_health(e->routes, r) || serve_send(e, r)) return;
    const struct route *route = e->site ? e->site : find_site(e->routes, r);
    if (!e->site && serve_shared(e->routes, route, r)) return;
    if (!route) {
        http_error(r, 404, "no such site");
        return;
    }
    serve_site(route, r, path_in(route->site, r));
}
