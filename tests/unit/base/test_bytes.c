/* SPDX-License-Identifier: Apache-2.0 */
/* Slices, buffers and arenas: what they promise at their edges. */
#include "tests/unit/fixture.h"

#include <errno.h>

#include "base/buf.h"
#include "base/json.h"

/* ---- UTF-8 ----------------------------------------------------------------------------------- */

static void utf8(void **state)
{
	static const char *const good[] = { "", "plain", "\xc2\x80", "\xe2\x82\xac",
					    "\xf0\x9f\x9a\x80" };
	static const char *const bad[] = { "\x80",         "\xc0\x80",         "x\xc3",
					   "\xe0\x80\x80", "\xed\xa0\x80",     "\xff",
					   "\xf4\x90\x80\x80" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(slice_is_utf8(slice_str(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(slice_is_utf8(slice_str(bad[i])));
}

/* A text that was cut within a character, or is of another encoding, is still told. */
static void json_texts(void **state)
{
	static const char *const v[][2] = { { "", "" },
					    { "caf\xc3\xa9", "caf\xc3\xa9" },
					    { "caf\xe9 is shut", "caf? is shut" },
					    { "cut \xe2\x82", "cut ??" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		json_t *j = text_json(v[i][0]);

		assert_string_equal(json_string_value(j), v[i][1]);
		json_decref(j);
	}
	json_decref(slice_json(SLICE_NONE));
}

/* ---- slice ----------------------------------------------------------------------------------- */

static void slices(void **state)
{
	struct slice s = S("a,b,"), none = SLICE_NONE;
	uint64_t v = 7;

	(void)state;
	assert_slice(slice_split(&s, ','), "a");
	assert_slice(slice_split(&s, ','), "b");
	assert_non_null(s.ptr); /* an empty part is left */
	assert_slice(slice_split(&s, ','), "");
	assert_null(s.ptr);
	assert_slice(slice_trim(S(" \t a b\t ")), "a b");
	assert_slice(slice_trim(S("  ")), "");
	assert_slice(slice_skip(S("abc"), 5), "");
	assert_slice(slice_skip(none, 5), "");
	assert_slice(slice_first(S("abc"), 2), "ab");
	assert_int_equal(slice_find(S("abc"), 'c'), 2);
	assert_int_equal(slice_find(none, 'c'), -1);
	assert_true(slice_is_equal(none, S("")));
	assert_true(slice_is_equal_nocase(S("aB"), S("Ab")));
	assert_true(slice_has_prefix(S("abc"), S("")) && slice_has_suffix(S("abc"), S("bc")));
	assert_false(slice_has_prefix(S("a"), S("ab")) || slice_has_suffix(S("b"), S("ab")));
	assert_int_equal(slice_to_u64(S("18446744073709551615"), &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(slice_to_u64(S("18446744073709551616"), &v), -ERANGE);
	assert_int_equal(slice_to_u64(S("99999999999999999999"), &v), -ERANGE);
	assert_int_equal(slice_to_u64(S(""), &v), -EINVAL);
	assert_int_equal(slice_to_u64(S("1x"), &v), -EINVAL);
	assert_int_equal(slice_to_u64(S("+1"), &v), -EINVAL);
	assert_true(v == UINT64_MAX); /* untouched on failure */
	char *copy = slice_dup(S("copy"));
	assert_string_equal(copy, "copy");
	free(copy);
}

/* ---- buf ------------------------------------------------------------------------------------- */

static void buf_empty(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(buf_len(&b), 0);
	assert_slice(buf_slice(&b), "");
	buf_add(&b, NULL, 0);
	buf_consume(&b, 0);
	buf_clear(&b);
	assert_null(b.base);
	buf_done(&b);
}

/* A queue of a known sequence, with odd sizes on both ends. */
static void buf_queue(void **state)
{
	struct buf b = { 0 };
	unsigned char in = 0, out = 0;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < round % 37 + 1; i++)
			buf_add_char(&b, (char)in++);
		size_t n = buf_len(&b) * (size_t)(round % 4) / 4;
		for (size_t i = 0; i < n; i++)
			assert_int_equal((unsigned char)buf_ptr(&b)[i], out++);
		buf_consume(&b, n);
	}
	assert_true(b.cap <= 65536);
	buf_consume(&b, buf_len(&b));
	assert_int_equal(b.head, 0);
	buf_done(&b);
}

static void buf_text(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_add_u64(&b, 0);
	buf_add_u64(&b, UINT64_MAX);
	buf_printf(&b, " %s%c", "text", '!');
	assert_slice(buf_slice(&b), "018446744073709551615 text!");
	buf_clear(&b);
	buf_printf(&b, "%0*d", 3000, 1);
	assert_int_equal(buf_len(&b), 3000);
	buf_done(&b);
}

/* An empty buffer gives big memory back and keeps small memory. */
static void buf_shrinks(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_commit(&b, (size_t)(buf_reserve(&b, BUF_KEEP + 1) != NULL) * (BUF_KEEP + 1));
	buf_consume(&b, BUF_KEEP + 1);
	assert_null(b.base);
	buf_add_char(&b, 'x');
	buf_consume(&b, 1);
	assert_non_null(b.base);
	buf_done(&b);
}

/* ---- arena ----------------------------------------------------------------------------------- */

static void arena_blocks(void **state)
{
	struct arena a = { 0 };
	unsigned char *p[200];

	(void)state;
	for (size_t i = 1; i < ARRAY_LEN(p); i++) {
		p[i] = arena_alloc(&a, i * 7);
		assert_int_equal((uintptr_t)p[i] % 8, 0);
		memset(p[i], (int)i, i * 7);
	}
	for (size_t i = 1; i < ARRAY_LEN(p); i++)
		for (size_t k = 0; k < i * 7; k++)
			assert_int_equal(p[i][k], i);
	arena_done(&a);
	assert_null(a.blocks);
}

/* Something big does not throw the rest of the current block away. */
static void arena_oversize(void **state)
{
	struct arena a = { 0 };
	char *first = arena_alloc(&a, 8);
	char *big = arena_alloc(&a, 10 * ARENA_BLOCK);

	(void)state;
	memset(big, 1, 10 * ARENA_BLOCK);
	assert_ptr_equal(arena_alloc(&a, 8), first + 8);
	arena_reset(&a);
	/* The small block is the one that is kept. */
	assert_ptr_equal(arena_alloc(&a, 8), first);
	assert_true(a.total <= ARENA_BLOCK);
	arena_done(&a);
	arena_alloc(&a, 10 * ARENA_BLOCK);
	arena_reset(&a);
	assert_null(a.blocks);
	arena_reset(&a);
	arena_done(&a);
}

static void arena_text(void **state)
{
	struct arena a = { 0 };

	(void)state;
	assert_null(arena_zalloc(&a, 0));
	assert_slice(arena_printf(&a, "%s-%d", "x", 5), "x-5");
	assert_string_equal(arena_str(&a, slice_of("abc", 2)), "ab");
	assert_slice(arena_slice(&a, SLICE_NONE), "");
	assert_int_equal(*arena_new(&a, uint64_t), 0);
	assert_slice(arena_u64(&a, 0), "0");
	assert_slice(arena_u64(&a, UINT64_MAX), "18446744073709551615");
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8),            cmocka_unit_test(json_texts),
		cmocka_unit_test(slices),         cmocka_unit_test(buf_empty),
		cmocka_unit_test(buf_queue),      cmocka_unit_test(buf_text),
		cmocka_unit_test(buf_shrinks),    cmocka_unit_test(arena_blocks),
		cmocka_unit_test(arena_oversize), cmocka_unit_test(arena_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
