/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_PUSH_H
#define SCRIPT_LIB_PUSH_H

#include <lua.h>

/* send(rooms, event, args, resync) for the core's table, as lua/moonlatch/push.lua wants it: rooms
 * and args are lists. Waits until the store has the message: true; or nil and "too_large", "limit"
 * or "unavailable". */
int lib_core_send(lua_State *L);

#endif
