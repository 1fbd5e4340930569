/* SPDX-License-Identifier: MIT */
#include "core/token.h"

#include "core/store.h"

#include <errno.h>

/* ---- issue and take ---- */

struct issue {
    char id[UUID_LENGTH + 1];
    void (*done)(void *arg, int status, const char *token);
    void *arg;
};

static void on_put(void *arg, int status, struct buf *data) {
    (void)data;
    struct issue *i = arg;
    i->done(i->arg, status, status ? NULL : i->id);
    mem_free(i);
}

int token_issue(struct site *site, struct buf *auth, uint64_t ttl_ms,
                void (*done)(void *arg, int status, const char *token), void *arg) {
    if (auth->n > site->limits->token_data) {
        site_limit(site, "token_data");
        return -E2BIG;
    }
    struct issue *i = mem_new(sizeof *i);
    i->done = done;
    i->arg = arg;
    uuid_v4(site->core->random, i->id);
    struct store *store = site->core->store;
    store->ops->token_put(store, site, slice_make(i->id, UUID_LENGTH), auth, ttl_ms, on_put, i);
    return 0;
}

void token_take(struct site *site, struct slice token,
                void (*done)(void *arg, int status, struct buf *auth), void *arg) {
    struct store *store = site->core->store;
    store->ops->token_take(store, site, token, done, arg);
}

/* ---- failures ---- */

#define WINDOW_MS 60000
#define FAILURES_KEPT 65536

struct failure {
    struct map_link link; /* key: group */
    struct ip group;
    uint64_t count;
    uint64_t since_ms; /* when the window began */
};

static bool is_counted(const struct site *site, const struct ip *ip) {
    return site->core->count_private || !ip_is_private(ip);
}

static struct failure *failure_find(struct site *site, const struct ip *ip) {
    struct ip group = ip_group(ip);
    struct map_link *l = map_find(&site->failures, slice_make(group.b, sizeof group.b));
    if (!l) return NULL;
    struct failure *f = container_of(l, struct failure, link);
    if (loop_now_ms(site->core->loop) - f->since_ms < WINDOW_MS) return f;
    map_remove(&site->failures, l);
    mem_free(f);
    return NULL;
}

void auth_forget_failures(struct site *site) {
    for (struct map_link *l; (l = map_next(&site->failures, NULL));) {
        map_remove(&site->failures, l);
        mem_free(container_of(l, struct failure, link));
    }
    map_fini(&site->failures);
}

void auth_failed(struct site *site, const struct ip *ip) {
    metrics_count(site->core->metrics, "auth_failed_total", NULL, NULL, site->name);
    if (!is_counted(site, ip) || site->limits->failed_auth_per_ip == LIMIT_OFF) return;
    struct failure *f = failure_find(site, ip);
    if (!f) {
        if (site->failures.count >= FAILURES_KEPT) auth_forget_failures(site);
        f = mem_new(sizeof *f);
        f->group = ip_group(ip);
        f->since_ms = loop_now_ms(site->core->loop);
        map_add(&site->failures, &f->link, slice_make(f->group.b, sizeof f->group.b));
    }
    /* the minute of silence begins with the failure that was one too many */
    if (++f->count == site->limits->failed_auth_per_ip) f->since_ms = loop_now_ms(site->core->loop);
}

bool auth_blocked(struct site *site, const struct ip *ip) {
    if (!is_counted(site, ip)) return false;
    struct failure *f = failure_find(site, ip);
    if (!f || f->count < site->limits->failed_auth_per_ip) return false;
    site_limit(site, "failed_auth_per_ip");
    return true;
}
