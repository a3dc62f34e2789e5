/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Hessian walk: every tag is stepped over exactly, every cut and every lie is refused, and
 * nothing that a peer writes makes it deep, long or big.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "codec/dubbo/hessian2.h"

#define DEPTH 64
#define STRING_BYTES 65536

#define V(lit) { "" lit, sizeof(lit) - 1 }

/* One value of every tag, and of every way to combine them. */
static const struct slice values[] = {
	/* null, booleans */
	V("N"), V("T"), V("F"),
	/* ints of one, two, three, five bytes */
	V("\x90"), V("\x80"), V("\xbf"), V("\xc0\x00"), V("\xcf\xff"), V("\xd0\x01\x02"),
	V("\xd7\x01\x02"), V("I\x00\x01\x02\x03"),
	/* longs */
	V("\xd8"), V("\xef"), V("\xf0\x00"), V("\xff\x01"), V("\x38\x01\x02"), V("\x3f\x01\x02"),
	V("Y\x00\x01\x02\x03"), V("L\x00\x01\x02\x03\x04\x05\x06\x07"),
	/* doubles */
	V("["), V("\\"), V("]\x01"), V("^\x01\x02"), V("_\x00\x00\x0c\xb2"),
	V("D\x40\x28\x80\x00\x00\x00\x00\x00"),
	/* dates */
	V("J\x00\x00\x01\x17\x48\x76\xe8\x00"), V("K\x00\x00\x00\x01"),
	/* strings: short, medium, long, in chunks; two, three bytes, surrogates, four bytes */
	V("\x00"), V("\x05hello"), V("\x30\x04" "abcd"), V("S\x00\x03" "abc"),
	V("R\x00\x01" "aS\x00\x01" "b"), V("R\x00\x01" "a\x01" "b"), V("R\x00\x01" "a\x30\x01" "b"),
	V("R\x00\x01" "aR\x00\x00\x00"), V("\x02\xc3\xa9\xe4\xbd\xa0"),
	V("\x02\xed\xa0\xbd\xed\xb8\x80"), V("\x02\xf0\x9f\x98\x80"),
	/* binaries */
	V("\x20"), V("\x23" "abc"), V("\x34\x03" "abc"), V("B\x00\x03" "abc"),
	V("A\x00\x01" "aB\x00\x01" "b"), V("A\x00\x01" "aA\x00\x01" "b\x21" "c"),
	V("A\x00\x01" "a\x34\x01" "b"),
	/* references */
	V("Q\x90"), V("Q\xc8\x01"), V("QI\x7f\x00\x00\x00"),
	/* lists */
	V("W\x91\x92Z"), V("WZ"), V("U\x04[int\x91Z"), V("U\x90\x91Z"), V("V\x04[int\x92\x91\x92"),
	V("V\x90\x91\x91"), V("X\x92\x91N"), V("X\x90"), V("\x70\x04[int"),
	V("\x72\x04[int\x91\x92"), V("\x72\x90\x91\x92"), V("\x78"), V("\x7a\x91\x92"),
	/* maps */
	V("HZ"), V("H\x01" "a\x91Z"), V("M\x01" "m\x01" "a\x01" "bZ"), V("M\x90\x91\x92Z"),
	V("H\x01" "aH\x01" "bWZZZ"), V("HWZHZZ"),
	/* objects: no fields, short and long form, definitions where a value stands, loops */
	V("C\x01" "A\x90\x60"), V("C\x01" "A\x92\x01" "x\x01" "y\x60\x91\x92"),
	V("C\x01" "A\x91\x01" "xO\x90\x91"), V("C\x01" "A\x91\x01" "xC\x01" "B\x90\x60\x61"),
	V("C\x01" "A\x91\x01" "n\x60\x60\x60N"), V("C\x01" "A\x91\x01" "s\x60Q\x90"),
	V("\x7a" "C\x01" "A\x91\x01" "x\x60\x91\x60Q\x91"), V("WC\x01" "A\x90\x60\x60Z"),
};

