/* SPDX-License-Identifier: MIT */
/* Coroutines of a script's own. They run inside a task: when one of them waits (task.h), the
 * coroutines around it are left too, down to the task's, and resumed one by one when the wait is
 * over. So a script resumes only what stands in coroutine.yield; what waits belongs to its task.
 *
 * There is no coroutine.close: a chain of closings overflows the C stack of Lua 5.4.4. */
#include "script/libs.h"
#include "script/sandbox.h"
#include "script/task.h"

enum { RAISED = -1, WAITS = -2 };

static lua_State *check_coroutine(lua_State *L, int index) {
    lua_State *co = lua_tothread(L, index);
    luaL_argexpected(L, co, index, "coroutine");
    return co;
}

static int co_yield(lua_State *L) {
    struct task *t = task_of(L);
    if (L == vm_of(L)->L || (t && L == t->L))
        return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

static bool stands_in_yield(lua_State *co) {
    lua_Debug call;
    if (!lua_getstack(co, 0, &call) || !lua_getinfo(co, "f", &call)) return false;
    bool yields = lua_tocfunction(co, -1) == co_yield;
    lua_pop(co, 1);
    return yields;
}

/* Why co cannot be resumed, or NULL. Lua would tell by a text it makes in co, unprotected. */
static const char *why_not(lua_State *co) {
    lua_Debug call;
    switch (lua_status(co)) {
    case LUA_YIELD:
        return stands_in_yield(co) ? NULL : "cannot resume waiting coroutine";
    case LUA_OK:
        if (lua_getstack(co, 0, &call)) return "cannot resume non-suspended coroutine";
        return lua_gettop(co) ? NULL : "cannot resume dead coroutine";
    default:
        return "cannot resume dead coroutine";
    }
}

/* Runs co with count arguments that are on its stack. The number of results, which are then on top
 * of L; or RAISED, with the error on top; or WAITS. */
static int run(lua_State *L, lua_State *co, int count) {
    struct vm *vm = vm_of(L);
    bool may_wait = vm->may_wait;
    int results;
    vm->may_wait = may_wait && lua_isyieldable(L);
    vm->running = co;
    int status = lua_resume(co, L, count, &results);
    vm->running = L;
    vm->may_wait = may_wait;
    if (status != LUA_OK && status != LUA_YIELD) task_caught(L);
    vm_check(L);
    if (status == LUA_YIELD && !stands_in_yield(co)) return WAITS;
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return RAISED;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return RAISED;
    }
    lua_xmove(co, L, results);
    return results;
}

/* Resumes co with the count values on top of L. */
static int resume(lua_State *L, lua_State *co, int count) {
    const char *why = why_not(co);
    if (!why && !lua_checkstack(co, count)) why = "too many arguments to resume";
    if (why) {
        lua_pushstring(L, why);
        return RAISED;
    }
    lua_xmove(L, co, count);
    return run(L, co, count);
}

/* ---- coroutine.resume: stack: coroutine, ... ---- */

static int resume_done(lua_State *L, int results);

static int resume_again(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    return resume_done(L, run(L, lua_tothread(L, 1), 0));
}

static int resume_done(lua_State *L, int results) {
    if (results == WAITS) return lua_yieldk(L, 0, 0, resume_again);
    lua_pushboolean(L, results != RAISED);
    if (results == RAISED) results = 1;
    lua_insert(L, -(results + 1));
    return results + 1;
}

static int co_resume(lua_State *L) {
    lua_State *co = check_coroutine(L, 1);
    return resume_done(L, resume(L, co, lua_gettop(L) - 1));
}

/* ---- coroutine.wrap: the coroutine is upvalue 1 ---- */

static int wrapped_done(lua_State *L, int results);

static int wrapped_again(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    return wrapped_done(L, run(L, lua_tothread(L, lua_upvalueindex(1)), 0));
}

static int wrapped_done(lua_State *L, int results) {
    if (results == WAITS) return lua_yieldk(L, 0, 0, wrapped_again);
    if (results != RAISED) return results;
    if (lua_type(L, -1) == LUA_TSTRING) { /* say where it came through */
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int wrapped(lua_State *L) {
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    return wrapped_done(L, resume(L, co, lua_gettop(L)));
}

/* ---- the rest ---- */

static int co_create(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int co_wrap(lua_State *L) {
    co_create(L);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

static int co_status(lua_State *L) {
    lua_State *co = check_coroutine(L, 1);
    lua_Debug call;
    const char *status = "dead";
    if (co == L) status = "running";
    else if (lua_status(co) == LUA_YIELD) status = "suspended";
    else if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &call)) status = "normal";
    else if (lua_status(co) == LUA_OK && lua_gettop(co)) status = "suspended";
    lua_pushstring(L, status);
    return 1;
}

static int co_running(lua_State *L) {
    lua_pushboolean(L, lua_pushthread(L));
    return 2;
}

static int co_isyieldable(lua_State *L) {
    struct task *t = task_of(L);
    lua_State *co = lua_isnone(L, 1) ? L : check_coroutine(L, 1);
    lua_pushboolean(L, lua_isyieldable(co) && !(t && co == t->L));
    return 1;
}

int lib_coroutine_open(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"create", co_create}, {"isyieldable", co_isyieldable}, {"resume", co_resume},
        {"running", co_running}, {"status", co_status},         {"wrap", co_wrap},
        {"yield", co_yield},     {NULL, NULL}};
    sandbox_library(L, functions);
    return 1;
}
