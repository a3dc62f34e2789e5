/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions: whole-text matching, substitution as RE2 does it, refusals, limits. */
#include "tests/unit/fixture.h"

#include <errno.h>

#include "base/buf.h"
#include "base/clock.h"

static bool matches(const char *pattern, const char *text)
{
	struct regex *re = regex_of(pattern);
	bool is = regex_is_match(re, S(text));

	regex_free(re);
	return is;
}

static void whole_text(void **state)
{
	(void)state;
	assert_true(matches("/re/[0-9]+", "/re/123"));
	assert_false(matches("/re/[0-9]+", "/re/123x"));
	assert_false(matches("/re/[0-9]+", "/x/re/123"));
	assert_true(matches("a|ab", "ab"));
	assert_true(matches("", ""));
	assert_false(matches("", "x"));
	assert_true(matches("(?i)abc", "aBC"));
	assert_false(matches("a$", "a\n"));
	assert_false(matches("a.b", "a\nb"));
	assert_true(matches("a.b", "a\xc3\xa9" "b"));
	assert_true(matches("[[:alpha:]]+[])]", "abc)"));
}

static void substitute(void **state)
{
	static const struct {
		const char *pattern, *text, *subst, *want;
	} cases[] = {
		{ "^/service/([^/]+)(/.*)$", "/service/foo/v1/api", "\\2/instance/\\1",
		  "/v1/api/instance/foo" },
		{ "^/service/([^/]+)(/.*)$", "/service/foo", "\\2/instance/\\1", "/service/foo" },
		{ "one", "/every/one/one", "two", "/every/two/two" },
		{ "^.*$", "/whole/a", "/x\\0", "/x/whole/a" },
		{ ".*", "abc", "<\\0>", "<abc>" },
		{ "x*", "abc", "-", "-a-b-c-" },
		{ "b*", "abbc", "-", "-a-c-" },
		{ "a(b)?", "a", "[\\1]", "[]" },
		{ "a", "a", "\\\\", "\\" },
		{ "(?i)/aaa/", "/ci/AAA/x", "/bbb/", "/ci/bbb/x" },
		{ "a", "", "b", "" },
		/* What RE2 does with what it cannot do. */
		{ "(b)c", "abcbc", "\\2", "abcbc" },
		{ "(b)c", "abcbc", "a\\", "aaa" },
		{ "(b)c", "abcbc", "\\x", "a" },
		{ "(b)c", "abcbc", "\\\\2", "a\\2\\2" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct regex *re = regex_of(cases[i].pattern);
		struct buf out = { 0 };

		assert_int_equal(regex_substitute(re, S(cases[i].text), S(cases[i].subst), &out),
				 0);
		assert_slice(buf_slice(&out), cases[i].want);
		buf_done(&out);
		regex_free(re);
	}
}

static void substitute_is_limited(void **state)
{
	struct regex *re = regex_of("a");
	char text[4096], subst[64];
	struct buf out = { 0 };

	(void)state;
	memset(text, 'a', sizeof(text));
	memset(subst, 'b', sizeof(subst));
	assert_int_equal(regex_substitute(re, slice_of(text, sizeof(text)),
					  slice_of(subst, sizeof(subst)), &out),
			 -E2BIG);
	buf_done(&out);
	regex_free(re);
}

static void refusals(void **state)
{
	static const char *const bad[] = { "(",        "[a",     "a**",    "a++",
					   "a{2}*",    "(?=a)",  "(?!a)",  "(?<=a)",
					   "(?<!a)",   "(a)\\1", "(?R)",   "(?>a)",
					   "(*SKIP)a", "a\\K",   "(?P>x)", "\\" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct regex *re = NULL;
		struct err e = { "" };

		if (regex_compile(S(bad[i]), &re, &e) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_non_null(strstr(e.text, bad[i]));
	}
}

static void accepted(void **state)
{
	static const char *const good[] = { "a+?",   "a*?",    "a{2,3}?",     "(?P<n>a)", "(?:a)",
					    "(?i)a", "(?i:a)", "[*+]+",       "\\++",     "a}+",
					    "[]a]+", "[^]a]",  "\\d+\\.\\w*", "[a\\]]+",  "\\pL" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		regex_free(regex_of(good[i]));
}

static void subst_check(void **state)
{
	struct regex *re = regex_of("(a)(b)");
	struct err e;

	(void)state;
	assert_int_equal(regex_check_subst(re, S("\\2\\1\\0\\\\"), &e), 0);
	assert_int_equal(regex_check_subst(re, S("\\3"), &e), -EINVAL);
	assert_int_equal(regex_check_subst(re, S("\\x"), &e), -EINVAL);
	assert_int_equal(regex_check_subst(re, S("a\\"), &e), -EINVAL);
	regex_free(re);
}

/* A pattern that explodes gives up as "no match" and in time. */
static void runaway(void **state)
{
	struct regex *re = regex_of("(a+)+b");
	char text[200];
	uint64_t start = clock_mono_ns();

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_false(regex_is_match(re, slice_of(text, sizeof(text))));
	assert_true(clock_mono_ns() - start < 2 * NSEC_PER_SEC);
	regex_free(re);
}

static void too_long(void **state)
{
	char pattern[REGEX_PATTERN_MAX + 1];
	struct regex *re;
	struct err e;

	(void)state;
	memset(pattern, 'a', sizeof(pattern));
	assert_int_equal(regex_compile(slice_of(pattern, sizeof(pattern)), &re, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_text),
		cmocka_unit_test(substitute),
		cmocka_unit_test(substitute_is_limited),
		cmocka_unit_test(refusals),
		cmocka_unit_test(accepted),
		cmocka_unit_test(subst_check),
		cmocka_unit_test(runaway),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