/* Values that no writer writes. */
static const struct slice broken[] = {
	V("\x40"), V("E"), V("G"), V("P"), V("Z"),			/* no such tags */
	V("\x02\xff\xff"), V("\x02" "a\x80"), V("\x01\xc3" "a"),	/* not CESU-8 */
	V("\x01\xf0\x9f\x98\x80"),					/* half a pair */
	/* a string goes on as something else */
	V("R\x00\x01" "aN"), V("R\x00\x01" "a\x21" "b"),
	V("A\x00\x01" "a\x01" "b"), V("A\x00\x01" "aN"),
	/* references that are none */
	V("Q\x8f"), V("QN"), V("Q\x01" "a"),
	/* class that was not defined */
	V("\x60"), V("\x6f"), V("O\x90"), V("O\x8f"),
	V("C\x01" "A\x90\x61"), V("C\x01" "A\x8f\x60"), V("C\x01" "A\x91\x91\x60N"), V("C\x91"),
	V("C\x01" "AN\x60"), V("U\x8f\x91Z"), V("UN"), V("MNZ"), V("MTZ"),
	V("H\x01" "aZ"),						/* a key without a value */
	V("H\x01" "a\x91\x01" "bZ"),
	V("X\x8f"), V("VT"), V("V\x04[int\x8f"),
	V("X\xd4\xff\xff\x91"), V("XI\x7f\xff\xff\xff\x91"), V("V\x90I\x7f\xff\xff\xff\x91"),
	/* lengths that lie */
	V("C\x01" "AI\x7f\xff\xff\xff\x60"), V("\x7f\x91"), V("\x77\x90\x91"),
};

/* Walks over one value; bytes left, or the error with its reason. On the heap, for ASan. */
static ssize_t skip_left(struct slice s, uint32_t depth, const char **ret_why, size_t *ret_memory)
{
	char *p = malloc(s.len ? s.len : 1);
	struct arena a = { 0 };
	struct hessian2 h;
	ssize_t r;

	if (s.len)
		memcpy(p, s.ptr, s.len);
	hessian2_init(&h, slice_of(p, s.len), depth, STRING_BYTES, &a);
	r = hessian2_skip(&h);
	if (r == 0)
		r = h.end - h.p;
	if (ret_why)
		*ret_why = h.error;
	if (ret_memory)
		*ret_memory = a.total;
	arena_done(&a);
	free(p);
	return r;
}

static void test_every_value_is_skipped_exactly(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct buf b = { 0 };

		if (skip_left(values[i], DEPTH, NULL, NULL) != 0)
			fail_msg("value %zu", i);
		buf_add_slice(&b, values[i]);
		buf_add(&b, "N\x91!", 3);
		if (skip_left(buf_slice(&b), DEPTH, NULL, NULL) != 3)
			fail_msg("value %zu with more behind it", i);
		buf_done(&b);
	}
}

static void test_every_cut_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		for (size_t n = 0; n < values[i].len; n++) {
			const char *why = NULL;
			ssize_t r = skip_left(slice_first(values[i], n), DEPTH, &why, NULL);

			if (r != -EPROTO || !why)
				fail_msg("value %zu cut at %zu: %zd %s", i, n, r, why);
		}
	}
}

static void test_broken_values_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		const char *why = NULL;
		ssize_t r = skip_left(broken[i], DEPTH, &why, NULL);

		if (r != -EPROTO || !why)
			fail_msg("broken value %zu: %zd %s", i, r, why);
	}
}

/* @n times @unit. */
static struct slice repeat(struct buf *b, const char *unit, size_t len, size_t n)
{
	while (n--)
		buf_add(b, unit, len);
	return buf_slice(b);
}

static void test_depth_is_limited(void **state)
{
	static const struct slice units[] = { V("W"), V("H\x90"), V("\x79"), V("X\x91"),
					      V("\x71\x90") };
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		struct buf b = { 0 };

		repeat(&b, units[i].ptr, units[i].len, 2000000);
		assert_int_equal(skip_left(buf_slice(&b), DEPTH, &why, NULL), -E2BIG);
		assert_string_equal(why, "hessian2 values are nested too deep");
		assert_int_equal(skip_left(buf_slice(&b), 0, &why, NULL), -E2BIG);
		assert_int_equal(skip_left(buf_slice(&b), UINT32_MAX, &why, NULL), -E2BIG);
		buf_done(&b);
	}
}

