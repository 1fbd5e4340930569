/* SPDX-License-Identifier: MIT */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdint.h>
#include <sys/types.h>

/* What is measured: latencies, and what another process used. */

uint64_t clock_ns(void);

/* CPU time that the threads of a process have had, from /proc/PID/task/N/schedstat: what the
 * scheduler counted, so it does not mind who else was busy. */
uint64_t process_cpu_ns(pid_t pid);

/* Resident bytes of a process. */
uint64_t process_rss(pid_t pid);

/* Latencies in buckets of about 3 %: 32 for every power of two of nanoseconds. */
struct histogram {
    uint64_t count;
    uint64_t buckets[64 * 32];
};

void histogram_add(struct histogram *h, uint64_t ns);

/* The latency that this share (0 to 1) of all did not exceed. */
double histogram_us(const struct histogram *h, double share);

#endif
