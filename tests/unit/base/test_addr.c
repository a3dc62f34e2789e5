/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: text both ways, prefixes, kernel form. */
#include "tests/unit/fixture.h"

#include <errno.h>
#include <netinet/in.h>

#include "base/addr.h"

static void text(void **state)
{
	static const char *const good[][2] = {
		{ "10.0.0.1:80", "10.0.0.1:80" },	   { "[::1]:65535", "[::1]:65535" },
		{ "[fe80::1]:0", "[fe80::1]:0" },	   { "[::ffff:1.2.3.4]:9", "1.2.3.4:9" },
		{ "0.0.0.0:1", "0.0.0.0:1" },
	};
	static const char *const bad[] = {
		"",           ":",         "10.0.0.1",       "10.0.0.1:", "10.0.0.1:65536",
		"10.0.0.1:x", "::1:80",    "[::1]",          "[::1",      "[::1]80",
		"[]:80",      "10.0.0:80", "10.0.0.1:80:90", "host:80"
	};
	char out[ADDR_TEXT_MAX];
	struct addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(addr_parse(S(good[i][0]), &a), 0);
		assert_int_equal(addr_format(&a, out), strlen(good[i][1]));
		assert_string_equal(out, good[i][1]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (addr_parse(S(bad[i]), &a) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(addr_parse_ip(SLICE("10.0.0.1\0x"), &a), -EINVAL);
	assert_int_equal(addr_parse_ip(S("fe80::1"), &a), 0);
	addr_format_ip(&a, out);
	assert_string_equal(out, "fe80::1");
}

static void prefixes(void **state)
{
	static const struct {
		const char *prefix, *ip;
		bool in;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.1.2", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/9", "10.128.0.0", false },
		{ "0.0.0.0/0", "1.2.3.4", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "1.2.3.4", true },
		{ "10.1.2.3", "10.1.2.3", true },
		{ "10.1.2.3", "10.1.2.2", false },
		{ "fe80::/10", "febf::1", true },
		{ "fe80::/10", "fec0::1", false },
		{ "::1/128", "::1", true },
	};
	static const char *const bad[] = { "",       "/8",         "10.0.0.0/", "10.0.0.0/33",
					   "::/129", "10.0.0.0/x", "10.0.0/8" };
	struct addr net, a;
	unsigned int bits;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(addr_parse_prefix(S(cases[i].prefix), &net, &bits), 0);
		assert_int_equal(addr_parse_ip(S(cases[i].ip), &a), 0);
		if (addr_is_in(&a, &net, bits) != cases[i].in)
			fail_msg("%s in %s", cases[i].ip, cases[i].prefix);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (addr_parse_prefix(S(bad[i]), &net, &bits) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
}

static void kernel_form(void **state)
{
	static const char *const texts[] = { "10.0.0.1:80", "[2001:db8::5]:443" };
	struct sockaddr_storage ss;
	struct sockaddr other = { .sa_family = AF_UNIX };
	struct addr a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(addr_parse(S(texts[i]), &a), 0);
		addr_to_sockaddr(&a, &ss);
		assert_int_equal(ss.ss_family, i ? AF_INET6 : AF_INET);
		assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, &b), 0);
		assert_true(addr_is_equal(&a, &b));
		assert_true(addr_hash(&a) == addr_hash(&b));
	}
	assert_int_equal(addr_from_sockaddr(&other, &b), -EAFNOSUPPORT);
	b.port++;
	assert_false(addr_is_equal(&a, &b));
	assert_true(addr_ip_is_equal(&a, &b));
}

static void kinds(void **state)
{
	struct addr a;

	(void)state;
	assert_int_equal(addr_parse_ip(S("127.9.9.9"), &a), 0);
	assert_true(addr_is_v4(&a) && addr_is_loopback(&a) && !addr_is_any(&a));
	assert_int_equal(addr_parse_ip(S("::1"), &a), 0);
	assert_true(!addr_is_v4(&a) && addr_is_loopback(&a));
	assert_int_equal(addr_parse_ip(S("::"), &a), 0);
	assert_true(addr_is_any(&a) && !addr_is_loopback(&a));
	assert_int_equal(addr_parse_ip(S("0.0.0.0"), &a), 0);
	assert_true(addr_is_any(&a));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(text), cmocka_unit_test(prefixes),
					    cmocka_unit_test(kernel_form),
					    cmocka_unit_test(kinds) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
