/* SPDX-License-Identifier: Apache-2.0 */
/* Path normalization: what Envoy 1.40 forwarded for the same requests. */
#include "tests/unit/fixture.h"

#include <errno.h>

#include "route/route.h"

#define BAD "!" /* answered with 400 */

static void check(const struct mesh_http_manager *hcm, const char *path, const char *want,
		  int verdict)
{
	struct arena a = { 0 };
	struct slice to = SLICE_NONE;
	int r = route_path_normalize(hcm, S(path), &a, &to);

	if (strcmp(want, BAD) == 0) {
		if (r != -EINVAL)
			fail_msg("%s was not refused", path);
	} else {
		assert_slice(to, want);
		assert_int_equal(r, verdict);
	}
	arena_done(&a);
}

static const char *const normalized[][2] = {
	{ "/a/../b", "/b" },
	{ "/a/..;x=1/b", "/b" },
	{ "/a/.;/b/..;", "/a/" },
	{ "/a/...;/b;c", "/a/...;/b;c" },
	{ "/a/./b", "/a/b" },
	{ "/a//b", "/a//b" },
	{ "/../a", "/a" },
	{ "/a/b/..", "/a/" },
	{ "/a%2fb", "/a%2fb" },
	{ "/a%2Fb", "/a%2Fb" },
	{ "/a%5cb", "/a%5cb" },
	{ "/%2e%2e/a", "/a" },
	{ "/a/%2e%2e/b", "/b" },
	{ "/a%41b", "/aAb" },
	{ "/a%7eb", "/a~b" },
	{ "/a%zzb", "/a%zzb" },
	{ "/a%00b", BAD },
	{ "/a\\b", "/a/b" },
	{ "/a?x=/../y//z", "/a?x=/../y//z" },
	{ "//", "//" },
	{ "/a/b/../../../../c", "/c" },
	{ "/a%2f../b", "/a%2f../b" },
	{ "/caf%c3%a9", "/caf%c3%a9" },
	{ "/a;p=1/../b", "/b" },
	{ "/.", "/" },
	{ "/a..", "/a.." },
	{ "/a%", "/a%" },
	{ "/%2F%2Fa", "/%2F%2Fa" },
	{ "/a//../b", "/a/b" },
	{ "/a/..//b", "//b" },
	{ "/%2e./x", "/x" },
	{ "/a/.%2E", "/" },
	{ "/a/%2e", "/a/" },
	{ "/a%%341", "/a%2541" },
	{ "/a/...", "/a/..." },
	{ "/a\\..\\b", "/b" },
	{ "/.../x", "/.../x" },
	{ "/a/./../..//x", "//x" },
	{ "//..//x", "//x" },
	{ "/a%2f%2e%2e/b", "/a%2f../b" },
	{ "/%2e%2e%2fa", "/..%2fa" },
	{ "/a;..", "/a;.." },
	{ "/.%5c", "/.%5c" },
	{ "/a/b/../?q", "/a/?q" },
	{ "/a\"b", "/a%22b" },
	{ "/a<b>", "/a%3Cb%3E" },
	{ "/a^b`c{d|e}", "/a%5Eb%60c%7Bd%7Ce%7D" },
	{ "/a#b", BAD },
	{ "/a\xc3\xa9", BAD },
	{ "/a\x7f", BAD },
	{ "/a?b#c", BAD },
	{ "/a!$&'()*+,;=:@", "/a!$&'()*+,;=:@" },
};

static void normalize(void **state)
{
	const struct mesh_http_manager hcm = { .normalize_path = true };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(normalized); i++)
		check(&hcm, normalized[i][0], normalized[i][1], 0);
}

static void plain(void **state)
{
	const struct mesh_http_manager hcm = { 0 };

	(void)state;
	check(&hcm, "/a/../b//c%2f%00", "/a/../b//c%2f%00", 0);
	check(&hcm, "*", "*", 0);
	check(&hcm, "/a#b", BAD, 0);
}

static void merge(void **state)
{
	const struct mesh_http_manager both = { .normalize_path = true, .merge_slashes = true },
				       only = { .merge_slashes = true };

	(void)state;
	check(&both, "/a//b", "/a/b", 0);
	check(&both, "//", "//", 0);
	check(&both, "/a?x=//y", "/a?x=//y", 0);
	check(&only, "/a//b///c//", "/a/b/c/", 0);
	check(&only, "/%2e%2e/a", "/%2e%2e/a", 0);
	check(&only, "/a\\b", "/a\\b", 0);
}

static void escaped_slashes(void **state)
{
	const struct mesh_http_manager reject = { .escaped_slashes = MESH_SLASHES_REJECT },
				       redirect = { .escaped_slashes = MESH_SLASHES_REDIRECT },
				       unescape = { .escaped_slashes = MESH_SLASHES_UNESCAPE,
						    .normalize_path = true };

	(void)state;
	check(&reject, "/a%2fb", BAD, 0);
	check(&reject, "/a%5Cb", BAD, 0);
	check(&reject, "/a/b?%2f", "/a/b?%2f", 0);
	check(&redirect, "/a%2Fb", "/a/b", 1);
	check(&redirect, "/a%5cb", "/a\\b", 1);
	check(&redirect, "/a%2f../b", "/a/../b", 1);
	check(&redirect, "/%2F%2Fa", "///a", 1);
	check(&redirect, "/a//b", "/a//b", 0);
	check(&unescape, "/a%5cb", "/a/b", 0);
	check(&unescape, "/a%2f../b", "/b", 0);
	check(&unescape, "/%2F%2Fa", "///a", 0);
}

/* What was normalized stays as it is. */
static void stable(void **state)
{
	const struct mesh_http_manager hcm = { .normalize_path = true };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(normalized); i++)
		if (strcmp(normalized[i][1], BAD) != 0)
			check(&hcm, normalized[i][1], normalized[i][1], 0);
}

static void path_only(void **state)
{
	struct slice query;

	(void)state;
	assert_slice(route_path_only(S("/a?b?c#d"), &query), "/a");
	assert_slice(query, "b?c");
	assert_slice(route_path_only(S("/a#d?x"), &query), "/a");
	assert_slice(query, "");
	assert_slice(route_path_only(S(""), NULL), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(normalize), cmocka_unit_test(plain),
		cmocka_unit_test(merge),     cmocka_unit_test(stable),
		cmocka_unit_test(path_only), cmocka_unit_test(escaped_slashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
