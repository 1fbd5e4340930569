/* SPDX-License-Identifier: MIT */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include "config/config.h"

/* The command line: verbs, each with its words and options, and what was given of them. */

/* The exit status of a command line or a configuration that is wrong. */
enum { EXIT_USAGE = 2 };

/* What a command line says. All texts and lists are borrowed from it; lists end with NULL, texts
 * are NULL where nothing was said. */
struct arguments {
    const char *conf_dir, *scripts_dir;
    const char **listen, **set;
    bool dev;
    const char *site, *socket, *auth, *code;
    const char *socket_path, *url, *key;
    bool json, live;
    const char **words; /* what is no option, in order */
    size_t word_count;
};

/* Options, as bits. */
enum {
    TAKES_CONF = 1 << 0,
    TAKES_SCRIPTS = 1 << 1,
    TAKES_SET = 1 << 2,
    TAKES_LISTEN = 1 << 3,
    TAKES_DEV = 1 << 4,
    TAKES_SITE = 1 << 5,
    TAKES_SOCKET = 1 << 6,
    TAKES_AUTH = 1 << 7,
    TAKES_CODE = 1 << 8,
    TAKES_LIVE = 1 << 9,
    TAKES_GATEWAY = 1 << 10, /* --socket-path, --url, --key, --json */
};

struct verb {
    const char *name;                      /* NULL behind the last of a table */
    int (*run)(const struct arguments *a); /* gives the exit status */
    const char *usage;                     /* its words, "NAME [DATA]" */
    size_t least, most;                    /* how many words */
    unsigned options;
    const char *summary; /* half a line */
    const char *more;    /* what it does, whole lines */
};

/* Reads what stands behind the verb (ends with NULL) and runs it, or prints its help, or says to
 * standard error what is wrong. The exit status. */
int arguments_run(const struct verb *verb, int argc, char *const *argv);

/* Prints a verb's help. */
int arguments_help(const struct verb *verb);

/* Says what may have been meant: "unknown verb 'srve'; did you mean 'serve'?". The exit status. */
int refuse_unknown(const char *what, const char *given, const char *near);

/* What the configuration wants to know. */
struct config_options arguments_config(const struct arguments *a);

#endif
