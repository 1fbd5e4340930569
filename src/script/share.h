/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_SHARE_H
#define SCRIPT_SHARE_H

#include "base/loop.h"
#include "core/site.h"

/* How much of the worker's time the scripts of a site take, and who stands in its queue when that
 * is too much. One for each site, for all generations of its script.
 *
 * The time is not measured but sampled: each signal of the watchdog that finds a task of the site
 * running is worth the time between two signals. That is free for whoever uses little, where two
 * readings of the clock for each entry would make a message a tenth dearer; and at the share, some
 * thirty of a hundred samples in a second, it is right within a sixth.
 *
 * The samples fill a bucket that runs out at script_share per second and holds the share of one
 * second. While it is full the site's tasks stand in a queue, and go on in order as it runs out:
 * those that may be refused for script_share_wait at most, and not more than script_waiting of them.
 * Besides, and whatever the share is, once the site was found running for SHARE_TURN_MS in one turn
 * of the loop the rest of its tasks wait for the next, so that nobody waits longer for many handlers
 * than for that and a long one. They are not refused for it: the next turn comes soon.
 *
 * The share is for the sake of other sites' scripts: while none of them has had anything to do for a
 * second it does not count. */
#define SHARE_TURN_MS 20 /* two samples: one says nothing of the turn's length */

struct share {
    struct site *site;
    unsigned users;
    volatile uint64_t sampled_ms; /* grows: written by the watchdog's signal handler only */
    uint64_t asked_ms;            /* when a task last was to run */
    uint64_t free_ms;             /* when it last was found that one may */
    /* private */
    uint64_t seen_ms;    /* of sampled_ms, what is in the bucket */
    uint64_t level_us;   /* of the bucket, */
    uint64_t level_ms;   /* at this time of the loop's clock */
    uint64_t turn_ms;     /* that it was found running in this turn */
    struct deferred calm; /* ends the turn */
    struct list queue;   /* struct turn */
    size_t queued;
    struct timer timer; /* set while somebody stands in the queue */
    uint64_t told_ms;   /* when the log was told last */
};

/* A place in the queue, embedded in what waits for its turn. list_init(&turn->link) first. */
struct turn {
    struct list link;
    uint64_t until_ms; /* refused then; UINT64_MAX: never */
    /* From the loop, once; the turn is out of the queue. late: it took too long. */
    void (*came)(struct turn *t, bool late);
};

/* The site's share, made at first use; each use is given back. */
struct share *share_use(struct site *site) __attribute__((returns_nonnull));
void share_release(struct share *s);

/* Whether the next task may run without standing in the queue. Looked at once in a turn, and again
 * when a signal has found the site running meanwhile. */
bool share_look(struct share *s);
static inline bool share_is_free(struct share *s) {
    uint64_t now_ms = loop_now_ms(s->site->core->loop);
    s->asked_ms = now_ms;
    if (s->free_ms == now_ms && s->sampled_ms == s->seen_ms && !s->queued) return true;
    return share_look(s);
}

/* Whether the queue takes no more of those that may be refused. */
bool share_is_full(const struct share *s);

/* Puts t, with came set, at the end of the queue. patient: it is never refused. */
void share_queue(struct share *s, struct turn *t, bool patient);

/* Takes t out of the queue; nothing when it is not in. */
static inline void share_leave(struct share *s, struct turn *t) {
    if (!list_linked(&t->link)) return;
    list_remove(&t->link);
    s->queued--;
}

#endif
