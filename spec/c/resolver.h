/* SPDX-License-Identifier: MIT */
/* A resolver that does as the test says. Include it once, in the test's own file. */
#ifndef SPEC_RESOLVER_H
#define SPEC_RESOLVER_H

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

static sem_t answer;       /* to the question for late.test */
static atomic_int queries; /* that were asked, late ones included */

typedef int resolve(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int two_addresses(resolve *real, const char *port, const struct addrinfo *want,
                         struct addrinfo **found) {
    int failed = real("127.0.0.2", port, want, found);
    return failed ? failed : real("127.0.0.1", port, want, &(*found)->ai_next);
}

/* Takes the C library's place, libuv's threads call it. two.test has two addresses, of many.test
 * there are more than are kept, late.test and a.late.test are answered when the test says so,
 * moving.test is elsewhere each time, away.test has none, busy.test no answer; one.test and any
 * other .test are 127.0.0.1. */
int getaddrinfo(const char *name, const char *port, const struct addrinfo *want,
                struct addrinfo **found) {
    resolve *real;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    size_t n = strlen(name);
    if (want->ai_flags & AI_NUMERICHOST || n < 5 || strcmp(name + n - 5, ".test") != 0)
        return real(name, port, want, found);
    int before = queries++;
    if (strcmp(name, "two.test") == 0) return two_addresses(real, port, want, found);
    if (strcmp(name, "away.test") == 0) return EAI_NONAME;
    if (strcmp(name, "busy.test") == 0) return EAI_AGAIN;
    if (strcmp(name, "moving.test") == 0)
        return real(before % 2 ? "127.0.0.2" : "127.0.0.1", port, want, found);
    if (n >= 9 && strcmp(name + n - 9, "late.test") == 0)
        while (sem_wait(&answer)) continue;
    int failed = real("127.0.0.1", port, want, found);
    for (struct addrinfo *i = *found; !failed && strcmp(name, "many.test") == 0 && ++n < 50;
         i = i->ai_next)
        failed = real("127.0.0.1", port, want, &i->ai_next);
    return failed;
}

#endif
