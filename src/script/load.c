/* SPDX-License-Identifier: MIT */
/* Loads a generation of a site's script:
 *
 *   scripts/<site>/init.lua              the table of the site
 *   scripts/<site>/controllers/NAME.lua  one controller, or a table of them, each
 *   lua/moonlatch/runtime.lua            composes them; start() gives the functions that hooks.c
 *                                        calls
 *
 * A site without script is an empty table: nothing of it is ever called but for operators.
 *
 * All of this runs in one protected call with a budget, where nothing may wait. The site is not
 * touched. */
#include "net/httpc.h"
#include "script/lib_core.h"
#include "script/lib_emit.h"
#include "script/lib_json.h"
#include "script/lib_server.h"
#include "script/lib_socket.h"
#include "script/lib_timer.h"
#include "script/runtime.h"
#include "script/sandbox.h"
#include "script/script.h"

#include <dirent.h>
#include <stdlib.h>

static const char *const entry_names[ENTRIES] = {
    "call", "event", "permit", "authenticated", "after", "emit", "login", "request", "asked", "admin"};

struct buf *runtime_encode(lua_State *L, int index) {
    struct runtime *rt = runtime_of(vm_of(L));
    text_clear(rt->scratch);
    lua_json_encode(L, index, rt->scratch, rt->limits.script_string);
    return rt->scratch->n > 4096 ? text_take(rt->scratch) : buf_copy(text_slice(rt->scratch));
}

/* ---- what the script consists of ---- */

struct load {
    struct runtime *rt;
    struct buf *options;
    struct text path;
    struct dirent **files; /* of controllers/ */
    int file_count;
};

static const char *load_path(struct load *l, const char *name) {
    text_clear(&l->path);
    text_str(&l->path, l->rt->site->conf->script);
    text_char(&l->path, '/');
    text_str(&l->path, name);
    text_char(&l->path, 0);
    return text_slice(&l->path).p;
}

/* A name that require takes as one part of a module's name. */
static int is_controller(const struct dirent *file) {
    size_t n =
        strspn(file->d_name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n && strcmp(file->d_name + n, ".lua") == 0;
}

/* stack: -> site */
static void push_site(lua_State *L, struct load *l) {
    if (!l->rt->site->conf->script) {
        lua_newtable(L);
        return;
    }
    const char *shown = lua_pushfstring(L, "scripts/%s/init.lua", l->rt->site->name);
    vm_load_file(L, load_path(l, "init.lua"), shown, false);
    lua_remove(L, -2);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1))
        luaL_error(L, "scripts/%s/init.lua: must return a table", l->rt->site->name);
    if (l->options) lua_json_push(L, buf_slice(l->options));
    else lua_newtable(L);
    lua_setfield(L, -2, "options");
}

/* stack: -> files. They come by the script's own require, so that the script can have them too. */
static void push_controllers(lua_State *L, struct load *l) {
    lua_newtable(L);
    sandbox_push_environment(L, false);
    lua_getfield(L, -1, "require");
    for (int i = 0; i < l->file_count; i++) {
        const char *file = l->files[i]->d_name;
        size_t n = strlen(file) - strlen(".lua");
        lua_pushvalue(L, -1);
        lua_pushliteral(L, "controllers.");
        lua_pushlstring(L, file, n);
        lua_concat(L, 2);
        lua_call(L, 1, 1); /* stack: files, environment, require, controller */
        if (!lua_istable(L, -1) && !lua_isfunction(L, -1))
            luaL_error(L, "scripts/%s/controllers/%s: must return a function or a table",
                       l->rt->site->name, file);
        lua_pushlstring(L, file, n);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
    lua_pop(L, 2);
}

/* stack: entries -> */
static void take_entries(lua_State *L, struct runtime *rt) {
    for (int i = 0; i < ENTRIES; i++) {
        lua_getfield(L, -1, entry_names[i]);
        luaL_checktype(L, -1, LUA_TFUNCTION);
        rt->entries[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_pop(L, 1);
}

static int open_core(lua_State *L) {
    lib_core_push(L, runtime_of(vm_of(L)));
    return 1;
}

static int load_protected(lua_State *L) {
    struct load *l = lua_touserdata(L, 1);
    struct runtime *rt = l->rt;
    rt->scratch = lua_text_push(L);
    luaL_ref(L, LUA_REGISTRYINDEX); /* for as long as the state lives */
    lib_emit_open(L, rt);
    lib_socket_open(L);
    lib_timer_open(L);
    vm_module(L, "moonlatch.core", open_core, true);
    vm_require(L, "moonlatch.runtime");
    lua_getfield(L, -1, "start");
    vm_require(L, "moonlatch.core");
    push_site(L, l);
    push_controllers(L, l);
    lua_pushfstring(L, "scripts/%s/init.lua", rt->site->name);
    lua_call(L, 4, 1);
    take_entries(L, rt);
    return 0;
}

/* ---- life ---- */

void runtime_free(struct runtime *rt) {
    tickers_stop(rt);
    vm_free(rt->vm);
    httpc_free(rt->httpc);
    buf_unref(rt->short_buf);
    mem_free(rt->spare_event);
    mem_free(rt);
}

static struct runtime *runtime_new(struct site *site, const struct script_host *host,
                                   unsigned number, struct text *error) {
    struct vm *vm = vm_new(site, number, host->library, error);
    if (!vm) return NULL;
    struct runtime *rt = mem_new(sizeof *rt);
    rt->vm = vm;
    rt->site = site;
    rt->host = host;
    rt->number = number;
    rt->limits = site->conf->limits;
    rt->message = rt->filter = LUA_NOREF;
    rt->has = site->conf->script ? HOOK_CALL | HOOK_LOGIN : 0;
    rt->short_buf = buf_new(SHORT_BYTES);
    list_init(&rt->link);
    list_init(&rt->timers);
    vm->script = rt;
    return rt;
}

static bool load(struct runtime *rt, struct buf *options, struct text *error) {
    struct load l = {.rt = rt, .options = options};
    if (rt->site->conf->script)
        l.file_count = scandir(load_path(&l, "controllers"), &l.files, is_controller, alphasort);
    if (l.file_count < 0) l.file_count = 0; /* a site need not have any */
    bool loaded = vm_protect(rt->vm, load_protected, &l, error);
    for (int i = 0; i < l.file_count; i++) free(l.files[i]);
    free(l.files);
    text_fini(&l.path);
    return loaded;
}

struct runtime *runtime_load(struct site *site, const struct script_host *host, struct buf *options,
                             unsigned number, uint64_t budget_ms, struct text *error) {
    struct runtime *rt = runtime_new(site, host, number, error);
    if (!rt) return NULL;
    vm_set_budget(rt->vm, budget_ms);
    if (!load(rt, options, error)) {
        runtime_free(rt);
        return NULL;
    }
    vm_set_budget(rt->vm, rt->limits.script_time);
    return rt;
}
