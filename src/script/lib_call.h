/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_CALL_H
#define SCRIPT_LIB_CALL_H

#include "core/socket.h"

#include <lua.h>

/* Calls a function of the client behind s (NULL: closed) and waits for its answer. From index first
 * on the stack holds the function's name, its arguments (any value; none or nil: no arguments) and
 * options (timeout: seconds). who stands in messages. Results: the answer, or nil and a code, and
 * the client's error when the code is "refused". To be returned from the C function that scripts
 * called. */
int lua_call_client(lua_State *L, struct socket *s, const char *who, int first);

#endif
