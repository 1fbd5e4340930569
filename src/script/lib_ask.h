/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_ASK_H
#define SCRIPT_LIB_ASK_H

#include <lua.h>

/* What lua/moonlatch/nodes.lua has of other nodes. */

/* ask(who, node, question, seconds) for the core's table: asks the node of this name, or with nil
 * all, and waits. Gives the list of the answers and whether all have answered; or nil and
 * "unavailable". who is the function's name for "... may not wait here". Raises as lua_json_encode
 * does. */
int lib_core_ask(lua_State *L);

#endif
