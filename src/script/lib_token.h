/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_TOKEN_H
#define SCRIPT_LIB_TOKEN_H

#include <lua.h>

/* token(auth), of moonlatch.core: a login token for this data; waits. nil and a code: "too_large",
 * "unavailable", "limit" (the store is full). */
int lib_core_token(lua_State *L);

#endif
