/* SPDX-License-Identifier: MIT */
/* A pattern is matched as it is written, item by item; match_here calls itself where there is a
 * choice to come back to, at most PATTERN_DEPTH deep. It behaves as Lua's own matcher in everything
 * that a script can see but in how long it may take. */
#include "script/pattern.h"

#include <ctype.h>

#define ESCAPE '%'
#define STEPS_PER_CHECK 4096

static const char *match_here(struct match *m, const char *s, const char *p);

void match_init(struct match *m, lua_State *L, struct slice subject, struct slice pattern) {
    m->L = L;
    m->subject = subject.p;
    m->subject_end = subject.p + subject.n;
    m->pattern_end = pattern.p + pattern.n;
    m->captures = 0;
    m->depth = 0;
    m->steps = 0;
}

bool pattern_is_plain(struct slice pattern) {
    static const bool magic[256] = {['^'] = true, ['$'] = true, ['*'] = true, ['+'] = true,
                                    ['?'] = true, ['.'] = true, ['('] = true, ['['] = true,
                                    ['%'] = true, ['-'] = true};
    for (size_t i = 0; i < pattern.n; i++)
        if (magic[(unsigned char)pattern.p[i]]) return false;
    return true;
}

static void step(struct match *m) {
    if (++m->steps % STEPS_PER_CHECK == 0) vm_check(m->L);
}

/* ---- single characters ---- */

static bool is_in_class(int c, int class) {
    bool in;
    switch (class | 0x20) {
    case 'a': in = isalpha(c); break;
    case 'c': in = iscntrl(c); break;
    case 'd': in = isdigit(c); break;
    case 'g': in = isgraph(c); break;
    case 'l': in = islower(c); break;
    case 'p': in = ispunct(c); break;
    case 's': in = isspace(c); break;
    case 'u': in = isupper(c); break;
    case 'w': in = isalnum(c); break;
    case 'x': in = isxdigit(c); break;
    case 'z': in = c == 0; break;
    default: return class == c;
    }
    return isupper(class) ? !in : in;
}

/* p is at the [ of a set; its end is known to be there. */
static bool is_in_set(int c, const char *p, const char *last) {
    bool found = true;
    if (*++p == '^') {
        found = false;
        p++;
    }
    for (; p < last; p++) {
        int from = (unsigned char)*p;
        if (from == ESCAPE) {
            if (is_in_class(c, (unsigned char)*++p)) return found;
        } else if (p + 2 < last && p[1] == '-') {
            p += 2;
            if (from <= c && c <= (unsigned char)*p) return found;
        } else if (from == c) {
            return found;
        }
    }
    return !found;
}

/* Behind the single-character item at p. */
static const char *item_end(struct match *m, const char *p) {
    const char *end = m->pattern_end;
    if (*p == ESCAPE) {
        if (p + 1 == end) luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 2;
    }
    if (*p++ != '[') return p;
    if (p < end && *p == '^') p++;
    do { /* a ] that comes first is no end */
        if (p >= end) luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == ESCAPE) {
            if (p >= end) luaL_error(m->L, "malformed pattern (missing ']')");
            p++;
        }
    } while (p >= end || *p != ']');
    return p + 1;
}

static bool item_matches(const struct match *m, const char *s, const char *p, const char *end) {
    if (s >= m->subject_end) return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.': return true;
    case ESCAPE: return is_in_class(c, (unsigned char)p[1]);
    case '[': return is_in_set(c, p, end - 1);
    default: return (unsigned char)*p == c;
    }
}

/* ---- repetitions of an item; p is behind them ---- */

static const char *match_longest(struct match *m, const char *s, const char *item, const char *end,
                                 const char *p) {
    ptrdiff_t count = 0;
    for (; item_matches(m, s + count, item, end); count++) step(m);
    for (; count >= 0; count--) {
        const char *match = match_here(m, s + count, p);
        if (match) return match;
    }
    return NULL;
}

static const char *match_shortest(struct match *m, const char *s, const char *item, const char *end,
                                  const char *p) {
    for (;; s++) {
        const char *match = match_here(m, s, p);
        if (match) return match;
        if (!item_matches(m, s, item, end)) return NULL;
    }
}

/* ---- captures ---- */

static const char *match_open(struct match *m, const char *s, const char *p, ptrdiff_t kind) {
    if (m->captures >= PATTERN_CAPTURES) luaL_error(m->L, "too many captures");
    m->capture[m->captures].start = s;
    m->capture[m->captures].length = kind;
    m->captures++;
    const char *match = match_here(m, s, p);
    if (!match) m->captures--;
    return match;
}

static const char *match_close(struct match *m, const char *s, const char *p) {
    int i = m->captures - 1;
    while (i >= 0 && m->capture[i].length != CAPTURE_OPEN) i--;
    if (i < 0) luaL_error(m->L, "invalid pattern capture");
    m->capture[i].length = s - m->capture[i].start;
    const char *match = match_here(m, s, p);
    if (!match) m->capture[i].length = CAPTURE_OPEN;
    return match;
}

