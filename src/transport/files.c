/* SPDX-License-Identifier: MIT */
/* A fixed table of small files for a site's own page and its scripts; not a file server. The folder
 * is walked through descriptors, without following links, so what is read lies in it. The bodies
 * are shared with the connections that send them. */
#include "transport/files.h"

#include "base/digest.h"
#include "base/map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 256
#define FILE_BYTES_MAX ((size_t)4 << 20)
#define ALL_BYTES_MAX ((size_t)16 << 20)
#define DEPTH_MAX 8
#define ETAG_SIZE (2 + 32) /* quotes around half a SHA-256 in hexadecimal */

struct file {
    struct map_link link; /* its path, "/app.js" */
    struct buf *body;
    const char *type;
    char etag[ETAG_SIZE];
};

struct files {
    struct map table;
    size_t bytes;
};

/* ---- reading the folder ---- */

static const char *type_of(struct slice path) {
    static const struct {
        const char *suffix, *type;
    } types[] = {
        {".html", "text/html; charset=UTF-8"},
        {".js", "text/javascript; charset=UTF-8"},
        {".mjs", "text/javascript; charset=UTF-8"},
        {".css", "text/css; charset=UTF-8"},
        {".json", "application/json; charset=UTF-8"},
        {".map", "application/json; charset=UTF-8"},
        {".txt", "text/plain; charset=UTF-8"},
        {".md", "text/plain; charset=UTF-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
        {".wasm", "application/wasm"},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (slice_ends(path, slice_of(types[i].suffix))) return types[i].type;
    return "application/octet-stream";
}

static void etag_write(char out[ETAG_SIZE], const struct buf *body) {
    unsigned char digest[32];
    struct text t = {0};
    digest_sha256(buf_slice(body), digest);
    text_char(&t, '"');
    hex_encode(&t, slice_make(digest, 16));
    text_char(&t, '"');
    memcpy(out, text_slice(&t).p, ETAG_SIZE);
    text_fini(&t);
}

static void file_add(struct files *f, struct slice path, struct buf *body) {
    struct file *file = mem_new(sizeof *file);
    file->body = body;
    file->type = type_of(path);
    etag_write(file->etag, body);
    f->bytes += body->n;
    map_add(&f->table, &file->link, slice_make(slice_cstr(path), path.n));
}

/* All of fd, which has n bytes; NULL when it has not. */
static struct buf *bytes_read(int fd, size_t n) {
    struct buf *body = buf_new(n);
    for (size_t got = 0; got < n;) {
        ssize_t more = read(fd, body->data + got, n - got);
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) {
            buf_unref(body);
            return NULL;
        }
        got += (size_t)more;
    }
    return body;
}

static bool complain(struct text *error, const char *path, const char *what) {
    text_format(error, "%s: %s", path, what);
    return false;
}

static bool file_read(struct files *f, int fd, size_t size, const char *path, struct text *error) {
    if (size > FILE_BYTES_MAX) return complain(error, path, "larger than 4 MiB");
    if (size > ALL_BYTES_MAX - f->bytes) return complain(error, path, "more than 16 MiB of files");
    if (f->table.count == FILES_MAX) return complain(error, path, "more than 256 files");
    struct buf *body = bytes_read(fd, size);
    if (!body) return complain(error, path, "cannot be read");
    file_add(f, slice_of(path), body);
    return true;
}

static bool folder_read(struct files *f, int fd, const char *path, int depth, struct text *error);

/* Takes fd over. Passes over what is neither a file nor a folder. */
static bool entry_read(struct files *f, int fd, const char *path, int depth, struct text *error) {
    struct stat st;
    if (fstat(fd, &st)) st.st_mode = 0;
    if (S_ISDIR(st.st_mode)) return folder_read(f, fd, path, depth + 1, error);
    bool good = !S_ISREG(st.st_mode) || file_read(f, fd, (size_t)st.st_size, path, error);
    close(fd);
    return good;
}

/* Takes fd over. */
static bool folder_read(struct files *f, int fd, const char *path, int depth, struct text *error) {
    DIR *dir = depth <= DEPTH_MAX ? fdopendir(fd) : NULL;
    if (!dir) {
        close(fd);
        return complain(error, path, depth > DEPTH_MAX ? "too deep" : strerror(errno));
    }
    bool good = true;
    for (struct dirent *entry; good && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        int entry_fd = openat(dirfd(dir), entry->d_name, flags);
        if (entry_fd < 0 && errno == ELOOP) continue; /* a symbolic link */
        struct text below = {0};
        text_format(&below, "%s/%s", path, entry->d_name);
        text_char(&below, 0);
        const char *name = text_slice(&below).p;
        good = entry_fd < 0 ? complain(error, name, strerror(errno))
                            : entry_read(f, entry_fd, name, depth, error);
        text_fini(&below);
    }
    closedir(dir);
    return good;
}

struct files *files_open(const char *dir, struct text *error) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        complain(error, dir, strerror(errno));
        return NULL;
    }
    struct files *f = mem_new(sizeof *f);
    if (folder_read(f, fd, "", 0, error)) return f;
    files_close(f);
    return NULL;
}

void files_close(struct files *f) {
    if (!f) return;
    for (struct map_link *link = map_next(&f->table, NULL), *next; link; link = next) {
        next = map_next(&f->table, link);
        map_remove(&f->table, link);
        struct file *file = container_of(link, struct file, link);
        mem_free((char *)(uintptr_t)link->key.p);
        buf_unref(file->body);
        mem_free(file);
    }
    map_fini(&f->table);
    mem_free(f);
}

/* ---- answering ---- */

static struct file *file_find(const struct files *f, struct slice path) {
    if (!path.n || slice_is(path, "/")) path = SLICE("/index.html");
    struct text decoded = {0};
    struct map_link *link = NULL;
    if (url_decode(&decoded, path, false)) link = map_find(&f->table, text_slice(&decoded));
    text_fini(&decoded);
    return link ? container_of(link, struct file, link) : NULL;
}

/* Whether If-None-Match names what the file is now. */
static bool is_known(const struct request *r, struct slice etag) {
    struct slice list = http_header(r, "if-none-match");
    for (struct slice item; slice_next(&list, ',', &item);) {
        item = slice_trim(item);
        if (slice_starts(item, SLICE("W/"))) item = slice_from(item, 2);
        if (slice_is(item, "*") || slice_eq(item, etag)) return true;
    }
    return false;
}

bool files_serve(struct files *f, struct request *r, struct slice path) {
    const struct file *file = file_find(f, path);
    if (!file) return false;
    if (r->method != HTTP_GET && r->method != HTTP_HEAD) {
        const struct http_header allow[] = {{SLICE("Allow"), SLICE("GET, HEAD")}, {{0}, {0}}};
        http_reply(r, 405, allow, (struct slice){NULL, 0});
        return true;
    }
    struct slice etag = slice_make(file->etag, ETAG_SIZE);
    bool known = is_known(r, etag);
    const struct http_header headers[] = {
        {SLICE("ETag"), etag},
        {SLICE("Cache-Control"), SLICE("no-cache")},
        {SLICE("X-Content-Type-Options"), SLICE("nosniff")},
        {known ? SLICE("") : SLICE("Content-Type"), slice_of(file->type)},
        {{0}, {0}},
    };
    if (known) http_reply(r, 304, headers, (struct slice){NULL, 0});
    else http_reply_buf(r, 200, headers, file->body);
    return true;
}
