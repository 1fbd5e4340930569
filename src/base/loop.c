/* SPDX-License-Identifier: MIT */
/* Timers sit in a 4-ary heap of pointers, each timer knowing its place. Deferred work runs directly
 * before the loop goes to sleep: after the descriptors and the timers of the turn. */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define ARITY 4
#define EVENTS_PER_TURN 512

struct loop {
    int epoll;
    bool stopping;
    uint64_t now_ms;
    struct list phases[LOOP_PHASES];
    struct timer **heap;
    uint32_t timers;
    uint32_t heap_cap;
    uv_loop_t uv;
    struct watch uv_watch;
    bool uv_asked; /* handles may have been added since libuv last ran */
    bool uv_waits; /* it has timers, or something to do at once */
};

/* ---- timers ---- */

static void place(struct loop *loop, uint32_t at, struct timer *t) {
    loop->heap[at] = t;
    t->index = at + 1;
}

static void sift_up(struct loop *loop, uint32_t at) {
    struct timer *t = loop->heap[at];
    while (at > 0) {
        uint32_t parent = (at - 1) / ARITY;
        if (loop->heap[parent]->due_ms <= t->due_ms) break;
        place(loop, at, loop->heap[parent]);
        at = parent;
    }
    place(loop, at, t);
}

static void sift_down(struct loop *loop, uint32_t at) {
    struct timer *t = loop->heap[at];
    for (;;) {
        uint32_t first = at * ARITY + 1, least = at;
        uint64_t due = t->due_ms;
        for (uint32_t c = first; c < first + ARITY && c < loop->timers; c++)
            if (loop->heap[c]->due_ms < due) due = loop->heap[least = c]->due_ms;
        if (least == at) break;
        place(loop, at, loop->heap[least]);
        at = least;
    }
    place(loop, at, t);
}

void timer_stop(struct loop *loop, struct timer *t) {
    if (!t->index) return;
    uint32_t at = t->index - 1;
    t->index = 0;
    struct timer *last = loop->heap[--loop->timers];
    if (last == t) return;
    place(loop, at, last);
    sift_down(loop, at);
    sift_up(loop, last->index - 1);
}

void timer_start(struct loop *loop, struct timer *t, uint64_t delay_ms) {
    timer_stop(loop, t);
    if (loop->timers == loop->heap_cap) {
        loop->heap_cap = loop->heap_cap ? loop->heap_cap * 2 : 64;
        loop->heap = mem_grow(loop->heap, loop->heap_cap * sizeof *loop->heap);
    }
    t->due_ms = loop->now_ms + (delay_ms ? delay_ms : 1);
    loop->heap[loop->timers] = t;
    sift_up(loop, loop->timers++);
}

static void run_timers(struct loop *loop) {
    while (loop->timers && loop->heap[0]->due_ms <= loop->now_ms) {
        struct timer *t = loop->heap[0];
        timer_stop(loop, t);
        t->fired(t);
    }
}

/* ---- descriptors ---- */

_Static_assert((int)WATCH_READ == (int)EPOLLIN && (int)WATCH_WRITE == (int)EPOLLOUT &&
                   (int)WATCH_ERROR == (int)EPOLLERR && (int)WATCH_HANGUP == (int)EPOLLRDHUP,
               "the bits are epoll's");

int watch_set(struct loop *loop, struct watch *w, uint32_t events) {
    if (events == w->events) return 0;
    int op = !w->events ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    struct epoll_event e = {.events = events, .data.ptr = w};
    if (epoll_ctl(loop->epoll, op, w->fd, &e)) return -errno;
    w->events = events;
    return 0;
}

void watch_stop(struct loop *loop, struct watch *w) {
    if (watch_set(loop, w, 0)) w->events = 0; /* the descriptor is gone already: so is its entry */
}

void watch_close(struct watch *w) {
    w->events = 0;
    close(w->fd);
}

static void dispatch(struct loop *loop, int timeout_ms) {
    struct epoll_event events[EVENTS_PER_TURN];
    int n = epoll_wait(loop->epoll, events, EVENTS_PER_TURN, timeout_ms);
    loop_update_time(loop);
    for (int i = 0; i < n; i++) {
        struct watch *w = events[i].data.ptr;
        if (w->events)
            w->ready(w, events[i].events | (events[i].events & EPOLLHUP ? EPOLLRDHUP : 0));
    }
}

