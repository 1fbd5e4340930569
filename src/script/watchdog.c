/* SPDX-License-Identifier: MIT */
#include "script/watchdog.h"

#include "script/distress.h"
#include "script/task.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TICK_MAX_MS 10
#define TICKS_PER_BUDGET 5
#define IDLE_TICKS 10 /* until the timer rests: it must not start with the slices it samples */

/* The handler runs on the worker's own thread, so everything here is shared between a thread and
 * its signal handler, never between threads: volatile and the order of the stores are enough. */
struct watchdog {
    timer_t timer;
    uint64_t tick_ms;
    unsigned users;
    struct vm *volatile vm;        /* whose slice runs; NULL: none */
    volatile uint64_t ticks;       /* that the slice has seen */
    volatile sig_atomic_t idle;    /* ticks since Lua was entered */
    volatile sig_atomic_t armed;
    bool rested; /* this slice has */
    const struct log *log;
    struct distress distress; /* the handler's, so that it needs no stack */
};

static void arm(struct watchdog *w, uint64_t every_ms) {
    struct timespec t = {.tv_sec = 0, .tv_nsec = (long)every_ms * 1000000};
    struct itimerspec every = {.it_interval = t, .it_value = t};
    w->armed = every_ms != 0;
    timer_settime(w->timer, 0, &every, NULL);
}

static void on_hook(lua_State *L, lua_Debug *activation) {
    (void)activation;
    if (vm_of(L)->killed) vm_raise_killed(L);
    lua_sethook(L, NULL, 0, 0); /* left over from a slice that just made it */
}

void watchdog_hook(lua_State *L) {
    lua_sethook(L, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* ---- what goes on in spite of it ---- */

static struct slice handler_of(const struct task *t) {
    return t->kind->handler ? t->kind->handler(t) : slice_of("");
}

static void report(struct watchdog *w, const struct vm *vm, uint64_t ms) {
    const struct task *t = vm->task;
    distress_begin(&w->distress, w->log, "script stuck");
    distress_text(&w->distress, "site", slice_of(vm->name));
    distress_text(&w->distress, "in", slice_of(t ? t->kind->name : "load"));
    if (t) distress_text(&w->distress, "handler", handler_of(t));
    distress_number(&w->distress, "ms", ms);
    distress_send(&w->distress);
}

static void look_whether_stuck(struct watchdog *w, struct vm *vm, uint64_t ms) {
    if (ms >= vm->limits->script_stuck && !vm->stuck) {
        vm->stuck = 1;
        report(w, vm, ms);
    }
    if (ms >= vm->limits->script_stuck_abort) abort();
}

/* ---- the timer ---- */

static void tick(struct watchdog *w) {
    struct vm *vm = w->vm;
    if (!vm) {
        if (++w->idle >= IDLE_TICKS) arm(w, 0);
        return;
    }
    if (vm->task) vm->share->sampled_ms += w->tick_ms;
    /* the first tick of a slice comes at any moment of it, so it is worth nothing */
    uint64_t ms = w->ticks++ * w->tick_ms;
    if (ms < vm->budget_ms) return;
    vm->killed = 1;
    lua_State *running = vm->running;
    if (running) watchdog_hook(running);
    look_whether_stuck(w, vm, ms);
}

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    int saved = errno;
    if (info->si_code == SI_TIMER) tick(info->si_value.sival_ptr);
    errno = saved;
}

static struct watchdog *watchdog_new(const struct log *log) {
    struct watchdog *w = mem_new(sizeof *w);
    w->tick_ms = TICK_MAX_MS;
    w->log = log;
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = SIGRTMIN + 1,
                             .sigev_value.sival_ptr = w};
    event._sigev_un._tid = gettid(); /* glibc has no other name for it */
    int failed = sigaction(SIGRTMIN + 1, &action, NULL);
    if (!failed) failed = timer_create(CLOCK_MONOTONIC, &event, &w->timer);
    assert(!failed); /* without it a script could stop the worker */
    (void)failed;
    return w;
}

/* A signal that is on its way when the timer goes must not find the memory gone. */
static void watchdog_free(struct watchdog *w) {
    sigset_t ours, before;
    sigemptyset(&ours);
    sigaddset(&ours, SIGRTMIN + 1);
    pthread_sigmask(SIG_BLOCK, &ours, &before);
    timer_delete(w->timer);
    while (sigtimedwait(&ours, NULL, &(struct timespec){0}) > 0) continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    mem_free(w);
}

struct watchdog *watchdog_use(struct core *core) {
    if (!core->watchdog) core->watchdog = watchdog_new(core->log);
    core->watchdog->users++;
    return core->watchdog;
}

void watchdog_release(struct core *core) {
    if (--core->watchdog->users) return;
    watchdog_free(core->watchdog);
    core->watchdog = NULL;
}

void watchdog_pace(struct watchdog *w, uint64_t budget_ms) {
    uint64_t wanted = budget_ms / TICKS_PER_BUDGET;
    if (!wanted) wanted = 1;
    if (wanted >= w->tick_ms) return;
    w->tick_ms = wanted;
    if (w->armed) arm(w, w->tick_ms);
}

static void watch(struct watchdog *w, struct vm *vm) {
    w->idle = 0;
    w->vm = vm;
    atomic_signal_fence(memory_order_seq_cst);
    if (!w->armed) arm(w, w->tick_ms);
}

struct vm *watchdog_begin(struct watchdog *w, struct vm *vm) {
    struct vm *interrupted = w->vm;
    w->ticks = 0;
    w->rested = false;
    watch(w, vm);
    return interrupted;
}

bool watchdog_rest(struct watchdog *w) {
    if (w->rested) return false;
    w->rested = true;
    w->vm = NULL;
    return true;
}

void watchdog_go_on(struct watchdog *w, struct vm *vm) { watch(w, vm); }

void watchdog_end(struct watchdog *w, struct vm *interrupted) {
    w->vm = interrupted;
    w->ticks = 0;
}
