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

int token_issue(struct site *site, struct buf *auth, const struct handshake *from, uint64_t ttl_ms,
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
    store->ops->token_put(store, site, slice_make(i->id, UUID_LENGTH), auth, from, ttl_ms, on_put, i);
    return 0;
}

void token_take(struct site *site, struct slice token,
                void (*done)(void *arg, int status, struct buf *auth), void *arg) {
    struct store *store = site->core->store;
    store->ops->token_take(store, site, token, done, arg);
}

void token_log_unknown(struct site *site, const struct ip *ip) {
    char text[IP_TEXT_MAX];
    LOG(site->core->log, LOG_INFO, "token not found", log_c("site", site->name),
        log_c("ip", ip_format(ip, text)),
        log_c("hint", "it was used already, is older than token.ttl, or is of another site or store"),
        log_n("ttl_ms", (long long)site->conf->token.ttl_ms));
}

void token_log_malformed(const struct site *site, const struct ip *ip) {
    char text[IP_TEXT_MAX];
    LOG(site->core->log, LOG_INFO, "no token", log_c("site", site->name), log_c("ip", ip_format(ip, text)),
        log_c("hint", "what came in its place is not what the token route gives"));
}

/* ---- visitors ---- */

#define WINDOW_MS 60000
#define VISITORS_KEPT 65536

struct visitor {
    struct map_link link; /* key: group */
    struct ip group;
    struct rate tokens;
    uint64_t failures;
    uint64_t since_ms; /* when the window of the failures began */
};

static bool is_counted(const struct site *site, const struct ip *ip) {
    return !ip_is_none(ip) && (site->core->count_private || !ip_is_private(ip));
}

static uint64_t now_ms(const struct site *site) { return loop_now_ms(site->core->loop); }

void visitors_forget(struct site *site) {
    for (struct map_link *l; (l = map_next(&site->visitors, NULL));) {
        map_remove(&site->visitors, l);
        mem_free(container_of(l, struct visitor, link));
    }
    map_fini(&site->visitors);
}

static struct visitor *visitor_of(struct site *site, const struct ip *ip) {
    struct ip group = ip_group(ip);
    struct map_link *l = map_find(&site->visitors, slice_make(group.b, sizeof group.b));
    struct visitor *v = l ? container_of(l, struct visitor, link) : NULL;
    if (!v) {
        if (site->visitors.count >= VISITORS_KEPT) visitors_forget(site);
        v = mem_new(sizeof *v);
        v->group = group;
        v->since_ms = now_ms(site);
        map_add(&site->visitors, &v->link, slice_make(v->group.b, sizeof v->group.b));
    }
    if (now_ms(site) - v->since_ms >= WINDOW_MS) {
        v->failures = 0;
        v->since_ms = now_ms(site);
    }
    return v;
}

bool token_rate_allows(struct site *site, const struct ip *ip) {
    if (!is_counted(site, ip)) return true;
    const struct limits *limits = site->limits;
    struct visitor *v = visitor_of(site, ip);
    if (rate_allow(&v->tokens, now_ms(site), limits->tokens_per_ip, limits->tokens_per_ip_burst))
        return true;
    site_limit(site, "tokens_per_ip");
    return false;
}

void auth_failed(struct site *site, const struct ip *ip) {
    metrics_count(site->core->metrics, "auth_failed_total", NULL, NULL, site->name);
    if (!is_counted(site, ip)) return;
    struct visitor *v = visitor_of(site, ip);
    /* the minute of silence begins with the failure that was one too many */
    if (++v->failures == site->limits->failed_auth_per_ip) v->since_ms = now_ms(site);
}

bool auth_blocked(struct site *site, const struct ip *ip) {
    if (!is_counted(site, ip)) return false;
    if (visitor_of(site, ip)->failures < site->limits->failed_auth_per_ip) return false;
    site_limit(site, "failed_auth_per_ip");
    return true;
}
