/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_CHECKS_H
#define CONFIG_CHECKS_H

/* What texts must look like: NULL, or "must be ...". They may write into the text, which never gets
 * longer: names without case become lower case, a path loses the "/" at its end. */
const char *check_path(char *text);      /* "/", "/chat" */
const char *check_address(char *text);   /* to listen on: "127.0.0.1:8000", "[::1]:0", "unix:/path" */
const char *check_socket(char *text);    /* "auto", or the path of a unix socket */
const char *check_host(char *text);      /* of a Host header, without its port */
const char *check_origin(char *text);    /* "https://chat.example.com", or "*" */
const char *check_name(char *text);      /* of a site */
const char *check_folder(char *text);    /* "public", "public/www" */
const char *check_library(char *text);
const char *check_store(char *text);
const char *check_transport(char *text);
const char *check_dialect(char *text);
const char *check_namespace(char *text);
const char *check_url(char *text);       /* of a script, for a page of ours */
const char *check_backend(char *text);   /* the URL of one: "https://example.com/auth" */
const char *check_scheme(char *text);    /* of an Authorization header */
const char *check_room(char *text);      /* a channel's name, or how it begins */
const char *check_protocols(char *text); /* subprotocols, "a, b" */

#endif
