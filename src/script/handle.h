/* SPDX-License-Identifier: MIT */
#ifndef SCRIPT_HANDLE_H
#define SCRIPT_HANDLE_H

#include "script/vm.h"

#include "core/socket.h"

/* The socket that scripts see: a handle, made when a generation of the script first sees the socket
 * and the same for as long as the socket lives. Once that is over its methods give nil, "closed";
 * sid, auth and the fields that scripts added can still be read. A handle does not keep its socket
 * alive, so handles that scripts keep leak no sockets.
 *
 * It is a userdata with two user values: the decoded auth data, and a table for the fields, made at
 * the first. The registry holds it, by a reference that the handle knows, while its socket lives;
 * the socket holds plain pointers: a list with one handle for each generation that has seen it, the
 * newest first. A new handle takes over the fields of the one before, as far as JSON can hold them.
 */
#define HANDLE_META "moonlatch.socket"
#define HANDLE_AUTH 1   /* user value */
#define HANDLE_FIELDS 2 /* user value */

struct handle {
    struct socket *socket; /* NULL once its memory is gone */
    struct handle *next;   /* of an older generation: private to the socket's list */
    struct vm *vm;         /* whose userdata it is */
    struct buf *auth;      /* a reference: the socket's, when it was last looked at */
    int ref;               /* in the registry */
    bool decoded;          /* HANDLE_AUTH is that of auth */
    char sid[SID_LENGTH + 1];
};

/* Pushes the handle of s. Raises. */
void handle_push(lua_State *L, struct socket *s);

/* Pushes the auth data of s, nil before it has authenticated: one table for each login, the same
 * for all who ask. Raises. */
void handle_push_auth(lua_State *L, struct socket *s);

/* The same of the handle on top of the stack, which stays. */
void handle_push_own_auth(lua_State *L, struct handle *h);

/* The open socket that the handle at index stands for, or NULL when it is closed. Raises when there
 * is no handle. */
struct socket *handle_check(lua_State *L, int index);

/* The memory of s goes: its handles stand for nothing from now on. The hook "forget"; may be called
 * from inside and outside of Lua. */
void handle_forget(struct socket *s);

/* Gives the fields of sockets that only vm has seen, at most max of them, to the current generation
 * of the site, before vm goes. Whether that were all. Never from inside Lua. */
bool handles_hand_over(const struct vm *vm, size_t max);

/* For the metatable: the end of a handle. */
int handle_gc(lua_State *L);

#endif
