/* SPDX-License-Identifier: MIT */
#include "script/lib_ask.h"

#include "script/lib_json.h"
#include "script/lib_socket.h"
#include "script/runtime.h"
#include "script/task.h"

#include "core/ask.h"

struct asking {
    struct ask ask;
    struct wait wait;
    bool over;            /* ask is done */
    struct buf **answers; /* references */
    size_t count;
    bool complete;
};

static void on_done(struct ask *a) {
    struct asking *w = container_of(a, struct asking, ask);
    w->over = true;
    w->complete = a->sent && a->count >= a->expected;
    w->count = a->count;
    w->answers = mem_new((a->count + 1) * sizeof *w->answers);
    for (size_t i = 0; i < a->count; i++) w->answers[i] = buf_ref(a->answers[i]);
    task_resume(&w->wait);
}

static int push_answers(lua_State *L, struct wait *wait) {
    const struct asking *w = container_of(wait, struct asking, wait);
    lua_createtable(L, (int)w->count, 0);
    for (size_t i = 0; i < w->count; i++) {
        lua_json_push(L, buf_slice(w->answers[i]));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushboolean(L, w->complete);
    return 2;
}

static void on_over(struct wait *wait) {
    struct asking *w = container_of(wait, struct asking, wait);
    if (!w->over) ask_cancel(&w->ask);
    while (w->count) buf_unref(w->answers[--w->count]);
    mem_free(w->answers);
    mem_free(w);
}

int lib_core_ask(lua_State *L) {
    const char *who = luaL_checkstring(L, 1);
    struct slice node = {NULL, 0};
    if (!lua_isnil(L, 2)) node = lua_check_slice(L, 2);
    lua_Number seconds = luaL_checknumber(L, 4);
    task_may_wait(L, who);
    struct buf *question = runtime_encode(L, 3);
    struct asking *w = mem_new(sizeof *w);
    w->ask.done = on_done;
    w->wait.push = push_answers;
    w->wait.over = on_over;
    int status = ask_start(&w->ask, vm_of(L)->site, node, question, (uint64_t)(seconds * 1000));
    buf_unref(question);
    if (!status) return task_wait(L, &w->wait);
    mem_free(w);
    return lua_push_failure(L, "unavailable");
}
