/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Dubbo codec with broken input, its limits, and the answers that it gives itself.
 */
#include "tests/unit/codec/dubbo_end.h"

/* ---- broken input --------------------------------------------------------------------------- */

static void test_garbage_is_refused_at_its_first_byte(void **state)
{
	static const char *const all[] = { "GET / HTTP/1.1\r\n", "\xda\xbc", "\xbb\xda",
						"\x16\x03\x01" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct buf out = { 0 };
		struct end e;

		end_open(&e, CODEC_SERVER, NULL);
		assert_int_equal(feed(&e, slice_str(all[i]), 1), -EPROTO);
		assert_int_equal(e.fault.code, L7_REPLY_BAD_REQUEST);
		assert_string_equal(e.fault.details, "dubbo.bad_magic");
		codec_dubbo.reject(e.conn, &e.fault, &out);
		assert_int_equal(buf_len(&out), 0);
		buf_done(&out);
		end_close(&e);
	}
}

static void test_too_large_frames_are_refused_by_their_header(void **state)
{
	struct codec_limits limits = { .frame_bytes = 1000 };
	char head[] = "\xda\xbb\xc2\0\0\0\0\0\0\0\0\7\0\0\x03\xd9";
	struct buf out = { 0 };
	struct end e;

	(void)state;
	end_open(&e, CODEC_SERVER, &limits);
	assert_int_equal(feed(&e, slice_of(head, 16), 16), -E2BIG);
	assert_int_equal(e.fault.code, L7_REPLY_TOO_LARGE);
	assert_string_equal(e.fault.details, "dubbo.frame_too_large");
	codec_dubbo.reject(e.conn, &e.fault, &out);
	assert_int_equal((unsigned char)buf_ptr(&out)[3], DUBBO_BAD_REQUEST);
	assert_int_equal(id_of(buf_ptr(&out)), 7);
	end_close(&e);
	head[15]--; /* just the limit */
	end_open(&e, CODEC_SERVER, &limits);
	assert_int_equal(feed(&e, slice_of(head, 16), 16), 0);
	assert_int_equal(codec_dubbo.need(e.conn), 1000);
	end_close(&e);
	memset(head + 12, 0xff, 4); /* a length that wraps in 32 bits */
	end_open(&e, CODEC_CLIENT, NULL);
	assert_int_equal(feed(&e, slice_of(head, 16), 16), -E2BIG);
	end_close(&e);
	memcpy(head + 2, "\xe2\0", 2); /* an event of 64 KiB */
	memcpy(head + 12, "\0\1\0\0", 4);
	end_open(&e, CODEC_SERVER, NULL);
	assert_int_equal(feed(&e, slice_of(head, 16), 16), -E2BIG);
	assert_string_equal(e.fault.details, "dubbo.event_too_large");
	end_close(&e);
	buf_done(&out);
}

/* Feeds a request with @body; then a sound one must pass. Returns the answer's status, 0: none. */
static unsigned int answer_of(const void *body, size_t len, unsigned int flag,
			      const char **ret_control)
{
	struct dubbo_frame f = { .flag = (uint8_t)flag, .id = 99, .len = (uint32_t)len };
	struct slice good = frame_file("v3-hello-001-c2s");
	struct buf b = { 0 };
	unsigned int status;
	struct end e;

	dubbo_frame_write(&f, buf_reserve(&b, 16));
	buf_commit(&b, 16);
	buf_add(&b, body, len);
	end_open(&e, CODEC_SERVER, NULL);
	assert_int_equal(feed(&e, buf_slice(&b), buf_len(&b)), buf_len(&b));
	*ret_control = e.seen.control;
	status = buf_len(&e.reply) ? (unsigned char)buf_ptr(&e.reply)[3] : 0;
	if (status) {
		assert_true(id_of(buf_ptr(&e.reply)) == 99);
		assert_int_equal(e.seen.heads, 0);
	}
	assert_int_equal(feed(&e, good, good.len), good.len);
	assert_int_equal(codec_dubbo.is_idle(e.conn), true);
	end_close(&e);
	buf_done(&b);
	return status;
}

