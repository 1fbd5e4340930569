/* SPDX-License-Identifier: MIT */
/* `moonlatch test`: becomes busted, with the runtime library in its path, over the specs that stand
 * beside the scripts. moonlatch.spec (lua/moonlatch/spec.lua) reads the environment that is set
 * here. */
#include "base/mem.h"
#include "config/paths.h"
#include "verbs.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int complain(const char *text) {
    fprintf(stderr, "moonlatch: %s\n", text);
    return EXIT_USAGE;
}

/* Sets NAME to the folder's absolute path, so that it holds wherever the spec looks from. */
static void set_folder(const char *name, const char *folder) {
    char *whole = folder ? realpath(folder, NULL) : NULL;
    if (whole) setenv(name, whole, 1);
    free(whole);
}

static bool set_binary(void) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return false;
    path[n] = 0;
    return !setenv("MOONLATCH_LIVE", path, 1);
}

/* Words for busted, ending with NULL. */
struct words {
    const char **list;
    size_t count;
};

static void add(struct words *w, const char *word) {
    w->list = mem_grow(w->list, (w->count + 2) * sizeof *w->list);
    w->list[w->count++] = word;
    w->list[w->count] = NULL;
}

/* The files that were named, or all that there are; found keeps the names. */
static bool add_files(struct words *w, const struct arguments *a, const char *scripts,
                      glob_t *found) {
    for (size_t i = 0; i < a->word_count; i++) add(w, a->words[i]);
    if (a->word_count) return true;
    char *pattern = path_join(scripts, "*/*_spec.lua");
    bool any = !glob(pattern, 0, NULL, found);
    for (size_t i = 0; any && i < found->gl_pathc; i++) add(w, found->gl_pathv[i]);
    mem_free(pattern);
    return any;
}

/* Returns only when busted cannot be run. */
static int become_busted(struct words *w) {
    fflush(stdout);
    execvp("busted", (char *const *)(const void *)w->list);
    if (errno == ENOENT) return complain("busted is not installed: apt-get install lua-busted");
    return complain(strerror(errno));
}

int verb_test(const struct arguments *a) {
    char *conf = path_choose(a->conf_dir, "conf", "etc/moonlatch"), *library = path_library();
    char *scripts = path_choose(a->scripts_dir, "scripts", "share/moonlatch/scripts");
    struct words w = {0};
    struct text path = {0};
    glob_t found = {0};
    int status;
    add(&w, "busted");
    if (!library) {
        status = complain("the runtime library, lua/moonlatch/, is missing");
    } else if (!scripts) {
        status = complain("there is no folder scripts here; use --scripts DIR");
    } else {
        text_format(&path, "--lpath=%s/?.lua%c", library, 0);
        add(&w, "--lua=lua5.4");
        add(&w, text_slice(&path).p);
        add(&w, "--pattern=_spec");
        set_folder("MOONLATCH_CONF", conf);
        set_folder("MOONLATCH_SCRIPTS", scripts);
        if (!add_files(&w, a, scripts, &found))
            status = complain("there are no specs: scripts/NAME/init_spec.lua");
        else if (a->live && !set_binary()) status = complain("/proc/self/exe cannot be read");
        else status = become_busted(&w);
    }
    globfree(&found);
    text_fini(&path);
    mem_free(w.list);
    mem_free(library);
    mem_free(scripts);
    mem_free(conf);
    return status;
}