static void test_depth_limit_is_exact(void **state)
{
	struct buf b = { 0 };

	(void)state;
	for (int i = 0; i < DEPTH; i++)
		buf_add_char(&b, 'W');
	for (int i = 0; i < DEPTH; i++)
		buf_add_char(&b, 'Z');
	assert_int_equal(skip_left(buf_slice(&b), DEPTH, NULL, NULL), 0);
	assert_int_equal(skip_left(buf_slice(&b), DEPTH - 1, NULL, NULL), -E2BIG);
	buf_done(&b);
}

static void test_class_definitions_are_limited(void **state)
{
	struct buf b = { 0 };
	const char *why;
	size_t memory;

	(void)state;
	repeat(&b, "C\x00\x90", 3, 1000000);
	buf_add_char(&b, 0x60);
	assert_int_equal(skip_left(buf_slice(&b), DEPTH, &why, &memory), -E2BIG);
	assert_string_equal(why, "hessian2 has too many class definitions");
	assert_true(memory < 128 * 1024);
	buf_clear(&b);
	/* as many as are allowed, and the last one used */
	repeat(&b, "C\x00\x90", 3, HESSIAN2_CLASSES - 1);
	buf_add(&b, "C\x00\x92\x00\x00O\xd7\xff\xff", 9);
	assert_int_equal(skip_left(buf_slice(&b), DEPTH, &why, NULL), -EPROTO);
	assert_string_equal(why, "hessian2 object of an unknown class");
	b.tail -= 4;
	buf_add(&b, "O\xd4\x0f\xff\x91\x92", 6);
	assert_int_equal(skip_left(buf_slice(&b), DEPTH, &why, NULL), 0);
	buf_done(&b);
}

static void test_million_empty_objects_and_chunks_are_linear(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_add(&b, "WC\x00\x90", 4);
	repeat(&b, "\x60", 1, 4000000);
	buf_add_char(&b, 'Z');
	assert_int_equal(skip_left(buf_slice(&b), DEPTH, NULL, NULL), 0);
	buf_clear(&b);
	repeat(&b, "R\x00\x00", 3, 1000000);
	buf_add_char(&b, 0);
	assert_int_equal(skip_left(buf_slice(&b), DEPTH, NULL, NULL), 0);
	buf_clear(&b);
	repeat(&b, "A\x00\x01z", 4, 1000000);
	buf_add_char(&b, 0x20);
	assert_int_equal(skip_left(buf_slice(&b), DEPTH, NULL, NULL), 0);
	buf_done(&b);
}

/* ---- strings -------------------------------------------------------------------------------- */

static int read_string(struct slice in, uint32_t limit, struct arena *a, struct slice *ret_s)
{
	struct hessian2 h;
	int r;

	hessian2_init(&h, in, DEPTH, limit, a);
	r = hessian2_string(&h, ret_s);
	if (r == 0)
		assert_true(hessian2_is_end(&h));
	return r;
}

static void test_strings_are_read(void **state)
{
	static const struct {
		struct slice in, out;
	} cases[] = {
		{ V("\x05hello"), V("hello") },
		{ V("\x00"), V("") },
		{ V("\x30\x05hello"), V("hello") },
		{ V("R\x00\x02heS\x00\x02llR\x00\x00\x01o"), V("hell") },
		{ V("R\x00\x02heR\x00\x02ll\x01o"), V("hello") },
		{ V("R\x00\x01\xc3\xa9\x02\xed\xa0\xbd\xed\xb8\x80"),
		  V("\xc3\xa9\xed\xa0\xbd\xed\xb8\x80") },
	};
	struct arena a = { 0 };
	struct slice s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct hessian2 h;

		hessian2_init(&h, cases[i].in, DEPTH, 100, &a);
		assert_int_equal(hessian2_string(&h, &s), 0);
		assert_int_equal(s.len, cases[i].out.len);
		assert_memory_equal(s.ptr, cases[i].out.ptr, s.len);
		assert_non_null(s.ptr);
	}
	assert_int_equal(read_string(SLICE("N"), 100, &a, &s), 0);
	assert_null(s.ptr);
	assert_int_equal(read_string(SLICE("T"), 100, &a, &s), -EPROTO);
	assert_int_equal(read_string(SLICE("\x05hell"), 100, &a, &s), -EPROTO);
	assert_int_equal(read_string(SLICE("\x05hello"), 4, &a, &s), -E2BIG);
	assert_int_equal(read_string(SLICE("R\x00\x02he\x03llo"), 4, &a, &s), -E2BIG);
	assert_int_equal(read_string(SLICE("R\x00\x02he\x02l"), 4, &a, &s), -EPROTO);
	arena_done(&a);
}

