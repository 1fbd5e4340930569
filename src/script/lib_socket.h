/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_SOCKET_H
#define SCRIPT_LIB_SOCKET_H

#include "script/handle.h"

/* The methods and fields of sockets (handle.h), and what many functions for scripts need. */

/* Prepares the state; once, before handles are made. Raises. */
void lib_socket_open(lua_State *L);

/* Raises unless there is a text at index; gives its bytes. */
struct slice lua_check_slice(lua_State *L, int index);

/* Pushes nil and a code: the result of what failed and may be expected to. Returns 2. */
int lua_push_failure(lua_State *L, const char *code);

#endif
