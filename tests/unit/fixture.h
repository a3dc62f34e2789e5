/* SPDX-License-Identifier: Apache-2.0 */
/* Messages, formats and tables in few words, for the unit tests of route, filter and l7. */
#ifndef SKIFF_TESTS_UNIT_FIXTURE_H
#define SKIFF_TESTS_UNIT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/regex.h"
#include "l7/format.h"
#include "l7/info.h"
#include "mesh/filters.h"

#define S(text) slice_str(text)

#define assert_slice(got, want) assert_slice_at(got, want, __FILE__, __LINE__)

static inline void assert_slice_at(struct slice got, const char *want, const char *file, int line)
{
	if (slice_is_equal(got, slice_str(want)))
		return;
	print_error("got  '%.*s'\nwant '%s'\n", SLICE_ARG(got), want);
	_fail(file, line);
}

static inline void msg_add(struct l7_msg *m, const char *name, const char *value)
{
	l7_props_add(&m->props, l7_key_find(S(name)), S(name), S(value));
}

/* A GET of @path at @host. */
static inline struct l7_msg request_of(struct arena *a, const char *host, const char *path)
{
	struct l7_msg m;

	l7_msg_init(&m, L7_REQUEST, a);
	m.scheme = S("http");
	m.method = S("GET");
	m.host = S(host);
	m.path = S(path);
	m.protocol = S("HTTP/1.1");
	return m;
}

static inline const struct l7_format *format_of(struct arena *a, const char *text)
{
	const struct l7_format *f = NULL;
	struct err e = { "" };

	if (l7_format_compile(S(text), a, &f, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	return f;
}

static inline struct regex *regex_of(const char *pattern)
{
	struct regex *re = NULL;
	struct err e = { "" };

	if (regex_compile(S(pattern), &re, &e) < 0)
		fail_msg("%s: %s", pattern, e.text);
	return re;
}

/* All live values of @name joined with "|". */
static inline struct slice values_of(struct arena *a, const struct l7_msg *m, const char *name)
{
	struct slice all = S("");

	l7_props_each(&m->props, i) if (slice_is_equal(m->props.v[i].name, S(name)))
		all = all.len ? arena_printf(a, "%.*s|%.*s", SLICE_ARG(all),
					     SLICE_ARG(m->props.v[i].value)) :
				arena_printf(a, "%.*s", SLICE_ARG(m->props.v[i].value));
	return all;
}

#endif
