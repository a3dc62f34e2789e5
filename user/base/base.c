/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions and the allocators that cannot fail. */
#include "base/base.h"

#include <stdarg.h>

void must_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "skiff: bug: %s is false at %s:%d\n", what, file, line);
	abort();
}

static void *checked(void *p)
{
	if (!p) {
		fputs("skiff: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *xmalloc(size_t n)
{
	return checked(malloc(n ? n : 1));
}

void *xcalloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t n)
{
	return checked(realloc(p, n ? n : 1));
}

char *xstrdup(const char *s)
{
	return checked(strdup(s));
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return checked(n < 0 ? NULL : s);
}
