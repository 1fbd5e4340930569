/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_REDIS_H
#define SCRIPT_LIB_REDIS_H

#include <lua.h>

/* moonlatch.redis_wire, for lua/moonlatch/redis.lua only:
 *
 *   prefix                 what stands before the keys of this site
 *   send(who, commands)    sends commands, lists of texts, and waits for all replies: their list,
 * with json.null for none and for errors, and the texts of the errors by their place. nil, code
 * when one cannot be sent or is not answered. who is the function's name for "... may not wait
 * here". */
int lib_redis_open(lua_State *L);

#endif
