/* SPDX-License-Identifier: MIT */
/* What scripts can do with a socket, and read of it: the methods and the fields of its handle. */
#include "script/lib_socket.h"

#include "script/lib_call.h"
#include "script/lib_channel.h"
#include "script/lib_emit.h"
#include "script/lib_json.h"
#include "script/lib_request.h"
#include "script/runtime.h"
#include "script/watchdog.h"

#include "base/utf8.h"
#include "core/hub.h"

/* Compressing a text of this size and more takes longer than a script is given. */
#define LARGE_BYTES 262144

struct slice lua_check_slice(lua_State *L, int index) {
    size_t n;
    const char *p = luaL_checklstring(L, index, &n);
    return slice_make(p, n);
}

int lua_push_failure(lua_State *L, const char *code) {
    lua_pushnil(L);
    lua_pushstring(L, code);
    return 2;
}

/* ---- methods ---- */

static int socket_rpc(lua_State *L) {
    return lua_call_client(L, handle_check(L, 1), "socket:rpc", 2);
}

/* Where a transport escapes lone surrogates, what such a client sent may go back. */
static bool text_valid(const struct socket *s, struct slice text) {
    return s->session->ops->surrogates ? wtf8_valid(text) : utf8_valid(text);
}

/* A short text is copied again by the connection, so the buf for it can be the one of the last. */
static struct buf *short_buf(struct runtime *rt, struct slice data) {
    if (data.n > SHORT_BYTES || rt->short_buf->refs > 1) return buf_copy(data);
    memcpy(rt->short_buf->data, data.p, data.n);
    rt->short_buf->n = (uint32_t)data.n;
    return buf_ref(rt->short_buf);
}

static int send_string(lua_State *L, struct socket *s, struct slice data, bool binary) {
    if (binary && !s->session->ops->binary) return lua_push_failure(L, "unavailable");
    if (!binary && !text_valid(s, data))
        return luaL_argerror(L, 2, "text must be UTF-8 (send(data, true) sends bytes)");
    struct vm *vm = vm_of(L);
    struct buf *b = short_buf(runtime_of(vm), data);
    bool rests = data.n >= LARGE_BYTES && watchdog_rest(vm->watchdog);
    if (binary) socket_send_binary(s, b);
    else socket_send(s, b);
    if (rests) watchdog_go_on(vm->watchdog, vm);
    buf_unref(b);
    lua_pushboolean(L, true);
    return 1;
}

/* send(data, binary): a text, or bytes, or JSON of any other value */
static int socket_method_send(lua_State *L) {
    struct socket *s = handle_check(L, 1);
    luaL_checkany(L, 2);
    if (s && s->dialect != &raw_dialect)
        return luaL_error(L, "socket:send is for raw endpoints: use socket:rpc or server:publish");
    if (!s) return lua_push_failure(L, "closed");
    if (lua_type(L, 2) == LUA_TSTRING)
        return send_string(L, s, lua_check_slice(L, 2), lua_toboolean(L, 3));
    struct buf *b = runtime_encode(L, 2);
    socket_send(s, b);
    buf_unref(b);
    lua_pushboolean(L, true);
    return 1;
}

static int socket_subscribe(lua_State *L) {
    return lua_channel_subscribe(L, handle_check(L, 1), lua_check_slice(L, 2));
}

static int socket_unsubscribe(lua_State *L) {
    return lua_channel_unsubscribe(L, handle_check(L, 1), lua_check_slice(L, 2));
}

static bool is_close_code(lua_Integer code) {
    return code == 1000 || code == 1001 || code == 1008 || code == 1011 ||
           (code >= 3000 && code <= 4999);
}

/* close(code, reason, whole) */
static int socket_method_close(lua_State *L) {
    struct socket *s = handle_check(L, 1);
    lua_Integer code = luaL_optinteger(L, 2, 1000);
    const char *reason = luaL_optstring(L, 3, code == 1000 ? "Normal closure" : "");
    luaL_argcheck(L, is_close_code(code), 2, "1000, 1001, 1008, 1011 or 3000 to 4999 expected");
    luaL_argcheck(L, strlen(reason) <= 123 && utf8_valid(slice_of(reason)), 3,
                  "at most 123 bytes of UTF-8 expected");
    if (!s) return lua_push_failure(L, "closed");
    if (lua_toboolean(L, 4)) socket_close_whole(s, (int)code, reason);
    else socket_close(s, (int)code, reason);
    lua_pushboolean(L, true);
    return 1;
}

/* ---- fields ---- */

