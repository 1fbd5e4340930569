/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_SERVER_H
#define SCRIPT_LIB_SERVER_H

#include <lua.h>

/* Pushes the object that site.setup(server) gets, without the functions for listeners, which the
 * runtime library adds. Raises. */
void lib_server_push(lua_State *L);

#endif
