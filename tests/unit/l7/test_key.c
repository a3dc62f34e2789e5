/* SPDX-License-Identifier: Apache-2.0 */
/* Interned names: each is found, others are not. Prints the slots that are due after a change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "user/l7/key.c"

static const char *const ids[L7_KEY_COUNT] = {
#define X(id, name) [L7_KEY_##id] = #id,
	L7_KEYS(X)
#undef X
};

static void test_table_is_due(void **state)
{
	unsigned int taken[256] = { 0 };
	bool stale = false;

	(void)state;
	for (unsigned int k = 1; k < L7_KEY_COUNT; k++) {
		unsigned int h = hash(names[k]);

		if (taken[h])
			fail_msg("%s and %s collide: choose another HASH_FACTOR", ids[k],
				 ids[taken[h]]);
		taken[h] = k;
		stale |= slots[h] != k;
	}
	for (unsigned int h = 0; stale && h < 256; h++)
		if (taken[h])
			print_error("\t[0x%02x] = L7_KEY_%s,\n", h, ids[taken[h]]);
	assert_false(stale);
}

static void test_find(void **state)
{
	(void)state;
	for (unsigned int k = 1; k < L7_KEY_COUNT; k++) {
		char text[64];
		struct slice name = l7_key_name((enum l7_key)k);

		assert_true(name.len && name.len < sizeof(text));
		assert_int_equal(l7_key_find(name), k);
		memcpy(text, name.ptr, name.len);
		for (size_t i = 0; i < name.len; i++) {
			text[i] ^= 1;
			assert_int_not_equal(l7_key_find(slice_of(text, name.len)), k);
			text[i] ^= 1;
		}
		assert_int_not_equal(l7_key_find(slice_first(name, name.len - 1)), k);
	}
	assert_int_equal(l7_key_find(SLICE_NONE), L7_KEY_NONE);
	assert_int_equal(l7_key_find(SLICE("x")), L7_KEY_NONE);
	assert_int_equal(l7_key_find(SLICE("Host")), L7_KEY_NONE);
	assert_int_equal(l7_key_find(SLICE("accept-encoding")), L7_KEY_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_is_due),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
