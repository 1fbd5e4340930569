/* SPDX-License-Identifier: MIT */
#include "script/handle.h"

#include "script/lib_json.h"
#include "script/runtime.h"

/* Of the JSON of a socket's fields. */
#define FIELDS_BYTES 65536

/* ---- fields go from generation to generation ---- */

struct fields {
    const struct handle *of;
    struct text *json;
};

/* fields, key, value: appends "key":value. What JSON has no form for raises. */
static int encode_field(lua_State *L) {
    const struct fields *f = lua_touserdata(L, 1);
    if (f->json->n > 1) text_char(f->json, ',');
    lua_json_encode(L, 2, f->json, FIELDS_BYTES);
    text_char(f->json, ':');
    lua_json_encode(L, 3, f->json, FIELDS_BYTES);
    return 0;
}

static int encode_fields(lua_State *L) {
    struct fields *f = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->of->ref);
    if (lua_getiuservalue(L, 2, HANDLE_FIELDS) != LUA_TTABLE) return 0;
    text_char(f->json, '{');
    for (lua_pushnil(L); lua_next(L, 3); lua_settop(L, 4)) {
        size_t n = f->json->n;
        lua_pushcfunction(L, encode_field);
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 4);
        lua_pushvalue(L, 5); /* stack: f, handle, fields, key, value, function, f, key, value */
        bool named = lua_type(L, 4) == LUA_TSTRING;
        if (!named || lua_pcall(L, 3, 0, 0) != LUA_OK) text_cut(f->json, n);
    }
    text_char(f->json, '}');
    return 0;
}

/* stack: handle; gives it the fields of an older one. */
static void take_fields(lua_State *L, const struct handle *older) {
    struct fields f = {.of = older, .json = runtime_of(vm_of(L))->scratch};
    text_clear(f.json);
    vm_protect(older->vm, encode_fields, &f, NULL);
    if (f.json->n <= 2) return;
    lua_json_push(L, text_slice(f.json));
    lua_setiuservalue(L, -2, HANDLE_FIELDS);
}

/* ---- handles ---- */

static void handle_new(lua_State *L, struct socket *s) {
    struct handle *h = lua_newuserdatauv(L, sizeof *h, 2);
    *h = (struct handle){.ref = LUA_NOREF};
    memcpy(h->sid, s->sid, sizeof h->sid);
    luaL_setmetatable(L, HANDLE_META);
    lua_pushvalue(L, -1);
    h->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    h->socket = s;
    h->vm = vm_of(L);
    h->next = s->script;
    s->script = h;
    if (h->next) take_fields(L, h->next);
}

void handle_push(lua_State *L, struct socket *s) {
    const struct vm *vm = vm_of(L);
    const struct handle *h = s->script;
    while (h && h->vm != vm) h = h->next;
    if (h) lua_rawgeti(L, LUA_REGISTRYINDEX, h->ref);
    else handle_new(L, s);
}

static void follow_auth(struct handle *h) {
    if (!h->socket || h->socket->auth == h->auth) return;
    buf_unref(h->auth);
    h->auth = h->socket->auth ? buf_ref(h->socket->auth) : NULL;
    h->decoded = false;
}

void handle_push_own_auth(lua_State *L, struct handle *h) {
    follow_auth(h);
    if (h->auth && !h->decoded) {
        lua_json_push(L, buf_slice(h->auth));
        lua_setiuservalue(L, -2, HANDLE_AUTH);
        h->decoded = true;
    }
    lua_getiuservalue(L, -1, HANDLE_AUTH);
}

void handle_push_auth(lua_State *L, struct socket *s) {
    handle_push(L, s);
    handle_push_own_auth(L, lua_touserdata(L, -1));
    lua_remove(L, -2);
}

/* As luaL_checkudata, which looks the metatable up by its name each time. */
struct socket *handle_check(lua_State *L, int index) {
    struct handle *h = lua_touserdata(L, index);
    bool ours = h && lua_getmetatable(L, index) &&
                lua_topointer(L, -1) == runtime_of(vm_of(L))->socket_meta;
    if (!ours) h = luaL_checkudata(L, index, HANDLE_META); /* says what is wrong */
    lua_pop(L, ours);
    return h->socket && socket_is_open(h->socket) ? h->socket : NULL;
}

/* Runs outside of Lua: luaL_unref only writes slots that are there. */
void handle_forget(struct socket *s) {
    struct handle *h = s->script;
    s->script = NULL;
    while (h) {
        struct handle *next = h->next;
        follow_auth(h);
        h->socket = NULL;
        luaL_unref(h->vm->L, LUA_REGISTRYINDEX, h->ref); /* h may be collected from now on */
        h = next;
    }
}

static void handle_unlink(struct handle *h) {
    struct handle *newer = h->socket->script;
    if (newer == h) {
        h->socket->script = h->next;
        return;
    }
    while (newer->next != h) newer = newer->next;
    newer->next = h->next;
}

/* At the end of the state, with the socket still there, or after handle_forget. */
int handle_gc(lua_State *L) {
    struct handle *h = lua_touserdata(L, 1);
    if (h->socket) handle_unlink(h);
    buf_unref(h->auth);
    h->socket = NULL;
    h->auth = NULL;
    return 0;
}

/* ---- a generation goes ---- */

static int push_handle(lua_State *L) {
    handle_push(L, lua_touserdata(L, 1));
    return 0;
}

/* Only its registry knows whether it has fields; there is nothing in it that raises. */
static bool has_fields(const struct handle *h) {
    lua_State *L = h->vm->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->ref);
    bool has = lua_getiuservalue(L, -1, HANDLE_FIELDS) == LUA_TTABLE;
    lua_pop(L, 2);
    return has;
}

bool handles_hand_over(const struct vm *vm, size_t max) {
    const struct map *sockets = &vm->site->sockets;
    for (struct map_link *l = map_next(sockets, NULL); l; l = map_next(sockets, l)) {
        struct socket *s = container_of(l, struct socket, by_sid);
        const struct handle *newest = s->script;
        if (!newest || newest->vm != vm || !has_fields(newest)) continue;
        if (!max--) return false;
        if (!vm_protect(runtime_of_site(vm->site)->vm, push_handle, s, NULL)) return true;
    }
    return true;
}
