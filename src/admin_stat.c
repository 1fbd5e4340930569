/* SPDX-License-Identifier: MIT */
/* How the process and its sites are, as JSON for `stat` and `sites`. The order of the members is
 * the order of the columns that people see. */
#include "admin.h"

#include "base/json.h"
#include "core/site.h"
#include "script/script.h"
#include "store/redis.h"
#include "version.h"

#include <stdio.h>
#include <unistd.h>

/* ---- writing ---- */

/* The first member of an object has no comma before it. */
static void add_name(struct text *json, const char *name) {
    if (text_slice(json).p[json->n - 1] != '{') text_char(json, ',');
    text_format(json, "\"%s\":", name);
}

static void add_number(struct text *json, const char *name, uint64_t value) {
    add_name(json, name);
    text_u64(json, value);
}

static void add_text(struct text *json, const char *name, const char *value) {
    add_name(json, name);
    json_quote(json, slice_of(value));
}

static void add_bool(struct text *json, const char *name, bool value) {
    add_name(json, name);
    text_str(json, value ? "true" : "false");
}

static void add_texts(struct text *json, const char *name, char *const *texts) {
    add_name(json, name);
    text_char(json, '[');
    for (size_t i = 0; texts && texts[i]; i++) {
        if (i) text_char(json, ',');
        json_quote(json, slice_of(texts[i]));
    }
    text_char(json, ']');
}

/* ---- the process ---- */

/* Resident bytes, 0 when the system does not tell. */
static uint64_t resident(void) {
    unsigned long whole = 0, pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm) return 0;
    if (fscanf(statm, "%lu %lu", &whole, &pages) != 2) pages = 0;
    fclose(statm);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_process(const struct admin *admin, const struct request *r, struct text *json) {
    const struct core *core = admin->routes->core;
    add_text(json, "version", MOONLATCH_VERSION);
    add_text(json, "node", core->node);
    add_number(json, "pid", (uint64_t)getpid());
    add_number(json, "uptime", (loop_now_ms(core->loop) - admin->started_ms) / 1000);
    add_bool(json, "draining", core->draining);
    add_number(json, "connections", r->conn->net->open);
    add_number(json, "rss", resident());
    add_text(json, "store", core->store->ops->name);
    add_bool(json, "store_up", redis_store_is_up(core->store));
}

/* ---- sites ---- */

/* All zeros for a site without script. */
static struct script_stat script_of(const struct site *site) {
    struct script_stat stat = {0};
    if (!script_stat(site, &stat)) stat = (struct script_stat){0};
    return stat;
}

static void add_site(const struct admin *admin, const struct site *site, struct text *json) {
    const struct metrics *metrics = admin->routes->metrics;
    struct script_stat script = script_of(site);
    text_char(json, '{');
    add_text(json, "name", site->name);
    add_number(json, "sockets", site->sockets.count);
    add_number(json, "channels", site->channels.count);
    add_number(json, "calls", site->running);
    add_number(json, "tasks", script.tasks);
    add_number(json, "delays", script.delays);
    add_number(json, "errors", script.failed);
    add_number(json, "limit_hits", (uint64_t)metrics_sum(metrics, "limit_hits_total", site->name));
    add_number(json, "generation", script.generation);
    add_number(json, "memory", script.memory);
    add_number(json, "memory_most", script.memory_most);
    add_number(json, "leaving", script.leaving);
    text_char(json, '}');
}

static void add_path(const struct admin *admin, const struct site *site, struct text *json) {
    const struct site_conf *conf = site->conf;
    (void)admin;
    text_char(json, '{');
    add_text(json, "name", conf->name);
    add_text(json, "path", conf->path);
    add_texts(json, "hosts", conf->hosts);
    add_texts(json, "listen", conf->listen);
    add_bool(json, "script", conf->script != NULL);
    text_char(json, '}');
}

static void add_generation(const struct admin *admin, const struct site *site, struct text *json) {
    (void)admin;
    text_char(json, '{');
    add_text(json, "site", site->name);
    add_number(json, "generation", script_of(site).generation);
    text_char(json, '}');
}

/* A list with what add makes of each site; only: of this one. */
static void add_sites(const struct admin *admin, const struct site *only, struct text *json,
                      void (*add)(const struct admin *, const struct site *, struct text *)) {
    const struct routes *routes = admin->routes;
    text_char(json, '[');
    for (size_t i = 0, before = json->n; i < routes->count; i++) {
        const struct site *site = routes->sites[i].site;
        if (only && site != only) continue;
        if (json->n != before) text_char(json, ',');
        add(admin, site, json);
    }
    text_char(json, ']');
}

void admin_stat(const struct admin *admin, const struct request *r, struct site *site,
                struct text *json) {
    text_char(json, '{');
    add_process(admin, r, json);
    add_name(json, "sites");
    add_sites(admin, site, json, add_site);
    text_char(json, '}');
}

void admin_sites(const struct admin *admin, struct text *json) {
    add_sites(admin, NULL, json, add_path);
}

void admin_generations(const struct admin *admin, const struct site *site, struct text *json) {
    add_sites(admin, site, json, add_generation);
}