static void test_unreadable_bodies_are_answered(void **state)
{
#define LEAD "\x05" "2.0.2\x01" "s\x05" "0.0.0\x01" "m"
#define BODY(lit) { lit, sizeof(lit) - 1 }
	static const struct slice bodies[] = {
		BODY(LEAD "\x01" "J\x90"), /* readable: peers older than attachments send none */
		SLICE_NONE,
		BODY("\x05" "2.0.2"),
		BODY(LEAD "\x01" "QHZ"),	      /* not a descriptor */
		BODY(LEAD "\x01" "J"),	      /* no argument */
		BODY(LEAD "\x01" "J\x90\x91HZ"), /* one too many: no map */
		BODY(LEAD "\x00T"),
		BODY("\x05" "2.0.2\x00\x05" "0.0.0\x01m\x00HZ"),   /* no interface */
		BODY("\x05" "2.0.2\x01s\x05" "0.0.0\x00\x00HZ"),   /* no method */
		BODY("\x05" "2.0.2N\x05" "0.0.0\x01m\x00HZ"),
		BODY("\x05" "2.0.2\x91\x05" "0.0.0\x01m\x00HZ"),
		BODY(LEAD "\x00H\x01" "a"), /* the map is cut */
		BODY(LEAD "\x00H\x01" "aZ"),
	};
	const char *control;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		unsigned int want = i ? DUBBO_BAD_REQUEST : 0;

		assert_int_equal(answer_of(bodies[i].ptr, bodies[i].len, 0xc2, &control), want);
		if (i)
			assert_string_equal(control, "bad_request");
		assert_int_equal(answer_of(bodies[i].ptr, bodies[i].len, 0x82, &control), 0);
	}
}

static void test_every_cut_of_a_real_body_is_answered(void **state)
{
	static const char *const names[] = { "v3-get-001-c2s", "v3-fastjson2-003-c2s",
					     "v27-attach-001-c2s" };
	const char *control;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct slice f = frame_file(names[i]);
		unsigned int flag = (unsigned char)f.ptr[2];
		size_t sound = 0;

		for (size_t n = 0; n < f.len - 16; n++)
			sound += answer_of(f.ptr + 16, n, flag, &control) == 0;
		/* only a cut right before the attachments leaves a request that can be read */
		assert_true(sound <= 1);
		assert_int_equal(answer_of(f.ptr + 16, f.len - 16, flag, &control), 0);
	}
}

static void test_serializations_that_cannot_be_routed(void **state)
{
	struct slice f = frame_file("v3-hello-001-c2s");

	(void)state;
	for (unsigned int ser = 0; ser < 32; ser++) {
		const char *control;

		if (ser == DUBBO_SER_HESSIAN2 || ser == DUBBO_SER_FASTJSON2)
			continue;
		assert_int_equal(answer_of(f.ptr + 16, f.len - 16, 0xc0 | ser, &control),
				 DUBBO_BAD_REQUEST);
		assert_string_equal(control, "bad_serialization");
	}
}

static bool has_text(const struct buf *b, const char *text)
{
	return buf_len(b) && memmem(buf_ptr(b), buf_len(b), text, strlen(text));
}

static void test_attachments_are_limited(void **state)
{
	struct codec_limits limits = { .props = 4 };
	struct slice f = frame_file("v27-hello-001-c2s"); /* it has four */
	struct end e;

	(void)state;
	end_open(&e, CODEC_SERVER, &limits);
	feed(&e, f, f.len);
	assert_int_equal(e.seen.heads, 1);
	end_close(&e);
	limits.props = 3;
	end_open(&e, CODEC_SERVER, &limits);
	feed(&e, f, f.len);
	assert_int_equal(e.seen.heads, 0);
	assert_string_equal(e.seen.control, "bad_request");
	assert_true(has_text(&e.reply, "too many attachments"));
	end_close(&e);
	limits = (struct codec_limits){ .head_bytes = 60 };
	end_open(&e, CODEC_SERVER, &limits);
	feed(&e, f, f.len);
	assert_true(has_text(&e.reply, "attachments are too large"));
	end_close(&e);
}

