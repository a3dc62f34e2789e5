/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every file may use: assertions for our own mistakes, array helpers, banned functions.
 * A peer's mistake is never an assertion: it is an error return.
 */
#ifndef SKIFF_BASE_BASE_H
#define SKIFF_BASE_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define printf_like(f, a) __attribute__((format(printf, f, a)))

/* Aborts in every build when one of our own invariants is broken. */
#define must(x) ((void)(likely(x) || (must_fail(#x, __FILE__, __LINE__), 0)))
void must_fail(const char *what, const char *file, int line)
	__attribute__((noreturn, cold));

/* malloc family that aborts with a clear line when memory is out; for start-up and base only. */
void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) printf_like(1, 2);

#pragma GCC poison strcpy strcat sprintf vsprintf atoi gets

#endif
