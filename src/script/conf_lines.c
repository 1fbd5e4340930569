/* SPDX-License-Identifier: MIT */
#include "script/conf_lines.h"

#include "base/list.h"

#include <ctype.h>

/* Finds the line of each key in a Lua source that is known to compile.
 *
 * This is no parser of Lua: it splits the source into tokens and understands table constructors,
 * nothing else. Every constructor is looked at for keys that stand twice; the one behind the last
 * `return` gives the tree of lines. A table that is put together in another way (t.x = 1) has no
 * lines of its own, and messages about it name the line of what holds it.
 *
 * Members are kept under a name: "k" and the key, or "i" and the index of a list's item. Keys
 * written with escapes ("\65") or worked out at run time are not followed. */

enum token { TOKEN_END, TOKEN_NAME, TOKEN_STRING, TOKEN_NUMBER, TOKEN_MARK };

struct scan {
    const char *file;
    struct text *errors;
    struct slice rest;
    int next_line; /* of rest */
    enum token token;
    int line;          /* of the token */
    struct slice text; /* of a name or number; of a string without quotes; of a mark */
};

static char peek(const struct scan *s, size_t at) { return at < s->rest.n ? s->rest.p[at] : 0; }

static void skip(struct scan *s, size_t n) {
    struct slice part = slice_upto(s->rest, n);
    for (size_t i = 0; i < part.n; i++)
        if (part.p[i] == '\n') s->next_line++;
    s->rest = slice_from(s->rest, n);
}

/* The level of the long bracket that starts here ("[==[" has 2), or -1. */
static int long_level(const struct scan *s, size_t at) {
    if (peek(s, at) != '[') return -1;
    size_t level = 0;
    while (peek(s, at + 1 + level) == '=')
        level++;
    return peek(s, at + 1 + level) == '[' ? (int)level : -1;
}

/* Takes a long bracket of this level and returns what is in it. */
static struct slice take_long(struct scan *s, size_t level) {
    skip(s, level + 2);
    struct slice from = s->rest;
    for (size_t at = 0; at < from.n; at++) {
        if (from.p[at] != ']') continue;
        size_t same = 0;
        while (same < level && peek(s, at + 1 + same) == '=')
            same++;
        if (same < level || peek(s, at + 1 + level) != ']') continue;
        skip(s, at + level + 2);
        return slice_upto(from, at);
    }
    skip(s, from.n);
    return from;
}

static struct slice take_quoted(struct scan *s) {
    char quote = peek(s, 0);
    size_t n = 1;
    while (n < s->rest.n && s->rest.p[n] != quote)
        n += s->rest.p[n] == '\\' ? 2 : 1;
    struct slice inside = slice_upto(slice_from(s->rest, 1), n - 1);
    skip(s, n + 1);
    return inside;
}

static void skip_space(struct scan *s) {
    for (;;) {
        while (s->rest.n && isspace((unsigned char)*s->rest.p))
            skip(s, 1);
        if (peek(s, 0) != '-' || peek(s, 1) != '-') return;
        int level = long_level(s, 2);
        skip(s, 2);
        if (level >= 0) take_long(s, (size_t)level);
        else skip(s, slice_find(s->rest, '\n'));
    }
}

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

static void take_word(struct scan *s, enum token token) {
    size_t n = 0;
    while (is_word(peek(s, n)) || (token == TOKEN_NUMBER && peek(s, n) == '.'))
        n++;
    s->token = token;
    s->text = slice_upto(s->rest, n);
    skip(s, n);
}

static void take_mark(struct scan *s) {
    bool twin = peek(s, 1) == '=' && strchr("=~<>", peek(s, 0));
    s->token = TOKEN_MARK;
    s->text = slice_upto(s->rest, twin ? 2 : 1);
    skip(s, s->text.n);
}

static void next(struct scan *s) {
    skip_space(s);
    s->line = s->next_line;
    char c = peek(s, 0);
    int level = long_level(s, 0);
    if (!s->rest.n) {
        s->token = TOKEN_END;
        s->text = (struct slice){NULL, 0};
    } else if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)peek(s, 1)))) {
        take_word(s, TOKEN_NUMBER);
    } else if (is_word(c)) {
        take_word(s, TOKEN_NAME);
    } else if (c == '"' || c == '\'') {
        s->token = TOKEN_STRING;
        s->text = take_quoted(s);
    } else if (level >= 0) {
        s->token = TOKEN_STRING;
        s->text = take_long(s, (size_t)level);
    } else {
        take_mark(s);
    }
}

static bool at_mark(const struct scan *s, const char *mark) {
    return s->token == TOKEN_MARK && slice_is(s->text, mark);
}

static bool followed_by(const struct scan *s, const char *mark) {
    struct scan ahead = *s;
    next(&ahead);
    return at_mark(&ahead, mark);
}

static struct conf_lines *lines_new(int line) {
    struct conf_lines *lines = mem_new(sizeof *lines);
    lines->line = line;
    return lines;
}