/* ---- our own answers ------------------------------------------------------------------------ */

static const struct {
	enum l7_reply_code code;
	uint32_t http;
	unsigned int status;
	unsigned int first; /* byte of the body; 0: a string */
} replies[] = {
	{ L7_REPLY_BAD_REQUEST, 0, 40, 0 },	  { L7_REPLY_FORBIDDEN, 0, 20, 0x90 },
	{ L7_REPLY_NO_ROUTE, 0, 60, 0 },	  { L7_REPLY_TIMEOUT_REQUEST, 0, 40, 0 },
	{ L7_REPLY_TOO_LARGE, 0, 40, 0 },	  { L7_REPLY_UPGRADE_REFUSED, 0, 40, 0 },
	{ L7_REPLY_RATE_LIMITED, 0, 20, 0x90 },	  { L7_REPLY_HEADERS_TOO_LARGE, 0, 40, 0 },
	{ L7_REPLY_INTERNAL, 0, 80, 0 },	  { L7_REPLY_BAD_GATEWAY, 0, 50, 0 },
	{ L7_REPLY_NO_UPSTREAM, 0, 80, 0 },	  { L7_REPLY_OVERLOAD, 0, 100, 0 },
	{ L7_REPLY_UPSTREAM_RESET, 0, 80, 0 },	  { L7_REPLY_TIMEOUT, 0, 31, 0 },
	{ L7_REPLY_DIRECT, 200, 20, 0x91 },	  { L7_REPLY_DIRECT, 429, 20, 0x90 },
	{ L7_REPLY_DIRECT, 404, 60, 0 },	  { L7_REPLY_DIRECT, 503, 80, 0 },
};

static void test_own_answers(void **state)
{
	struct slice f = frame_file("v3-hello-001-c2s");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		struct l7_reply r = { .code = replies[i].code, .status = replies[i].http };
		struct buf out = { 0 };
		struct end e, up;
		struct slice got;

		end_open(&e, CODEC_SERVER, NULL);
		end_open(&up, CODEC_CLIENT, NULL);
		feed(&e, f, f.len);
		codec_dubbo.encode_reply(e.conn, &e.seen.m, &r, &out);
		got = buf_slice(&out);
		assert_int_equal((unsigned char)got.ptr[2], 0x02);
		assert_int_equal((unsigned char)got.ptr[3], replies[i].status);
		assert_true(id_of(got.ptr) == id_of(f.ptr));
		if (replies[i].first)
			assert_int_equal((unsigned char)got.ptr[16], replies[i].first);
		else
			assert_true((unsigned char)got.ptr[16] < 0x34);
		/* another proxy reads it whole, and as a failure unless it is none */
		assert_int_equal(feed(&up, got, 3), got.len);
		assert_int_equal(up.seen.heads, 1);
		assert_int_equal(up.seen.m.is_ok, replies[i].http == 200);
		if (replies[i].http != 200 && replies[i].code != L7_REPLY_DIRECT)
			assert_non_null(memmem(got.ptr, got.len, "demo.GreetingService", 20));
		buf_done(&out);
		end_close(&e);
		end_close(&up);
	}
}

