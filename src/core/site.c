/* SPDX-License-Identifier: MIT */
#include "core/site.h"

#include "core/hooks.h"
#include "core/token.h"

#include <assert.h>

struct site *site_new(struct core *core, const struct site_conf *conf) {
    struct site *site = mem_new(sizeof *site);
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
    }
    list_push(&core->sites, &site->link);
    return site;
}

void site_free(struct site *site) {
    assert(site->sockets.count == 0 && site->channels.count == 0);
    visitors_forget(site);
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

void site_limit(struct site *site, const char *limit) {
    metrics_limit(site->core->metrics, limit, site->name);
}
