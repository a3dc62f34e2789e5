/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions of routes and matchers: PCRE2 with JIT, a match limit against runaway
 * patterns, and RE2's meaning of "matches" (the whole text). Thread-safe after compiling.
 */
#ifndef SKIFF_BASE_REGEX_H
#define SKIFF_BASE_REGEX_H

#include "base/err.h"
#include "base/slice.h"

#define REGEX_PATTERN_MAX 8192	   /* bytes of one pattern */
#define REGEX_MATCH_LIMIT 100000   /* PCRE2 match limit: over it counts as no match */

struct buf;
struct regex;

/* -EINVAL with the offset and reason in @e. Free with regex_free. */
int regex_compile(struct slice pattern, struct regex **ret_re, struct err *e);
void regex_free(struct regex *re);
/* Does the whole of @text match? */
bool regex_is_match(const struct regex *re, struct slice text);
/* Is @subst good for @re (groups exist, no other escapes)? 0, or -EINVAL with @e. */
int regex_check_subst(const struct regex *re, struct slice subst, struct err *e);
/*
 * Appends @text to @out with every match replaced by @subst, in which \0 .. \9 stand for groups
 * (RE2's form, as in RegexMatchAndSubstitute). As RE2, with a group that the pattern does not have
 * nothing is replaced, and what follows another escape is lost. 0, or -E2BIG when the result is
 * over 64 KiB.
 */
int regex_substitute(const struct regex *re, struct slice text, struct slice subst,
		     struct buf *out);

#endif
