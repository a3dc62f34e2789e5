/* SPDX-License-Identifier: Apache-2.0 */
/* Names that are lists. The source is included to ask for every name of its table. */
#include "tests/unit/fixture.h"

#define l7_name_is_joined name_is_joined_here
#define l7_props_join props_join_here
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

/* Empty values leave no comma; names that are no lists stay apart; the first keeps its place. */
static void values_are_joined(void **state)
{
	static const char *const in[][2] = { { "vary", "" },	 { "set-cookie", "1" },
					     { "vary", "a" },	 { "set-cookie", "2" },
					     { "vary", "" },	 { "vary", "b" } };
	struct arena a = { 0 };
	struct l7_props p;
	struct slice v;

	(void)state;
	l7_props_init(&p, &a);
	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		l7_props_add(&p, l7_key_find(S(in[i][0])), S(in[i][0]), S(in[i][1]));
	l7_props_join(&p, true, &a); /* vary is none of a request's */
	assert_true(l7_props_joined(&p, S("vary"), &a, &v));
	assert_slice(v, ",a,,b");
	l7_props_join(&p, false, &a);
	assert_true(l7_props_joined(&p, S("vary"), &a, &v));
	assert_slice(v, "a,b");
	assert_true(l7_props_joined(&p, S("set-cookie"), &a, &v));
	assert_slice(v, "1,2");
	assert_true(p.v[2].dead && p.v[4].dead && p.v[5].dead && !p.v[3].dead);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_name_is_found),
					    cmocka_unit_test(values_are_joined),
					    cmocka_unit_test(others_are_not) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