void conf_lines_free(struct conf_lines *lines) {
    struct map_link *link = map_next(&lines->items, NULL);
    while (link) {
        struct conf_lines *item = container_of(link, struct conf_lines, link);
        link = map_next(&lines->items, link);
        map_remove(&lines->items, &item->link);
        conf_lines_free(item);
    }
    map_fini(&lines->items);
    mem_free(lines->name);
    mem_free(lines);
}

/* Puts item under its name, or says that the name is taken. */
static void lines_add(struct scan *s, struct conf_lines *table, struct conf_lines *item) {
    struct slice name = slice_of(item->name);
    struct map_link *there = map_find(&table->items, name);
    if (!there) {
        map_add(&table->items, &item->link, name);
        return;
    }
    text_format(s->errors, "%s:%d: '%s' is given twice, first in line %d\n", s->file, item->line,
                item->name + 1, container_of(there, struct conf_lines, link)->line);
    conf_lines_free(item);
}

static char *member_name(char kind, struct slice text) {
    struct text name = {0};
    text_char(&name, kind);
    text_add(&name, text);
    char *cstr = slice_cstr(text_slice(&name));
    text_fini(&name);
    return cstr;
}

static char *item_name(size_t index) {
    struct text digits = {0};
    text_u64(&digits, index);
    char *name = member_name('i', text_slice(&digits));
    text_fini(&digits);
    return name;
}

static bool is_plain(struct slice text) {
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\\' || iscntrl((unsigned char)text.p[i])) return false;
    return true;
}

/* Takes `name =`, `["name"] =` or `[3] =` where one stands, and returns the member's name; NULL
 * when the key is not followed, and also for an item of the list, which has none. */
static char *take_key(struct scan *s, bool *keyed) {
    char *name = NULL;
    *keyed = true;
    if (s->token == TOKEN_NAME && followed_by(s, "=")) {
        name = member_name('k', s->text);
        next(s);
    } else if (at_mark(s, "[")) {
        next(s);
        bool alone = followed_by(s, "]") && is_plain(s->text);
        if (alone && s->token == TOKEN_STRING) name = member_name('k', s->text);
        if (alone && s->token == TOKEN_NUMBER) name = member_name('i', s->text);
        for (int depth = 1; depth && s->token != TOKEN_END; next(s))
            depth += at_mark(s, "[") ? 1 : at_mark(s, "]") ? -1 : 0;
    } else {
        *keyed = false;
        return NULL;
    }
    next(s); /* the "=" */
    return name;
}

static void take_table(struct scan *s, struct conf_lines *table);

/* Skips to the end of a value, looking into the constructors on the way. */
static void skip_value(struct scan *s) {
    int depth = 0;
    while (s->token != TOKEN_END) {
        if (!depth && (at_mark(s, ",") || at_mark(s, ";") || at_mark(s, "}"))) return;
        if (at_mark(s, "{")) {
            struct conf_lines *inner = lines_new(s->line);
            take_table(s, inner);
            conf_lines_free(inner);
            continue;
        }
        if (at_mark(s, "(") || at_mark(s, "[")) depth++;
        if (at_mark(s, ")") || at_mark(s, "]")) depth--;
        next(s);
    }
}

/* Takes a constructor from its "{" to behind its "}". The source compiled, so Lua's own bound on
 * nesting bounds the recursion. */
static void take_table(struct scan *s, struct conf_lines *table) {
    size_t index = 0;
    next(s);
    while (s->token != TOKEN_END && !at_mark(s, "}")) {
        if (at_mark(s, ",") || at_mark(s, ";")) {
            next(s);
            continue;
        }
        struct conf_lines *item = lines_new(s->line);
        bool keyed;
        item->name = take_key(s, &keyed);
        if (!keyed) item->name = item_name(++index);
        if (at_mark(s, "{")) take_table(s, item);
        skip_value(s);
        if (item->name) lines_add(s, table, item);
        else conf_lines_free(item);
    }
    next(s);
}

struct conf_lines *conf_lines_scan(const char *file, struct slice source, struct text *errors) {
    struct scan s = {.file = file, .errors = errors, .rest = source, .next_line = 1};
    struct conf_lines *result = lines_new(1);
    next(&s);
    while (s.token != TOKEN_END) {
        bool returns = s.token == TOKEN_NAME && slice_is(s.text, "return");
        if (!returns && !at_mark(&s, "{")) {
            next(&s);
            continue;
        }
        struct conf_lines *table = lines_new(s.line);
        if (returns) next(&s);
        if (at_mark(&s, "{")) take_table(&s, table);
        conf_lines_free(returns ? result : table);
        if (returns) result = table;
    }
    return result;
}

const struct conf_lines *conf_lines_at(const struct conf_lines *table, const char *key,
                                       size_t index) {
    if (!table) return NULL;
    char *name = key ? member_name('k', slice_of(key)) : item_name(index);
    struct map_link *link = map_find(&table->items, slice_of(name));
    mem_free(name);
    return link ? container_of(link, struct conf_lines, link) : NULL;
}
