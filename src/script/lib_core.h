/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_CORE_H
#define SCRIPT_LIB_CORE_H

#include "script/runtime.h"

/* Pushes the table of functions that lua/moonlatch/runtime.lua is given as its core; what each does
 * stands there. Once for each state. Raises. */
void lib_core_push(lua_State *L, struct runtime *rt);

#endif
