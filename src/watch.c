/* SPDX-License-Identifier: MIT */
/* inotify, by way of libuv, watches folders and not files: an editor that saves by writing a new
 * file and renaming it is seen too. A folder that appears is watched from then on. */
#include "watch.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <uv.h>

#define SETTLE_MS 10 /* an editor's several steps of saving */
#define DEPTH_MAX 8  /* folders within folders */

struct folder {
    uv_fs_event_t event;
    struct list link; /* in watcher->folders */
    struct watcher *watcher;
    char *path;
    const struct folder *of; /* the folder of a site that it is in, or is; NULL: none */
    int depth;
    bool changed;
};

struct watcher {
    struct loop *loop;
    struct log *log;
    void (*changed)(void *arg, const char *folder);
    void *arg;
    struct list folders; /* struct folder; a site's own before those in it */
    struct timer settle;
};

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static struct folder *folder_find(const struct watcher *w, const char *path) {
    LIST_EACH(&w->folders, link) {
        struct folder *f = container_of(link, struct folder, link);
        if (strcmp(f->path, path) == 0) return f;
    }
    return NULL;
}

/* ---- changes ---- */

static void tell(struct watcher *w, const struct folder *of) {
    LIST_EACH(&w->folders, link) {
        struct folder *f = container_of(link, struct folder, link);
        if (f->of == of) f->changed = false;
    }
    w->changed(w->arg, of ? of->path : NULL);
}

static void on_settled(struct timer *t) {
    struct watcher *w = container_of(t, struct watcher, settle);
    LIST_EACH(&w->folders, link) {
        const struct folder *f = container_of(link, struct folder, link);
        if (f->changed) tell(w, f->of);
    }
}

static void add_children(struct folder *f, const char *appeared);

/* Editors' own files and specs change nothing. */
static bool is_script(struct slice name) {
    return name.p[0] != '.' && slice_ends(name, SLICE(".lua")) &&
           !slice_ends(name, SLICE("_spec.lua"));
}

static void on_event(uv_fs_event_t *event, const char *name, int events, int status) {
    struct folder *f = event->data;
    (void)events;
    if (status || !name) return;
    add_children(f, name);
    if (!is_script(slice_of(name))) return;
    f->changed = true;
    timer_start(f->watcher->loop, &f->watcher->settle, SETTLE_MS);
}

/* ---- folders ---- */

static void folder_watch(struct folder *f) {
    uv_fs_event_stop(&f->event);
    int status = uv_fs_event_start(&f->event, on_event, f->path, 0);
    if (status)
        LOG(f->watcher->log, LOG_WARN, "changes are not seen", log_c("folder", f->path),
            log_c("reason", uv_strerror(status)));
}

/* in: the folder that holds it; NULL: it is a root, of which only depth folders below count. */
static void folder_add(struct watcher *w, const char *path, struct folder *in, int depth) {
    struct folder *f = mem_new(sizeof *f);
    f->watcher = w;
    f->path = slice_cstr(slice_of(path));
    f->of = !in ? NULL : in->of ? in->of : f;
    f->depth = depth;
    f->event.data = f;
    list_push(&w->folders, &f->link);
    uv_fs_event_init(loop_uv(w->loop), &f->event);
    folder_watch(f);
    add_children(f, NULL);
}

static void child_add(struct folder *f, const char *name, bool appeared) {
    struct text path = {0};
    text_format(&path, "%s/%s%c", f->path, name, 0);
    const char *child = text_slice(&path).p;
    struct folder *known = folder_find(f->watcher, child);
    if (!known && is_folder(child)) folder_add(f->watcher, child, f, f->depth - 1);
    if (known && appeared) folder_watch(known); /* another of this name */
    text_fini(&path);
}

/* All within it that are not watched yet. */
static void add_children(struct folder *f, const char *appeared) {
    struct dirent **names;
    int n = f->depth ? scandir(f->path, &names, NULL, alphasort) : 0;
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        if (name[0] != '.') child_add(f, name, appeared && strcmp(name, appeared) == 0);
        free(names[i]);
    }
    if (n > 0) free(names);
}

struct watcher *watcher_open(struct loop *loop, struct log *log, const struct config *config,
                             void (*changed)(void *arg, const char *folder), void *arg) {
    struct watcher *w = mem_new(sizeof *w);
    struct text sites = {0};
    *w = (struct watcher){.loop = loop, .log = log, .changed = changed, .arg = arg};
    w->settle.fired = on_settled;
    list_init(&w->folders);
    text_format(&sites, "%s/sites%c", config->conf_dir, 0);
    folder_add(w, config->conf_dir, NULL, 0);
    if (is_folder(text_slice(&sites).p)) folder_add(w, text_slice(&sites).p, NULL, 0);
    if (config->scripts_dir) folder_add(w, config->scripts_dir, NULL, DEPTH_MAX);
    text_fini(&sites);
    return w;
}

static void on_closed(uv_handle_t *handle) {
    struct folder *f = handle->data;
    mem_free(f->path);
    mem_free(f);
}

void watcher_close(struct watcher *w) {
    if (!w) return;
    timer_stop(w->loop, &w->settle);
    for (struct list *link; (link = list_pop(&w->folders));)
        uv_close((uv_handle_t *)&container_of(link, struct folder, link)->event, on_closed);
    mem_free(w);
}
