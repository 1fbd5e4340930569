/* SPDX-License-Identifier: MIT */
/* A state is made in one protected call. The allocator is the only place that knows how much memory
 * a script may have: Lua asks it for everything, and takes no for an answer as an error in the
 * script, after it has tried a full collection. */
#include "script/vm.h"

#include "base/id.h"
#include "script/lib_crypto.h"
#include "script/lib_cache.h"
#include "script/lib_http.h"
#include "script/lib_json.h"
#include "script/lib_redis.h"
#include "script/libs.h"
#include "script/module.h"
#include "script/sandbox.h"
#include "script/task.h"
#include "script/watchdog.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define STARVED_MOST 3 /* times within ten seconds */
#define STARVED_WITHIN_MS 10000
#define STRING_HEADER 64 /* at least what Lua adds to a string's bytes */

/* ptr NULL: osize is the type of what the block is for, not a size */
static void *allocate(void *ud, void *ptr, size_t osize, size_t nsize) {
    struct vm *vm = ud;
    bool string = !ptr && osize == LUA_TSTRING && !vm->lent;
    if (!ptr) osize = 0;
    if (nsize == 0) {
        mem_free(ptr);
        vm->used -= osize;
        return NULL;
    }
    if (nsize > osize && nsize - osize > vm->limits->script_memory - vm->used) return NULL;
    if (string && nsize > STRING_HEADER && nsize - STRING_HEADER > vm->limits->script_string)
        return NULL;
    ptr = ptr ? mem_grow(ptr, nsize) : mem_raw(nsize);
    vm->used += nsize - osize;
    return ptr;
}

static int on_panic(lua_State *L) {
    const char *what = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    fprintf(stderr, "moonlatch: Lua raised outside of protection: %s\n", what);
    abort();
}

static const char *const resident_texts[] = {
    /* Lua makes these itself, in places that are not protected: they exist already, for ever */
    "error in error handling", "C stack overflow", "cannot resume dead coroutine",
    "cannot resume non-suspended coroutine"};

static int open_json(lua_State *L) {
    return lib_json_open(L, (size_t)vm_of(L)->limits->script_string);
}

static int open_crypto(lua_State *L) {
    return lib_crypto_open(L, vm_of(L)->site->core->random);
}

static int open_state(lua_State *L) {
    for (size_t i = 0; i < sizeof resident_texts / sizeof *resident_texts; i++) {
        lua_pushstring(L, resident_texts[i]);
        luaL_ref(L, LUA_REGISTRYINDEX);
    }
    sandbox_open(L);
    vm_module(L, "moonlatch.json", open_json, false);
    vm_module(L, "moonlatch.crypto", open_crypto, false);
    vm_module(L, "moonlatch.log", lib_log_open, false);
    vm_module(L, "moonlatch.time", lib_time_open, false);
    vm_module(L, "moonlatch.cache", lib_cache_open, false);
    vm_module(L, "moonlatch.http_wire", lib_http_open, true);
    vm_module(L, "moonlatch.redis_wire", lib_redis_open, true);
    vm_require(L, "moonlatch.json"); /* C code uses it too */
    for (char **name = vm_of(L)->site->conf->libraries; name && *name; name++)
        module_load_library(L, *name);
    return 0;
}

static char *vm_name(const struct site *site, unsigned generation) {
    struct text name = {0};
    text_format(&name, "%s@%u", site->name, generation);
    char *copy = slice_cstr(text_slice(&name));
    text_fini(&name);
    return copy;
}

struct vm *vm_new(struct site *site, unsigned generation, const char *library, struct text *error) {
    struct vm *vm = mem_new(sizeof *vm);
    vm->site = site;
    vm->name = vm_name(site, generation);
    vm->suspensions.who = vm->name;
    vm->limits = &site->conf->limits;
    vm->library = slice_cstr(slice_of(library));
    list_init(&vm->tasks);
    vm->watchdog = watchdog_use(site->core);
    vm->share = share_use(site);
    flood_init(&vm->flood);
    vm_set_budget(vm, vm->limits->script_start);
    vm->L = lua_newstate(allocate, vm);
    assert(vm->L); /* the least script_memory is enough for an empty state */
    *(struct vm **)lua_getextraspace(vm->L) = vm;
    lua_atpanic(vm->L, on_panic);
    if (vm_protect(vm, open_state, NULL, error)) return vm;
    vm_free(vm);
    return NULL;
}

