/* SPDX-License-Identifier: MIT */
/* The generations of a site's script: which one is current, which one a rollback brings back, and
 * which ones leave.
 *
 * One that leaves is looked at from time to time, and closed when nothing it began still goes on:
 * no task and no delay; at the latest after script_grace, or when there are more of them than
 * LEAVING_MAX. The one kept for a rollback is whole, but for its ticking.
 *
 * For script_rollback_time after a reload the new generation is on trial: when more than
 * script_rollback percent of its tasks raise, TRIAL_FAILURES at least, and it was not that bad
 * before, the old one comes back by itself.
 *
 * A generation that has run out of memory again and again is replaced by a new one of the same
 * files, at most once in RECREATE_MS. It is not kept for a rollback. */
#include "script/cache.h"
#include "script/handle.h"
#include "script/lib_timer.h"
#include "script/runtime.h"
#include "script/script.h"

#define LEAVING_MAX 8
#define SWEEP_MS 100
#define HAND_OVER 1000 /* sockets in one sweep */
#define TRIAL_FAILURES 10
#define RECREATE_MS 10000

struct generations {
    struct site *site;
    const struct script_host *host;
    struct buf *options;    /* of the next to be loaded; NULL: none */
    unsigned last;          /* the number that was given last */
    struct runtime *before; /* what a rollback brings back; NULL: none */
    struct list leaving;    /* struct runtime, the one that left first at the front */
    unsigned leaving_count;
    struct timer sweep;       /* set while some are leaving */
    uint64_t trial_until_ms;  /* of the current one; 0: it is trusted */
    struct deferred trouble;  /* a task of the current one has raised */
    struct deferred starving; /* it has run out of memory too often */
    uint64_t recreated_ms;    /* when that last had it replaced; 0: never */
    struct limits limits;     /* the current one's: connections keep pointers to them */
};

static struct core *core_of(const struct generations *g) { return g->site->core; }

static struct generations *generations_of(const struct site *site) {
    const struct runtime *rt = site->script;
    return rt ? rt->generations : NULL;
}

static void count(const struct generations *g, const char *what) {
    metrics_count(core_of(g)->metrics, "script_reloads_total", "result", what, g->site->name);
}

/* ---- those that leave ---- */

static void drop_figures(const struct runtime *rt) {
    struct metrics *m = rt->site->core->metrics;
    metrics_drop(m, "script_tasks_total", NULL, NULL, rt->vm->name);
    metrics_drop(m, "script_errors_total", NULL, NULL, rt->vm->name);
}

static void end(struct generations *g, struct runtime *rt) {
    if (list_linked(&rt->link)) g->leaving_count--;
    list_remove(&rt->link);
    if (rt->vm->task_count || rt->delay_count)
        LOG(core_of(g)->log, LOG_WARN, "old script ended", log_c("site", rt->vm->name),
            log_n("tasks", (long long)rt->vm->task_count),
            log_n("delays", (long long)rt->delay_count));
    handles_hand_over(rt->vm, SIZE_MAX);
    drop_figures(rt);
    runtime_free(rt);
}

static bool may_end(const struct generations *g, const struct runtime *rt) {
    if (!rt->vm->task_count && !rt->delay_count) return handles_hand_over(rt->vm, HAND_OVER);
    return loop_now_ms(core_of(g)->loop) - rt->left_ms >= rt->limits.script_grace;
}

static void on_sweep(struct timer *t) {
    struct generations *g = container_of(t, struct generations, sweep);
    LIST_EACH(&g->leaving, link) {
        struct runtime *rt = container_of(link, struct runtime, link);
        if (may_end(g, rt)) end(g, rt);
    }
    if (g->leaving_count) timer_start(core_of(g)->loop, &g->sweep, SWEEP_MS);
}

/* It is not current any more. */
static void leave(struct generations *g, struct runtime *rt) {
    rt->phase = RUNTIME_LEFT;
    rt->left_ms = loop_now_ms(core_of(g)->loop);
    rt->vm->trouble = rt->vm->starving = NULL;
    tickers_pause(rt);
}