static void test_written_strings_are_read_back(void **state)
{
	static const size_t lengths[] = { 0, 1, 31, 32, 1023, 1024, 32767, 32768, 32769, 100000 };
	struct arena a = { 0 };
	struct slice s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct buf b = { 0 };
		char *text = malloc(lengths[i] + 1);

		memset(text, 'x', lengths[i]);
		hessian2_write_string(&b, slice_of(text, lengths[i]));
		assert_int_equal(read_string(buf_slice(&b), UINT32_MAX, &a, &s), 0);
		assert_int_equal(s.len, lengths[i]);
		assert_memory_equal(s.ptr, text, s.len);
		free(text);
		buf_done(&b);
	}
	arena_done(&a);
}

static void test_written_text_is_cesu8(void **state)
{
	static const struct {
		struct slice in, out;
	} cases[] = {
		{ V("\xc3\xa9\xe4\xbd\xa0"), V("\x02\xc3\xa9\xe4\xbd\xa0") },
		{ V("a\xf0\x9f\x98\x80"), V("\x03" "a\xed\xa0\xbd\xed\xb8\x80") },
		{ V("\xff\xc3"), V("\x02??") },
		{ V("\xf7\xbf\xbf\xbf"), V("\x02??") },
		{ V("\xf0\x80\x80\x80"), V("\x02??") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = { 0 };

		hessian2_write_string(&b, cases[i].in);
		assert_int_equal(buf_len(&b), cases[i].out.len);
		assert_memory_equal(buf_ptr(&b), cases[i].out.ptr, cases[i].out.len);
		buf_done(&b);
	}
}

/* ---- real writers --------------------------------------------------------------------------- */

static int hex(int c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void test_values_of_java_writers(void **state)
{
	FILE *f = fopen(TESTDATA "/dubbo/hessian2-values.txt", "r");
	static char line[8192];
	static char bytes[4096];
	unsigned int n = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *p = strchr(line, ' ');
		size_t len = 0;

		if (*line == '#' || !p)
			continue;
		for (p++; *p >= '0'; p += 2)
			bytes[len++] = (char)(hex(p[0]) << 4 | hex(p[1]));
		*strchr(line, ' ') = 0;
		if (skip_left(slice_of(bytes, len), DEPTH, NULL, NULL) != 0)
			fail_msg("%s", line);
		for (size_t cut = 0; cut < len; cut++)
			if (skip_left(slice_of(bytes, cut), DEPTH, NULL, NULL) >= 0)
				fail_msg("%s cut at %zu", line, cut);
		n++;
	}
	fclose(f);
	assert_true(n >= 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_value_is_skipped_exactly),
		cmocka_unit_test(test_every_cut_is_refused),
		cmocka_unit_test(test_broken_values_are_refused),
		cmocka_unit_test(test_depth_is_limited),
		cmocka_unit_test(test_depth_limit_is_exact),
		cmocka_unit_test(test_class_definitions_are_limited),
		cmocka_unit_test(test_million_empty_objects_and_chunks_are_linear),
		cmocka_unit_test(test_strings_are_read),
		cmocka_unit_test(test_written_strings_are_read_back),
		cmocka_unit_test(test_written_text_is_cesu8),
		cmocka_unit_test(test_values_of_java_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
