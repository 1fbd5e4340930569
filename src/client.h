/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_H
#define CLIENT_H

#include "net/http_response.h"

/* Asks a running gateway's admin interface (admin.h) and waits for the answer: for the verbs of the
 * command line, which have nothing else to do. */

/* Where the gateway is. Texts are borrowed. */
struct client {
    const char *paths[3]; /* unix sockets, to be tried in this order; NULL behind the last */
    bool own;             /* only a gateway of this user, or of root, will do on them */
    const char *url;      /* "http://127.0.0.1:9100" instead; NULL: none */
    const char *key;      /* for the URL; NULL: none */
};

/* Asks verb with a JSON object. True with the answer, whatever its status, which the caller ends
 * with http_response_fini; false and a line of error when there is none within 35 seconds. */
bool client_ask(const struct client *client, const char *verb, struct slice json,
                struct http_response *answer, struct text *error)
    __attribute__((warn_unused_result));

#endif