static void test_own_answers_carry_text_and_properties(void **state)
{
	struct slice f = frame_file("v3-hello-001-c2s");
	struct l7_reply r = { .code = L7_REPLY_RATE_LIMITED, .body = SLICE("slow down") };
	struct buf out = { 0 };
	struct end e;

	(void)state;
	end_open(&e, CODEC_SERVER, NULL);
	feed(&e, f, f.len);
	l7_props_init(&r.props, &e.arena);
	l7_props_add(&r.props, L7_KEY_NONE, SLICE("retry-after"), SLICE("1"));
	codec_dubbo.encode_reply(e.conn, &e.seen.m, &r, &out);
	assert_memory_equal(buf_ptr(&out) + 16, "\x93" "C\x30\x21org.apache.dubbo.rpc.RpcException",
			    37);
	assert_memory_equal(out.base + out.tail - 27,
			    "\x97\x09slow downH\x0bretry-after\x01" "1Z", 27);
	end_close(&e);
	buf_done(&out);
}

static void test_one_way_calls_get_no_answer(void **state)
{
	struct slice f = frame_file("v3-oneway-001-c2s");
	struct l7_reply r = { .code = L7_REPLY_NO_ROUTE };
	struct buf out = { 0 };
	struct end e;

	(void)state;
	end_open(&e, CODEC_SERVER, NULL);
	feed(&e, f, f.len);
	codec_dubbo.encode_reply(e.conn, &e.seen.m, &r, &out);
	codec_dubbo.encode_reply(e.conn, NULL, &r, &out);
	assert_int_equal(buf_len(&out), 0);
	end_close(&e);
	buf_done(&out);
}

/* ---- small things --------------------------------------------------------------------------- */

static void test_sniff(void **state)
{
	struct slice f = frame_file("v3-hello-001-c2s");

	(void)state;
	assert_int_equal(codec_dubbo.sniff(f.ptr, 0), SNIFF_MORE);
	assert_int_equal(codec_dubbo.sniff(f.ptr, 1), SNIFF_MORE);
	assert_int_equal(codec_dubbo.sniff(f.ptr, 2), SNIFF_MORE);
	assert_int_equal(codec_dubbo.sniff(f.ptr, 3), SNIFF_YES);
	assert_int_equal(codec_dubbo.sniff(f.ptr, f.len), SNIFF_YES);
	assert_int_equal(codec_dubbo.sniff("\xda\xbb\xe2", 3), SNIFF_YES);
	assert_int_equal(codec_dubbo.sniff("\xda\xbb\x02", 3), SNIFF_NO);
	assert_int_equal(codec_dubbo.sniff("\xda\xbb\xc0", 3), SNIFF_NO);
	assert_int_equal(codec_dubbo.sniff("\xda\xba\xc2", 3), SNIFF_NO);
	assert_int_equal(codec_dubbo.sniff("GET", 3), SNIFF_NO);
	assert_int_equal(codec_dubbo.sniff("G", 1), SNIFF_NO);
}

static void test_descriptors_are_counted(void **state)
{
	static const struct {
		const char *types;
		int n;
	} cases[] = {
		{ "", 0 }, { "I", 1 }, { "JLjava/util/Map;Ljava/util/List;", 3 },
		{ "[[I[Ljava/lang/String;Z", 3 }, { "BCDFIJSZ", 8 },
		{ "[", -1 }, { "L", -1 }, { "L;", -1 }, { "Ljava/lang/String", -1 },
		{ "V", -1 }, { "I[", -1 }, { "java.lang.String", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(dubbo_types_count(slice_str(cases[i].types)), cases[i].n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_garbage_is_refused_at_its_first_byte),
		cmocka_unit_test(test_too_large_frames_are_refused_by_their_header),
		cmocka_unit_test(test_unreadable_bodies_are_answered),
		cmocka_unit_test(test_every_cut_of_a_real_body_is_answered),
		cmocka_unit_test(test_serializations_that_cannot_be_routed),
		cmocka_unit_test(test_attachments_are_limited),
		cmocka_unit_test(test_own_answers),
		cmocka_unit_test(test_own_answers_carry_text_and_properties),
		cmocka_unit_test(test_one_way_calls_get_no_answer),
		cmocka_unit_test(test_sniff),
		cmocka_unit_test(test_descriptors_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
