/* SPDX-License-Identifier: MIT */
#ifndef STORE_REDIS_EMITTER_H
#define STORE_REDIS_EMITTER_H

#include "core/emission.h"

/* What backends publish with @socket.io/redis-emitter and its forebears (wire/socketio.md section
 * 5); pure.
 *
 *   PREFIX#/NAMESPACE#         [uid, {type, data, nsp}, {rooms, except, flags}] in MessagePack, for
 *   PREFIX#/NAMESPACE#ROOM#    several rooms or everybody, and for one
 *
 * Servers of Socket.IO talk among themselves in the same channels; their uid is another. */

/* Appends the pattern that has a namespace's channels and no other's. */
void redis_emitter_pattern(struct text *out, struct slice prefix, struct slice ns);

/* The room that a channel of the namespace names, empty where it names none. False: the channel is
 * another. */
bool redis_emitter_room(struct slice channel, struct slice prefix, struct slice ns,
                        struct slice *room) __attribute__((warn_unused_result));

/* What came: emission points into the rest, and has the attachments. */
struct redis_emission {
    struct emission emission;
    /* private */
    struct text json, rooms, except, args;
};

/* Whether there is something to be emitted. */
enum redis_emission_verdict {
    REDIS_EMISSION_NONE,    /* no message of an emitter: malformed, or for another namespace */
    REDIS_EMISSION_FOREIGN, /* a server's own, or what an emitter has said already */
    REDIS_EMISSION_GOOD
};

/* Reads a message that came for a namespace and, where its channel names one, a room. The oldest
 * emitters say the same once for each of several rooms: it is good for the first of them. Finish it
 * whatever the verdict. */
enum redis_emission_verdict redis_emission_read(struct redis_emission *r, struct slice payload,
                                                struct slice ns, struct slice room)
    __attribute__((warn_unused_result));
void redis_emission_fini(struct redis_emission *r);

#endif
