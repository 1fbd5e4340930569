/* SPDX-License-Identifier: MIT */
/* Clock, /proc and the histogram. A process that went away ends the program: its figures are gone.
 */

#include "measure.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t thread_cpu_ns(const char *path) {
    uint64_t ns = 0;
    FILE *file = fopen(path, "r");
    if (!file) return 0; /* the thread ended */
    if (fscanf(file, "%" SCNu64, &ns) != 1) ns = 0;
    fclose(file);
    return ns;
}

uint64_t process_cpu_ns(pid_t pid) {
    char path[320];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    if (!threads) {
        perror(path);
        exit(1);
    }
    uint64_t sum = 0;
    for (struct dirent *thread; (thread = readdir(threads));) {
        if (thread->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, thread->d_name);
        sum += thread_cpu_ns(path);
    }
    closedir(threads);
    return sum;
}

uint64_t process_rss(pid_t pid) {
    char path[64], line[256];
    uint64_t kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(1);
    }
    while (!kib && fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %" SCNu64, &kib);
    fclose(file);
    return kib * 1024;
}

/* The top bit gives the power of two, the five bits below it the bucket. */
static unsigned bucket_of(uint64_t ns) {
    if (ns < 32) return (unsigned)ns;
    unsigned top = 63 - (unsigned)__builtin_clzll(ns);
    return (top - 4) * 32 + (unsigned)(ns >> (top - 5) & 31);
}

static double bucket_ns(unsigned bucket) {
    if (bucket < 32) return bucket;
    return (double)((uint64_t)(32 + bucket % 32) << (bucket / 32 - 1));
}

void histogram_add(struct histogram *h, uint64_t ns) {
    h->count++;
    h->buckets[bucket_of(ns)]++;
}

double histogram_us(const struct histogram *h, double share) {
    uint64_t wanted = (uint64_t)(share * (double)h->count), seen = 0;
    for (unsigned i = 0; i < 64 * 32; i++) {
        seen += h->buckets[i];
        if (seen > wanted) return bucket_ns(i) / 1000;
    }
    return 0;
}