enum field {
    FIELD_SID = 1,
    FIELD_AUTH,
    FIELD_IP,
    FIELD_IPS,
    FIELD_HOST,
    FIELD_PROTOCOL,
    FIELD_ENDPOINT,
    FIELD_HANDSHAKE,
    FIELD_CREATED,
    FIELD_RECOVERED,
    FIELD_CHANNELS
};

static const struct {
    const char *name;
    enum field field;
} fields[] = {{"sid", FIELD_SID},
              {"auth", FIELD_AUTH},
              {"session", FIELD_AUTH},
              {"ip", FIELD_IP},
              {"ips", FIELD_IPS},
              {"host", FIELD_HOST},
              {"protocol", FIELD_PROTOCOL},
              {"endpoint", FIELD_ENDPOINT},
              {"handshake", FIELD_HANDSHAKE},
              {"created", FIELD_CREATED},
              {"recovered", FIELD_RECOVERED},
              {"channels", FIELD_CHANNELS}};

/* The request with its query and cookies read: request.complete of the runtime library. */
static void push_handshake(lua_State *L, const struct socket *s) {
    runtime_push(L, ENTRY_REQUEST);
    request_push(L, s->handshake);
    lua_call(L, 1, 1);
}

/* Those that only a living socket has. */
static void push_field(lua_State *L, const struct socket *s, enum field field) {
    switch (field) {
    case FIELD_IP: request_push_ip(L, s->handshake); break;
    case FIELD_IPS: request_push_ips(L, s->handshake); break;
    case FIELD_HOST: request_push_text(L, s->handshake, ":host"); break;
    case FIELD_PROTOCOL: lua_pushstring(L, socket_protocol(s)); break;
    case FIELD_ENDPOINT: lua_pushstring(L, s->endpoint->conf->path); break;
    case FIELD_HANDSHAKE: push_handshake(L, s); break;
    case FIELD_RECOVERED: lua_pushboolean(L, s->recovered); break;
    case FIELD_CREATED: lua_pushinteger(L, s->created_s); break;
    case FIELD_CHANNELS: lua_push_channels_of(L, s); break;
    default: lua_pushnil(L);
    }
}

/* Upvalue 1: by name a method, or the number of a field. Never called by a script itself, since
 * nothing gives it the metatable: the first argument is a handle. */
static int on_index(lua_State *L) {
    struct handle *h = lua_touserdata(L, 1);
    lua_pushvalue(L, 2);
    int type = lua_rawget(L, lua_upvalueindex(1));
    if (type == LUA_TFUNCTION) return 1;
    if (type == LUA_TNIL) {
        if (lua_getiuservalue(L, 1, HANDLE_FIELDS) != LUA_TTABLE) return 0;
        lua_pushvalue(L, 2);
        lua_rawget(L, -2);
        return 1;
    }
    enum field field = (enum field)lua_tointeger(L, -1);
    lua_settop(L, 1);
    if (field == FIELD_SID) lua_pushlstring(L, h->sid, SID_LENGTH);
    else if (field == FIELD_AUTH) handle_push_own_auth(L, h);
    else if (h->socket) push_field(L, h->socket, field);
    else lua_pushnil(L);
    return 1;
}

static int on_newindex(lua_State *L) {
    luaL_checkany(L, 3);
    lua_pushvalue(L, 2);
    if (lua_isnil(L, 2) || lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return luaL_error(L, "socket.%s cannot be set", luaL_tolstring(L, 2, NULL));
    lua_settop(L, 3);
    if (lua_getiuservalue(L, 1, HANDLE_FIELDS) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, 1, HANDLE_FIELDS);
    }
    lua_insert(L, 2); /* stack: handle, fields, key, value */
    lua_rawset(L, 2);
    return 0;
}

static int on_tostring(lua_State *L) {
    const struct handle *h = lua_touserdata(L, 1);
    lua_pushfstring(L, "socket %s", h->sid);
    return 1;
}

static const luaL_Reg methods[] = {{"rpc", socket_rpc},
                                   {"send", socket_method_send},
                                   {"emit", lua_socket_emit},
                                   {"subscribe", socket_subscribe},
                                   {"unsubscribe", socket_unsubscribe},
                                   {"close", socket_method_close},
                                   {NULL, NULL}};

void lib_socket_open(lua_State *L) {
    luaL_newmetatable(L, HANDLE_META);
    runtime_of(vm_of(L))->socket_meta = lua_topointer(L, -1);
    luaL_newlib(L, methods);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        lua_pushinteger(L, fields[i].field);
        lua_setfield(L, -2, fields[i].name);
    }
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, on_index, 1);
    lua_setfield(L, -3, "__index");
    lua_pushcclosure(L, on_newindex, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, handle_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, on_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
