/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_MODULE_H
#define SCRIPT_MODULE_H

#include "script/vm.h"

/* require: see also vm_module, vm_require and vm_load_file of vm.h. Names have segments of letters,
 * digits, _ and -, joined by dots. "moonlatch.x" is a module of the house: registered with
 * vm_module, or the file x.lua of the runtime library. Everything else is a library that the site's
 * conf names, or a file of the site's own folder: "a.b" is a/b.lua. */

/* Pushes the function require for chunks of scripts, or of the runtime library. */
void module_push_require(lua_State *L, bool trusted);

/* Loads a Lua module written in C, from Lua's own search path, for scripts to require. Raises when
 * it is not one of those that are known to be bearable. */
void module_load_library(lua_State *L, const char *name);

#endif
