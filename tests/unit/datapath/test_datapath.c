/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the datapath that need no kernel: names, masks, event lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "datapath/datapath_impl.h"

static void masks(void **state)
{
	static const struct {
		const char *from;
		unsigned int bits;
		const char *to;
	} cases[] = {
		{"10.1.2.255", 128, "10.1.2.255"}, {"10.1.2.255", 96 + 24, "10.1.2.0"},
		{"10.1.2.255", 96 + 31, "10.1.2.254"}, {"10.1.2.255", 96, "0.0.0.0"},
		{"fd00:ffff::1", 20, "fd00:f000::"}, {"fd00:ffff::1", 0, "::"},
		{"ffff::", 1, "8000::"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr from, to;
		struct skiff_addr masked;

		print_message("%s/%u\n", cases[i].from, cases[i].bits);
		assert_int_equal(addr_parse_ip(slice_str(cases[i].from), &from), 0);
		assert_int_equal(addr_parse_ip(slice_str(cases[i].to), &to), 0);
		masked = addr_to_map(&from);
		addr_mask(&masked, cases[i].bits);
		assert_memory_equal(masked.b, to.ip, 16);
	}
}

static void accelerate_names(void **state)
{
	enum datapath_accelerate mode;

	(void)state;
	for (int i = DATAPATH_OFF; i <= DATAPATH_BOTH; i++) {
		const char *name = datapath_accelerate_name((enum datapath_accelerate)i);

		assert_int_equal(datapath_accelerate_parse(name, &mode), 0);
		assert_int_equal(mode, i);
	}
	assert_int_equal(datapath_accelerate_parse("on", &mode), -EINVAL);
	assert_int_equal(datapath_accelerate_parse("", &mode), -EINVAL);
}

static void every_reason_has_a_name_and_a_text(void **state)
{
	(void)state;
	for (int i = 0; i < SKIFF_R_COUNT; i++) {
		assert_non_null(datapath_reason_name((enum skiff_reason)i));
		assert_true(strlen(datapath_reason_text((enum skiff_reason)i)) > 5);
	}
	assert_string_equal(datapath_reason_name(SKIFF_R_OUT_DENY), "OUT_DENY");
	assert_string_equal(datapath_reason_name((enum skiff_reason)9999), "UNKNOWN");
}

static void map_names_fit_the_kernel(void **state)
{
	(void)state;
	for (int i = 0; i < MAP_COUNT; i++) {
		assert_memory_equal(map_name((enum datapath_map)i), "skiff_", 6);
		assert_true(strlen(map_name((enum datapath_map)i)) <= 15);
	}
}

static void an_event_is_one_line(void **state)
{
	struct skiff_event e = {
		.netns = 77,
		.pod = 3,
		.reason = SKIFF_R_OUT_DENY,
		.local_port = 1,
		.remote_port = 443,
		.tgid = 12,
		.comm = "0123456789abcdef", /* no NUL */
	};
	char line[512], little[20];
	struct addr a;
	size_t n;

	(void)state;
	assert_int_equal(addr_parse_ip(slice_str("10.0.0.9"), &a), 0);
	e.remote = addr_to_map(&a);
	n = datapath_event_format(&e, line, sizeof(line));
	assert_int_equal(n, strlen(line));
	assert_string_equal(line,
			    "pod 3 netns 77 OUT_DENY: outbound: denied by policy, local [::]:1 "
			    "remote 10.0.0.9:443, 0123456789abcdef[12]");
	n = datapath_event_format(&e, little, sizeof(little));
	assert_int_equal(n, sizeof(little) - 1);
	assert_int_equal(strlen(little), n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masks),
		cmocka_unit_test(accelerate_names),
		cmocka_unit_test(every_reason_has_a_name_and_a_text),
		cmocka_unit_test(map_names_fit_the_kernel),
		cmocka_unit_test(an_event_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
