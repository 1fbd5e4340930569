/* SPDX-License-Identifier: MIT */
/* `moonlatch new NAME`: a site to begin with, from the templates beside the runtime library. NAME
 * in them stands for the site's name; their licence line is not the author's. Nothing is
 * overwritten: if one of the files is there, none is written. */
#include "base/mem.h"
#include "config/checks.h"
#include "config/paths.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPLATE_MAX 65536

/* A file to be: where it comes from, where it goes, and what is in it. */
struct page {
    const char *template; /* below moonlatch/template/ */
    struct text path;     /* ends with NUL */
    struct text content;
};

enum { CONF, SCRIPT, SPEC, PAGES };

static int complain(const char *path, const char *reason) {
    fprintf(stderr, "moonlatch: %s: %s\n", path, reason);
    return EXIT_FAILURE;
}

/* ---- templates ---- */

static void fill_in(struct text *out, struct slice from, const char *name) {
    static const struct slice mark = {"NAME", 4};
    static const struct slice licence = {"-- SPDX", 7};
    if (slice_starts(from, licence)) from = slice_from(from, slice_find(from, '\n') + 1);
    while (from.n) {
        bool marked = slice_starts(from, mark);
        if (marked) text_str(out, name);
        else text_char(out, from.p[0]);
        from = slice_from(from, marked ? mark.n : 1);
    }
}

static bool page_read(struct page *page, const char *folder, const char *name) {
    char *path = path_join(folder, page->template), *room = mem_new(TEMPLATE_MAX);
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(room, 1, TEMPLATE_MAX, file) : 0;
    bool good = file && !ferror(file);
    if (file) fclose(file);
    if (good) fill_in(&page->content, slice_make(room, n), name);
    else complain(path, "cannot be read");
    mem_free(room);
    mem_free(path);
    return good;
}

static bool pages_read(struct page *pages, const char *name) {
    char *library = path_library();
    if (!library) {
        complain("lua/moonlatch", "the runtime library is missing");
        return false;
    }
    char *folder = path_join(library, "moonlatch/template");
    bool good = true;
    for (int i = 0; good && i < PAGES; i++) good = page_read(&pages[i], folder, name);
    mem_free(folder);
    mem_free(library);
    return good;
}

/* ---- files ---- */

/* Makes the folders that the file is to be in. */
static bool folders_make(const char *path) {
    struct text folder = {0};
    bool good = true;
    for (const char *at = path; good && (at = strchr(at + 1, '/'));) {
        text_clear(&folder);
        text_add(&folder, slice_make(path, (size_t)(at - path)));
        text_char(&folder, 0);
        good = !mkdir(text_slice(&folder).p, 0777) || errno == EEXIST;
    }
    text_fini(&folder);
    return good;
}

static bool page_write(const struct page *page) {
    const char *path = text_slice(&page->path).p;
    int fd = folders_make(path) ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666) : -1;
    struct slice all = text_slice(&page->content);
    bool good = fd >= 0 && write(fd, all.p, all.n) == (ssize_t)all.n;
    if (!good) complain(path, strerror(errno));
    if (fd >= 0 && close(fd)) good = false;
    if (good) printf("wrote %s\n", path);
    return good;
}

static bool pages_are_new(const struct page *pages) {
    bool all = true;
    for (int i = 0; i < PAGES; i++) {
        struct stat found;
        const char *path = text_slice(&pages[i].path).p;
        if (lstat(path, &found)) continue;
        complain(path, "is there already; nothing was written");
        all = false;
    }
    return all;
}

/* What to type next, with the folders that were given. */
static void print_steps(const struct arguments *a) {
    static const char *const verbs[] = {"check", "test", "serve --dev"};
    printf("\nnow:\n");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        printf("  moonlatch %s", verbs[i]);
        if (a->conf_dir) printf(" --conf %s", a->conf_dir);
        if (a->scripts_dir) printf(" --scripts %s", a->scripts_dir);
        putchar('\n');
    }
}

int verb_new(const struct arguments *a) {
    const char *name = a->words[0], *conf = a->conf_dir ? a->conf_dir : "conf";
    const char *scripts = a->scripts_dir ? a->scripts_dir : "scripts";
    struct page pages[PAGES] = {
        {.template = "site.lua"}, {.template = "init.lua"}, {.template = "init_spec.lua"}};
    char *checked = slice_cstr(slice_of(name));
    const char *must = check_name(checked);
    mem_free(checked);
    if (must) {
        fprintf(stderr, "moonlatch: '%s' %s\n", name, must);
        return EXIT_USAGE;
    }
    text_format(&pages[CONF].path, "%s/sites/%s.lua%c", conf, name, 0);
    text_format(&pages[SCRIPT].path, "%s/%s/init.lua%c", scripts, name, 0);
    text_format(&pages[SPEC].path, "%s/%s/init_spec.lua%c", scripts, name, 0);
    bool good = pages_are_new(pages) && pages_read(pages, name);
    for (int i = 0; i < PAGES; i++) {
        good = good && page_write(&pages[i]);
        text_fini(&pages[i].path);
        text_fini(&pages[i].content);
    }
    if (good) print_steps(a);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
