/* SPDX-License-Identifier: MIT */
#ifndef CORE_HISTORY_H
#define CORE_HISTORY_H

#include "core/msg.h"
#include "core/site.h"
#include "core/store.h"

/* Channels whose messages are kept for a while, where the site's conf says so. Every message of
 * such a channel has an offset, counted from 1; the epoch is another whenever the counting began
 * anew (the history was lost, or nobody published for long). Who names both gets what it missed. */

/* What is kept of this channel; NULL: nothing. Of several patterns the longest counts. */
const struct channel_conf *channel_conf_of(const struct site *site, struct slice channel);

/* What a store tells of a history, as JSON:
 * {"epoch":"...","offset":12,"messages":[[11,...],[12,...]]}.
 */
struct history_page {
    struct position top;
    struct slice messages; /* raw JSON */
};

/* Begins and ends that text. */
void history_page_begin(struct text *t, struct slice epoch, uint64_t offset);
void history_page_add(struct text *t, uint64_t offset, struct slice body);
void history_page_end(struct text *t);

/* Reads it; false when it is none. page points into json. */
bool history_page_read(struct slice json, struct history_page *page);

/* Walks the messages; start with *rest = page.messages. */
bool history_next(struct slice *rest, uint64_t *offset, struct slice *body);

/* Whether nothing is missing between since and what page has. */
bool history_covers(const struct history_page *page, const struct position *since);

/* Messages that wait until those before them have been fetched. */
struct held {
    struct list msgs; /* private */
    size_t count, bytes;
    bool lost; /* there were too many: some are missing */
};

struct held *held_new(void) __attribute__((returns_nonnull, warn_unused_result));
void held_add(struct held *h, const struct limits *limits, struct msg *m);

/* Takes the first out, with its reference; NULL when there is none. */
struct msg *held_take(struct held *h);

/* NULL does nothing. */
void held_free(struct held *h);

#endif
