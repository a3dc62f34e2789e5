/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing a codec by the first bytes or by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/http1/http1.h"

static const struct codec *const table[] = { &codec_http1, NULL };

static const struct {
	const char *text;
	enum sniff last; /* of all bytes; every shorter prefix says MORE or the same */
} cases[] = {
	{ "GET ", SNIFF_YES },
	{ "POST ", SNIFF_YES },
	{ "CONNECT ", SNIFF_YES },
	{ "GET", SNIFF_MORE },
	{ "G", SNIFF_MORE },
	{ "PROPFIND /", SNIFF_YES },
	{ "PROPFIND ", SNIFF_MORE },
	{ "M-SEARCH *", SNIFF_YES },
	{ "CUSTOM http", SNIFF_YES },
	{ "CUSTOM htt", SNIFF_MORE },
	{ "CUSTOM HTTP://", SNIFF_YES },
	{ "CUSTOM hx", SNIFF_NO },
	{ "EHLO me", SNIFF_NO },
	{ "QUIT\r", SNIFF_NO },
	{ "PRI * HTTP/2.0\r\n\r\n", SNIFF_NO },
	{ "PRI", SNIFF_MORE },
	{ "HTTP/1.1 200", SNIFF_NO },
	{ "SSH-2.0-OpenSSH", SNIFF_NO },
	{ "PROXY TCP4", SNIFF_NO },
	{ "get / HTTP/1.1", SNIFF_NO },
	{ " GET /", SNIFF_NO },
	{ "\r\nGET /", SNIFF_NO },
	{ "-GET /", SNIFF_NO },
	{ "*1\r\n$4\r\nPING\r\n", SNIFF_NO },
	{ "\x16\x03\x01", SNIFF_NO },
	{ "\xda\xbb\xc2", SNIFF_NO },
	{ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SNIFF_MORE },
	{ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA /", SNIFF_YES },
	{ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SNIFF_NO },
};

static void test_http1(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t n = 0; n <= strlen(cases[i].text); n++) {
			char *p = xmalloc(n);
			enum sniff s;

			memcpy(p, cases[i].text, n);
			s = codec_http1.sniff(p, n);
			free(p);
			if (s != cases[i].last && (s != SNIFF_MORE || n == strlen(cases[i].text)))
				fail_msg("\"%s\": %zu bytes give %d", cases[i].text, n, s);
		}
}

static enum sniff says_more(const char *p, size_t n)
{
	(void)p;
	(void)n;
	return SNIFF_MORE;
}

static void test_table(void **state)
{
	static const struct codec slow = { .name = "slow", .sniff = says_more };
	static const struct codec silent = { .name = "silent" };
	static const struct codec *const all[] = { &silent, &slow, &codec_http1, NULL };
	const struct codec *c = NULL;

	(void)state;
	assert_int_equal(codec_sniff(table, "GET / ", 6, &c), SNIFF_YES);
	assert_ptr_equal(c, &codec_http1);
	c = NULL;
	assert_int_equal(codec_sniff(table, "GE", 2, &c), SNIFF_MORE);
	assert_int_equal(codec_sniff(table, "\x16", 1, &c), SNIFF_NO);
	assert_null(c);
	assert_int_equal(codec_sniff(all, "\x16", 1, &c), SNIFF_MORE);
	assert_int_equal(codec_sniff(all, "GET / ", 6, &c), SNIFF_YES);
	assert_ptr_equal(c, &codec_http1);
	assert_ptr_equal(codec_find(all, "slow"), &slow);
	assert_ptr_equal(codec_find(all, "http1"), &codec_http1);
	assert_null(codec_find(all, "http"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http1),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
