/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_HTTP_H
#define SCRIPT_LIB_HTTP_H

#include <lua.h>

/* moonlatch.http_wire, for lua/moonlatch/http.lua only:
 *
 *   send(who, host, port, tls, method, bytes, seconds)   waits for the answer to a request that
 * bytes are: status, headers (a table, names in lower case), body; or nil, code, why timeout
 * http_timeout in seconds */
int lib_http_open(lua_State *L);

#endif
