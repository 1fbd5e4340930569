/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "config/config.h"
#include "config/keys.h"
#include "server.h"
#include "version.h"

#include <signal.h>
#include <stdlib.h>

/* The program: its verbs and their options. What they do stands in server.c and config.c.
 *
 * Exit status: 0 when all went well, 1 when it failed while running, 2 when the command line or the
 * configuration is wrong. */

enum { EXIT_USAGE = 2 };

/* The command line after its verb. The lists are of arguments, not copies. */
struct arguments {
    struct config_options options;
    const char **listen, **set;
};

/* ---- verbs ---- */

/* The configuration, or NULL after its mistakes were printed. */
static struct config *load(const struct config_options *options) {
    struct text errors = {0};
    struct config *config = config_load(options, &errors);
    struct slice lines = text_slice(&errors);
    if (lines.n) fwrite(lines.p, 1, lines.n, stderr);
    text_fini(&errors);
    return config;
}

static int run_serve(const struct config_options *options) {
    struct config *config = load(options);
    if (!config) return EXIT_USAGE;
    int status = server_run(config);
    config_free(config);
    return status;
}

static int run_check(const struct config_options *options) {
    struct config *config = load(options);
    if (!config) return EXIT_USAGE;
    int failures = server_check(config, stderr);
    if (!failures)
        printf("%s: %zu site%s, nothing wrong\n", config->conf_dir, config->site_count,
               config->site_count == 1 ? "" : "s");
    config_free(config);
    return failures ? EXIT_USAGE : EXIT_SUCCESS;
}

static int run_conf(const struct config_options *options) {
    struct config *config = load(options);
    if (!config) return EXIT_USAGE;
    struct text out = {0};
    config_print(config, &out);
    struct slice text = text_slice(&out);
    bool written = fwrite(text.p, 1, text.n, stdout) == text.n && !fflush(stdout);
    text_fini(&out);
    config_free(config);
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}

struct verb {
    const char *name;
    int (*run)(const struct config_options *options);
    const char *summary;
    const char *more;
};

static const struct verb verbs[] = {
    {"serve", run_serve, "run the gateway",
     "Runs until SIGTERM or SIGINT, and then until its clients are gone. Prints a line\n"
     "`listening on http://127.0.0.1:8000` for each address once it serves. Logs go to\n"
     "standard error.\n"},
    {"check", run_check, "look for mistakes in the configuration and the scripts",
     "Prints a line with file, line and reason for each mistake; exit status 2 when\n"
     "there is one.\n"},
    {"conf", run_conf, "print the configuration that is in effect",
     "Prints one Lua table with every key, its value, bounds and default. Kept as\n"
     "gateway.lua in a folder of its own, it gives the same configuration again.\n"},
    {NULL, NULL, NULL, NULL},
};

/* ---- options, the same for all verbs ---- */

struct option {
    const char *name;
    const char *value; /* what follows it; NULL: nothing */
    const char *help;
};

static const struct option options[] = {
    {"--conf", "DIR", "folder with gateway.lua and sites/*.lua; default conf"},
    {"--scripts", "DIR", "folder with a folder of scripts for each site; default scripts"},
    {"--listen", "HOST:PORT", "address to listen on, instead of the configured; may be repeated"},
    {"--set", "KEY=VALUE", "a key of gateway.lua: --set log.level=debug; may be repeated"},
    {"--dev", NULL, "log everything, at debug"},
    {"--help", NULL, "this text"},
    {NULL, NULL, NULL},
};

static void print_verbs(FILE *out) {
    fprintf(out, "usage: moonlatch VERB [OPTION]...\n\n");
    for (const struct verb *verb = verbs; verb->name; verb++)
        fprintf(out, "  %-12s %s\n", verb->name, verb->summary);
    fprintf(out, "  %-12s %s\n", "help VERB", "what a verb does, and its options");
    fprintf(out, "  %-12s %s\n", "--version", "print the version");
}

static int print_help(const struct verb *verb) {
    printf("usage: moonlatch %s [OPTION]...\n\n%s\n", verb->name, verb->more);
    for (const struct option *option = options; option->name; option++)
        printf("  %s %-*s %s\n", option->name, 21 - (int)strlen(option->name),
               option->value ? option->value : "", option->help);
    return EXIT_SUCCESS;
}

