/* SPDX-License-Identifier: MIT */
#include "script/conf.h"

#include "script/conf_lines.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Runs a conf file in a Lua state of its own that lives for this call only, and takes its result
 * over into plain C values, so that nobody else needs Lua to read a conf.
 *
 * The chunk sees one function, env. It gets 8 MiB, a second, and no way to catch an error. What it
 * returns must be data: booleans, finite numbers, strings, and tables with keys that are names or
 * 1..n. A table that is used twice is taken twice; the bounds on depth and number of values end
 * what is nested in itself.
 *
 * The chunk's name is "conf" for Lua, whose messages would shorten the file's own. */

#define SOURCE_MAX (1024 * 1024)
#define MEMORY_MAX (8 * 1024 * 1024)
#define SECONDS_MAX 1
#define HOOK_EVERY 10000
#define DEPTH_MAX 32
#define VALUES_MAX 100000
#define CHUNK "conf"

struct run {
    struct slice source;
    size_t memory;
    struct timespec end;
};

/* One walk over the result. */
struct walk {
    lua_State *lua;
    const char *file;
    struct text *errors;
    struct text path; /* "endpoints[2].path", for messages */
    size_t values;
    int depth;
    bool failed;
};

/* ---- running the chunk ---- */

static void *run_memory(void *arg, void *p, size_t old, size_t size) {
    struct run *run = arg;
    if (!p) old = 0; /* Lua passes the kind of the new object here */
    if (size > old && run->memory + (size - old) > MEMORY_MAX) return NULL;
    run->memory += size - old;
    if (size) return mem_grow(p, size);
    mem_free(p);
    return NULL;
}

static void run_hook(lua_State *lua, lua_Debug *where) {
    void *arg;
    lua_getallocf(lua, &arg);
    struct run *run = arg;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec < run->end.tv_sec ||
        (now.tv_sec == run->end.tv_sec && now.tv_nsec <= run->end.tv_nsec))
        return;
    lua_getinfo(lua, "l", where);
    lua_pushfstring(lua, CHUNK ":%d: runs for more than a second", where->currentline);
    lua_error(lua);
}

/* env("NAME", default): the environment variable; the default's type is the result's. */
static int run_env(lua_State *lua) {
    const char *name = luaL_checkstring(lua, 1);
    lua_settop(lua, 2); /* stack: name, default */
    const char *value = getenv(name);
    if (!value) return 1;
    switch (lua_type(lua, 2)) {
    case LUA_TNUMBER:
        if (!lua_stringtonumber(lua, value))
            return luaL_error(lua, "the environment variable %s must be a number", name);
        break;
    case LUA_TBOOLEAN:
        if (strcmp(value, "true") && strcmp(value, "false"))
            return luaL_error(lua, "the environment variable %s must be true or false", name);
        lua_pushboolean(lua, value[0] == 't');
        break;
    default: lua_pushstring(lua, value);
    }
    return 1;
}

/* A misspelled word must not be nil, which is no key at all. */
static int run_unknown(lua_State *lua) {
    return luaL_error(lua, "unknown name '%s'", luaL_tolstring(lua, 2, NULL));
}

static int run_chunk(lua_State *lua) {
    const struct run *run = lua_touserdata(lua, 1);
    if (luaL_loadbufferx(lua, run->source.p, run->source.n, "=" CHUNK, "t")) return lua_error(lua);
    lua_createtable(lua, 0, 1);
    lua_pushcfunction(lua, run_env);
    lua_setfield(lua, -2, "env");
    lua_createtable(lua, 0, 1);
    lua_pushcfunction(lua, run_unknown);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, -2);
    lua_setupvalue(lua, -2, 1); /* its _ENV; stack: run, chunk */
    lua_call(lua, 0, 1);
    return 1;
}

/* Appends text without anything that would break a line. */
static void add_line(struct text *out, const char *text) {
    for (; *text; text++)
        text_char(out, (unsigned char)*text < ' ' ? ' ' : *text);
    text_char(out, '\n');
}

static void report_failure(lua_State *lua, const char *file, struct text *errors) {
    const char *reason = lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "failed";
    size_t chunk = sizeof CHUNK - 1;
    bool placed = !strncmp(reason, CHUNK ":", chunk + 1);
    text_format(errors, "%s:%s", file, placed ? "" : " ");
    add_line(errors, placed ? reason + chunk + 1 : reason);
}

/* ---- taking the result over ---- */

static struct conf_value *value_new(enum conf_type type, int line) {
    struct conf_value *v = mem_new(sizeof *v);
    v->type = type;
    v->line = line;
    list_init(&v->link);
    list_init(&v->items);
    return v;
}

