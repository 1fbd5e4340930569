/* SPDX-License-Identifier: MIT */
/* The table of static files: what of a folder is in it, and how it is served. */
#include "transport/files.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- folders ---- */

static char *folder_new(void) {
    char *dir = slice_cstr(SLICE("/tmp/moonlatch-files-XXXXXX"));
    assert_non_null(mkdtemp(dir));
    return dir;
}

static void folder_remove(char *dir) {
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    assert_int_equal(system(command), 0);
    mem_free(dir);
}

static void file_write(const char *dir, const char *name, struct slice content) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.p, content.n), content.n);
    close(fd);
}

/* A file of n bytes that takes no room on the disk. */
static void file_hollow(const char *dir, const char *name, off_t n) {
    char path[256];
    file_write(dir, name, SLICE(""));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(truncate(path, n), 0);
}

static void refuses_folder(const char *dir, const char *why) {
    struct text error = {0};
    assert_null(files_open(dir, &error));
    text_char(&error, 0);
    if (!strstr(text_slice(&error).p, why)) fail_msg("%s", text_slice(&error).p);
    text_fini(&error);
}

/* ---- a request ---- */

static void handler(void *arg, struct request *r) {
    if (!files_serve(arg, r, r->path)) http_error(r, 404, NULL);
}

/* The answer to one request, in out. */
static void ask(struct files *f, struct text *out, const char *method, const char *path,
                const char *headers) {
    struct limits limits;
    struct net net;
    struct loop *loop = loop_new();
    struct ip none = {{0}};
    int pair[2];
    limits_init(&limits);
    net_init(&net, loop, NULL, NULL, NULL, &limits);
    loop_stop(loop); /* no turn waits */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    http_accept(&net, pair[1], &none, handler, f);
    dprintf(pair[0], "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", method, path,
            headers);
    text_clear(out);
    while (!list_empty(&net.conns)) {
        loop_turn(loop);
        ssize_t n = read(pair[0], text_reserve(out, 65536), 65536);
        if (n > 0) text_commit(out, (size_t)n);
        if (n == 0) shutdown(pair[0], SHUT_WR);
    }
    close(pair[0]);
    net_fini(&net);
    loop_free(loop);
    text_char(out, 0);
    out->n--;
}

static bool has(const struct text *out, const char *needle) {
    return strstr(text_slice(out).p, needle) != NULL;
}

