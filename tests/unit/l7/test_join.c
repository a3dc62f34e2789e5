/* SPDX-License-Identifier: Apache-2.0 */
/* Names that are lists. The source is included to ask for every name of its table. */
#include "tests/unit/fixture.h"

#define l7_name_is_joined name_is_joined_here
#include "user/l7/join.c"

static void every_name_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(l7_name_is_joined(table[i].name, true),
				 (table[i].where & REQ) != 0);
		assert_int_equal(l7_name_is_joined(table[i].name, false),
				 (table[i].where & RESP) != 0);
	}
}

static void others_are_not(void **state)
{
	static const char *const names[] = {
		"",
		"x",
		"cookie",
		"set-cookie",
		"x-a",
		"dnt",
		"accept-language",
		"a-name-that-is-longer-than-all-of-the-names-in-the-table",
		"Via"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_false(l7_name_is_joined(S(names[i]), true));
		assert_false(l7_name_is_joined(S(names[i]), false));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_name_is_found),
					    cmocka_unit_test(others_are_not) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
