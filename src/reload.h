/* SPDX-License-Identifier: MIT */
#ifndef RELOAD_H
#define RELOAD_H

#include "routes.h"

/* Takes in, while the gateway serves, what changed in the files: the scripts of sites, the options
 * in their conf, and sites that are new. What else stands in the conf of a site or of the gateway
 * needs a restart, and the log says so. */
struct reloader {
    const struct config *config; /* that the gateway was started with */
    struct routes *routes;
    /* Opens a site that is new; conf outlives it. False and a line of error when it is wrong. */
    bool (*open)(void *arg, const struct site_conf *conf, struct text *error);
    void *arg;
    struct config **kept; /* later ones, with the confs of sites that came later */
    size_t kept_count;

    /* private: all sites, one after the other */
    struct config *pending; /* what they are reloaded from; NULL: none are */
    size_t known, next;     /* sites that there were; how far it is */
    bool opened;            /* some are new: pending must be kept */
    struct timer turn;
};

/* Reloads the site called name, or all of them when it is empty. Each that is right takes its files
 * in, whatever the others are. Returns how many failed, and appends a line with file, line and
 * reason to errors for each; the log has the same. */
int reload(struct reloader *r, struct slice name, struct text *errors);

/* Reloads all of them, one in each turn of the loop, so that nobody waits longer than for one. Asked
 * again meanwhile it begins anew. */
void reload_soon(struct reloader *r);

/* The process is to end: nothing is reloaded any more. */
void reload_stop(struct reloader *r);

/* Frees what was kept; the sites must be gone. */
void reload_fini(struct reloader *r);

#endif
