/* SPDX-License-Identifier: MIT */
#include "script/distress.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#define END_BYTES 3 /* quote, brace, newline: there is always room for them */

static void put(struct distress *d, char c) {
    if (d->n < sizeof d->line - END_BYTES) d->line[d->n++] = c;
}

static void put_text(struct distress *d, const char *text) {
    for (; *text; text++) put(d, *text);
}

static void put_number(struct distress *d, uint64_t number, int width) {
    char digits[20];
    int n = 0;
    do digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) || n < width);
    while (n) put(d, digits[--n]);
}

static void put_name(struct distress *d, const char *name) {
    bool json = log_is_json(d->log);
    if (d->n > (json ? 1u : 0u)) put(d, json ? ',' : ' ');
    if (json) put(d, '"');
    put_text(d, name);
    put_text(d, json ? "\":" : "=");
}

static bool must_be_quoted(struct slice s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == ' ' || s.p[i] == '=') return true;
    return s.n == 0;
}

static bool is_harmless(char c) { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; }

/* Years, months and days since 1970, by Hinnant's days_to_civil: gmtime may take a lock. */
static void put_date(struct distress *d, uint64_t days) {
    uint64_t z = days + 719468, era = z / 146097, day = z % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint64_t in_year = day - (365 * year + year / 4 - year / 100), month = (5 * in_year + 2) / 153;
    put_number(d, year + era * 400 + (month >= 10), 4);
    put(d, '-');
    put_number(d, month < 10 ? month + 3 : month - 9, 2);
    put(d, '-');
    put_number(d, in_year - (153 * month + 2) / 5 + 1, 2);
}

static void put_time(struct distress *d) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t s = (uint64_t)now.tv_sec;
    bool json = log_is_json(d->log);
    put_name(d, "time");
    if (json) put(d, '"');
    put_date(d, s / 86400);
    put(d, 'T');
    put_number(d, s / 3600 % 24, 2);
    put(d, ':');
    put_number(d, s / 60 % 60, 2);
    put(d, ':');
    put_number(d, s % 60, 2);
    put(d, '.');
    put_number(d, (uint64_t)now.tv_nsec / 1000000, 3);
    put(d, 'Z');
    if (json) put(d, '"');
}

void distress_text(struct distress *d, const char *name, struct slice text) {
    bool quoted = log_is_json(d->log) || must_be_quoted(text);
    put_name(d, name);
    if (quoted) put(d, '"');
    for (size_t i = 0; i < text.n; i++) put(d, is_harmless(text.p[i]) ? text.p[i] : '?');
    if (quoted) put(d, '"');
}

void distress_number(struct distress *d, const char *name, uint64_t number) {
    put_name(d, name);
    put_number(d, number, 1);
}

void distress_begin(struct distress *d, const struct log *log, const char *message) {
    d->log = log;
    d->n = 0;
    if (!log) return;
    if (log_is_json(log)) put(d, '{');
    put_time(d);
    distress_text(d, "level", slice_of("error"));
    distress_text(d, "msg", slice_of(message));
}

void distress_send(struct distress *d) {
    if (!d->log) return;
    struct pollfd out = {.fd = log_fd(d->log), .events = POLLOUT};
    if (log_is_json(d->log)) d->line[d->n++] = '}';
    d->line[d->n++] = '\n';
    if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT)) return;
    ssize_t written = write(out.fd, d->line, d->n);
    (void)written; /* there is nobody left to tell */
}