/* ---- %b, %f and %1 ---- */

/* Behind the balanced text at s, or NULL. */
static const char *skip_balanced(struct match *m, const char *s, char open, char close) {
    if (s >= m->subject_end || *s != open) return NULL;
    size_t depth = 1;
    while (++s < m->subject_end) {
        step(m);
        if (*s == close) {
            if (--depth == 0) return s + 1;
        } else if (*s == open) {
            depth++;
        }
    }
    return NULL;
}

static bool at_frontier(const struct match *m, const char *s, const char *set, const char *end) {
    int before = s == m->subject ? 0 : (unsigned char)s[-1];
    int here = s == m->subject_end ? 0 : (unsigned char)*s;
    return !is_in_set(before, set, end - 1) && is_in_set(here, set, end - 1);
}

/* Behind the text of capture number digit, when it stands at s again. */
static const char *skip_same(struct match *m, const char *s, char digit) {
    int i = digit - '1';
    if (i < 0 || i >= m->captures || m->capture[i].length == CAPTURE_OPEN)
        luaL_error(m->L, "invalid capture index %%%d", i + 1);
    ptrdiff_t n = m->capture[i].length;
    if (n < 0 || m->subject_end - s < n || memcmp(m->capture[i].start, s, (size_t)n)) return NULL;
    return s + n;
}

/* What only an escape can introduce. *p is put behind it; the place in the subject, or NULL where
 * it does not match. Not such an item: *p stays. */
static const char *match_special(struct match *m, const char *s, const char **p) {
    const char *q = *p + 2;
    char kind = q <= m->pattern_end ? (*p)[1] : '\0';
    if (kind == 'b') {
        if (m->pattern_end - q < 2)
            luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
        *p = q + 2;
        return skip_balanced(m, s, q[0], q[1]);
    }
    if (kind == 'f') {
        if (q >= m->pattern_end || *q != '[')
            luaL_error(m->L, "missing '[' after '%%f' in pattern");
        *p = item_end(m, q);
        return at_frontier(m, s, q, *p) ? s : NULL;
    }
    if (kind >= '0' && kind <= '9') {
        *p = q;
        return skip_same(m, s, kind);
    }
    return s;
}

/* ---- the matcher ---- */

static const char *match_items(struct match *m, const char *s, const char *p) {
    while (p < m->pattern_end) {
        step(m);
        if (*p == '(' && p + 1 < m->pattern_end && p[1] == ')')
            return match_open(m, s, p + 2, CAPTURE_POSITION);
        if (*p == '(') return match_open(m, s, p + 1, CAPTURE_OPEN);
        if (*p == ')') return match_close(m, s, p + 1);
        if (*p == '$' && p + 1 == m->pattern_end) return s == m->subject_end ? s : NULL;
        if (*p == ESCAPE) {
            const char *before = p;
            s = match_special(m, s, &p);
            if (!s) return NULL;
            if (p != before) continue;
        }
        const char *end = item_end(m, p);
        char repeat = end < m->pattern_end ? *end : '\0';
        bool matches = item_matches(m, s, p, end);
        if (repeat == '?') {
            const char *match = matches ? match_here(m, s + 1, end + 1) : NULL;
            if (match) return match;
            p = end + 1;
            continue;
        }
        if (repeat == '*') return match_longest(m, s, p, end, end + 1);
        if (repeat == '+') return matches ? match_longest(m, s + 1, p, end, end + 1) : NULL;
        if (repeat == '-') return match_shortest(m, s, p, end, end + 1);
        if (!matches) return NULL;
        s++;
        p = end;
    }
    return s;
}

static const char *match_here(struct match *m, const char *s, const char *p) {
    if (m->depth++ == PATTERN_DEPTH) luaL_error(m->L, "pattern too complex");
    const char *match = match_items(m, s, p);
    m->depth--;
    return match;
}

const char *match_at(struct match *m, const char *at, const char *pattern) {
    m->captures = 0;
    m->depth = 0;
    return match_here(m, at, pattern);
}

/* ---- results ---- */

void match_push_one(struct match *m, int i, const char *start, const char *end) {
    if (i >= m->captures) {
        if (i) luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, start, (size_t)(end - start));
        return;
    }
    ptrdiff_t n = m->capture[i].length;
    if (n == CAPTURE_OPEN) luaL_error(m->L, "unfinished capture");
    if (n == CAPTURE_POSITION)
        lua_pushinteger(m->L, m->capture[i].start - m->subject + 1);
    else
        lua_pushlstring(m->L, m->capture[i].start, (size_t)n);
}

int match_push(struct match *m, const char *start, const char *end) {
    int count = m->captures || !start ? m->captures : 1;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++) match_push_one(m, i, start, end);
    return count;
}
