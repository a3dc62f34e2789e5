/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC's message framing in pieces of every size, and what it refuses; statuses and their texts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "xds/grpc_conn.h"
#include "xds/grpc_msg.h"

static void add(struct buf *b, const void *p, size_t n)
{
	uint8_t head[GRPC_HEAD];

	grpc_head_write(head, (uint32_t)n);
	buf_add(b, head, sizeof(head));
	buf_add(b, p, n);
}

/* Feeds @wire in pieces of @step bytes; appends each message and a '|'. */
static int read_all(struct grpc_reader *r, struct slice wire, size_t step, struct buf *out,
		    const char **why)
{
	while (wire.len) {
		size_t n = wire.len < step ? wire.len : step;
		char *copy = xmalloc(n); /* exact, so that ASan sees an over-read */
		struct slice in = slice_of(copy, n), msg;
		int rc;

		memcpy(copy, wire.ptr, n);
		while ((rc = grpc_reader_next(r, &in, &msg, why)) == 1) {
			buf_add_slice(out, msg);
			buf_add_char(out, '|');
		}
		assert_true(rc < 0 || in.len == 0);
		free(copy);
		if (rc < 0)
			return rc;
		wire = slice_skip(wire, n);
	}
	return 0;
}

static void test_every_size_of_pieces(void **state)
{
	struct buf wire = { 0 }, want = { 0 };
	char big[9000];

	(void)state;
	memset(big, 'b', sizeof(big));
	add(&wire, "one", 3);
	add(&wire, "", 0);
	add(&wire, big, sizeof(big));
	add(&wire, "last", 4);
	buf_printf(&want, "one||%.*s|last|", (int)sizeof(big), big);
	for (size_t step = 1; step <= buf_len(&wire); step += step < 20 ? 1 : 997) {
		struct grpc_reader r = { .max = sizeof(big) };
		const char *why = NULL;
		struct buf got = { 0 };

		assert_int_equal(read_all(&r, buf_slice(&wire), step, &got, &why), 0);
		assert_true(slice_is_equal(buf_slice(&got), buf_slice(&want)));
		assert_false(grpc_reader_is_partial(&r));
		assert_int_equal(grpc_reader_held(&r), 0);
		grpc_reader_done(&r);
		buf_done(&got);
	}
	buf_done(&wire);
	buf_done(&want);
}

static void test_partial_is_seen(void **state)
{
	struct grpc_reader r = { .max = 100 };
	struct slice in = SLICE("\0\0\0\0\2a"), msg;
	const char *why;

	(void)state;
	assert_int_equal(grpc_reader_next(&r, &in, &msg, &why), 0);
	assert_true(grpc_reader_is_partial(&r));
	in = SLICE("b");
	assert_int_equal(grpc_reader_next(&r, &in, &msg, &why), 1);
	assert_true(slice_is_equal(msg, SLICE("ab")));
	assert_false(grpc_reader_is_partial(&r));
	grpc_reader_done(&r);
}

static void test_memory_follows_what_came(void **state)
{
	struct grpc_reader r = { .max = 64u << 20 };
	struct slice in = SLICE("\0\4\0\0\0abc"), msg; /* announces 64 MiB */
	const char *why;

	(void)state;
	assert_int_equal(grpc_reader_next(&r, &in, &msg, &why), 0);
	assert_int_equal(grpc_reader_held(&r), 3);
	assert_true(r.cap <= 4096);
	grpc_reader_done(&r);
	assert_int_equal(grpc_reader_held(&r), 0);
	assert_int_equal(r.cap, 0);
}

static void test_refused(void **state)
{
	static const struct {
		struct slice wire;
		int rc;
		const char *why;
	} v[] = {
		{ SLICE("\0\0\0\0\5abcde"), -EMSGSIZE, "over the limit" },
		{ SLICE("\0\xff\xff\xff\xff"), -EMSGSIZE, "over the limit" },
		{ SLICE("\1\0\0\0\1a"), -EPROTO, "compressed" },
		{ SLICE("\2\0\0\0\1a"), -EPROTO, "unknown flags" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		for (size_t step = 1; step < 8; step++) {
			struct grpc_reader r = { .max = 4 };
			const char *why = NULL;
			struct buf got = { 0 };

			assert_int_equal(read_all(&r, v[i].wire, step, &got, &why), v[i].rc);
			assert_non_null(strstr(why, v[i].why));
			assert_int_equal(buf_len(&got), 0);
			grpc_reader_done(&r);
			buf_done(&got);
		}
	}
}

static void test_texts(void **state)
{
	static const char *const v[][2] = {
		{ "plain", "plain" }, { "a%20b%2Fc%2f", "a b/c/" }, { "100%", "100%" },
		{ "%zz%4", "%zz%4" }, { "%00%1b[2J%0A", "??[2J " }, { "%E4%BD%A0", "\xe4\xbd\xa0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		char *got = grpc_text_decode(slice_str(v[i][0]));

		assert_string_equal(got, v[i][1]);
		free(got);
	}
}

static void test_long_text_is_cut(void **state)
{
	char big[3000];
	char *got;

	(void)state;
	memset(big, 'x', sizeof(big));
	got = grpc_text_decode(slice_of(big, sizeof(big)));
	assert_int_equal(strlen(got), GRPC_TEXT_MAX);
	free(got);
}

static void test_codes(void **state)
{
	(void)state;
	assert_string_equal(grpc_status_name(0), "OK");
	assert_string_equal(grpc_status_name(12), "UNIMPLEMENTED");
	assert_string_equal(grpc_status_name(14), "UNAVAILABLE");
	assert_string_equal(grpc_status_name(16), "UNAUTHENTICATED");
	assert_string_equal(grpc_status_name(17), "?");
	assert_string_equal(grpc_status_name(-1), "?");
	assert_int_equal(grpc_status_parse(SLICE("14")), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_status_parse(SLICE("99")), GRPC_UNKNOWN);
	assert_true(grpc_status_parse(SLICE("-1")) < 0);
	assert_true(grpc_status_parse(SLICE("")) < 0);
	assert_int_equal(grpc_status_of_http(503), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_status_of_http(404), GRPC_UNIMPLEMENTED);
	assert_int_equal(grpc_status_of_http(418), GRPC_UNKNOWN);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_every_size_of_pieces),
	cmocka_unit_test(test_partial_is_seen),
	cmocka_unit_test(test_memory_follows_what_came),
	cmocka_unit_test(test_refused),
	cmocka_unit_test(test_texts),
	cmocka_unit_test(test_long_text_is_cut),
	cmocka_unit_test(test_codes),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
