/* SPDX-License-Identifier: MIT */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/list.h"

#include <stdint.h>

/* The worker's event loop: epoll for the descriptors of connections, timers, and work put off to
 * the end of the turn. libuv is its guest (its backend descriptor is one of ours, as uv_backend_fd
 * is meant for) for what it does better than anybody: signals, files, names, processes. A uv_poll_t
 * costs 160 bytes and some 100 ns per event; a struct watch costs 16 and a call.
 *
 * One turn: descriptors and timers call back; then, until nothing is left, the deferred work runs,
 * phase by phase: messages are delivered, connections are flushed, closed things are freed. So a
 * callback may publish, write and close as it likes, and nothing re-enters it. */
struct loop;
struct uv_loop_s;

/* Aborts when the system has no epoll to give. The caller owns it. */
struct loop *loop_new(void) __attribute__((returns_nonnull, warn_unused_result));

/* Runs what is still deferred, lets libuv's handles finish closing, frees. Watches and timers must
 * be stopped. */
void loop_free(struct loop *loop);

/* The guest. Ask for it each time handles are added: the loop then looks after them. */
struct uv_loop_s *loop_uv(struct loop *loop);

/* Monotonic milliseconds at the start of this turn; cheap. */
uint64_t loop_now_ms(const struct loop *loop);

/* Reads the clock anew, after something that took long. */
void loop_update_time(struct loop *loop);

/* Runs until loop_stop, which may be called from any callback. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Runs the deferred work until nothing is left, without waiting for anything; for the end. */
void loop_settle(struct loop *loop);

/* Runs one turn, waiting for events at most until the next timer; for tests. */
void loop_turn(struct loop *loop);

/* A descriptor somebody waits for, embedded in what waits. ready gets the WATCH_ bits that hold
 * (level-triggered). The memory must live until the end of the turn in which it was stopped. */
enum { WATCH_READ = 1, WATCH_WRITE = 4, WATCH_ERROR = 8, WATCH_HANGUP = 0x2000 };
struct watch {
    int fd;
    uint32_t events; /* private: what is waited for; 0 when stopped */
    void (*ready)(struct watch *w, uint32_t events);
};

/* Waits for events (READ and WRITE, HANGUP: the peer shut its side) on w->fd from now on, instead
 * of what was waited for. 0 stops; errors and hang-ups of a descriptor with any bit are reported
 * unasked. Returns 0 or a negative errno. */
int watch_set(struct loop *loop, struct watch *w, uint32_t events);

/* Stops waiting; ready is not called any more, also not for events of this turn. Call it before the
 * descriptor is closed. */
void watch_stop(struct loop *loop, struct watch *w);

/* Stops waiting and closes the descriptor, which nobody else may have a copy of: the kernel then
 * takes it out of epoll by itself. */
void watch_close(struct watch *w);

/* A one-shot timer, embedded in what waits. fired is called once, from the loop, after which the
 * timer is idle and may be started again or freed. All zeros but fired is an idle timer. */
struct timer {
    uint64_t due_ms;
    void (*fired)(struct timer *t);
    uint32_t index; /* private: place in the heap plus one; 0 when idle */
};

/* (Re)starts t to fire delay_ms from now, not sooner, and never inside this call. */
void timer_start(struct loop *loop, struct timer *t, uint64_t delay_ms);

/* Stops t; does nothing when it is idle. */
void timer_stop(struct loop *loop, struct timer *t);
static inline bool timer_active(const struct timer *t) { return t->index != 0; }

/* Work for the end of this turn, embedded in what it is about. deferred_init first. */
struct deferred {
    struct list link;
    void (*run)(struct deferred *d);
};
enum loop_phase {
    LOOP_DELIVER, /* hand over messages and answers */
    LOOP_FLUSH,   /* write what was queued */
    LOOP_FREE,    /* free what was closed */
    LOOP_PHASES
};

static inline void deferred_init(struct deferred *d, void (*run)(struct deferred *)) {
    list_init(&d->link);
    d->run = run;
}

/* Queues d; while it is queued already, does nothing. run may defer again, itself included, and may
 * free d. */
void loop_defer(struct loop *loop, enum loop_phase phase, struct deferred *d);

/* Takes d out of the queue; does nothing when it is not in. */
static inline void deferred_cancel(struct deferred *d) { list_remove(&d->link); }

#endif
