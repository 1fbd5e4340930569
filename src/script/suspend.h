/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_SUSPEND_H
#define SCRIPT_SUSPEND_H

#include "base/map.h"
#include "core/site.h"

/* Handlers that ran over their slice again and again: script_violations times within ten seconds,
 * and nobody enters them for script_suspend. A handler is a kind of task ("filter", "subscribe"),
 * of calls also the controller's name. */
struct suspensions {
    const char *who;     /* whose handlers: a name for the log, borrowed */
    struct map handlers; /* struct suspension, by "kind name": only those that did it once */
};

void suspensions_fini(struct suspensions *s);

/* Whether this handler is suspended now. */
bool suspension_holds(struct suspensions *s, const struct site *site, const char *kind,
                      struct slice name);

/* It was stopped; suspends it, and says so in the log, when that was once too often. */
void suspension_note(struct suspensions *s, struct site *site, const char *kind, struct slice name);

#endif
