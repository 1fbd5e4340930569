/* SPDX-License-Identifier: MIT */
#include "script/suspend.h"

#define WITHIN_MS 10000
#define HANDLERS_MAX 1000

struct suspension {
    struct map_link by_name;
    uint64_t since_ms; /* of the first violation that counts */
    uint64_t violations;
    uint64_t until_ms; /* 0: not suspended */
    char name[];
};

static uint64_t now_ms(const struct site *site) { return loop_now_ms(site->core->loop); }

static struct text key_of(const char *kind, struct slice name) {
    struct text key = {0};
    text_str(&key, kind);
    if (name.n) text_char(&key, ' ');
    text_add(&key, name);
    return key;
}

static struct suspension *find(const struct suspensions *s, struct slice key) {
    struct map_link *l = map_find(&s->handlers, key);
    return l ? container_of(l, struct suspension, by_name) : NULL;
}

static void forget(struct suspensions *s, struct suspension *one) {
    map_remove(&s->handlers, &one->by_name);
    mem_free(one);
}

void suspensions_fini(struct suspensions *s) {
    for (struct map_link *l; (l = map_next(&s->handlers, NULL));)
        forget(s, container_of(l, struct suspension, by_name));
    map_fini(&s->handlers);
}

bool suspension_holds(struct suspensions *s, const struct site *site, const char *kind,
                      struct slice name) {
    if (!s->handlers.count) return false;
    struct text key = key_of(kind, name);
    struct suspension *one = find(s, text_slice(&key));
    text_fini(&key);
    if (!one || !one->until_ms) return false;
    if (now_ms(site) < one->until_ms) return true;
    forget(s, one);
    return false;
}

static struct suspension *suspension_new(struct suspensions *s, struct slice key) {
    if (s->handlers.count >= HANDLERS_MAX) suspensions_fini(s);
    struct suspension *one = mem_new(sizeof *one + key.n);
    memcpy(one->name, key.p, key.n);
    map_add(&s->handlers, &one->by_name, slice_make(one->name, key.n));
    return one;
}

void suspension_note(struct suspensions *s, struct site *site, const char *kind,
                     struct slice name) {
    struct text key = key_of(kind, name);
    struct suspension *one = find(s, text_slice(&key));
    uint64_t now = now_ms(site);
    if (!one) one = suspension_new(s, text_slice(&key));
    if (!one->violations || now - one->since_ms > WITHIN_MS) {
        one->violations = 0;
        one->since_ms = now;
    }
    if (++one->violations >= site->limits->script_violations && !one->until_ms) {
        one->until_ms = now + site->limits->script_suspend;
        site_limit(site, "script_violations");
        LOG(site->core->log, LOG_ERROR, "handler suspended", log_c("site", s->who),
            log_s("handler", text_slice(&key)), log_n("violations", (long long)one->violations),
            log_n("for_ms", (long long)site->limits->script_suspend));
    }
    text_fini(&key);
}
