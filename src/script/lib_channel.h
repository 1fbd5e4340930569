/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_CHANNEL_H
#define SCRIPT_LIB_CHANNEL_H

#include "core/socket.h"

#include <lauxlib.h>

/* Channels, as scripts use them: what socket: and server: have in common, and the functions of
 * server that are about channels. All may raise; the functions that return int return a number of
 * results. */

/* Subscribes s (NULL: closed); the client is told when the subscription is live. */
int lua_channel_subscribe(lua_State *L, struct socket *s, struct slice channel);
int lua_channel_unsubscribe(lua_State *L, struct socket *s, struct slice channel);

/* Pushes the list of the channels of s. */
void lua_push_channels_of(lua_State *L, const struct socket *s);

/* publish, broadcast, subscribe, unsubscribe, unsubscribeAll, channels, channelSockets, sockets. */
extern const luaL_Reg lib_channel_functions[];

#endif