/* ---- libuv ---- */

static void guest_turn(struct loop *loop) {
    loop->uv_asked = false;
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    loop->uv_waits = uv_backend_timeout(&loop->uv) >= 0;
}

static void on_uv(struct watch *w, uint32_t events) {
    (void)events;
    guest_turn(container_of(w, struct loop, uv_watch));
}

struct uv_loop_s *loop_uv(struct loop *loop) {
    loop->uv_asked = true;
    return &loop->uv;
}

/* New handles reach libuv's epoll only when it runs; its timers wake nobody but us. */
static int run_guest(struct loop *loop, int timeout_ms) {
    uv_update_time(&loop->uv);
    if (loop->uv_asked || uv_backend_timeout(&loop->uv) == 0) guest_turn(loop);
    int wait = uv_backend_timeout(&loop->uv);
    return wait >= 0 && (timeout_ms < 0 || wait < timeout_ms) ? wait : timeout_ms;
}

/* ---- the end of the turn ---- */

void loop_defer(struct loop *loop, enum loop_phase phase, struct deferred *d) {
    if (!list_linked(&d->link)) list_push(&loop->phases[phase], &d->link);
}

static bool run_phase(struct loop *loop, enum loop_phase phase) {
    if (list_empty(&loop->phases[phase])) return false;
    struct list batch;
    list_init(&batch);
    list_move(&batch, &loop->phases[phase]);
    bool any = false;
    for (struct list *link; (link = list_pop(&batch)); any = true) {
        struct deferred *d = container_of(link, struct deferred, link);
        d->run(d);
    }
    return any;
}

/* Work that defers more of itself for ever must not keep the descriptors waiting. */
#define ROUNDS_PER_TURN 64

/* False when there is more. */
static bool run_deferred(struct loop *loop) {
    for (int round = 0; round < ROUNDS_PER_TURN; round++) {
        if (run_phase(loop, LOOP_DELIVER)) continue;
        if (run_phase(loop, LOOP_FLUSH)) continue;
        if (run_phase(loop, LOOP_FREE)) continue;
        return true;
    }
    run_phase(loop, LOOP_FLUSH);
    return false;
}

/* ---- the turn ---- */

uint64_t loop_now_ms(const struct loop *loop) { return loop->now_ms; }

void loop_update_time(struct loop *loop) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    loop->now_ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int sleep_ms(const struct loop *loop) {
    if (!loop->timers) return -1;
    uint64_t due = loop->heap[0]->due_ms;
    uint64_t wait = due > loop->now_ms ? due - loop->now_ms : 0;
    return wait > 60000 ? 60000 : (int)wait;
}

void loop_turn(struct loop *loop) {
    bool done = run_deferred(loop);
    int timeout_ms = loop->stopping || !done ? 0 : sleep_ms(loop);
    if (loop->uv_asked || loop->uv_waits) timeout_ms = run_guest(loop, timeout_ms);
    dispatch(loop, timeout_ms);
    run_timers(loop);
}

void loop_run(struct loop *loop) {
    while (!loop->stopping) loop_turn(loop);
    run_deferred(loop);
    loop->stopping = false;
}

void loop_settle(struct loop *loop) {
    while (!run_deferred(loop)) continue;
}

void loop_stop(struct loop *loop) { loop->stopping = true; }

/* ---- life ---- */

struct loop *loop_new(void) {
    struct loop *loop = mem_new(sizeof *loop);
    for (int i = 0; i < LOOP_PHASES; i++) list_init(&loop->phases[i]);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0 || uv_loop_init(&loop->uv)) abort();
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    loop->uv_watch = (struct watch){.fd = uv_backend_fd(&loop->uv), .ready = on_uv};
    if (watch_set(loop, &loop->uv_watch, WATCH_READ)) abort();
    loop_update_time(loop);
    return loop;
}

void loop_free(struct loop *loop) {
    run_deferred(loop);
    assert(loop->timers == 0);
    watch_stop(loop, &loop->uv_watch);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int busy = uv_loop_close(&loop->uv);
    assert(busy == 0);
    (void)busy;
    close(loop->epoll);
    mem_free(loop->heap);
    mem_free(loop);
}
