/* SPDX-License-Identifier: MIT */
/* The string library. rep, find, match, gmatch and gsub are ours, because Lua's may run for hours
 * on a short text; the others are the standard ones, whose time is that of the strings they get,
 * and those are bounded by the allocator. There is no dump. */
#include "script/libs.h"
#include "script/pattern.h"
#include "script/sandbox.h"

#include <lualib.h>

static size_t longest_string(lua_State *L) { return (size_t)vm_of(L)->limits->script_string; }

static struct slice check_slice(lua_State *L, int index) {
    struct slice s;
    s.p = luaL_checklstring(L, index, &s.n);
    return s;
}

static int string_rep(lua_State *L) {
    struct slice s = check_slice(L, 1), separator = {"", 0};
    lua_Integer count = luaL_checkinteger(L, 2);
    if (!lua_isnoneornil(L, 3)) separator = check_slice(L, 3);
    size_t each = s.n + separator.n, most = longest_string(L);
    if (count <= 0 || each == 0) return lua_pushliteral(L, ""), 1;
    if (s.n > most || (lua_Unsigned)count - 1 > (most - s.n) / each)
        return luaL_error(L, "resulting string too large");
    size_t total = s.n + each * (size_t)(count - 1);
    luaL_Buffer b;
    char *to = luaL_buffinitsize(L, &b, total);
    memcpy(to, s.p, s.n);
    if (total > s.n) memcpy(to + s.n, separator.p, separator.n);
    for (size_t done = total > s.n ? each : s.n; done < total;) { /* what is there once more */
        size_t n = total - done < done ? total - done : done;
        memcpy(to + done, to, n);
        done += n;
    }
    luaL_pushresultsize(&b, total);
    return 1;
}

/* ---- find and match ---- */

/* The offset that the optional argument at index means for a text of n bytes; may be above n. */
static size_t check_start(lua_State *L, int index, size_t n) {
    lua_Integer at = luaL_optinteger(L, index, 1);
    if (at > 0) return (size_t)at - 1;
    if (at == 0 || at < -(lua_Integer)n) return 0;
    return n - (size_t)-at;
}

static int push_place(lua_State *L, struct slice subject, const char *start, const char *end) {
    lua_pushinteger(L, start - subject.p + 1);
    lua_pushinteger(L, end - subject.p);
    return 2;
}

static int find_plain(lua_State *L, struct slice subject, struct slice what, size_t at) {
    const char *hit = memmem(subject.p + at, subject.n - at, what.p, what.n);
    if (hit) return push_place(L, subject, hit, hit + what.n);
    lua_pushnil(L);
    return 1;
}

static int search(lua_State *L, bool find) {
    struct slice subject = check_slice(L, 1), pattern = check_slice(L, 2);
    size_t at = check_start(L, 3, subject.n);
    if (at > subject.n) return lua_pushnil(L), 1;
    if (find && (lua_toboolean(L, 4) || pattern_is_plain(pattern)))
        return find_plain(L, subject, pattern, at);
    struct match m;
    bool anchored = pattern.n && *pattern.p == '^';
    match_init(&m, L, subject, pattern);
    for (const char *s = subject.p + at; s <= m.subject_end; s++) {
        const char *end = match_at(&m, s, pattern.p + anchored);
        if (end && find) return push_place(L, subject, s, end) + match_push(&m, NULL, NULL);
        if (end) return match_push(&m, s, end);
        if (anchored) break;
    }
    lua_pushnil(L);
    return 1;
}

static int string_find(lua_State *L) { return search(L, true); }
static int string_match(lua_State *L) { return search(L, false); }

/* ---- gmatch: upvalues: subject, pattern, offset to go on from, end of the match before ---- */

