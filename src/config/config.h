/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/ip.h"
#include "base/log.h"
#include "core/site.h"

/* What the command line says. NULL where it says nothing. */
struct config_options {
    const char *conf_dir;
    const char *scripts_dir;
    const char *const *listen; /* instead of the files' listen; NULL-terminated */
    const char *const *set;    /* "log.level=debug": over gateway.lua; NULL-terminated */
    bool dev;
};

/* The configuration of a process: what conf/gateway.lua, conf/sites/<name>.lua and the command line
 * say, checked and with every default filled in. Made once before anything starts, never changed
 * after. Texts and lists belong to it; lists of texts end with NULL. */
struct config {
    char **listen;            /* "127.0.0.1:8000", "[::]:8000", ":0"; at least one */
    char *store;              /* "memory", "sqlite:PATH", or the URL of a Redis */
    char *http_ca;            /* the same for backends of scripts */
    char *redis_ca;           /* a file of authorities for its TLS; NULL: the system's */
    struct limits limits;     /* the process's, and what a site starts from */
    struct limits most;       /* how far a site may raise them: limits.max */
    bool count_private;       /* limits per address count private addresses too */
    struct cidr *trusted_proxies;
    size_t trusted_count;
    enum log_level log_level;
    bool log_json;
    char *admin;              /* address for metrics_path and the admin interface, like those of
                                 listen; NULL: off */
    char *admin_socket;       /* the admin interface's unix socket: a path, or "auto": the one of
                                 socket_path.h; NULL: off */
    char *admin_key;          /* opens the admin interface at the address; NULL: nothing does */
    char *metrics_path;       /* served at the admin address only; NULL: off */
    char *live_path;          /* served at every address, before any site; NULL: off */
    char *ready_path;
    char *check_path;         /* the same as live_path, where clients of the push service look */
    char *send_path;          /* the push service's route, for all sites; NULL: off */
    char *conf_dir;           /* what was read */
    char *scripts_dir;        /* holds a folder for each site; NULL when there is none */
    char *library_dir;        /* holds moonlatch/ */
    bool dev;                 /* --dev: everything is logged, and changed scripts are reloaded */
    struct config_options options; /* it was made with: the command line's */
    struct site_conf shared;  /* endpoints that lead to the Socket.IO namespaces of all sites */
    struct site_conf *sites;  /* in the order of their names */
    size_t site_count;
};

/* Reads all files. On failure the result is NULL and errors has one line for everything that is
 * wrong, "conf/sites/chat.lua:7: unknown key 'tokn'; did you mean 'token'?". What the options point
 * to is borrowed, and must outlive the result. */
struct config *config_load(const struct config_options *options, struct text *errors)
    __attribute__((warn_unused_result));
void config_free(struct config *config);

/* The same without the sites, for who only wants to know where a gateway is: mistakes in a site's
 * file do not matter. */
struct config *config_load_gateway(const struct config_options *options, struct text *errors)
    __attribute__((warn_unused_result));

/* Appends the configuration as a gateway.lua that gives the same configuration again: every key
 * with its value, and its unit, bounds and help as a comment. Sites stand in its table `sites`. */
void config_print(const struct config *config, struct text *out);

#endif
