/* SPDX-License-Identifier: MIT */
/* Lines gather in one buffer and leave at the end of the turn. Standard error may be shared with
 * others, so it is not made non-blocking; instead a pipe is written in pieces that POSIX promises
 * to take whole after POLLOUT (PIPE_BUF), and only when poll says so. */
#include "base/log.h"

#include "base/buf.h"
#include "base/loop.h"
#include "base/utf8.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048
#define LINES_PER_SECOND 1000
#define QUEUE_MAX_BYTES (1024 * 1024)
#define RETRY_MS 100

struct log {
    struct loop *loop;
    int fd;
    enum log_level level;
    bool json;
    struct text queue;
    size_t written; /* of queue */
    struct deferred flush;
    struct timer retry;
    uint64_t second; /* the second that lines counts */
    uint32_t lines;
    uint64_t dropped;
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static void flush(struct log *log) {
    struct slice all = text_slice(&log->queue);
    while (log->written < all.n) {
        struct pollfd p = {.fd = log->fd, .events = POLLOUT};
        if (log->loop && (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))) break;
        size_t n = all.n - log->written;
        ssize_t w = write(log->fd, all.p + log->written, n < PIPE_BUF ? n : PIPE_BUF);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) { /* a full disk or a closed pipe: what waits is lost, the service is not */
            log->dropped++;
            log->written = all.n;
            break;
        }
        log->written += (size_t)w;
    }
    if (log->written == all.n) {
        log->written = 0;
        text_clear(&log->queue);
    } else if (log->loop) {
        timer_start(log->loop, &log->retry, RETRY_MS);
    }
}

static void on_flush(struct deferred *d) { flush(container_of(d, struct log, flush)); }
static void on_retry(struct timer *t) { flush(container_of(t, struct log, retry)); }

struct log *log_new(struct loop *loop, int fd) {
    struct log *log = mem_new(sizeof *log);
    log->loop = loop;
    log->fd = fd;
    log->level = LOG_INFO;
    log->retry.fired = on_retry;
    deferred_init(&log->flush, on_flush);
    return log;
}

void log_free(struct log *log) {
    if (!log) return;
    flush(log);
    if (log->loop) timer_stop(log->loop, &log->retry);
    deferred_cancel(&log->flush);
    text_fini(&log->queue);
    mem_free(log);
}

void log_set_level(struct log *log, enum log_level level) { log->level = level; }
void log_set_json(struct log *log, bool json) { log->json = json; }
bool log_is_json(const struct log *log) { return log && log->json; }
int log_fd(const struct log *log) { return log->fd; }
bool log_wants(const struct log *log, enum log_level level) { return log && level >= log->level; }
uint64_t log_dropped(const struct log *log) { return log->dropped; }

static bool over_rate(struct log *log, uint64_t now_s) {
    if (now_s != log->second) {
        log->second = now_s;
        log->lines = 0;
    }
    return ++log->lines > LINES_PER_SECOND;
}

/* A terminal may take a byte at i for a control: C0, DEL, C1 in UTF-8, and all that is no UTF-8. */
static bool is_control(struct slice s, size_t i, bool valid) {
    unsigned char c = (unsigned char)s.p[i];
    if (c < 0x20 || c == 0x7f || (c >= 0x80 && !valid)) return true;
    return c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0;
}

/* Printable ASCII and UTF-8 above it stay; quotes, backslashes and controls are escaped. */
static void add_quoted(struct text *t, struct slice s) {
    bool valid = utf8_valid(s);
    text_char(t, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            text_char(t, '\\');
            text_char(t, (char)c);
        } else if (is_control(s, i, valid)) {
            if (valid && c == 0xc2) c = (unsigned char)s.p[++i];
            text_format(t, "\\u%04x", c);
        } else {
            text_char(t, (char)c);
        }
    }
    text_char(t, '"');
}

static bool is_plain(struct slice s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\' ||
            (unsigned char)s.p[i] >= 0x7f)
            return false;
    return s.n > 0;
}

static void add_field(struct log *log, struct text *t, const char *name, struct slice value) {
    if (log->json) {
        text_format(t, "%s\"%s\":", t->n > 1 ? "," : "", name);
        add_quoted(t, value);
    } else {
        text_format(t, "%s%s=", t->n ? " " : "", name);
        if (is_plain(value)) text_add(t, value);
        else add_quoted(t, value);
    }
}

static void add_number(struct log *log, struct text *t, const char *name, long long number) {
    if (log->json) text_format(t, ",\"%s\":%lld", name, number);
    else text_format(t, " %s=%lld", name, number);
}

void log_event(struct log *log, enum log_level level, const char *message,
               const struct log_field *fields) {
    if (!log_wants(log, level)) return;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (over_rate(log, (uint64_t)ts.tv_sec) || log->queue.n > QUEUE_MAX_BYTES) {
        log->dropped++;
        return;
    }
    struct text line = {0};
    struct tm tm;
    char when[48];
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    struct text stamp = {0};
    text_add(&stamp, slice_make(when, n));
    text_format(&stamp, ".%03ldZ", ts.tv_nsec / 1000000);
    if (log->json) text_char(&line, '{');
    add_field(log, &line, "time", text_slice(&stamp));
    add_field(log, &line, "level", slice_of(level_names[level]));
    add_field(log, &line, "msg", slice_of(message));
    for (; fields && fields->name; fields++) {
        size_t room = line.n < LINE_MAX_BYTES ? LINE_MAX_BYTES - line.n : 0;
        if (!fields->text.p) add_number(log, &line, fields->name, fields->number);
        else add_field(log, &line, fields->name, slice_upto(fields->text, room));
    }
    if (log->json) text_char(&line, '}');
    text_char(&line, '\n');
    text_add(&log->queue, text_slice(&line));
    text_fini(&stamp);
    text_fini(&line);
    if (log->loop) loop_defer(log->loop, LOOP_FLUSH, &log->flush);
    else flush(log);
}
