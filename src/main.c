/* SPDX-License-Identifier: MIT */
#include "arguments.h"
#include "config/keys.h"
#include "server.h"
#include "verbs.h"
#include "version.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* The program: the table of its verbs, and those that serve or look at a configuration. How a
 * command line is read stands in arguments.c, the verbs over a running gateway in verbs.c, those
 * for authors in verb_new.c and verb_test.c.
 *
 * Exit status: 0 when all went well, 1 when it failed while running, 2 when the command line or the
 * configuration is wrong. */

/* ---- serve, check, conf ---- */

/* The configuration, or NULL after its mistakes were printed. */
static struct config *load(const struct arguments *a) {
    struct text errors = {0};
    struct config_options options = arguments_config(a);
    struct config *config = config_load(&options, &errors);
    struct slice lines = text_slice(&errors);
    if (lines.n) fwrite(lines.p, 1, lines.n, stderr);
    text_fini(&errors);
    return config;
}

static int verb_serve(const struct arguments *a) {
    struct config *config = load(a);
    if (!config) return EXIT_USAGE;
    int status = server_run(config);
    config_free(config);
    return status;
}

static int verb_check(const struct arguments *a) {
    struct config *config = load(a);
    if (!config) return EXIT_USAGE;
    int failures = server_check(config, stderr);
    if (!failures)
        printf("%s: %zu site%s, nothing wrong\n", config->conf_dir, config->site_count,
               config->site_count == 1 ? "" : "s");
    config_free(config);
    return failures ? EXIT_USAGE : EXIT_SUCCESS;
}

static int verb_conf(const struct arguments *a) {
    struct config *config = load(a);
    if (!config) return EXIT_USAGE;
    struct text out = {0};
    config_print(config, &out);
    struct slice text = text_slice(&out);
    bool written = fwrite(text.p, 1, text.n, stdout) == text.n && !fflush(stdout);
    text_fini(&out);
    config_free(config);
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- the table ---- */

#define SERVES (TAKES_CONF | TAKES_SCRIPTS | TAKES_LISTEN | TAKES_SET | TAKES_DEV)
#define ASKS (TAKES_CONF | TAKES_SET | TAKES_GATEWAY)

static const struct verb verbs[] = {
    {"serve", verb_serve, "", 0, 0, SERVES, "run the gateway",
     "Runs until SIGTERM or SIGINT, and then until its clients are gone. Prints a line\n"
     "`listening on http://127.0.0.1:8000` for each address once it serves. Logs go to\n"
     "standard error.\n"},
    {"check", verb_check, "", 0, 0, SERVES,
     "look for mistakes in the configuration and the scripts",
     "Prints a line with file, line and reason for each mistake; exit status 2 when\n"
     "there is one.\n"},
    {"conf", verb_conf, "", 0, 0, SERVES, "print the configuration that is in effect",
     "Prints one Lua table with every key, its value, bounds and default. Kept as\n"
     "gateway.lua in a folder of its own, it gives the same configuration again.\n"},
    {"new", verb_new, "NAME", 1, 1, TAKES_CONF | TAKES_SCRIPTS, "write a site to begin with",
     "Writes conf/sites/NAME.lua, scripts/NAME/init.lua and scripts/NAME/init_spec.lua:\n"
     "a login, a call, a rule, a message, and a spec of each. Overwrites nothing.\n"},
    {"test", verb_test, "[FILE]...", 0, SIZE_MAX, TAKES_CONF | TAKES_SCRIPTS | TAKES_LIVE,
     "run the specs of the scripts",
     "Runs scripts/*/*_spec.lua, or the files, with busted and without a gateway: time is\n"
     "virtual, sockets and the store are in memory.\n"},
    {"reload", verb_reload, "[SITE]", 0, 1, ASKS,
     "load conf and scripts anew, without dropping anybody",
     "The new scripts are loaded beside the old ones. When something is wrong with one,\n"
     "says what, and its site goes on as it was.\n"},
    {"rollback", verb_rollback, "SITE", 1, 1, ASKS, "go back to the scripts before the last reload",
     "Its sockets and channels stay, as with reload.\n"},
    {"call", verb_call, "NAME [DATA]", 1, 2, ASKS | TAKES_SITE | TAKES_SOCKET | TAKES_AUTH,
     "call a controller as a client would",
     "DATA is JSON, or else a text. Prints what it answers.\n"},
    {"publish", verb_publish, "CHANNEL DATA", 2, 2, ASKS | TAKES_SITE, "publish a message",
     "To all members of the channel, on all nodes. DATA is JSON, or else a text.\n"},
    {"sockets", verb_sockets, "[CHANNEL]", 0, 1, ASKS | TAKES_SITE,
     "list who is connected, or in a channel",
     "One line for each socket: its sid, its auth data and where it is.\n"},
    {"channels", verb_channels, "", 0, 0, ASKS | TAKES_SITE, "list the channels that have members",
     "One line for each channel.\n"},
    {"stat", verb_stat, "", 0, 0, ASKS | TAKES_SITE, "how the process and its sites are",
     "Memory in bytes, times in seconds.\n"},
    {"explain", verb_explain, "EVENT [CHANNEL] [DATA]", 1, 3,
     ASKS | TAKES_SITE | TAKES_SOCKET | TAKES_AUTH, "say what the rules would decide, and which",
     "EVENT is subscribe, unsubscribe, publish, broadcast or call; with call the name of\n"
     "the controller stands for CHANNEL, and it runs. Else nothing takes effect but what\n"
     "the listeners do themselves.\n"},
    {"console", verb_console, "", 0, 0, ASKS | TAKES_SITE | TAKES_CODE,
     "run Lua in a site of the running gateway",
     "Reads lines from standard input and prints the value of each. A chunk may go over\n"
     "several lines.\n"},
    {NULL, NULL, NULL, 0, 0, 0, NULL, NULL},
};

static const struct verb *verb_find(const char *name) {
    for (const struct verb *verb = verbs; verb->name; verb++)
        if (!strcmp(verb->name, name)) return verb;
    return NULL;
}

static int refuse_verb(const char *given) {
    const struct verb *near = verbs;
    for (const struct verb *verb = verbs; verb->name; verb++)
        if (text_distance(slice_of(verb->name), slice_of(given)) <
            text_distance(slice_of(near->name), slice_of(given)))
            near = verb;
    return refuse_unknown("verb", given, near->name);
}

/* ---- help ---- */

static void print_verbs(FILE *out) {
    fprintf(out, "usage: moonlatch VERB [OPTION]...\n\n");
    for (const struct verb *verb = verbs; verb->name; verb++)
        fprintf(out, "  %-12s %s\n", verb->name, verb->summary);
    fprintf(out, "  %-12s %s\n", "help VERB", "what a verb does, and its options");
    fprintf(out, "  %-12s %s\n", "--version", "print the version");
}

static int run_help(const char *name) {
    if (!name) {
        print_verbs(stdout);
        return EXIT_SUCCESS;
    }
    const struct verb *verb = verb_find(name);
    return verb ? arguments_help(verb) : refuse_verb(name);
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
    return verb ? arguments_run(verb, argc, argv + 2) : refuse_verb(first);
}