void vm_free(struct vm *vm) {
    if (!vm) return;
    assert(!vm->running);
    while (!list_empty(&vm->tasks)) task_cancel(container_of(vm->tasks.next, struct task, link));
    lua_close(vm->L);
    suspensions_fini(&vm->suspensions);
    share_release(vm->share);
    flood_fini(&vm->flood);
    watchdog_release(vm->site->core);
    mem_free(vm->library);
    mem_free(vm->name);
    mem_free(vm);
}

void vm_set_budget(struct vm *vm, uint64_t ms) {
    vm->budget_ms = ms;
    watchdog_pace(vm->watchdog, ms);
}

void vm_enter(struct vm *vm, struct vm_entry *e, lua_State *L, struct task *task) {
    *e = (struct vm_entry){vm->running, vm->task, NULL, vm->may_wait};
    vm->running = L;
    vm->task = task;
    vm->may_wait = true;
    vm->lent = false; /* a message that did not fit left it */
    if (!e->running) e->interrupted = watchdog_begin(vm->watchdog, vm);
    else if (vm->killed) watchdog_hook(L);
}

/* The slice was stopped; now it is over. */
static void count_killed(struct vm *vm) {
    struct metrics *m = vm->site->core->metrics;
    metrics_limit(m, "script_time", vm->site->name);
    if (vm->stuck) metrics_limit(m, "script_stuck", vm->site->name);
    vm->killed = vm->stuck = 0;
}

void vm_leave(struct vm *vm, const struct vm_entry *e) {
    vm->task = e->task;
    vm->may_wait = e->may_wait;
    vm->running = e->running;
    if (e->running) {
        if (vm->killed) watchdog_hook(e->running);
        return;
    }
    watchdog_end(vm->watchdog, e->interrupted);
    if (!vm->killed) return;
    count_killed(vm);
}

static void count_starved(struct vm *vm) {
    struct loop *loop = vm->site->core->loop;
    uint64_t now_ms = loop_now_ms(loop);
    if (!vm->starved || now_ms - vm->starved_ms > STARVED_WITHIN_MS) {
        vm->starved = 0;
        vm->starved_ms = now_ms;
    }
    if (++vm->starved >= STARVED_MOST && vm->starving) loop_defer(loop, LOOP_FREE, vm->starving);
}

void vm_out_of_memory(struct vm *vm) {
    metrics_limit(vm->site->core->metrics, "script_memory", vm->site->name);
    count_starved(vm);
    if (!vm->running) lua_gc(vm->L, LUA_GCCOLLECT);
}

bool vm_protect(struct vm *vm, lua_CFunction f, void *arg, struct text *error) {
    lua_State *L = vm->L;
    struct vm_entry e;
    int top = lua_gettop(L);
    if (!lua_checkstack(L, 4)) {
        if (error) text_str(error, "not enough memory");
        return false;
    }
    vm_enter(vm, &e, L, NULL);
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, arg);
    int status = lua_pcall(L, 1, 0, 0);
    if (status != LUA_OK && error) vm_describe(L, -1, 500, error);
    lua_settop(L, top);
    vm_leave(vm, &e);
    if (status == LUA_ERRMEM) vm_out_of_memory(vm);
    return status == LUA_OK;
}

void vm_push_message(lua_State *L, struct slice bytes) {
    struct vm *vm = vm_of(L);
    vm->lent = true;
    lua_pushlstring(L, bytes.p, bytes.n);
    vm->lent = false;
}

int vm_raise_killed(lua_State *L) {
    luaL_where(L, 0);
    if (!*lua_tostring(L, -1)) luaL_where(L, 1); /* from a C function: its caller */
    lua_pushfstring(L, "%sbudget: ran longer than %d ms", lua_tostring(L, -1),
                    (int)vm_of(L)->budget_ms);
    return lua_error(L);
}
