/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Dubbo codec over real frames: what is read from them, that every split gives the same, that
 * they come out as they went in, and what becomes of events.
 */
#include "tests/unit/codec/dubbo_end.h"

/* ---- requests ------------------------------------------------------------------------------- */

struct want {
	const char *name, *method, *version, *group;
	enum l7_kind kind;
	const char *prop, *value;
};

#define SERVICE "demo.GreetingService"

static const struct want requests[] = {
	{ "v27-hello-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "remote.application",
	  "demo-consumer" },
	{ "v3-hello-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "timeout", "10000" },
	{ "v27-utf8-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "path", SERVICE },
	{ "v3-utf8-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "interface", SERVICE },
	{ "v27-get-001-c2s", "get", NULL, NULL, L7_REQUEST, "interface", SERVICE },
	{ "v3-get-001-c2s", "get", "0.0.0", "", L7_REQUEST, "timeout", "10000" },
	{ "v3-get-grouped-001-c2s", "get", "2.0.0", "g33", L7_REQUEST, "group", "g33" },
	{ "v27-attach-001-c2s", "attachments", NULL, NULL, L7_REQUEST, "dubbo.tag", "gray" },
	{ "v3-attach-001-c2s", "attachments", "2.0.0", "g33", L7_REQUEST, "x-request-id", "req-1" },
	{ "v27-fail-001-c2s", "fail", "0.0.0", "", L7_REQUEST, "version", "0.0.0" },
	{ "v3-fail-001-c2s", "fail", "0.0.0", "", L7_REQUEST, "version", "0.0.0" },
	{ "v27-failrt-001-c2s", NULL, "0.0.0", "", L7_REQUEST, "version", "0.0.0" },
	{ "v3-failrt-001-c2s", NULL, "0.0.0", "", L7_REQUEST, "version", "0.0.0" },
	{ "v27-notfound-001-c2s", "sayHello", "9.9.9", "", L7_REQUEST, "version", "9.9.9" },
	{ "v3-notfound-001-c2s", "sayHello", "9.9.9", "", L7_REQUEST, "version", "9.9.9" },
	{ "v27-null-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "version", "0.0.0" },
	{ "v3-null-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "version", "0.0.0" },
	{ "v27-oneway-001-c2s", "fire", "0.0.0", "", L7_ONEWAY, "version", "0.0.0" },
	{ "v3-oneway-001-c2s", "fire", "0.0.0", "", L7_ONEWAY, "timeout", "10000" },
	{ "v27-void-001-c2s", NULL, "0.0.0", "", L7_REQUEST, "version", "0.0.0" },
	{ "v3-void-001-c2s", NULL, "0.0.0", "", L7_REQUEST, "version", "0.0.0" },
	{ "v3-fastjson2-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "timeout", "10000" },
	{ "v3-fastjson2-003-c2s", "get", "0.0.0", "", L7_REQUEST, "timeout", "10000" },
	{ "v3-fastjson2-005-c2s", "fail", "0.0.0", "", L7_REQUEST, "interface", SERVICE },
	{ "v3-prefer-fastjson2-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "version", "0.0.0" },
	{ "v3-bigstr-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "timeout", "10000" },
};

static void check_request(const struct end *e, const struct want *w, struct slice f)
{
	const struct l7_msg *m = &e->seen.m;
	struct l7_prop *p;

	assert_int_equal(e->seen.heads, 1);
	assert_int_equal(e->seen.ends, 1);
	assert_int_equal(e->seen.controls, 0);
	assert_int_equal(m->kind, w->kind);
	assert_slice(m->host, SERVICE);
	assert_slice(m->protocol, "Dubbo/2.0.2");
	if (w->method)
		assert_slice(m->method, w->method);
	if (w->version)
		assert_slice(m->version, w->version);
	if (w->group)
		assert_slice(m->group, w->group);
	assert_true(m->id == id_of(f.ptr));
	assert_int_equal(m->body_len, f.len - 16);
	assert_true(slice_is_equal(m->raw, f));
	assert_int_equal(m->frame_bytes, f.len);
	p = l7_props_find(&m->props, slice_str(w->prop));
	assert_non_null(p);
	assert_slice(p->value, w->value);
	assert_null(l7_props_find(&m->props, SLICE("no-such")));
}

static void test_requests_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		struct slice f = frame_file(requests[i].name);
		struct end e;

		end_open(&e, CODEC_SERVER, NULL);
		assert_int_equal(feed(&e, f, f.len), f.len);
		check_request(&e, &requests[i], f);
		assert_true(codec_dubbo.is_idle(e.conn));
		assert_int_equal(codec_dubbo.eof(e.conn, &e.fault), 0);
		end_close(&e);
	}
}

static void test_requests_split_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		struct slice f = frame_file(requests[i].name);

		for (size_t at = 1; at < f.len && f.len < 1000; at++) {
			struct end e;

			end_open(&e, CODEC_SERVER, NULL);
			assert_int_equal(feed(&e, slice_first(f, at), at), 0);
			assert_int_equal(codec_dubbo.need(e.conn), at < 16 ? 16 : f.len);
			assert_false(codec_dubbo.is_idle(e.conn));
			assert_int_equal(codec_dubbo.eof(e.conn, &e.fault), -EPROTO);
			assert_string_equal(e.fault.details, "dubbo.truncated_frame");
			assert_int_equal(feed(&e, f, f.len), f.len);
			check_request(&e, &requests[i], f);
			end_close(&e);
		}
	}
}

static void test_many_requests_in_one_read(void **state)
{
	struct buf b = { 0 };
	struct end e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		buf_add_slice(&b, frame_file(requests[i].name));
	end_open(&e, CODEC_SERVER, NULL);
	assert_int_equal(feed(&e, buf_slice(&b), buf_len(&b)), buf_len(&b));
	assert_int_equal(e.seen.heads, ARRAY_LEN(requests));
	end_close(&e);
	b.tail -= frame_file("v3-bigstr-001-c2s").len; /* the last one: too long for small pieces */
	for (size_t piece = 1; piece < 300; piece += 13) {
		end_open(&e, CODEC_SERVER, NULL);
		assert_int_equal(feed(&e, buf_slice(&b), piece), buf_len(&b));
		assert_int_equal(e.seen.heads, ARRAY_LEN(requests) - 1);
		end_close(&e);
	}
	buf_done(&b);
}

static void test_a_callback_stops_after_its_frame(void **state)
{
	struct slice f = frame_file("v3-hello-001-c2s");
	struct buf b = { 0 };
	struct end e;

	(void)state;
	buf_add_slice(&b, f);
	buf_add_slice(&b, f);
	end_open(&e, CODEC_SERVER, NULL);
	e.seen.head_returns = 1;
	assert_int_equal(codec_dubbo.decode(e.conn, buf_ptr(&b), buf_len(&b), &e.fault), f.len);
	assert_int_equal(e.seen.heads, 1);
	assert_int_equal(codec_dubbo.decode(e.conn, buf_ptr(&b) + f.len, f.len, &e.fault), f.len);
	assert_int_equal(e.seen.heads, 2);
	e.seen.head_returns = -ENOMEM;
	assert_int_equal(codec_dubbo.decode(e.conn, buf_ptr(&b), buf_len(&b), &e.fault), -ENOMEM);
	end_close(&e);
	buf_done(&b);
}

static void test_a_request_goes_on_with_another_id(void **state)
{
	struct end down, up;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		struct slice f = frame_file(requests[i].name);
		struct buf out = { 0 };

		end_open(&down, CODEC_SERVER, NULL);
		end_open(&up, CODEC_CLIENT, NULL);
		feed(&down, f, f.len);
		down.seen.m.id = 0x8000000000000007;
		codec_dubbo.encode_head(up.conn, &down.seen.m, true, &out);
		assert_int_equal(buf_len(&out), f.len);
		assert_true(id_of(buf_ptr(&out)) == 0x8000000000000007);
		assert_memory_equal(buf_ptr(&out), f.ptr, 4);
		assert_memory_equal(buf_ptr(&out) + 12, f.ptr + 12, f.len - 12);
		buf_done(&out);
		end_close(&down);
		end_close(&up);
	}
}

/* ---- answers -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t status;
	bool is_ok;
} answers[] = {
	{ "v27-hello-002-s2c", 20, true },     { "v3-hello-002-s2c", 20, true },
	{ "v27-utf8-002-s2c", 20, true },      { "v3-utf8-002-s2c", 20, true },
	{ "v27-get-002-s2c", 20, true },       { "v3-get-002-s2c", 20, true },
	{ "v27-attach-002-s2c", 20, true },    { "v3-attach-002-s2c", 20, true },
	{ "v27-void-002-s2c", 20, true },      { "v3-void-002-s2c", 20, true },
	{ "v27-fail-002-s2c", 20, false },     { "v3-fail-002-s2c", 20, false },
	{ "v27-failrt-002-s2c", 20, false },   { "v3-failrt-002-s2c", 20, false },
	{ "v27-notfound-002-s2c", 70, false }, { "v3-notfound-002-s2c", 40, false },
	{ "v3-fastjson2-002-s2c", 20, true },  { "v3-fastjson2-004-s2c", 20, true },
	{ "v3-fastjson2-006-s2c", 20, false }, { "v3-prefer-fastjson2-002-s2c", 40, false },
	{ "v3-bigstr-002-s2c", 20, true },     { "v3-get-grouped-002-s2c", 20, true },
};

static void test_answers_pass_with_their_status(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct slice f = frame_file(answers[i].name);
		size_t most = f.len < 500 ? f.len : 40;

		for (size_t piece = 1; piece <= most + 1; piece++) {
			struct end up, down;

			end_open(&up, CODEC_CLIENT, NULL);
			end_open(&down, CODEC_SERVER, NULL);
			up.seen.peer = down.conn;
			assert_int_equal(feed(&up, f, piece > most ? f.len : piece), f.len);
			assert_int_equal(up.seen.heads, 1);
			assert_int_equal(up.seen.ends, 1);
			assert_int_equal(up.seen.m.kind, L7_RESPONSE);
			assert_int_equal(up.seen.m.status, answers[i].status);
			assert_int_equal(up.seen.m.is_ok, answers[i].is_ok);
			assert_true(up.seen.m.id == id_of(f.ptr));
			assert_true(slice_is_equal(buf_slice(&up.seen.forwarded), f));
			assert_true(codec_dubbo.is_idle(up.conn) && codec_dubbo.is_idle(down.conn));
			assert_true(codec_dubbo.is_reusable(up.conn));
			end_close(&up);
			end_close(&down);
		}
	}
}

/* An OK answer of @len bytes of body. */
static void big_answer(struct buf *out, uint32_t len, uint64_t id)
{
	struct dubbo_frame f = { .flag = 2, .status = 20, .len = len, .id = id };

	dubbo_frame_write(&f, buf_reserve(out, 16));
	buf_commit(out, 16);
	memset(buf_reserve(out, len), 'x', len);
	*buf_reserve(out, len) = (char)0x94;
	buf_commit(out, len);
}

static void test_a_long_answer_streams(void **state)
{
	struct buf b = { 0 };
	struct end up, down;

	(void)state;
	big_answer(&b, 1 << 20, 77);
	end_open(&up, CODEC_CLIENT, NULL);
	end_open(&down, CODEC_SERVER, NULL);
	up.seen.peer = down.conn;
	assert_int_equal(feed(&up, slice_first(buf_slice(&b), 16), 16), 0);
	assert_int_equal(up.seen.heads, 0);
	assert_int_equal(feed(&up, slice_first(buf_slice(&b), 100), 100), 100);
	assert_int_equal(up.seen.heads, 1);
	assert_true(up.seen.m.is_ok);
	assert_int_equal(up.seen.m.raw.len, 0);
	assert_int_equal(up.seen.m.frame_bytes, DUBBO_HEADER);
	assert_int_equal(up.seen.m.body_len, 1 << 20);
	assert_false(codec_dubbo.is_idle(up.conn));
	assert_true(codec_dubbo.is_writing(down.conn));
	assert_int_equal(codec_dubbo.eof(up.conn, &up.fault), -EPROTO);
	assert_int_equal(up.fault.code, L7_REPLY_UPSTREAM_RESET);
	assert_int_equal(feed(&up, slice_skip(buf_slice(&b), 100), 1000), (1 << 20) + 16 - 100);
	assert_int_equal(up.seen.ends, 1);
	assert_false(codec_dubbo.is_writing(down.conn));
	assert_true(slice_is_equal(buf_slice(&up.seen.forwarded), buf_slice(&b)));
	buf_done(&b);
	end_close(&up);
	end_close(&down);
}

static void test_eight_mebibytes_in_small_pieces_are_linear(void **state)
{
	struct buf b = { 0 };
	struct end up;

	(void)state;
	big_answer(&b, 8u << 20, 1);
	end_open(&up, CODEC_CLIENT, NULL);
	assert_int_equal(feed(&up, buf_slice(&b), 512), (8 << 20) + 16);
	assert_int_equal(buf_len(&up.seen.body), 8 << 20);
	end_close(&up);
	/* a request is not read before it is whole, however often it is looked at */
	b.base[b.head + 2] = (char)0xc2;
	end_open(&up, CODEC_SERVER, NULL);
	for (size_t n = 16; n < (8u << 20); n += 512)
		assert_int_equal(codec_dubbo.decode(up.conn, buf_ptr(&b), n, &up.fault), 0);
	assert_int_equal(codec_dubbo.need(up.conn), (8 << 20) + 16);
	end_close(&up);
	buf_done(&b);
}

static void test_body_that_does_not_fit_its_promise(void **state)
{
	struct buf out = { 0 };
	struct l7_msg m;
	struct end down;

	(void)state;
	for (size_t n = 9; n <= 11; n++) {
		end_open(&down, CODEC_SERVER, NULL);
		l7_msg_init(&m, L7_RESPONSE, &down.arena);
		m.body_len = 10;
		m.wire = 0x0214;
		codec_dubbo.encode_head(down.conn, &m, false, &out);
		codec_dubbo.encode_body(down.conn, 0, slice_of("01234567890", n), &out);
		codec_dubbo.encode_end(down.conn, 0, NULL, &out);
		assert_int_equal(codec_dubbo.is_reusable(down.conn), n == 10);
		assert_int_equal(buf_len(&out), 16 + (n < 10 ? n : 10));
		buf_clear(&out);
		end_close(&down);
	}
	buf_done(&out);
}

/* ---- events --------------------------------------------------------------------------------- */

static void test_heartbeats_are_answered_on_both_sides(void **state)
{
	(void)state;
	for (int side = CODEC_SERVER; side <= CODEC_CLIENT; side++) {
		struct slice f = frame_file("v3-heartbeat-003-c2s");
		struct slice a = frame_file("v3-heartbeat-004-s2c");

		for (size_t piece = 1; piece <= f.len; piece++) {
			struct end e;

			end_open(&e, side, NULL);
			assert_int_equal(feed(&e, f, piece), f.len);
			assert_int_equal(e.seen.heads, 0);
			assert_int_equal(e.seen.controls, 1);
			assert_string_equal(e.seen.control, "heartbeat");
			assert_true(slice_is_equal(buf_slice(&e.reply), a));
			buf_clear(&e.reply);
			assert_int_equal(feed(&e, a, piece), a.len);
			assert_string_equal(e.seen.control, "heartbeat_reply");
			assert_int_equal(buf_len(&e.reply), 0);
			end_close(&e);
		}
	}
}

static void test_readonly_drains_the_client_side(void **state)
{
	struct slice f = frame_file("v27-readonly-003-s2c");
	char writable[18];
	struct end e;

	(void)state;
	end_open(&e, CODEC_CLIENT, NULL);
	assert_int_equal(feed(&e, f, 1), f.len);
	assert_string_equal(e.seen.control, "readonly");
	assert_false(codec_dubbo.is_reusable(e.conn));
	f = frame_file("v3-hello-002-s2c");
	assert_int_equal(feed(&e, f, f.len), f.len); /* calls in flight still end */
	assert_int_equal(e.seen.heads, 1);
	memcpy(writable, "\xda\xbb\xa2\0\0\0\0\0\0\0\0\1\0\0\0\2\1W", 18);
	assert_int_equal(feed(&e, slice_of(writable, 18), 18), 18);
	assert_string_equal(e.seen.control, "writable");
	assert_true(codec_dubbo.is_reusable(e.conn));
	assert_int_equal(buf_len(&e.reply), 0);
	end_close(&e);
	/* a client that says so is not listened to */
	end_open(&e, CODEC_SERVER, NULL);
	f = frame_file("v3-readonly-003-s2c");
	assert_int_equal(feed(&e, f, f.len), f.len);
	assert_string_equal(e.seen.control, "event");
	assert_true(codec_dubbo.is_reusable(e.conn));
	end_close(&e);
}

static void test_draining_tells_the_client(void **state)
{
	struct slice real = frame_file("v27-readonly-003-s2c");
	struct buf out = { 0 };
	struct l7_reply r = { .code = L7_REPLY_NO_ROUTE };
	struct end e;

	(void)state;
	end_open(&e, CODEC_SERVER, NULL);
	feed(&e, frame_file("v3-hello-001-c2s"), 1000);
	codec_dubbo.want_close(e.conn);
	codec_dubbo.encode_reply(e.conn, &e.seen.m, &r, &out);
	assert_true(buf_len(&out) > real.len);
	assert_memory_equal(out.base + out.tail - real.len, real.ptr, 4);
	assert_memory_equal(out.base + out.tail - 6, real.ptr + 12, 6);
	buf_clear(&out);
	codec_dubbo_write_readonly(e.conn, &out); /* once only */
	assert_int_equal(buf_len(&out), 0);
	end_close(&e);

	end_open(&e, CODEC_SERVER, NULL);
	codec_dubbo_write_readonly(e.conn, &out);
	assert_int_equal(buf_len(&out), real.len);
	end_close(&e);
	buf_done(&out);
}

static void test_what_goes_the_wrong_way_is_swallowed(void **state)
{
	struct slice f = frame_file("v3-hello-002-s2c");
	struct end e;

	(void)state;
	end_open(&e, CODEC_SERVER, NULL);
	assert_int_equal(feed(&e, f, 7), f.len);
	assert_string_equal(e.seen.control, "stray_response");
	f = frame_file("v3-hello-001-c2s");
	assert_int_equal(feed(&e, f, 7), f.len);
	assert_int_equal(e.seen.heads, 1);
	end_close(&e);
	end_open(&e, CODEC_CLIENT, NULL);
	assert_int_equal(feed(&e, f, 7), f.len);
	assert_string_equal(e.seen.control, "callback");
	assert_int_equal((unsigned char)buf_ptr(&e.reply)[3], DUBBO_SERVICE_NOT_FOUND);
	assert_true(id_of(buf_ptr(&e.reply)) == id_of(f.ptr));
	assert_int_equal(e.seen.heads, 0);
	end_close(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_are_read),
		cmocka_unit_test(test_requests_split_anywhere),
		cmocka_unit_test(test_many_requests_in_one_read),
		cmocka_unit_test(test_a_callback_stops_after_its_frame),
		cmocka_unit_test(test_a_request_goes_on_with_another_id),
		cmocka_unit_test(test_answers_pass_with_their_status),
		cmocka_unit_test(test_a_long_answer_streams),
		cmocka_unit_test(test_eight_mebibytes_in_small_pieces_are_linear),
		cmocka_unit_test(test_body_that_does_not_fit_its_promise),
		cmocka_unit_test(test_heartbeats_are_answered_on_both_sides),
		cmocka_unit_test(test_readonly_drains_the_client_side),
		cmocka_unit_test(test_draining_tells_the_client),
		cmocka_unit_test(test_what_goes_the_wrong_way_is_swallowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
