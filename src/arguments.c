/* SPDX-License-Identifier: MIT */
#include "arguments.h"

#include "base/mem.h"
#include "config/keys.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum kind { OPTION_TEXT, OPTION_LIST, OPTION_FLAG, OPTION_HELP };

struct option {
    const char *name;
    const char *value; /* what follows it; NULL: nothing */
    enum kind kind;
    unsigned bit;  /* verbs with it in their options have this one */
    size_t offset; /* of its field in struct arguments */
    const char *help;
};

#define FIELD(name) offsetof(struct arguments, name)

static const struct option options[] = {
    {"--conf", "DIR", OPTION_TEXT, TAKES_CONF, FIELD(conf_dir),
     "folder with gateway.lua and sites/*.lua; default conf"},
    {"--scripts", "DIR", OPTION_TEXT, TAKES_SCRIPTS, FIELD(scripts_dir),
     "folder with a folder of scripts for each site; default scripts"},
    {"--listen", "HOST:PORT", OPTION_LIST, TAKES_LISTEN, FIELD(listen),
     "address to listen on, instead of the configured; may be repeated"},
    {"--set", "KEY=VALUE", OPTION_LIST, TAKES_SET, FIELD(set),
     "a key of gateway.lua: --set log.level=debug; may be repeated"},
    {"--dev", NULL, OPTION_FLAG, TAKES_DEV, FIELD(dev), "log everything, at debug"},
    {"--site", "NAME", OPTION_TEXT, TAKES_SITE, FIELD(site),
     "the site; not needed where there is only one"},
    {"--socket", "SID", OPTION_TEXT, TAKES_SOCKET, FIELD(socket), "the socket that it is about"},
    {"--auth", "JSON", OPTION_TEXT, TAKES_AUTH, FIELD(auth),
     "as a client with this auth data, instead of a socket"},
    {"-e", "CODE", OPTION_TEXT, TAKES_CODE, FIELD(code), "run this instead of reading lines"},
    {"--live", NULL, OPTION_FLAG, TAKES_LIVE, FIELD(live),
     "against a real gateway and over real connections"},
    {"--socket-path", "PATH", OPTION_TEXT, TAKES_GATEWAY, FIELD(socket_path),
     "the gateway's admin socket, instead of the one of its conf"},
    {"--url", "URL", OPTION_TEXT, TAKES_GATEWAY, FIELD(url),
     "or its admin address: http://127.0.0.1:9100"},
    {"--key", "KEY", OPTION_TEXT, TAKES_GATEWAY, FIELD(key),
     "and the key to it; default admin.key of the conf"},
    {"--json", NULL, OPTION_FLAG, TAKES_GATEWAY, FIELD(json), "print the answer as it came"},
    {"--help", NULL, OPTION_HELP, ~0u, 0, "this text"},
    {NULL, NULL, OPTION_HELP, 0, 0, NULL},
};

/* ---- help ---- */

static bool takes(const struct verb *verb, const struct option *option) {
    return (verb->options & option->bit) != 0;
}

int arguments_help(const struct verb *verb) {
    printf("usage: moonlatch %s%s%s [OPTION]...\n\n%s\n", verb->name, *verb->usage ? " " : "",
           verb->usage, verb->more);
    for (const struct option *option = options; option->name; option++)
        if (takes(verb, option))
            printf("  %s %-*s %s\n", option->name, 21 - (int)strlen(option->name),
                   option->value ? option->value : "", option->help);
    return EXIT_SUCCESS;
}

int refuse_unknown(const char *what, const char *given, const char *near) {
    fprintf(stderr, "moonlatch: unknown %s '%s'; did you mean '%s'?\n", what, given, near);
    return EXIT_USAGE;
}

static int refuse_option(const struct verb *verb, const char *given) {
    const struct option *near = NULL;
    struct slice name = slice_upto(slice_of(given), strcspn(given, "="));
    for (const struct option *option = options; option->name; option++)
        if (takes(verb, option) && (!near || text_distance(slice_of(option->name), name) <
                                                 text_distance(slice_of(near->name), name)))
            near = option;
    return refuse_unknown("option", given, near->name);
}

static int refuse_words(const struct verb *verb) {
    fprintf(stderr, "usage: moonlatch %s%s%s [OPTION]...; see moonlatch help %s\n", verb->name,
            *verb->usage ? " " : "", verb->usage, verb->name);
    return EXIT_USAGE;
}

/* ---- reading ---- */

/* The option that the argument starts with, and the value behind its "=", if there is one. */
static const struct option *option_find(const struct verb *verb, const char *argument,
                                        const char **value) {
    size_t n = strcspn(argument, "=");
    *value = argument[n] ? argument + n + 1 : NULL;
    for (const struct option *option = options; option->name; option++)
        if (takes(verb, option) && slice_is(slice_make(argument, n), option->name)) return option;
    return NULL;
}

static void append(const char **list, const char *value) {
    while (*list) list++;
    *list = value;
}

static void option_put(struct arguments *a, const struct option *option, const char *value) {
    void *field = (char *)a + option->offset;
    if (option->kind == OPTION_TEXT) *(const char **)field = value;
    if (option->kind == OPTION_LIST) append(*(const char ***)field, value);
    if (option->kind == OPTION_FLAG) *(bool *)field = true;
}

/* -5 is data. */
static bool is_word(const char *argument) {
    return argument[0] != '-' || !argument[1] || isdigit((unsigned char)argument[1]);
}

/* What is wrong with an option's value, said; false when nothing is. */
static bool value_is_wrong(const struct option *option, const char *value, bool attached) {
    if (!option->value && attached) fprintf(stderr, "moonlatch: %s takes no value\n", option->name);
    else if (option->value && !value)
        fprintf(stderr, "moonlatch: %s needs a value: %s\n", option->name, option->value);
    else return false;
    return true;
}

static int run_all(const struct verb *verb, char *const *argv, struct arguments *a) {
    bool words_only = false;
    for (; *argv; argv++) {
        const char *value;
        if (words_only || is_word(*argv)) {
            a->words[a->word_count++] = *argv;
            continue;
        }
        words_only = !strcmp(*argv, "--");
        if (words_only) continue;
        const struct option *option = option_find(verb, *argv, &value);
        if (!option) return refuse_option(verb, *argv);
        if (option->kind == OPTION_HELP) return arguments_help(verb);
        bool attached = value != NULL;
        if (option->value && !attached && argv[1]) value = *++argv;
        if (value_is_wrong(option, value, attached)) return EXIT_USAGE;
        option_put(a, option, value);
    }
    if (a->word_count < verb->least || a->word_count > verb->most) return refuse_words(verb);
    return verb->run(a);
}

int arguments_run(const struct verb *verb, int argc, char *const *argv) {
    struct arguments a = {0};
    const char ***lists[] = {&a.listen, &a.set, &a.words};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        *lists[i] = mem_new(((size_t)argc + 1) * sizeof(char *));
    int status = run_all(verb, argv, &a);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) mem_free(*lists[i]);
    return status;
}

struct config_options arguments_config(const struct arguments *a) {
    return (struct config_options){.conf_dir = a->conf_dir,
                                   .scripts_dir = a->scripts_dir,
                                   .listen = a->listen,
                                   .set = a->set,
                                   .dev = a->dev};
}