/* It left, and will not come back. */
static void let_go(struct generations *g, struct runtime *rt) {
    list_push(&g->leaving, &rt->link);
    if (++g->leaving_count > LEAVING_MAX)
        end(g, container_of(g->leaving.next, struct runtime, link));
    if (!timer_active(&g->sweep)) timer_start(core_of(g)->loop, &g->sweep, SWEEP_MS);
}

/* ---- the current one ---- */

static void make_current(struct generations *g, struct runtime *rt) {
    struct site *site = g->site;
    rt->generations = g;
    rt->phase = RUNTIME_CURRENT;
    rt->vm->trouble = &g->trouble;
    rt->vm->starving = &g->starving;
    site->script = rt;
    site->hooks = &script_hooks;
    site->has = rt->has;
    g->limits = rt->limits;
    site->limits = &g->limits;
}

void runtime_limits_changed(struct runtime *rt) {
    if (rt->phase == RUNTIME_CURRENT) rt->generations->limits = rt->limits;
}

static void bring_back(struct generations *g) {
    struct runtime *bad = g->site->script, *good = g->before;
    g->before = NULL;
    g->trial_until_ms = 0;
    leave(g, bad);
    make_current(g, good);
    tickers_go_on(good);
    let_go(g, bad);
    count(g, "rollback");
}

/* ---- the trial ---- */

/* More than percent of its tasks raised. */
static bool fails(const struct vm *vm, uint64_t percent) {
    return vm->failed * 100 > vm->ended * percent;
}

static void on_trouble(struct deferred *d) {
    struct generations *g = container_of(d, struct generations, trouble);
    const struct runtime *rt = g->site->script;
    const struct vm *vm = rt->vm;
    uint64_t percent = rt->limits.script_rollback;
    if (!g->before || loop_now_ms(core_of(g)->loop) >= g->trial_until_ms) return;
    if (vm->failed < TRIAL_FAILURES || !fails(vm, percent)) return;
    if (fails(g->before->vm, percent / 2)) return; /* it was no better */
    LOG(core_of(g)->log, LOG_ERROR, "script rolled back", log_c("site", vm->name),
        log_c("to", g->before->vm->name), log_n("tasks", (long long)vm->ended),
        log_n("errors", (long long)vm->failed),
        log_c("hint", "see its errors above; script_rollback says when this happens"));
    bring_back(g);
}

/* ---- out of memory ---- */

/* What starved left already, or has had its new start and is no better for it. */
static bool is_mended(const struct generations *g) {
    uint64_t now_ms = loop_now_ms(core_of(g)->loop);
    if (!runtime_of_site(g->site)->vm->starved) return true;
    return g->recreated_ms && now_ms - g->recreated_ms < RECREATE_MS;
}

static void recreate(struct generations *g, struct runtime *rt) {
    struct runtime *old = g->site->script;
    LOG(core_of(g)->log, LOG_ERROR, "script recreated", log_c("site", rt->vm->name),
        log_c("reason", "it was out of memory again and again"));
    g->last++;
    leave(g, old);
    let_go(g, old);
    make_current(g, rt);
}

static void on_starving(struct deferred *d) {
    struct generations *g = container_of(d, struct generations, starving);
    struct text error = {0};
    if (is_mended(g)) return;
    g->recreated_ms = loop_now_ms(core_of(g)->loop);
    struct runtime *rt = runtime_load(g->site, g->host, g->options, g->last + 1,
                                      g->site->conf->limits.script_reload, &error);
    count(g, rt ? "recreated" : "failed");
    if (rt) recreate(g, rt);
    else
        LOG(core_of(g)->log, LOG_ERROR, "script not recreated", log_c("site", g->site->name),
            log_s("error", text_slice(&error)));
    text_fini(&error);
}

/* ---- what the house asks ---- */

