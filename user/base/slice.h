/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A borrowed run of bytes: two words, passed by value, never NUL-terminated. Who lends it says
 * how long it lives. The zero slice is empty.
 */
#ifndef SKIFF_BASE_SLICE_H
#define SKIFF_BASE_SLICE_H

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/base.h"

struct slice {
	const char *ptr;
	size_t len;
};

/* For printf: "%.*s", SLICE_ARG(s). */
#define SLICE_ARG(s) (int)(s).len, (s).ptr
/* A slice of a string literal. */
#define SLICE(lit) ((struct slice){ "" lit, sizeof(lit) - 1 })
#define SLICE_NONE ((struct slice){ NULL, 0 })

static inline struct slice slice_of(const void *ptr, size_t len)
{
	return (struct slice){ (const char *)ptr, len };
}

static inline struct slice slice_str(const char *s)
{
	return (struct slice){ s, s ? strlen(s) : 0 };
}

static inline bool slice_is_empty(struct slice s)
{
	return s.len == 0;
}

static inline bool slice_is_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_is_equal_nocase(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_has_prefix(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && (!prefix.len || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool slice_has_suffix(struct slice s, struct slice suffix)
{
	return s.len >= suffix.len &&
	       (!suffix.len || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

/* The part from @from on; empty when @from is past the end. */
static inline struct slice slice_skip(struct slice s, size_t from)
{
	if (from > s.len)
		from = s.len;
	/* NULL + 0 is undefined. */
	return slice_of(from ? s.ptr + from : s.ptr, s.len - from);
}

static inline struct slice slice_first(struct slice s, size_t n)
{
	return slice_of(s.ptr, n < s.len ? n : s.len);
}

/* Index of @c, or -1. */
static inline ptrdiff_t slice_find(struct slice s, char c)
{
	const char *p = s.len ? memchr(s.ptr, c, s.len) : NULL;

	return p ? p - s.ptr : -1;
}

/* Without blanks and tabs at both ends. */
struct slice slice_trim(struct slice s);

/*
 * Splits at the first @sep: returns what stands before it and leaves the rest in @s; without one
 * returns all and leaves @s empty with ptr NULL.
 */
struct slice slice_split(struct slice *s, char sep);

/* Reads a decimal number without sign. 0, -EINVAL for no or other characters, -ERANGE. */
int slice_to_u64(struct slice s, uint64_t *ret_v);

/* Only well-formed UTF-8: no surrogates, nothing longer than it need be. */
bool slice_is_utf8(struct slice s);

/* A NUL-terminated heap copy. */
char *slice_dup(struct slice s);

/*
 * Appends @s to the @cap bytes at @out from @at on as text that a terminal and a reader of lines
 * can be given: control characters (C0, DEL, C1) but those in @keep become \n, \r, \t or \u00NN,
 * which JSON reads too, bytes that are no UTF-8 become \xNN. Returns the new end; what does not fit
 * is left out whole. SLICE_ESCAPED bytes for each of @s always suffice.
 */
#define SLICE_ESCAPED 6
size_t slice_escape(struct slice s, const char *keep, char *out, size_t at, size_t cap);

#endif
