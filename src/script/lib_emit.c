/* SPDX-License-Identifier: MIT */
/* The JSON of an event is made in the runtime's scratch, and its bytes are collected in a userdata,
 * so that nothing is lost where a value raises. */
#include "script/lib_emit.h"

#include "script/handle.h"
#include "script/lib_json.h"
#include "script/lib_socket.h"

#include "base/utf8.h"
#include "core/emit.h"
#include "core/hub.h"
#include "core/socketio_packet.h"

static int bytes_gc(lua_State *L) {
    attachments_fini(lua_touserdata(L, 1));
    return 0;
}

void lib_emit_open(lua_State *L, struct runtime *rt) {
    rt->bytes = lua_newuserdatauv(L, sizeof *rt->bytes, 0);
    *rt->bytes = (struct attachments){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, bytes_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    luaL_ref(L, LUA_REGISTRYINDEX);
}

static struct runtime *start(lua_State *L) {
    struct runtime *rt = runtime_of(vm_of(L));
    text_clear(rt->scratch);
    attachments_fini(rt->bytes);
    return rt;
}

/* Appends the JSON of a value; where it stands, from the first byte on. */
static size_t add_json(lua_State *L, struct runtime *rt, int index) {
    size_t at = rt->scratch->n;
    lua_json_encode_with(L, index, rt->scratch, rt->limits.script_string, rt->bytes);
    return at;
}

/* Appends [args...], from the index on. */
static size_t add_args(lua_State *L, struct runtime *rt, int from) {
    size_t at = rt->scratch->n;
    int last = lua_gettop(L);
    text_char(rt->scratch, '[');
    for (int i = from; i <= last; i++) {
        if (i > from) text_char(rt->scratch, ',');
        add_json(L, rt, i);
    }
    text_char(rt->scratch, ']');
    return at;
}

static void check_name(lua_State *L, int index) {
    struct slice name = lua_check_slice(L, index);
    luaL_argcheck(L, name.n && utf8_valid(name), index, "a name in UTF-8 expected");
    luaL_argcheck(L, !sio_is_reserved(name), index, "this name is the protocol's own");
}

static struct slice part(const struct runtime *rt, size_t from, size_t to) {
    return slice_make(text_slice(rt->scratch).p + from, to - from);
}

/* The bytes of an event all together. */
static size_t size_of(const struct runtime *rt) {
    size_t n = rt->scratch->n;
    for (uint32_t i = 0; i < rt->bytes->count; i++) n += rt->bytes->list[i]->n;
    return n;
}

int lua_socket_emit(lua_State *L) {
    struct socket *s = handle_check(L, 1);
    check_name(L, 2);
    if (!s) return lua_push_failure(L, "closed");
    if (!s->dialect->emit) return lua_push_failure(L, "unavailable");
    struct runtime *rt = start(L);
    size_t event = add_json(L, rt, 2), args = add_args(L, rt, 3);
    if (size_of(rt) > rt->limits.published_message) return lua_push_failure(L, "too_large");
    struct emission e = {.event = part(rt, event, args),
                         .args = part(rt, args, rt->scratch->n),
                         .attachments = *rt->bytes};
    s->dialect->emit(s, &e);
    attachments_fini(rt->bytes);
    lua_pushboolean(L, true);
    return 1;
}

/* How many sockets of this node are in the rooms of the list at index, some perhaps twice. */
static size_t count_members(lua_State *L, struct site *site, int rooms) {
    size_t n = 0;
    lua_Integer count = (lua_Integer)lua_rawlen(L, rooms);
    if (!count) return site->sockets.count;
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, rooms, i);
        struct channel *c = hub_channel(site, lua_check_slice(L, -1));
        n += c ? c->count : 1;
        lua_pop(L, 1);
    }
    return n;
}

int lib_core_emit(lua_State *L) {
    struct site *site = vm_of(L)->site;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    check_name(L, 4);
    size_t copies = count_members(L, site, 1);
    struct runtime *rt = start(L);
    size_t rooms = add_json(L, rt, 1), except = add_json(L, rt, 2);
    size_t event = add_json(L, rt, 4), args = add_args(L, rt, 5), end = rt->scratch->n;
    if (size_of(rt) > rt->limits.published_message) return lua_push_failure(L, "too_large");
    if (!flood_admits(&vm_of(L)->flood, site, size_of(rt), copies))
        return lua_push_failure(L, "limit");
    struct emission e = {.rooms = part(rt, rooms, except),
                         .except = part(rt, except, event),
                         .event = part(rt, event, args),
                         .args = part(rt, args, end),
                         .attachments = *rt->bytes,
                         .is_volatile = lua_toboolean(L, 3)};
    int status = emit_send(site, &e);
    attachments_fini(rt->bytes);
    if (status) return lua_push_failure(L, "unavailable");
    lua_pushboolean(L, true);
    return 1;
}
