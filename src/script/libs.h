/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIBS_H
#define SCRIPT_LIBS_H

#include <lua.h>

/* The libraries of the sandbox. Each function pushes its table and returns 1; where the standard
 * library has one of the same name, it is that one with the dangerous functions replaced. */

int lib_base_open(lua_State *L);      /* the globals that are functions, but for require */
int lib_string_open(lua_State *L);    /* also the methods of strings */
int lib_table_open(lua_State *L);
int lib_coroutine_open(lua_State *L);
int lib_log_open(lua_State *L);       /* moonlatch.log */
int lib_time_open(lua_State *L);      /* moonlatch.time */

/* print(...): a line of the log. */
int lib_log_print(lua_State *L);

#endif
