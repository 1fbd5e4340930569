/* SPDX-License-Identifier: MIT */
#include "script/lib_call.h"

#include "script/lib_json.h"
#include "script/lib_socket.h"
#include "script/runtime.h"
#include "script/task.h"

#include "base/utf8.h"
#include "core/call.h"
#include "core/socketio_packet.h"

#include <errno.h>

/* A call under way and the task that waits for it. */
struct calling {
    struct call call;
    struct wait wait;
    bool over; /* call is out of all lists */
    enum call_status status;
    struct buf *value;
    struct attachments bytes; /* of value */
};

static void on_done(struct call *c, enum call_status status, struct slice value) {
    struct calling *w = container_of(c, struct calling, call);
    w->over = true;
    w->status = status;
    if (value.n) w->value = buf_copy(value);
    attachments_copy(&w->bytes, &c->attachments);
    task_resume(&w->wait);
}

static void push_value(lua_State *L, const struct calling *w) {
    if (w->value) lua_json_push_with(L, buf_slice(w->value), &w->bytes);
    else lua_pushlightuserdata(L, NULL); /* json.null: nil would look like a failure */
}

static int push_results(lua_State *L, struct wait *wait) {
    const struct calling *w = container_of(wait, struct calling, wait);
    switch (w->status) {
    case CALL_ANSWERED: push_value(L, w); return 1;
    case CALL_REFUSED:
        lua_push_failure(L, "refused");
        push_value(L, w);
        return 3;
    case CALL_TIMEOUT: return lua_push_failure(L, "timeout");
    default: return lua_push_failure(L, "closed");
    }
}

static void on_over(struct wait *wait) {
    struct calling *w = container_of(wait, struct calling, wait);
    if (!w->over) call_cancel(&w->call);
    buf_unref(w->value);
    attachments_fini(&w->bytes);
    mem_free(w);
}

/* options.timeout in milliseconds. */
static uint64_t check_timeout(lua_State *L, int options) {
    uint64_t standard = runtime_of(vm_of(L))->limits.call_timeout;
    if (lua_isnoneornil(L, options)) return standard;
    luaL_checktype(L, options, LUA_TTABLE);
    lua_pushliteral(L, "timeout");
    if (lua_rawget(L, options) == LUA_TNIL) return standard;
    lua_Number seconds = luaL_checknumber(L, -1);
    luaL_argcheck(L, seconds > 0 && seconds <= 3600, options,
                  "timeout: 0 to 3600 seconds expected");
    return (uint64_t)(seconds * 1000) + 1;
}

int lua_call_client(lua_State *L, struct socket *s, const char *who, int first) {
    const struct limits *limits = &runtime_of(vm_of(L))->limits;
    struct slice name = lua_check_slice(L, first);
    luaL_argcheck(L, name.n && utf8_valid(name), first, "a name in UTF-8 expected");
    luaL_argcheck(L, !s || !s->dialect->emit || !sio_is_reserved(name), first,
                  "this name is the protocol's own");
    uint64_t timeout_ms = check_timeout(L, first + 2);
    task_may_wait(L, who);
    if (!s) return lua_push_failure(L, "closed");
    struct buf *args = lua_isnoneornil(L, first + 1) ? NULL : runtime_encode(L, first + 1);
    if (args && args->n > limits->published_message) {
        buf_unref(args);
        return lua_push_failure(L, "too_large");
    }
    struct calling *w = mem_new(sizeof *w);
    w->call.done = on_done;
    w->wait.push = push_results;
    w->wait.over = on_over;
    int status = call_start(&w->call, s, buf_copy(name), args, timeout_ms);
    if (!status) return task_wait(L, &w->wait);
    mem_free(w);
    return lua_push_failure(L, status == -ENOTSUP ? "unavailable" : "closed");
}
