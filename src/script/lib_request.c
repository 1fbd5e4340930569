/* SPDX-License-Identifier: MIT */
#include "script/lib_request.h"

#include "script/lib_json.h"

#include <lauxlib.h>

void request_push_text(lua_State *L, const struct handshake *h, const char *name) {
    struct slice value = handshake_get(h, name);
    if (value.p) lua_pushlstring(L, value.p, value.n);
    else lua_pushnil(L);
}

void request_push_ip(lua_State *L, const struct handshake *h) {
    static const struct ip none;
    char text[IP_TEXT_MAX];
    if (memcmp(&h->ip, &none, sizeof none) == 0) lua_pushnil(L);
    else lua_pushstring(L, ip_format(&h->ip, text));
}

void request_push_ips(lua_State *L, const struct handshake *h) {
    struct slice rest = handshake_get(h, ":ips"), hop;
    lua_json_push_list(L, 0);
    if (!rest.p) return;
    for (lua_Integer i = 1; slice_next(&rest, ',', &hop); i++) {
        hop = slice_trim(hop);
        lua_pushlstring(L, hop.p, hop.n);
        lua_rawseti(L, -2, i);
    }
}

void lua_add_header(lua_State *L, struct slice name, struct slice value) {
    const char *between = slice_is(name, "cookie")       ? "; "
                          : slice_is(name, "set-cookie") ? "\n"
                                                         : ", ";
    lua_pushlstring(L, name.p, name.n);
    lua_pushvalue(L, -1);
    bool again = lua_rawget(L, -3) == LUA_TSTRING; /* stack: headers, name, earlier value */
    if (again) lua_pushstring(L, between);
    else lua_pop(L, 1);
    lua_pushlstring(L, value.p, value.n);
    if (again) lua_concat(L, 3);
    lua_rawset(L, -3);
}

static void push_headers(lua_State *L, const struct handshake *h) {
    struct slice name, value;
    lua_newtable(L);
    for (size_t at = 0; handshake_next(h, &at, &name, &value);)
        if (name.n && name.p[0] != ':') lua_add_header(L, name, value);
}

void request_push(lua_State *L, const struct handshake *h) {
    static const char *const texts[][2] = {
        {"path", ":path"}, {"querystring", ":query"}, {"host", ":host"}, {"body", ":body"}};
    lua_createtable(L, 0, 13);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        request_push_text(L, h, texts[i][1]);
        lua_setfield(L, -2, texts[i][0]);
    }
    struct slice method = handshake_get(h, ":method");
    if (!method.p) method = SLICE("GET"); /* not kept for what is opened as usual */
    lua_pushlstring(L, method.p, method.n);
    lua_setfield(L, -2, "method");
    request_push_ip(L, h);
    lua_setfield(L, -2, "ip");
    request_push_ips(L, h);
    lua_setfield(L, -2, "ips");
    push_headers(L, h);
    lua_setfield(L, -2, "headers");
    struct slice auth = handshake_get(h, ":auth");
    if (!auth.p) return;
    lua_json_push(L, auth);
    lua_setfield(L, -2, "auth");
}
