/* SPDX-License-Identifier: Apache-2.0 */
/* http1: how many bytes a message and its properties were, read and written; what is kept of a
 * refused head. */
#include "tests/unit/fixture.h"

#include "codec/http1/http1.h"

struct sized {
	uint32_t props;
	uint64_t at_head, at_end;
	void *conn;
};

static int head(void *owner, struct l7_msg *m, bool end)
{
	struct sized *s = owner;

	(void)end;
	s->props = m->props_bytes;
	s->at_head = codec_http1.message_bytes(s->conn);
	return 0;
}

static int end(void *owner, uint64_t id, struct l7_props *trailers)
{
	struct sized *s = owner;

	(void)id;
	(void)trailers;
	s->at_end = codec_http1.message_bytes(s->conn);
	return 0;
}

static const struct codec_events events = { .head = head, .end = end };

struct side {
	struct arena a;
	struct buf reply, out;
	struct sized s;
};

static void open_side(struct side *x, enum codec_side side)
{
	static const struct codec_limits limits;
	static const struct codec_opts opts;

	*x = (struct side){ 0 };
	x->s.conn = xmalloc(codec_http1.conn_size);
	codec_http1.init(x->s.conn, side, &limits, &opts, &events, &x->s, &x->a, &x->reply);
}

static void close_side(struct side *x)
{
	free(x->s.conn);
	arena_done(&x->a);
	buf_done(&x->reply);
	buf_done(&x->out);
}

/* In pieces of @piece bytes. The last result. */
static ssize_t feed(struct side *x, const char *text, size_t piece, struct codec_fault *f)
{
	struct slice rest = slice_str(text);
	ssize_t r = 0;

	while (rest.len && r >= 0) {
		struct slice part = slice_first(rest, piece);
		char *copy = slice_dup(part);

		rest = slice_skip(rest, part.len);
		for (size_t used = 0; used < part.len; used += (size_t)r) {
			r = codec_http1.decode(x->s.conn, copy + used, part.len - used, f);
			if (r <= 0)
				break;
		}
		free(copy);
	}
	return r;
}

static void answer(struct side *x)
{
	struct l7_msg m;

	l7_msg_init(&m, L7_RESPONSE, &x->a);
	m.status = 204;
	codec_http1.encode_head(x->s.conn, &m, true, &x->out);
}

static void test_requests(void **state)
{
	/* Blanks do not count as properties, but on the wire. */
	static const char get[] = "GET / HTTP/1.1\r\nHost:   h.test \r\nX-A: b\r\n\r\n";
	static const char chunked[] = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
				      "\r\n5\r\nhello\r\n0\r\n\r\n";
	struct codec_fault f;
	struct side x;

	(void)state;
	for (size_t piece = 1; piece < sizeof(chunked); piece++) {
		open_side(&x, CODEC_SERVER);
		assert_true(feed(&x, get, piece, &f) > 0);
		assert_int_equal(x.s.props, strlen("host" "h.test") + 3 + strlen("x-a" "b") + 3);
		assert_int_equal(x.s.at_head, strlen(get));
		answer(&x);
		assert_int_equal(codec_http1.message_bytes(x.s.conn), strlen(get));
		/* The next one starts from nothing. */
		assert_true(feed(&x, chunked, piece, &f) > 0);
		assert_int_equal(x.s.props, 4 + 1 + 3 + strlen("transfer-encoding" "chunked") + 3);
		assert_int_equal(x.s.at_head, strlen(chunked) - strlen("5\r\nhello\r\n0\r\n\r\n"));
		assert_int_equal(x.s.at_end, strlen(chunked));
		close_side(&x);
	}
}

static void test_responses(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: b\r\n\r\nhello";
	struct codec_fault f;
	struct l7_msg m;
	struct side x;

	(void)state;
	open_side(&x, CODEC_CLIENT);
	for (int i = 0; i < 2; i++) {
		l7_msg_init(&m, L7_REQUEST, &x.a);
		m.method = SLICE("GET");
		m.path = SLICE("/ok?q=1");
		m.host = SLICE("h.test");
		l7_props_add(&m.props, L7_KEY_NONE, SLICE("x-a"), SLICE("b"));
		buf_clear(&x.out);
		codec_http1.encode_head(x.s.conn, &m, true, &x.out);
		assert_int_equal(m.props_bytes, strlen("host: h.test\r\nx-a: b\r\n"));
		assert_int_equal(buf_len(&x.out),
				 strlen("GET /ok?q=1 HTTP/1.1\r\n\r\n") + m.props_bytes);
		/* Nothing of this request's answer was read yet. */
		assert_int_equal(codec_http1.message_bytes(x.s.conn), 0);
		assert_true(feed(&x, text, 7, &f) > 0);
		assert_int_equal(x.s.props, strlen("content-length" "5") + 3 + 4 + 3);
		assert_int_equal(x.s.at_end, strlen(text));
	}
	close_side(&x);
}

static void test_written_answer(void **state)
{
	struct codec_fault f;
	struct l7_msg m;
	struct side x;

	(void)state;
	open_side(&x, CODEC_SERVER);
	assert_true(feed(&x, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 100, &f) > 0);
	l7_msg_init(&m, L7_RESPONSE, &x.a);
	m.status = 404;
	codec_http1.encode_head(x.s.conn, &m, true, &x.out);
	assert_int_equal(m.props_bytes, strlen("content-length: 0\r\n"));
	assert_int_equal(buf_len(&x.out), strlen("HTTP/1.1 404 Not Found\r\n\r\n") + m.props_bytes);
	close_side(&x);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *path, *host; /* path NULL: no head is kept */
		uint32_t props;
	} cases[] = {
		{ "GET /ok HTTP/1.1\r\nUser-Agent: me\r\n\r\n", "/ok", "", 10 + 2 + 3 },
		{ "GET /ok#x HTTP/1.1\r\nHost: h\r\n\r\n", "/ok#x", "h", 4 + 1 + 3 },
		{ "GET /ok HTTP/1.1\r\nHost: h<t\r\n\r\n", NULL, NULL, 4 + 3 + 3 },
		{ "GET /ok HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", NULL, NULL,
		  4 + 1 + 3 + 17 + 4 + 3 },
		{ "GARBAGE\r\n\r\n", NULL, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct codec_fault f = { 0 };
		char *text = slice_dup(slice_str(cases[i].text));
		struct side x;

		open_side(&x, CODEC_SERVER);
		assert_true(codec_http1.decode(x.s.conn, text, strlen(text), &f) < 0);
		assert_int_equal(codec_http1.message_bytes(x.s.conn), strlen(cases[i].text));
		assert_int_equal(f.props_bytes, cases[i].props);
		assert_int_equal(f.request != NULL, cases[i].path != NULL);
		if (cases[i].path) {
			assert_true(slice_is_equal(f.request->path, slice_str(cases[i].path)));
			assert_true(slice_is_equal(f.request->host, slice_str(cases[i].host)));
			assert_true(slice_is_equal(f.request->method, SLICE("GET")));
		}
		close_side(&x);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_written_answer),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
