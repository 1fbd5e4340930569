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

/* Raises when the table at index (positive) is sealed: for functions that write raw. */
void sandbox_check_writable(lua_State *L, int index);

/* Where the value at index (positive) is sealed, puts the real table there: for functions that read
 * raw and do not let go of it. */
void sandbox_read_through(lua_State *L, int index);

/* Pushes a table of the functions. */
void sandbox_library(lua_State *L, const luaL_Reg *functions);

/* Replaces the table on top by one with only the fields of these names (the last is NULL). */
void sandbox_pick(lua_State *L, const char *const *names);

/* Pushes the environment of chunks: of scripts, or of the runtime library. */
void sandbox_push_environment(lua_State *L, bool trusted);

#endif