static struct generations *generations_new(struct site *site, const struct script_host *host) {
    struct generations *g = mem_new(sizeof *g);
    g->site = site;
    g->host = host;
    g->options = site->conf->options ? buf_ref(site->conf->options) : NULL;
    list_init(&g->leaving);
    g->sweep.fired = on_sweep;
    deferred_init(&g->trouble, on_trouble);
    deferred_init(&g->starving, on_starving);
    return g;
}

static void generations_free(struct generations *g) {
    for (struct list *link; (link = list_pop(&g->leaving));)
        runtime_free(container_of(link, struct runtime, link));
    timer_stop(core_of(g)->loop, &g->sweep);
    deferred_cancel(&g->trouble);
    deferred_cancel(&g->starving);
    buf_unref(g->options);
    mem_free(g);
}

bool script_load(struct site *site, const struct script_host *host, uint64_t budget_ms,
                 struct text *error) {
    struct runtime *rt = runtime_load(site, host, site->conf->options, 1, budget_ms, error);
    if (!rt) return false;
    struct generations *g = generations_new(site, host);
    g->last = 1;
    make_current(g, rt);
    return true;
}

bool script_reload(struct site *site, struct buf *options, struct text *error) {
    struct generations *g = generations_of(site);
    struct runtime *old = site->script;
    struct runtime *rt = runtime_load(site, g->host, options ? options : g->options, g->last + 1,
                                      site->conf->limits.script_reload, error);
    count(g, rt ? "done" : "failed");
    if (!rt) return false;
    g->last++;
    if (options) {
        buf_unref(g->options);
        g->options = buf_ref(options);
    }
    leave(g, old);
    if (g->before) let_go(g, g->before);
    g->before = old;
    make_current(g, rt);
    g->trial_until_ms = loop_now_ms(core_of(g)->loop) + rt->limits.script_rollback_time;
    LOG(core_of(g)->log, LOG_INFO, "script reloaded", log_c("site", rt->vm->name));
    return true;
}

bool script_rollback(struct site *site, struct text *error) {
    struct generations *g = generations_of(site);
    if (!g || !g->before) {
        text_format(error, "site %s has no generation to go back to", site->name);
        return false;
    }
    LOG(core_of(g)->log, LOG_INFO, "script rolled back",
        log_c("site", runtime_of_site(site)->vm->name), log_c("to", g->before->vm->name));
    bring_back(g);
    return true;
}

bool script_stat(const struct site *site, struct script_stat *out) {
    const struct runtime *rt = site->script;
    if (!rt) return false;
    *out = (struct script_stat){.generation = rt->number,
                                .leaving = rt->generations->leaving_count,
                                .memory = rt->vm->used,
                                .memory_most = rt->vm->limits->script_memory,
                                .tasks = rt->vm->task_count,
                                .delays = rt->delay_count,
                                .ended = rt->vm->ended,
                                .failed = rt->vm->failed};
    return true;
}

void script_measure(const struct site *site, struct metrics *m) {
    const struct runtime *rt = site->script;
    if (!rt) return;
    *metrics_cell(m, "script_generation", NULL, NULL, site->name) = rt->number;
    *metrics_cell(m, "script_memory_bytes", NULL, NULL, site->name) = (int64_t)rt->vm->used;
    *metrics_cell(m, "script_tasks_total", NULL, NULL, rt->vm->name) = (int64_t)rt->vm->ended;
    *metrics_cell(m, "script_errors_total", NULL, NULL, rt->vm->name) = (int64_t)rt->vm->failed;
}

void script_shutdown(struct site *site) {
    if (site->script) hooks_emit_shutdown(site->script);
}

void script_close(struct site *site) {
    struct generations *g = generations_of(site);
    if (!g) return;
    site->has = 0; /* nothing new comes in; what is cancelled may still let sockets go (forget) */
    site->limits = &site->conf->limits;
    if (g->before) runtime_free(g->before);
    runtime_free(site->script);
    generations_free(g);
    if (site->cache) cache_clear(site->cache);
    mem_free(site->cache);
    site->cache = NULL;
    site->script = NULL;
    site->hooks = &no_hooks;
}
