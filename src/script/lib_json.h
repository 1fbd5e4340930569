/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_JSON_H
#define SCRIPT_LIB_JSON_H

#include "core/emission.h"

#include <lua.h>

/* moonlatch.json: JSON to Lua values and back, without loss. Integers stay integers, doubles keep
 * their 17 digits and stay doubles, [] stays [], null is json.null (light userdata NULL).
 *
 *   encode(value)        its JSON; raises for what has none
 *   decode(text)         its value; raises "not JSON at byte 7" and the like
 *   bytes(string)        bytes among values: what clients of Socket.IO send and take as such; they
 *                        are tables with the string in their field bytes, and have no JSON
 *   null, empty_array    encoded as null and []
 *   array_mt             the metatable of tables that are [] when empty; decoded ones have it */

/* Pushes the value of raw, JSON that json_check has passed. Raises when there is no memory, and for
 * an integer text that neither a Lua integer nor a double holds exactly ("number out of range"),
 * which json_check lets through. Holds nothing that a raise would leak. */
void lua_json_push(lua_State *L, struct slice raw);

/* The same, with bytes in place of the placeholders {"_placeholder":true,"num":N} that stand for
 * them. bytes may be NULL. */
void lua_json_push_with(lua_State *L, struct slice raw, const struct attachments *bytes);

/* Pushes the items of an array from index on (the first has 0), one by one; returns how many. */
int lua_json_push_items(lua_State *L, struct slice array, int from,
                        const struct attachments *bytes);

/* Pushes a new table for items that is [] in JSON also when it stays empty. */
void lua_json_push_list(lua_State *L, int items);

/* Appends the JSON of the value at index to out, max bytes at most. Calls no metamethod. Raises
 * with the reason for what JSON has no form for: functions and the like, NaN and infinities, tables
 * with mixed keys or holes, strings that are not UTF-8, more than LUA_JSON_DEPTH levels (so cycles
 * too), more than max bytes; and when the watchdog has set its hook on L. out then holds a part of
 * it, and must therefore belong to somebody who outlives the raise: a task, or lua_text_push. */
void lua_json_encode(lua_State *L, int index, struct text *out, size_t max);

/* The same, where bytes may be among the values: they are added to bytes, which somebody else owns
 * too, and a placeholder stands for them. */
void lua_json_encode_with(lua_State *L, int index, struct text *out, size_t max,
                          struct attachments *bytes);

/* Levels of tables that encode takes, and of arrays and objects that decode takes. */
#define LUA_JSON_DEPTH 64

/* Pushes a userdata that owns an empty text and frees it when it is collected: for C functions that
 * fill a text while something may raise. Best kept as an upvalue and used again. */
struct text *lua_text_push(lua_State *L);

/* Pushes what t holds as a string and empties t, giving much memory back at once. */
void lua_text_push_string(lua_State *L, struct text *t);

/* Pushes the table moonlatch.json; once for each state, before anything else of it is used. max:
 * bytes that encode makes and decode takes (limits->script_string). Returns 1. */
int lib_json_open(lua_State *L, size_t max);

#endif
