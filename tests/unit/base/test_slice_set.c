/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that stand once, and those that stand twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/slice_set.h"

#define MANY 1000

static void test_each_once(void **state)
{
	struct arena a = { 0 };
	struct slice_set s;
	char text[16];

	(void)state;
	slice_set_init(&s, &a, MANY + 1);
	for (unsigned int round = 0; round < 2; round++)
		for (unsigned int i = 0; i < MANY; i++) {
			snprintf(text, sizeof(text), "name-%u", i);
			assert_int_equal(slice_set_add(&s, arena_slice(&a, slice_str(text))),
					 round == 0);
		}
	assert_true(slice_set_add(&s, SLICE_NONE));
	assert_false(slice_set_add(&s, SLICE("")));
	arena_done(&a);
}

static void test_room_for_none(void **state)
{
	struct arena a = { 0 };
	struct slice_set s;

	(void)state;
	slice_set_init(&s, &a, 0);
	assert_true(slice_set_add(&s, SLICE("a")));
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_room_for_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
