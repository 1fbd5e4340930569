/* SPDX-License-Identifier: MIT */
#include "script/lib_push.h"

#include "script/lib_json.h"
#include "script/lib_socket.h"
#include "script/runtime.h"
#include "script/task.h"

#include "base/utf8.h"
#include "core/push.h"
#include "core/socketio_packet.h"

/* What is sent cannot be taken back, so the answer may come when nobody waits. */
struct sending {
    struct wait wait;
    int status;
    bool answered, over;
};

static void on_sent(void *arg, int status) {
    struct sending *s = arg;
    s->answered = true;
    s->status = status;
    if (s->over) mem_free(s);
    else task_resume(&s->wait);
}

static int push_result(lua_State *L, struct wait *wait) {
    if (container_of(wait, struct sending, wait)->status < 0)
        return lua_push_failure(L, "unavailable");
    lua_pushboolean(L, true);
    return 1;
}

static void on_over(struct wait *wait) {
    struct sending *s = container_of(wait, struct sending, wait);
    s->over = true;
    if (s->answered) mem_free(s);
}

/* Where the JSON of the value at index stands in the scratch. */
static size_t add_json(lua_State *L, struct runtime *rt, int index) {
    size_t at = rt->scratch->n;
    lua_json_encode(L, index, rt->scratch, rt->limits.script_string);
    return at;
}

static struct slice part(const struct runtime *rt, size_t from, size_t to) {
    return slice_make(text_slice(rt->scratch).p + from, to - from);
}

int lib_core_send(lua_State *L) {
    struct runtime *rt = runtime_of(vm_of(L));
    struct slice name = lua_check_slice(L, 2);
    luaL_argcheck(L, name.n && utf8_valid(name) && !sio_is_reserved(name), 2, "an event expected");
    task_may_wait(L, "server:send");
    text_clear(rt->scratch);
    size_t rooms = add_json(L, rt, 1), event = add_json(L, rt, 2), args = add_json(L, rt, 3);
    size_t end = rt->scratch->n;
    if (end > rt->limits.published_message) return lua_push_failure(L, "too_large");
    if (!flood_admits(&vm_of(L)->flood, rt->site, end, 1)) return lua_push_failure(L, "limit");
    const struct push_message m = {.rooms = part(rt, rooms, event),
                                   .event = part(rt, event, args),
                                   .args = part(rt, args, end),
                                   .resync = lua_toboolean(L, 4)};
    struct sending *s = mem_new(sizeof *s);
    s->wait.push = push_result;
    s->wait.over = on_over;
    push_send(rt->site, &m, on_sent, s);
    return task_wait(L, &s->wait);
}
