/* SPDX-License-Identifier: MIT */
#ifndef CORE_USER_H
#define CORE_USER_H

#include "core/socket.h"

/* Who a socket belongs to, where the site's conf says which member of the auth data tells: so many
 * sockets a user may have (max_connections_per_user), and the next one is refused. */

/* Counts the socket for the user of its auth data. False when that would be one too many; true also
 * when the site does not tell users apart or the data names none. Once for each socket. */
bool user_enter(struct socket *s);

/* The socket is over; does nothing when it was not counted. */
void user_leave(struct socket *s);

#endif
