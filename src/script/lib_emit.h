/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_EMIT_H
#define SCRIPT_LIB_EMIT_H

#include "script/runtime.h"

/* Events to clients that know them (Socket.IO). */

/* Makes what the functions below collect bytes in; once for each state. */
void lib_emit_open(lua_State *L, struct runtime *rt);

/* socket:emit(name, ...): true, or nil and "closed", "too_large" or "unavailable": its dialect
 * knows no events. */
int lua_socket_emit(lua_State *L);

/* emit(rooms, except, volatile, name, ...) of the core: rooms and except are lists of channels and
 * sids; no rooms: all sockets. True, or nil and "too_large", "limit" or "unavailable". */
int lib_core_emit(lua_State *L);

#endif
