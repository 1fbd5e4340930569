/* SPDX-License-Identifier: MIT */
#include "config/socket_path.h"

#include "base/digest.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Appends 8 digits that stand for the folder, whichever way it was named. */
static void add_name(struct text *out, const char *conf_dir) {
    unsigned char digest[32];
    char *whole = realpath(conf_dir, NULL);
    digest_sha256(slice_of(whole ? whole : conf_dir), digest);
    hex_encode(out, slice_make(digest, 4));
    free(whole);
}

static char *take_cstr(struct text *t) {
    char *cstr = slice_cstr(text_slice(t));
    text_fini(t);
    return cstr;
}

char *socket_path_runtime(const char *conf_dir) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct text path = {0};
    if (!runtime || *runtime != '/' || access(runtime, W_OK | X_OK)) return NULL;
    text_format(&path, "%s/moonlatch-", runtime);
    add_name(&path, conf_dir);
    text_str(&path, ".sock");
    return take_cstr(&path);
}

char *socket_path_tmp(const char *conf_dir) {
    struct text path = {0};
    text_format(&path, "/tmp/moonlatch-%u/", (unsigned)geteuid());
    add_name(&path, conf_dir);
    text_str(&path, ".sock");
    return take_cstr(&path);
}

bool socket_folder_make(const char *path, struct text *error) {
    struct stat found;
    const char *slash = strrchr(path, '/');
    char *folder = slice_cstr(slice_make(path, (size_t)(slash - path)));
    const char *wrong = NULL;
    if (mkdir(folder, S_IRWXU) && errno != EEXIST) wrong = strerror(errno);
    else if (lstat(folder, &found)) wrong = strerror(errno);
    else if (!S_ISDIR(found.st_mode)) wrong = "is no folder";
    else if (found.st_uid != geteuid()) wrong = "belongs to somebody else";
    else if (found.st_mode & (S_IRWXG | S_IRWXO)) wrong = "is open to others";
    if (wrong) text_format(error, "%s %s", folder, wrong);
    mem_free(folder);
    return !wrong;
}