void conf_free(struct conf_value *v) {
    if (!v) return;
    while (!list_empty(&v->items))
        conf_free(container_of(list_pop(&v->items), struct conf_value, link));
    mem_free(v->key);
    mem_free(v->string);
    mem_free(v);
}

struct conf_value *conf_get(const struct conf_value *table, const char *key) {
    if (!table) return NULL;
    LIST_EACH(&table->items, link) {
        struct conf_value *v = container_of(link, struct conf_value, link);
        if (v->key && !strcmp(v->key, key)) return v;
    }
    return NULL;
}

int conf_line(const struct conf_value *table, const char *key) {
    const struct conf_value *v = conf_get(table, key);
    return v ? v->line : table ? table->line : 0;
}

static struct conf_value *refuse(struct walk *w, int line, const char *what) {
    struct text message = {0};
    if (w->path.n) text_add(&message, text_slice(&w->path));
    else text_str(&message, "the result");
    text_char(&message, ' ');
    text_str(&message, what);
    text_char(&message, 0);
    text_format(w->errors, "%s:%d: ", w->file, line);
    add_line(w->errors, text_slice(&message).p);
    text_fini(&message);
    w->failed = true;
    return NULL;
}

static struct conf_value *take_number(struct walk *w, int line) {
    lua_Number number = lua_tonumber(w->lua, -1);
    bool integer = lua_isinteger(w->lua, -1);
    if (!isfinite(number)) return refuse(w, line, "is not a finite number");
    struct conf_value *v = value_new(integer ? CONF_INTEGER : CONF_NUMBER, line);
    v->number = number;
    v->integer = lua_tointeger(w->lua, -1);
    return v;
}

static struct conf_value *take_string(struct walk *w, int line) {
    size_t n;
    const char *p = lua_tolstring(w->lua, -1, &n);
    if (memchr(p, 0, n)) return refuse(w, line, "has a zero byte");
    struct conf_value *v = value_new(CONF_STRING, line);
    v->string = slice_cstr(slice_make(p, n));
    return v;
}

static int by_key(const void *a, const void *b) {
    return strcmp((*(struct conf_value *const *)a)->key, (*(struct conf_value *const *)b)->key);
}

