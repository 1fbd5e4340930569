/* SPDX-License-Identifier: MIT */
#include "core/site.h"

#include "core/hooks.h"
#include "core/push.h"
#include "core/session.h"
#include "core/token.h"

#include <assert.h>

static void namespaces_open(struct site *site) {
    const struct site_conf *conf = site->conf;
    site->namespace_count = conf->namespace_count;
    site->namespaces = mem_new((conf->namespace_count + 1) * sizeof *site->namespaces);
    for (size_t i = 0; i < conf->namespace_count; i++) {
        struct endpoint *ns = &site->namespaces[i];
        ns->site = site;
        ns->conf = &conf->namespaces[i];
        ns->ns = ns->conf->path;
        ns->dialect = &socketio_dialect;
        map_add(&site->core->namespaces, &ns->by_namespace, slice_of(ns->ns));
    }
}

struct site *site_new_shared(struct core *core, const struct site_conf *conf) {
    struct site *site = mem_new(sizeof *site);
    list_init(&site->link);
    site->shared = true;
    site->core = core;
    site->conf = conf;
    site->name = conf->name;
    site->limits = &conf->limits;
    site->hooks = &no_hooks;
    site->endpoint_count = conf->endpoint_count;
    site->endpoints = mem_new((conf->endpoint_count + 1) * sizeof *site->endpoints);
    for (size_t i = 0; i < conf->endpoint_count; i++) {
        site->endpoints[i].site = site;
        site->endpoints[i].conf = &conf->endpoints[i];
        site->endpoints[i].ns = "/";
    }
    return site;
}

struct site *site_new(struct core *core, const struct site_conf *conf) {
    struct site *site = site_new_shared(core, conf);
    site->shared = false;
    namespaces_open(site);
    list_push(&core->sites, &site->link);
    return site;
}

void site_free(struct site *site) {
    assert(site->sockets.count == 0 && site->channels.count == 0);
    for (size_t i = 0; i < site->namespace_count; i++)
        map_remove(&site->core->namespaces, &site->namespaces[i].by_namespace);
    mem_free(site->namespaces);
    visitors_forget(site);
    push_forget(site);
    map_fini(&site->sockets);
    map_fini(&site->channels);
    map_fini(&site->users);
    map_fini(&site->asks);
    list_remove(&site->link);
    mem_free(site->endpoints);
    mem_free(site);
}

int site_admits(struct site *site) {
    if (site->core->draining) return 503;
    if (site->sockets.count >= site->limits->max_connections_per_site) {
        site_limit(site, "max_connections_per_site");
        return 503;
    }
    return 0;
}

bool site_names_origins(const struct site *site) {
    return site->conf->origins && site->conf->origins[0];
}

bool site_lists_origin(const struct site *site, struct slice origin) {
    for (char **o = site->conf->origins; o && *o; o++)
        if (strcmp(*o, "*") == 0 || slice_ieq(origin, slice_of(*o))) return true;
    return false;
}

void site_refuses_origin(const struct site *site, struct slice origin, const char *hint) {
    if (!hint)
        hint = origin.p ? "list it in origins of the site's conf"
                        : "its page does not say where it is from; see its Referrer-Policy";
    metrics_count(site->core->metrics, "origin_refused_total", NULL, NULL, site->name);
    LOG(site->core->log, LOG_INFO, "origin refused", log_c("site", site->name),
        log_s("origin", origin.p ? origin : SLICE("none")), log_c("hint", hint));
}

void site_limit(struct site *site, const char *limit) {
    metrics_limit(site->core->metrics, limit, site->name);
}