static void files_are_served_by_their_exact_paths(void **state) {
    (void)state;
    char *dir = folder_new(), path[256];
    snprintf(path, sizeof path, "%s/css", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/link.html", dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof path, "%s/up", dir);
    assert_int_equal(symlink("..", path), 0);
    snprintf(path, sizeof path, "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    file_write(dir, "index.html", SLICE("<h1>hello</h1>"));
    file_write(dir, "my app.js", SLICE("run()"));
    file_write(dir, "css/a.css", SLICE("a {}"));
    file_write(dir, "empty", SLICE(""));
    file_write(dir, ".secret", SLICE("no"));
    struct text error = {0}, out = {0};
    struct files *f = files_open(dir, &error);
    assert_non_null(f);

    static const struct {
        const char *path, *type, *body;
    } good[] = {
        {"/", "text/html; charset=UTF-8", "\r\n\r\n<h1>hello</h1>"},
        {"/index.html", "text/html; charset=UTF-8", "\r\n\r\n<h1>hello</h1>"},
        {"/index%2ehtml?x=1", "text/html; charset=UTF-8", "\r\n\r\n<h1>hello</h1>"},
        {"/my%20app.js", "text/javascript; charset=UTF-8", "\r\n\r\nrun()"},
        {"/css/a.css", "text/css; charset=UTF-8", "\r\n\r\na {}"},
        {"/empty", "application/octet-stream", "Content-Length: 0\r\n"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ask(f, &out, "GET", good[i].path, "");
        assert_true(has(&out, "HTTP/1.1 200 OK") && has(&out, good[i].body));
        assert_true(has(&out, good[i].type) && has(&out, "X-Content-Type-Options: nosniff\r\n"));
        assert_true(has(&out, "Cache-Control: no-cache\r\n") && has(&out, "ETag: \""));
    }
    static const char *const bad[] = {
        "/Index.html", "//index.html", "/./index.html", "/css/../index.html", "/..%2findex.html",
        "/%2e%2e/etc/passwd", "/index.html%00", "/index.html;x=1", "/index.html/", "/css", "/css/",
        "/.secret", "/link.html", "/up", "/up/x", "/pipe", "/index%252ehtml", "/%zz", "/css%2f..",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask(f, &out, "GET", bad[i], "");
        if (!has(&out, "HTTP/1.1 404")) fail_msg("%s is served:\n%s", bad[i], text_slice(&out).p);
    }
    text_fini(&out);
    files_close(f);
    folder_remove(dir);
}

static void what_the_peer_has_is_not_sent_again(void **state) {
    (void)state;
    char *dir = folder_new(), header[128];
    file_write(dir, "index.html", SLICE("<h1>hello</h1>"));
    struct text error = {0}, out = {0};
    struct files *f = files_open(dir, &error);
    ask(f, &out, "GET", "/", "");
    char etag[64];
    assert_int_equal(sscanf(strstr(text_slice(&out).p, "ETag: "), "ETag: %63[^\r]", etag), 1);
    snprintf(header, sizeof header, "If-None-Match: \"x\", W/%s\r\n", etag);
    ask(f, &out, "GET", "/", header);
    assert_true(has(&out, "304 Not Modified") && has(&out, "ETag: "));
    assert_false(has(&out, "hello") || has(&out, "\nContent-Type"));
    ask(f, &out, "GET", "/", "If-None-Match: \"x\"\r\n");
    assert_true(has(&out, "hello"));
    ask(f, &out, "HEAD", "/", "");
    assert_true(has(&out, "200 OK") && has(&out, "Content-Length: 14\r\n") && !has(&out, "hello"));
    ask(f, &out, "POST", "/", "");
    assert_true(has(&out, "405 Method Not Allowed") && has(&out, "Allow: GET, HEAD\r\n"));
    text_fini(&out);
    files_close(f);
    folder_remove(dir);
}

static void a_large_file_arrives_whole(void **state) {
    (void)state;
    char *dir = folder_new();
    file_hollow(dir, "large", 4 << 20);
    struct text error = {0}, out = {0};
    struct files *f = files_open(dir, &error);
    ask(f, &out, "GET", "/large", "");
    assert_true(has(&out, "Content-Length: 4194304\r\n"));
    assert_true(out.n > 4194304 && out.n < 4194304 + 400);
    text_fini(&out);
    files_close(f);
    folder_remove(dir);
}

static void folders_are_bounded(void **state) {
    (void)state;
    refuses_folder("/nonexistent", "No such file");
    refuses_folder("/etc/passwd", "Not a directory");
    char *dir = folder_new(), name[16];
    file_hollow(dir, "large", (4 << 20) + 1);
    refuses_folder(dir, "larger than 4 MiB");
    folder_remove(dir);

    dir = folder_new();
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "f%d", i);
        file_hollow(dir, name, 4 << 20);
    }
    refuses_folder(dir, "more than 16 MiB");
    folder_remove(dir);

    dir = folder_new();
    for (int i = 0; i < 257; i++) {
        snprintf(name, sizeof name, "f%d", i);
        file_write(dir, name, SLICE("x"));
    }
    refuses_folder(dir, "more than 256 files");
    folder_remove(dir);

    dir = folder_new();
    char command[128];
    snprintf(command, sizeof command, "mkdir -p '%s/1/2/3/4/5/6/7/8/9'", dir);
    assert_int_equal(system(command), 0);
    refuses_folder(dir, "too deep");
    folder_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_served_by_their_exact_paths),
        cmocka_unit_test(what_the_peer_has_is_not_sent_again),
        cmocka_unit_test(a_large_file_arrives_whole),
        cmocka_unit_test(folders_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
