/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_HISTORY_H
#define SCRIPT_LIB_HISTORY_H

#include <lua.h>

/* history(channel, since, limit) for the core's table: waits for a page of the channel's history,
 * as lua/moonlatch/history.lua wants it. since -1: the newest. nil, "no_history" where the conf has
 * none, "bad_channel", "unavailable". */
int lib_core_history(lua_State *L);

#endif
