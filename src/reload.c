/* SPDX-License-Identifier: MIT */
#include "reload.h"

#include "config/site.h"
#include "script/script.h"

static struct log *log_of(const struct reloader *r) { return r->routes->core->log; }

/* Adds one to the failures. error is a line, or several. */
static int fail(const struct reloader *r, const char *site, const struct text *error,
                struct text *errors) {
    LOG(log_of(r), LOG_ERROR, "reload failed", log_c("site", site),
        log_s("error", text_slice(error)), log_c("hint", "what was there before goes on"));
    text_add(errors, text_slice(error));
    text_char(errors, '\n');
    return 1;
}

static const struct site_conf *conf_find(const struct config *config, const char *name) {
    for (size_t i = 0; i < config->site_count; i++)
        if (strcmp(config->sites[i].name, name) == 0) return &config->sites[i];
    return NULL;
}

static struct site *site_find(const struct reloader *r, const char *name) {
    for (size_t i = 0; i < r->routes->count; i++)
        if (strcmp(r->routes->sites[i].site->name, name) == 0) return r->routes->sites[i].site;
    return NULL;
}

static int reload_site(const struct reloader *r, struct site *site, const struct config *config,
                       struct text *errors) {
    const struct site_conf *conf = conf_find(config, site->name);
    struct text error = {0};
    int failed = 0;
    if (!conf) text_format(&error, "%s is gone: to take the site out needs a restart", site->conf->file);
    else if (!conf->script) text_format(&error, "site %s has no script", site->name);
    else script_reload(site, conf->options, &error);
    if (error.n) failed = fail(r, site->name, &error, errors);
    else if (!config_site_alike(r->config, site->conf, conf))
        LOG(log_of(r), LOG_WARN, "reload", log_c("site", site->name),
            log_c("hint", "its conf has changed in more than options: that needs a restart"));
    text_fini(&error);
    return failed;
}

static void keep(struct reloader *r, struct config *config) {
    r->kept = mem_grow(r->kept, (r->kept_count + 1) * sizeof(struct config *));
    r->kept[r->kept_count++] = config;
}

static int open_site(const struct reloader *r, const struct site_conf *conf, struct text *errors) {
    struct text error = {0};
    int failed = 0;
    if (r->open(r->arg, conf, &error))
        LOG(log_of(r), LOG_INFO, "site opened", log_c("site", conf->name));
    else failed = fail(r, conf->name, &error, errors);
    text_fini(&error);
    return failed;
}

/* Opens those that are new; whether there was one. */
static bool open_sites(const struct reloader *r, const struct config *config, struct slice name,
                       int *failures, struct text *errors) {
    bool any = false;
    for (size_t i = 0; i < config->site_count; i++) {
        const struct site_conf *conf = &config->sites[i];
        if ((name.n && !slice_is(name, conf->name)) || site_find(r, conf->name)) continue;
        *failures += open_site(r, conf, errors);
        any = true;
    }
    return any;
}

int reload(struct reloader *r, struct slice name, struct text *errors) {
    struct text error = {0};
    struct config *config = config_load(&r->config->options, &error);
    int failures = 0;
    bool found = false;
    if (!config) {
        if (error.n) error.n--; /* its last line's end */
        failures = fail(r, "", &error, errors);
        text_fini(&error);
        return failures;
    }
    for (size_t i = 0, n = r->routes->count; i < n; i++) {
        struct site *site = r->routes->sites[i].site;
        if (name.n ? !slice_is(name, site->name) : !site->conf->script) continue;
        failures += reload_site(r, site, config, errors);
        found = true;
    }
    if (open_sites(r, config, name, &failures, errors)) keep(r, config);
    else if (name.n && !found) {
        text_format(&error, "there is no site %.*s", (int)name.n, name.p);
        failures += fail(r, "", &error, errors);
        config_free(config);
    } else config_free(config);
    text_fini(&error);
    return failures;
}

void reload_fini(struct reloader *r) {
    while (r->kept_count) config_free(r->kept[--r->kept_count]);
    mem_free(r->kept);
}
