/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_PATTERN_H
#define SCRIPT_PATTERN_H

#include "script/vm.h"

/* Lua's patterns (reference manual, 6.4.1), matched by a backtracking matcher that counts its
 * steps: a pattern can take exponential time, and Lua's own matcher cannot be stopped. */

#define PATTERN_CAPTURES 32
#define PATTERN_DEPTH 200 /* of the C stack */

enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

struct match {
    lua_State *L;
    const char *subject, *subject_end, *pattern_end;
    int captures; /* so far, open ones included */
    int depth;
    unsigned steps;
    struct {
        const char *start;
        ptrdiff_t length; /* or CAPTURE_OPEN, CAPTURE_POSITION */
    } capture[PATTERN_CAPTURES];
};

void match_init(struct match *m, lua_State *L, struct slice subject, struct slice pattern);

/* Matches pattern (without its ^) at exactly `at`; the end of the match, or NULL. Raises for a
 * malformed or too complex pattern, and when the slice is over. */
const char *match_at(struct match *m, const char *at, const char *pattern);

/* Pushes the captures, or the whole match from start to end when there are none and start is not
 * NULL; returns how many. */
int match_push(struct match *m, const char *start, const char *end);

/* Pushes capture i (from 0); where the pattern has none at all, 0 is the whole match. */
void match_push_one(struct match *m, int i, const char *start, const char *end);

/* Whether pattern has no magic: a plain text. */
bool pattern_is_plain(struct slice pattern);

#endif