static int gmatch_next(lua_State *L) {
    struct slice subject, pattern;
    struct match m;
    subject.p = lua_tolstring(L, lua_upvalueindex(1), &subject.n);
    pattern.p = lua_tolstring(L, lua_upvalueindex(2), &pattern.n);
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer before = lua_tointeger(L, lua_upvalueindex(4));
    match_init(&m, L, subject, pattern);
    for (; at <= (lua_Integer)subject.n; at++) {
        const char *end = match_at(&m, subject.p + at, pattern.p);
        if (!end || end - subject.p == before) continue;
        lua_pushinteger(L, end - subject.p);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return match_push(&m, subject.p + at, end);
    }
    lua_pushinteger(L, at); /* nothing more, also when asked again */
    lua_replace(L, lua_upvalueindex(3));
    return 0;
}

static int string_gmatch(lua_State *L) {
    struct slice subject = check_slice(L, 1);
    check_slice(L, 2);
    size_t at = check_start(L, 3, subject.n);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)(at > subject.n ? subject.n + 1 : at));
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* ---- gsub: stack: subject, pattern, replacement, count, and the buffer's ---- */

static void add_template(struct match *m, luaL_Buffer *b, const char *start, const char *end) {
    struct slice rest;
    rest.p = lua_tolstring(m->L, 3, &rest.n);
    for (;;) {
        size_t n = slice_find(rest, '%');
        luaL_addlstring(b, rest.p, n);
        if (n == rest.n) return;
        char c = n + 1 < rest.n ? rest.p[n + 1] : '\0';
        if (c == '%') {
            luaL_addchar(b, '%');
        } else if (c == '0') {
            luaL_addlstring(b, start, (size_t)(end - start));
        } else if (c >= '1' && c <= '9') {
            match_push_one(m, c - '1', start, end);
            luaL_addvalue(b);
        } else {
            luaL_error(m->L, "invalid use of '%%' in replacement string");
        }
        rest = slice_from(rest, n + 2);
    }
}

/* Adds what stands for the match; whether it is anything but the match itself. */
static bool add_replacement(struct match *m, luaL_Buffer *b, const char *start, const char *end) {
    lua_State *L = m->L;
    switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
        lua_pushvalue(L, 3);
        lua_call(L, match_push(m, start, end), 1);
        break;
    case LUA_TTABLE:
        match_push_one(m, 0, start, end);
        lua_gettable(L, 3);
        break;
    default:
        add_template(m, b, start, end);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, start, (size_t)(end - start));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(b);
    return true;
}

static int string_gsub(lua_State *L) {
    struct slice subject = check_slice(L, 1), pattern = check_slice(L, 2);
    int type = lua_type(L, 3);
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE ||
                            type == LUA_TFUNCTION, 3, "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)subject.n + 1), count = 0;
    bool anchored = pattern.n && *pattern.p == '^', changed = false;
    const char *s = subject.p, *before = NULL; /* before: the end of the last match */
    struct match m;
    luaL_Buffer b;
    lua_settop(L, 4);
    match_init(&m, L, subject, pattern);
    luaL_buffinit(L, &b);
    while (count < most) {
        const char *end = match_at(&m, s, pattern.p + anchored);
        if (end && end != before) {
            count++;
            changed |= add_replacement(&m, &b, s, end);
            s = before = end;
        } else if (s < m.subject_end) {
            luaL_addchar(&b, *s++);
        } else {
            break;
        }
        if (luaL_bufflen(&b) > longest_string(L))
            return luaL_error(L, "resulting string too large");
        if (anchored) break;
    }
    if (changed) {
        luaL_addlstring(&b, s, (size_t)(m.subject_end - s));
        luaL_pushresult(&b);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, count);
    return 2;
}

int lib_string_open(lua_State *L) {
    static const luaL_Reg ours[] = {{"find", string_find},     {"gmatch", string_gmatch},
                                    {"gsub", string_gsub},     {"match", string_match},
                                    {"rep", string_rep},       {NULL, NULL}};
    luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, false);
    luaL_setfuncs(L, ours, 0);
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1); /* its __index is the table itself: methods cost nothing more */
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
    return 1;
}
