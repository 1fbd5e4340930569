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

static int reload_scripted(const struct reloader *r, struct site *site, const struct config *config,
                           struct text *errors) {
    return site->conf->script ? reload_site(r, site, config, errors) : 0;
}

static void keep(struct reloader *r, struct config *config) {
    r->kept = mem_grow(r->kept, (r->kept_count + 1) * sizeof(struct config *));
    r->kept[r->kept_count++] = config;
}

/* One that is new, if conf is of one; opened is set when config must be kept for it. */
static int open_site(const struct reloader *r, const struct site_conf *conf, bool *opened,
                     struct text *errors) {
    struct text error = {0};
    int failed = 0;
    if (site_find(r, conf->name)) return 0;
    if (r->open(r->arg, conf, &error)) {
        *opened = true;
        LOG(log_of(r), LOG_INFO, "site opened", log_c("site", conf->name));
    } else {
        failed = fail(r, conf->name, &error, errors);
    }
    text_fini(&error);
    return failed;
}

/* The conf as it is now; NULL after what is wrong with it was told. */
static struct config *read_conf(const struct reloader *r, struct text *errors) {
    struct text error = {0};
    struct config *config = config_load(&r->config->options, &error);
    if (error.n) error.n--; /* its last line's end */
    if (!config) fail(r, "", &error, errors);
    text_fini(&error);
    return config;
}

static void done(struct reloader *r, struct config *config, bool opened) {
    if (opened) keep(r, config);
    else config_free(config);
}

/* ---- at once ---- */

static int reload_named(struct reloader *r, struct slice name, const struct config *config,
                        bool *opened, struct text *errors) {
    char *cstr = slice_cstr(name);
    struct site *site = site_find(r, cstr);
    const struct site_conf *conf = conf_find(config, cstr);
    struct text error = {0};
    int failures = 0;
    if (site) {
        failures = reload_site(r, site, config, errors);
    } else if (conf) {
        failures = open_site(r, conf, opened, errors);
    } else {
        text_format(&error, "there is no site %s", cstr);
        failures = fail(r, "", &error, errors);
    }
    text_fini(&error);
    mem_free(cstr);
    return failures;
}

static int reload_all(struct reloader *r, const struct config *config, bool *opened,
                      struct text *errors) {
    int failures = 0;
    for (size_t i = 0, n = r->routes->count; i < n; i++)
        failures += reload_scripted(r, r->routes->sites[i].site, config, errors);
    for (size_t i = 0; i < config->site_count; i++)
        failures += open_site(r, &config->sites[i], opened, errors);
    return failures;
}

int reload(struct reloader *r, struct slice name, struct text *errors) {
    bool opened = false;
    struct config *config = read_conf(r, errors);
    if (!config) return 1;
    int failures = name.n ? reload_named(r, name, config, &opened, errors)
                          : reload_all(r, config, &opened, errors);
    done(r, config, opened);
    return failures;
}

/* ---- one in each turn ---- */

/* The sites that there were when it began, then those of conf. */
static void on_turn(struct timer *t) {
    struct reloader *r = container_of(t, struct reloader, turn);
    const struct config *config = r->pending;
    struct text errors = {0}; /* the log has them */
    size_t i = r->next++;
    if (i < r->known) reload_scripted(r, r->routes->sites[i].site, config, &errors);
    else open_site(r, &config->sites[i - r->known], &r->opened, &errors);
    text_fini(&errors);
    if (r->next < r->known + config->site_count) timer_start(r->routes->core->loop, t, 0);
    else reload_stop(r);
}

void reload_soon(struct reloader *r) {
    struct text errors = {0};
    reload_stop(r);
    r->pending = read_conf(r, &errors);
    text_fini(&errors);
    r->next = 0;
    r->known = r->routes->count;
    r->opened = false;
    r->turn.fired = on_turn;
    if (r->pending && r->known + r->pending->site_count == 0) reload_stop(r);
    if (r->pending) timer_start(r->routes->core->loop, &r->turn, 0);
}

void reload_stop(struct reloader *r) {
    timer_stop(r->routes->core->loop, &r->turn);
    if (r->pending) done(r, r->pending, r->opened);
    r->pending = NULL;
}

void reload_fini(struct reloader *r) {
    while (r->kept_count) config_free(r->kept[--r->kept_count]);
    mem_free(r->kept);
}
