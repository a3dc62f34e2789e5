/* SPDX-License-Identifier: Apache-2.0 */
/* Values of request headers that are read as a whole: Referer, grpc-timeout, absolute URLs. */
#include "tests/unit/fixture.h"

#include "user/proxy/http_grpc.c" /* style: statics */

static void referers(void **state)
{
	static const struct {
		const char *value;
		bool good;
	} cases[] = {
		{ "http://a.test/x", true },
		{ "https://a.test?x=1", true },
		{ "android-app://com.x/", true },
		{ "http://[::1]:80/", true },
		{ "http://a.test:65535", true },
		{ "http://a.test/<\"x\">", true },
		{ "http://@a/", true },
		{ "/relative?x=1", true },
		{ "a/b:c", true },
		{ "", true },
		{ "http://", false },
		{ "http:///x", false },
		{ "http://a.test/#f", false },
		{ "http://user:pw@h/x", false },
		{ "http://a_b.test/", false },
		{ "http://a.test:65536/", false },
		{ "http://a.test:/", false },
		{ "http://[::1/", false },
		{ "http://[zz]/", false },
		{ "http://a.test/a b", false },
		{ "http://a.test/\xe9", false },
		{ "1http://x", false },
		{ "about:blank", false },
		{ "/a#f", false },
		{ "/a\"b", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (http_referer_is_good(slice_str(cases[i].value)) != cases[i].good)
			fail_msg("%s", cases[i].value);
}

static void grpc_timeouts(void **state)
{
	static const struct {
		const char *value;
		uint64_t ms; /* UINT64_MAX: it is none */
	} cases[] = {
		{ "20S", 20000 },	{ "1H", 3600000 }, { "2M", 120000 },
		{ "150m", 150 },	{ "1500u", 2 },	   { "1n", 1 },
		{ "99999999S", 99999999000 }, { "S", UINT64_MAX }, { "12", UINT64_MAX },
		{ "123456789S", UINT64_MAX },  { "-1S", UINT64_MAX }, { "", UINT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t ms = UINT64_MAX;

		if (!read_timeout(slice_str(cases[i].value), &ms))
			ms = UINT64_MAX;
		if (ms != cases[i].ms)
			fail_msg("%s: %llu", cases[i].value, (unsigned long long)ms);
	}
}

static void urls(void **state)
{
	static const char *const bad[] = { "/p",           "http://",       "http:///p",
					   "http://h:/",   "http://h#f",    "http://h_x/",
					   "http://h%20/", "http://a@b@c/", "h.test/p" };
	struct http_url u;

	(void)state;
	assert_true(http_url_read(SLICE("HTTPS://h.test:8/p?q=1#f?g#h"), &u));
	assert_slice(u.scheme, "HTTPS");
	assert_slice(u.host, "h.test:8");
	assert_slice(u.path, "/p?q=1");
	assert_true(u.has_fragment && !u.user.len);
	assert_true(http_url_read(SLICE("http://u:p@[::1]?q"), &u));
	assert_slice(u.user, "u:p");
	assert_slice(u.host, "[::1]");
	assert_slice(u.path, "?q");
	assert_false(u.has_fragment);
	assert_true(http_url_read(SLICE("http://h"), &u));
	assert_int_equal(u.path.len, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (http_url_read(slice_str(bad[i]), &u))
			fail_msg("%s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(referers),
		cmocka_unit_test(grpc_timeouts),
		cmocka_unit_test(urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
