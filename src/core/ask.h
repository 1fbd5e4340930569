/* SPDX-License-Identifier: MIT */
#ifndef CORE_ASK_H
#define CORE_ASK_H

#include "base/loop.h"
#include "core/site.h"

/* What a node wants to know of the others, or wants one of them to do: a question goes out as a
 * word by way of the store, every node that gets it answers, and the answers are collected. The
 * store says how many nodes got it, so nothing is written down that a dead node could leave behind:
 * one that is gone is not asked.
 *
 *   ask_start -> "ask" -> hooks->asked -> ask_reply -> "answer" -> collected -> done
 *
 * Questions and answers are JSON, of whatever form the script layer gives them. */

#define ASK_ID_LENGTH 16

struct ask {
    struct map_link by_id; /* in site->asks; private, as all but done and the answers */
    struct site *site;
    struct timer timer;
    struct deferred end;
    char id[ASK_ID_LENGTH + 1];
    bool sent;            /* expected is known */
    size_t expected;      /* nodes that got the question */
    struct buf **answers; /* JSON, checked */
    size_t count;
    /* Exactly once, from the loop, never inside ask_start: all have answered (count is expected),
     * or the time is over. The answers are gone when it returns; a may be freed in it. */
    void (*done)(struct ask *a);
};

/* Asks all nodes of the site, this one included, or the one named node. done must be set, all else
 * zeroed memory of the caller's, to be kept until done. Borrows question. 0, or a negative errno
 * (the store is away), and then done does not come. */
int ask_start(struct ask *a, struct site *site, struct slice node, struct buf *question,
              uint64_t timeout_ms) __attribute__((warn_unused_result));

/* Forgets a question under way: done will not come. */
void ask_cancel(struct ask *a);

/* The answer to what hooks->asked brought. Borrows. Lost when the store is away. */
void ask_reply(struct site *site, struct slice node, struct slice id, struct buf *answer);

/* The words "ask" and "answer" came: for the hub. */
void ask_received(struct site *site, struct buf *body);
void answer_received(struct site *site, struct buf *body);

#endif
