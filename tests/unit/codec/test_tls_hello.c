/* SPDX-License-Identifier: Apache-2.0 */
/* ClientHellos: whole, byte by byte, over several records, with lies in their lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "codec/tls_hello.h"

static void add16(struct buf *b, size_t n)
{
	buf_add_char(b, (char)(n >> 8));
	buf_add_char(b, (char)n);
}

/* One extension with a list of 2 bytes of length around @list. */
static void add_extension(struct buf *b, uint16_t type, const struct buf *list)
{
	add16(b, type);
	add16(b, buf_len(list) + 2);
	add16(b, buf_len(list));
	buf_add_slice(b, buf_slice(list));
}

/* The handshake message. NULL: without that extension. */
static struct buf hello_of(const char *name, const char *alpn)
{
	struct buf ext = { 0 }, body = { 0 }, msg = { 0 }, list = { 0 };

	add16(&ext, 43); /* supported_versions */
	add16(&ext, 3);
	buf_add_slice(&ext, SLICE("\x02\x03\x04"));
	if (name) {
		buf_add_char(&list, 0);
		add16(&list, strlen(name));
		buf_add_slice(&list, slice_str(name));
		add_extension(&ext, 0, &list);
	}
	buf_clear(&list);
	if (alpn) {
		struct slice rest = slice_str(alpn);

		while (rest.ptr) {
			struct slice one = slice_split(&rest, ',');

			buf_add_char(&list, (char)one.len);
			buf_add_slice(&list, one);
		}
		add_extension(&ext, 16, &list);
	}
	add16(&body, 0x0303);
	for (int i = 0; i < 32; i++)
		buf_add_char(&body, (char)i);
	buf_add_slice(&body, slice_of("\x04"
				      "abcd",
				      5));
	buf_add_slice(&body, slice_of("\x00\x04\x13\x01\x13\x02", 6));
	buf_add_slice(&body, slice_of("\x01\x00", 2));
	add16(&body, buf_len(&ext));
	buf_add_slice(&body, buf_slice(&ext));
	buf_add_char(&msg, 1);
	buf_add_char(&msg, 0);
	add16(&msg, buf_len(&body));
	buf_add_slice(&msg, buf_slice(&body));
	buf_done(&ext);
	buf_done(&body);
	buf_done(&list);
	return msg;
}

/* @msg in records of at most @max bytes. */
static struct buf records_of(struct buf msg, size_t max)
{
	struct slice rest = buf_slice(&msg);
	struct buf out = { 0 };

	while (rest.len) {
		size_t n = rest.len < max ? rest.len : max;

		buf_add_slice(&out, slice_of("\x16\x03\x01", 3));
		add16(&out, n);
		buf_add_slice(&out, slice_of(rest.ptr, n));
		rest = slice_skip(rest, n);
	}
	buf_done(&msg);
	return out;
}

static void same(const struct tls_hello *h, const char *name)
{
	assert_true(slice_is_equal(slice_of(h->server_name, h->server_name_len), slice_str(name)));
}

/* However it is cut into records and packets, it is the same. */
static void pieces(void **state)
{
	static const size_t sizes[] = { 16384, 50, 7, 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct buf b = records_of(hello_of("Api.Example.TEST", "h2,http/1.1"), sizes[i]);
		struct tls_hello h;

		for (size_t n = 0; n < buf_len(&b); n++) {
			char *exact = malloc(n + 1);

			memcpy(exact, buf_ptr(&b), n);
			assert_int_equal(tls_hello_read(exact, n, &h), SNIFF_MORE);
			free(exact);
		}
		assert_int_equal(tls_hello_read(buf_ptr(&b), buf_len(&b), &h), SNIFF_YES);
		same(&h, "api.example.test");
		assert_int_equal(h.n_alpn, 2);
		assert_memory_equal(h.alpn[0].text, "h2", 2);
		assert_memory_equal(h.alpn[1].text, "http/1.1", 8);
		buf_add_slice(&b, SLICE("and more"));
		assert_int_equal(tls_hello_read(buf_ptr(&b), buf_len(&b), &h), SNIFF_YES);
		buf_done(&b);
	}
}

static void lists(void **state)
{
	static const struct {
		const char *name, *alpn, *want;
		unsigned int n;
	} cases[] = {
		{ NULL, NULL, "", 0 },
		{ "a.test", NULL, "a.test", 0 },
		{ NULL, "istio", "", 1 },
		{ "bad name", NULL, "", 0 },
		{ "b\xc3\xbc.test", NULL, "", 0 },
		{ "", NULL, "", 0 },
		{ "a", "1,2,3,4,5,6,7,8,9,10", "a", TLS_ALPN_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = records_of(hello_of(cases[i].name, cases[i].alpn), 16384);
		struct tls_hello h;

		assert_int_equal(tls_hello_read(buf_ptr(&b), buf_len(&b), &h), SNIFF_YES);
		same(&h, cases[i].want);
		assert_int_equal(h.n_alpn, cases[i].n);
		buf_done(&b);
	}
}

static void none(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n", 16 },
		{ "\x17\x03\x01\x00\x05", 5 },                 /* not a handshake */
		{ "\x16\x02", 2 },                             /* SSL 2 */
		{ "\x16\x03\x01\x00\x00", 5 },                 /* an empty record */
		{ "\x16\x03\x01\x50\x00", 5 },                 /* one that is too long */
		{ "\x16\x03\x01\x00\x05\x02", 6 },             /* a ServerHello */
		{ "\x16\x03\x01\x00\x05\x01\xff\xff\xff", 9 }, /* a message that is too long */
		{ "\x16\x03\x01\x00\x05\x01\x00\x00\x05\x03\x03", 11 }, /* one that is too short */
	};
	struct tls_hello h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (tls_hello_read(cases[i].bytes, cases[i].n, &h) != SNIFF_NO)
			fail_msg("case %zu", i);
}

/* Every byte changed in every way: never read past the end (sanitizers see that); and with
 * a wrong length of the message nothing of its extensions is believed. */
static void lies(void **state)
{
	struct buf b = records_of(hello_of("api.test", "h2"), 16384);
	struct tls_hello h;

	(void)state;
	for (size_t i = 0; i < buf_len(&b); i++)
		for (int d = 1; d < 256; d++) {
			bool is_length = i >= 6 && i <= 8;
			char *exact = malloc(buf_len(&b));
			enum sniff r;

			memcpy(exact, buf_ptr(&b), buf_len(&b));
			exact[i] = (char)(exact[i] + d);
			r = tls_hello_read(exact, buf_len(&b), &h);
			if (is_length && r == SNIFF_YES && (h.server_name_len || h.n_alpn))
				fail_msg("byte %zu + %d is taken", i, d);
			free(exact);
		}
	buf_done(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces),
		cmocka_unit_test(lists),
		cmocka_unit_test(none),
		cmocka_unit_test(lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
