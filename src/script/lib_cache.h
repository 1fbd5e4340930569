/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_CACHE_H
#define SCRIPT_LIB_CACHE_H

#include <lua.h>

/* moonlatch.cache: values of a site's scripts, kept over reloads, on this node; nothing waits.
 *
 *   get(key)                the value, a copy; nil when there is none
 *   set(key, value, ttl)    true, or nil, "too_large"; ttl in seconds, without it as long as there
 * is room add(key, value, ttl)    the same when there was none; else false incr(key, by, ttl) the
 * sum, from 0; nil, "not_a_number". The time of an entry that is there stays delete(key) whether
 * there was one clear() */
int lib_cache_open(lua_State *L);

#endif