static void sort_items(struct list *items, size_t n) {
    struct conf_value **all = mem_raw((n + 1) * sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = container_of(list_pop(items), struct conf_value, link);
    qsort(all, n, sizeof *all, by_key);
    for (size_t i = 0; i < n; i++)
        list_push(items, &all[i]->link);
    mem_free(all);
}

static struct conf_value *take(struct walk *w, const struct conf_lines *lines, int line);

/* Takes the value on top of the stack as a member of table. */
static void take_member(struct walk *w, struct conf_value *table, const struct conf_lines *lines,
                        const char *key, size_t index) {
    size_t before = w->path.n;
    if (key) text_format(&w->path, "%s%s", before ? "." : "", key);
    else text_format(&w->path, "[%zu]", index);
    const struct conf_lines *at = conf_lines_at(lines, key, index);
    struct conf_value *v = take(w, at, at ? at->line : table->line);
    w->path.n = before;
    if (!v) return;
    if (key) v->key = slice_cstr(slice_of(key));
    list_push(&table->items, &v->link);
}

/* Takes the items 1..n of the table on top of the stack. */
static bool take_items(struct walk *w, struct conf_value *table, const struct conf_lines *lines,
                       size_t n) {
    for (size_t i = 1; i <= n && !w->failed; i++) {
        if (lua_rawgeti(w->lua, -1, (lua_Integer)i) == LUA_TNIL)
            refuse(w, table->line, "is a list with holes");
        else take_member(w, table, lines, NULL, i);
        lua_pop(w->lua, 1);
    }
    table->list_count = n;
    return !w->failed;
}

/* Takes the members with names. Those of other kinds were counted as items or are refused. */
static bool take_names(struct walk *w, struct conf_value *table, const struct conf_lines *lines) {
    struct list items;
    list_init(&items);
    list_move(&items, &table->items);
    size_t names = 0;
    for (lua_pushnil(w->lua); lua_next(w->lua, -2); lua_pop(w->lua, 1)) {
        if (lua_type(w->lua, -2) != LUA_TSTRING) continue;
        take_member(w, table, lines, lua_tostring(w->lua, -2), 0);
        names++;
        if (!w->failed) continue;
        lua_pop(w->lua, 2);
        break;
    }
    if (!w->failed) sort_items(&table->items, names);
    list_move(&items, &table->items);
    list_move(&table->items, &items);
    return !w->failed;
}

/* How many items the list part of the table on top of the stack has, and whether all keys are
 * names or positive integers. */
static bool count_items(struct walk *w, size_t *n) {
    bool good = true;
    *n = 0;
    for (lua_pushnil(w->lua); lua_next(w->lua, -2); lua_pop(w->lua, 1)) {
        if (lua_isinteger(w->lua, -2) && lua_tointeger(w->lua, -2) > 0) ++*n;
        else if (lua_type(w->lua, -2) != LUA_TSTRING) good = false;
        else if (strlen(lua_tostring(w->lua, -2)) != lua_rawlen(w->lua, -2)) good = false;
    }
    return good;
}

static struct conf_value *take_table(struct walk *w, const struct conf_lines *lines, int line) {
    size_t n;
    if (w->depth == DEPTH_MAX) return refuse(w, line, "is nested too deeply");
    if (!lua_checkstack(w->lua, 4)) return refuse(w, line, "needs too much memory");
    if (!count_items(w, &n)) return refuse(w, line, "has keys that are neither names nor 1..n");
    struct conf_value *table = value_new(CONF_TABLE, line);
    w->depth++;
    bool good = take_items(w, table, lines, n) && take_names(w, table, lines);
    w->depth--;
    if (good) return table;
    conf_free(table);
    return NULL;
}

/* The value on top of the stack, which stays there; NULL after a complaint. */
static struct conf_value *take(struct walk *w, const struct conf_lines *lines, int line) {
    if (++w->values > VALUES_MAX) return refuse(w, line, "is one value too many");
    switch (lua_type(w->lua, -1)) {
    case LUA_TBOOLEAN: {
        struct conf_value *v = value_new(CONF_BOOL, line);
        v->flag = lua_toboolean(w->lua, -1);
        return v;
    }
    case LUA_TNUMBER: return take_number(w, line);
    case LUA_TSTRING: return take_string(w, line);
    case LUA_TTABLE: return take_table(w, lines, line);
    case LUA_TFUNCTION: return refuse(w, line, "is a function; a conf file holds data only");
    default: return refuse(w, line, "is no value that a conf file may hold");
    }
}

static struct conf_value *take_result(lua_State *lua, const char *file, struct slice source,
                                      struct text *errors) {
    struct conf_lines *lines = conf_lines_scan(file, source, errors);
    struct walk w = {.lua = lua, .file = file, .errors = errors};
    struct conf_value *v = NULL;
    if (lua_istable(lua, -1)) v = take(&w, lines, lines->line);
    else refuse(&w, lines->line, "must be a table: return { ... }");
    text_fini(&w.path);
    conf_lines_free(lines);
    return v;
}

struct conf_value *conf_read_text(const char *file, struct slice source, struct text *errors) {
    if (slice_starts(source, SLICE("\xef\xbb\xbf"))) source = slice_from(source, 3);
    struct run run = {.source = source};
    clock_gettime(CLOCK_MONOTONIC, &run.end);
    run.end.tv_sec += SECONDS_MAX;
    lua_State *lua = lua_newstate(run_memory, &run);
    assert(lua);
    lua_sethook(lua, run_hook, LUA_MASKCOUNT, HOOK_EVERY);
    lua_pushcfunction(lua, run_chunk);
    lua_pushlightuserdata(lua, &run);
    struct conf_value *v = NULL;
    if (lua_pcall(lua, 1, 1, 0)) report_failure(lua, file, errors);
    else v = take_result(lua, file, source, errors);
    lua_close(lua);
    return v;
}

/* ---- the file ---- */

/* Reads at most SOURCE_MAX bytes; 0 or a negative errno. */
static int read_all(int fd, struct text *out) {
    for (;;) {
        ssize_t n = read(fd, text_reserve(out, 65536), 65536);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (!n) return 0;
        text_commit(out, (size_t)n);
        if (out->n > SOURCE_MAX) return -EFBIG;
    }
}

static int read_file(const char *file, struct text *out) {
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not make us wait */
    if (fd < 0) return -errno;
    struct stat st;
    int status = fstat(fd, &st) ? -errno : S_ISREG(st.st_mode) ? read_all(fd, out) : -EINVAL;
    close(fd);
    return status;
}

struct conf_value *conf_read(const char *file, struct text *errors) {
    struct text source = {0};
    struct conf_value *v = NULL;
    int status = read_file(file, &source);
    if (!status) v = conf_read_text(file, text_slice(&source), errors);
    else if (status == -EINVAL) text_format(errors, "%s: not a file\n", file);
    else text_format(errors, "%s: %s\n", file, strerror(-status));
    text_fini(&source);
    return v;
}
