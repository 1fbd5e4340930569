/* SPDX-License-Identifier: MIT */
#ifndef VERSION_H
#define VERSION_H

/* The Makefile knows it. */
#ifndef MOONLATCH_VERSION
#define MOONLATCH_VERSION "unknown"
#endif

#endif
