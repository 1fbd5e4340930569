/* SPDX-License-Identifier: MIT */
#include "config/paths.h"

#include "base/mem.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* Finds the folders of conf files, scripts and the runtime library: those that were named, those
 * of the working directory or the source tree, those of the install. */

#ifndef MOONLATCH_PREFIX
#define MOONLATCH_PREFIX "/usr/local"
#endif

bool path_is_folder(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

bool path_is_file(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

char *path_join(const char *folder, const char *name) {
    struct text path = {0};
    text_str(&path, folder);
    while (path.n > 1 && text_slice(&path).p[path.n - 1] == '/')
        path.n--;
    if (path.n != 1 || *folder != '/') text_char(&path, '/');
    text_str(&path, name);
    char *joined = slice_cstr(text_slice(&path));
    text_fini(&path);
    return joined;
}

/* A copy of path without "/" at its end, or NULL when it is no folder. */
static char *folder_at(const char *path) {
    if (!path_is_folder(path)) return NULL;
    struct slice s = slice_of(path);
    while (s.n > 1 && s.p[s.n - 1] == '/')
        s.n--;
    return slice_cstr(s);
}

char *path_choose(const char *given, const char *name, const char *installed) {
    if (given) return folder_at(given);
    char *found = folder_at(name);
    if (found) return found;
    char *path = path_join(MOONLATCH_PREFIX, installed);
    found = folder_at(path);
    mem_free(path);
    return found;
}

/* The folder when it holds moonlatch/. */
static char *library_at(const char *base, const char *folder) {
    char *path = path_join(base, folder), *inside = path_join(path, "moonlatch");
    bool good = path_is_folder(inside);
    mem_free(inside);
    if (good) return path;
    mem_free(path);
    return NULL;
}

/* The folder of the running program, "" when the system does not tell. */
static void program_folder(char out[PATH_MAX]) {
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = 0;
    char *slash = strrchr(out, '/');
    if (slash) *slash = 0;
}

char *path_library(void) {
    static const char *const beside[] = {"../lua", "../../lua", "../share/moonlatch/lua", NULL};
    char program[PATH_MAX];
    program_folder(program);
    char *found = NULL;
    for (size_t i = 0; beside[i] && !found && *program; i++)
        found = library_at(program, beside[i]);
    if (!found) found = library_at(".", "lua");
    if (!found) found = library_at(MOONLATCH_PREFIX, "share/moonlatch/lua");
    return found;
}
