/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_SANDBOX_H
#define SCRIPT_SANDBOX_H

#include "script/vm.h"

/* What a site's scripts can reach: the globals, with dangerous things left out or replaced, and
 * library tables that cannot be changed. All of these functions may raise. */

/* Builds the globals of a new state. */
void sandbox_open(lua_State *L);

/* Replaces the table on top by a read-only view of it: reading goes through, writing raises, pairs
 * walks it, rawset and table.insert refuse it. The table itself must not be given to scripts. */
void sandbox_seal(lua_State *L);

/* Raises when the table at index is sealed: for functions that write raw. */
void sandbox_check_writable(lua_State *L, int index);

/* Gives f(...) as a new sealed table: for libraries. */
void sandbox_library(lua_State *L, const luaL_Reg *functions);

/* Pushes the environment of chunks: of scripts, or of the runtime library. */
void sandbox_push_environment(lua_State *L, bool trusted);

#endif
