/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_LIB_TIMER_H
#define SCRIPT_LIB_TIMER_H

#include "script/runtime.h"

/* server:delay and server:every: a function that runs as a task when its time has come. */

/* Prepares the state; once. Raises. */
void lib_timer_open(lua_State *L);

/* delay(server, seconds, f), every(server, seconds, f): push a handle with :cancel(). Raise when
 * the site has script_timers of them. */
int lib_timer_delay(lua_State *L);
int lib_timer_every(lua_State *L);

/* Stops all, before the state goes. */
void tickers_stop(struct runtime *rt);

/* Those of every stand still from now on, while another generation is the current one, or tick
 * again. */
void tickers_pause(struct runtime *rt);
void tickers_go_on(struct runtime *rt);

#endif
