/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_SOCKET_H
#define SCRIPT_LIB_SOCKET_H

#include "core/socket.h"

#include <lua.h>

/* The socket that scripts see: a handle, made when a script first sees the socket and the same for
 * as long as the socket lives. Once that is over its methods give nil, "closed"; sid and auth can
 * still be read. A handle does not keep its socket alive, so handles that scripts keep leak no
 * sockets. */

/* Prepares the state; once, before the others. Raises. */
void lib_socket_open(lua_State *L);

/* Pushes the handle of s. Raises. */
void handle_push(lua_State *L, struct socket *s);

/* Pushes the auth data of s, nil before it has authenticated: one table for each login, the same
 * for all who ask. Raises. */
void handle_push_auth(lua_State *L, struct socket *s);

/* The open socket that the handle at index stands for, or NULL when it is closed. Raises when there
 * is no handle. */
struct socket *handle_check(lua_State *L, int index);

/* The memory of s goes: its handle stands for nothing from now on. The hook "forget"; may be called
 * from inside and outside of Lua. */
void handle_forget(struct socket *s);

/* Raises unless there is a text at index; gives its bytes. */
struct slice lua_check_slice(lua_State *L, int index);

/* Pushes nil and a code: the result of what failed and may be expected to. Returns 2. */
int lua_push_failure(lua_State *L, const char *code);

#endif
