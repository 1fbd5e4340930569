/* SPDX-License-Identifier: MIT */
#include "script/share.h"

#define WHOLE_MS 1000   /* a share that is all of the worker is none */
#define COMPANY_MS 1000 /* a site counts that had a task so long ago at most */
#define LOOK_MS 20      /* how late a refusal may come */
#define TELL_MS 10000

static struct loop *loop_of(const struct share *s) { return s->site->core->loop; }

static const struct limits *limits_of(const struct share *s) { return s->site->limits; }

/* ---- the bucket ---- */

static uint64_t bucket_us(const struct share *s) { return limits_of(s)->script_share * 1000; }

/* Whether the scripts of other sites are at work too. */
static bool has_company(const struct share *s) {
    uint64_t now_ms = loop_now_ms(loop_of(s));
    LIST_EACH(&s->site->core->sites, link) {
        const struct share *other = container_of(link, struct site, link)->share;
        if (other && other != s && other->asked_ms && now_ms < other->asked_ms + COMPANY_MS)
            return true;
    }
    return false;
}

static bool is_over(const struct share *s) {
    return limits_of(s)->script_share < WHOLE_MS && s->level_us >= bucket_us(s) && has_company(s);
}

static bool had_turn(const struct share *s) { return s->turn_ms >= SHARE_TURN_MS; }

/* What goes in by what may not wait (filter) counts for a second, not for longer. */
static void fill(struct share *s, uint64_t ms) {
    uint64_t most = 2 * bucket_us(s);
    s->seen_ms += ms;
    s->level_us += ms * 1000;
    if (s->level_us > most) s->level_us = most;
    s->turn_ms += ms;
    loop_defer(loop_of(s), LOOP_FREE, &s->calm);
}

static void catch_up(struct share *s) {
    uint64_t now_ms = loop_now_ms(loop_of(s)), sampled_ms = s->sampled_ms;
    uint64_t out_us = (now_ms - s->level_ms) * limits_of(s)->script_share;
    s->level_us -= out_us < s->level_us ? out_us : s->level_us;
    s->level_ms = now_ms;
    if (sampled_ms != s->seen_ms) fill(s, sampled_ms - s->seen_ms);
}

static void on_calm(struct deferred *d) { container_of(d, struct share, calm)->turn_ms = 0; }

/* ---- the queue ---- */

static void tell(struct share *s) {
    uint64_t now_ms = loop_now_ms(loop_of(s));
    site_limit(s->site, "script_share");
    if (s->told_ms && now_ms - s->told_ms < TELL_MS) return;
    s->told_ms = now_ms;
    LOG(s->site->core->log, LOG_WARN, "scripts take too much time", log_c("site", s->site->name),
        log_n("script_share", (long long)limits_of(s)->script_share),
        log_n("waiting", (long long)s->queued));
}

static uint64_t next_look_ms(const struct share *s) {
    if (!is_over(s)) return 0;
    uint64_t ms = (s->level_us - bucket_us(s)) / limits_of(s)->script_share + 1;
    return ms < LOOK_MS ? ms : LOOK_MS;
}

static struct turn *first_late(const struct share *s) {
    uint64_t now_ms = loop_now_ms(loop_of(s));
    LIST_EACH(&s->queue, link) {
        struct turn *t = container_of(link, struct turn, link);
        if (t->until_ms <= now_ms) return t;
    }
    return NULL;
}

static void call(struct share *s, struct turn *t, bool late) {
    share_leave(s, t);
    t->came(t, late);
}

static void on_timer(struct timer *timer) {
    struct share *s = container_of(timer, struct share, timer);
    catch_up(s);
    for (struct turn *late; is_over(s) && (late = first_late(s));) call(s, late, true);
    for (; s->queued && !had_turn(s) && !is_over(s); catch_up(s))
        call(s, container_of(s->queue.next, struct turn, link), false);
    if (s->queued) timer_start(loop_of(s), &s->timer, next_look_ms(s));
}

bool share_look(struct share *s) {
    catch_up(s);
    bool is_free = !s->queued && !had_turn(s) && !is_over(s);
    if (is_free) s->free_ms = loop_now_ms(loop_of(s));
    return is_free;
}

bool share_is_full(const struct share *s) {
    return s->queued >= limits_of(s)->script_waiting && is_over(s);
}

void share_queue(struct share *s, struct turn *t, bool patient) {
    uint64_t now_ms = loop_now_ms(loop_of(s));
    t->until_ms = patient ? UINT64_MAX : now_ms + limits_of(s)->script_share_wait;
    list_push(&s->queue, &t->link);
    s->queued++;
    if (is_over(s)) tell(s);
    if (!timer_active(&s->timer)) timer_start(loop_of(s), &s->timer, next_look_ms(s));
}

/* ---- life ---- */

static struct share *share_new(struct site *site) {
    struct share *s = mem_new(sizeof *s);
    s->site = site;
    s->level_ms = loop_now_ms(site->core->loop);
    s->timer.fired = on_timer;
    list_init(&s->queue);
    deferred_init(&s->calm, on_calm);
    return s;
}

struct share *share_use(struct site *site) {
    if (!site->share) site->share = share_new(site);
    site->share->users++;
    return site->share;
}

void share_release(struct share *s) {
    if (--s->users) return;
    s->site->share = NULL;
    timer_stop(loop_of(s), &s->timer);
    deferred_cancel(&s->calm);
    mem_free(s);
}