static int refuse(const char *what, const char *given, const char *near) {
    fprintf(stderr, "moonlatch: unknown %s '%s'; did you mean '%s'?\n", what, given, near);
    return EXIT_USAGE;
}

static int refuse_verb(const char *given) {
    const struct verb *near = verbs;
    for (const struct verb *verb = verbs; verb->name; verb++)
        if (text_distance(slice_of(verb->name), slice_of(given)) <
            text_distance(slice_of(near->name), slice_of(given)))
            near = verb;
    return refuse("verb", given, near->name);
}

static int refuse_option(const char *given) {
    const struct option *near = options;
    for (const struct option *option = options; option->name; option++)
        if (text_distance(slice_of(option->name), slice_of(given)) <
            text_distance(slice_of(near->name), slice_of(given)))
            near = option;
    return refuse("option", given, near->name);
}

/* The option that argument starts with, and the value behind its "=", if there is one. */
static const struct option *option_find(const char *argument, const char **value) {
    size_t n = strcspn(argument, "=");
    *value = argument[n] ? argument + n + 1 : NULL;
    for (const struct option *option = options; option->name; option++)
        if (slice_is(slice_make(argument, n), option->name)) return option;
    return NULL;
}

static void append(const char **list, const char *value) {
    while (*list)
        list++;
    *list = value;
}

static void option_put(struct arguments *a, const char *name, const char *value) {
    if (!strcmp(name, "--conf")) a->options.conf_dir = value;
    if (!strcmp(name, "--scripts")) a->options.scripts_dir = value;
    if (!strcmp(name, "--listen")) append(a->listen, value);
    if (!strcmp(name, "--set")) append(a->set, value);
    if (!strcmp(name, "--dev")) a->options.dev = true;
}

/* Takes the arguments behind the verb; they end with NULL. */
static int run_arguments(const struct verb *verb, char *const *argv, struct arguments *a) {
    for (; *argv; argv++) {
        const char *value;
        const struct option *option = option_find(*argv, &value);
        if (!option) return refuse_option(*argv);
        if (!strcmp(option->name, "--help")) return print_help(verb);
        if (!option->value && value) {
            fprintf(stderr, "moonlatch: %s takes no value\n", option->name);
            return EXIT_USAGE;
        }
        if (option->value && !value) value = *++argv;
        if (option->value && !value) {
            fprintf(stderr, "moonlatch: %s needs a value: %s\n", option->name, option->value);
            return EXIT_USAGE;
        }
        option_put(a, option->name, value);
    }
    return verb->run(&a->options);
}

static int run_verb(const struct verb *verb, int argc, char *const *argv) {
    struct arguments a = {0};
    a.listen = mem_new(((size_t)argc + 1) * sizeof *a.listen);
    a.set = mem_new(((size_t)argc + 1) * sizeof *a.set);
    a.options.listen = a.listen;
    a.options.set = a.set;
    int status = run_arguments(verb, argv, &a);
    mem_free(a.listen);
    mem_free(a.set);
    return status;
}

static const struct verb *verb_find(const char *name) {
    for (const struct verb *verb = verbs; verb->name; verb++)
        if (!strcmp(verb->name, name)) return verb;
    return NULL;
}

static int run_help(const char *name) {
    if (!name) {
        print_verbs(stdout);
        return EXIT_SUCCESS;
    }
    const struct verb *verb = verb_find(name);
    return verb ? print_help(verb) : refuse_verb(name);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* writing to a closed connection is an error like any other */
    if (argc < 2) {
        print_verbs(stderr);
        return EXIT_USAGE;
    }
    const char *first = argv[1];
    if (!strcmp(first, "--version")) {
        printf("moonlatch %s\n", MOONLATCH_VERSION);
        return EXIT_SUCCESS;
    }
    if (!strcmp(first, "--help") || !strcmp(first, "-h") || !strcmp(first, "help"))
        return run_help(argv[2]);
    const struct verb *verb = verb_find(first);
    return verb ? run_verb(verb, argc, argv + 2) : refuse_verb(first);
}
