/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_REQUEST_H
#define SCRIPT_LIB_REQUEST_H

#include "core/handshake.h"

#include <lua.h>

/* Pushes a table of the request: method, path, querystring (absent without one), host, ip, ips,
 * headers (by lower-case names; several of one name are joined), body (absent without one). The
 * query and the cookies are read in lua/moonlatch/request.lua. Raises. */
void request_push(lua_State *L, const struct handshake *h);

/* Pushes the address as a text, nil when there is none. */
void request_push_ip(lua_State *L, const struct handshake *h);

/* Pushes the list of the addresses that X-Forwarded-For names, the client's first; empty unless a
 * trusted proxy gave it. */
void request_push_ips(lua_State *L, const struct handshake *h);

/* Pushes one text of the request, nil when there is none: ":host". */
void request_push_text(lua_State *L, const struct handshake *h, const char *name);

/* stack: headers -> headers. Adds one to the table; several of one name are one text, as RFC 9110
 * section 5.3 has it, but for cookies: those that are set stand in lines. */
void lua_add_header(lua_State *L, struct slice name, struct slice value);

#endif
