/* SPDX-License-Identifier: MIT */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/slice.h"

/* One line per event, to standard error: key=value, or JSON lines by a setting. A line is a short
 * constant message plus fields; every field is escaped in one place, so nothing a peer sends can
 * break a line or reach a terminal. A log never blocks: what its reader does not take is dropped
 * and counted. Bounds: LIMITS.md section 9. */
struct log;
struct loop;

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* A name with a text, or with a number when text.p is NULL. name NULL ends the fields. */
struct log_field {
    const char *name;
    struct slice text;
    long long number;
};
static inline struct log_field log_s(const char *name, struct slice text) {
    return (struct log_field){name, text.p ? text : (struct slice){"", 0}, 0};
}
static inline struct log_field log_c(const char *name, const char *cstr) {
    return log_s(name, slice_of(cstr ? cstr : ""));
}
static inline struct log_field log_n(const char *name, long long number) {
    return (struct log_field){name, {NULL, 0}, number};
}

/* A log that writes to fd (not owned). loop may be NULL: then lines are written at once. */
struct log *log_new(struct loop *loop, int fd) __attribute__((returns_nonnull));
void log_free(struct log *log);

void log_set_level(struct log *log, enum log_level level);
void log_set_json(struct log *log, bool json);
bool log_is_json(const struct log *log);
int log_fd(const struct log *log);
bool log_wants(const struct log *log, enum log_level level);

/* Lines that were dropped so far, by rate or because the reader is slow. */
uint64_t log_dropped(const struct log *log);

/* Writes one line; fields ends with a NULL name. log may be NULL (tests): nothing happens.
 * Use it through LOG. */
void log_event(struct log *log, enum log_level level, const char *message,
               const struct log_field *fields);

/* LOG(log, LOG_WARN, "request refused", log_s("ip", ip), log_n("status", 400)); one field or more.
 */
#define LOG(log, level, message, ...)                                                              \
    do {                                                                                           \
        if (log_wants(log, level))                                                                 \
            log_event(log, level, message,                                                         \
                      (const struct log_field[]){__VA_ARGS__, {NULL, {NULL, 0}, 0}});              \
    } while (0)

#endif
