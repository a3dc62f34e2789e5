/* SPDX-License-Identifier: Apache-2.0 */
/* http1, client side: responses to events, whole, byte by byte and at random splits. */
#include "tests/unit/codec/t_http1.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define BAD "fault 502 http1.codec_error\n"
#define DENIED "fault 502 http1.content_length_and_chunked_not_allowed\n"
#define BODY "fault 502 http1.body_disallowed\n"
#define TRANSFER "fault 502 http1.invalid_transfer_encoding\n"

enum { EOF_ = 1, TRAILERS = 2, UPGRADE = 4, REUSE = 8, IDLE = 16 };

static const struct {
	const char *name, *method, *in, *want;
	int how;
} cases[] = {
	{ "length", "GET", OK "Content-Length: 2\r\nX-A: 1\r\n\r\nok",
	  "head 200 OK len=2 | content-length=2; x-a=1;\nbody ok\nend\n", REUSE | IDLE },
	{ "length 0", "GET", OK "Content-Length: 0\r\n\r\n",
	  "head 200 OK len=0 end | content-length=0;\n", REUSE | IDLE },
	{ "no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
	  "head 200  len=0 end | content-length=0;\n", REUSE | IDLE },
	{ "empty reason", "GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
	  "head 200  len=0 end | content-length=0;\n", REUSE | IDLE },
	{ "chunked", "GET", OK
	  "Transfer-Encoding: chunked\r\n\r\n2;e=1\r\nok\r\n0\r\nx-t: 1\r\n\r\n",
	  "head 200 OK len=-1 | transfer-encoding=chunked;\nbody ok\nend\n", REUSE | IDLE },
	{ "trailers", "GET", OK "Transfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1\r\n\r\n",
	  "head 200 OK len=-1 | transfer-encoding=chunked;\nend x-t=1;\n", TRAILERS | REUSE | IDLE
	  },
	{ "until close", "GET", OK "\r\nhello",
	  "head 200 OK len=-1 close |\nbody hello\nend\neof ok\n", EOF_ },
	{ "http/1.0", "GET", "HTTP/1.0 200 OK\r\n\r\nhello",
	  "head 200 OK len=-1 close |\nbody hello\nend\neof ok\n", EOF_ },
	{ "http/1.0 keep-alive", "GET",
	  "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
	  "head 200 OK len=1 | connection=keep-alive; content-length=1;\nbody a\nend\n", REUSE |
	  IDLE },
	{ "connection close", "GET", OK "Connection: close\r\nContent-Length: 1\r\n\r\na",
	  "head 200 OK len=1 close | connection=close; content-length=1;\nbody a\nend\n", IDLE },
	{ "head", "HEAD", OK "Content-Length: 5\r\n\r\n",
	  "head 200 OK len=5 end | content-length=5;\n", REUSE | IDLE },
	{ "head chunked", "HEAD", OK "Transfer-Encoding: chunked\r\n\r\n",
	  "head 200 OK len=-1 end | transfer-encoding=chunked;\n", REUSE | IDLE },
	{ "head without length", "HEAD", OK "\r\n", "head 200 OK len=-1 end |\n", REUSE | IDLE },
	{ "204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "head 204 No Content len=0 end |\n",
	  REUSE | IDLE },
	{ "204 with length 0", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
	  "head 204 No Content len=0 end | content-length=0;\n", REUSE | IDLE },
	{ "204 with a body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
	  BODY, 0 },
	{ "204 chunked", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
	  BODY, 0 },
	{ "304 with length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 200\r\n\r\n",
	  "head 304 Not Modified len=200 end | content-length=200;\n", REUSE | IDLE },
	{ "304", "GET", "HTTP/1.1 304 Not Modified\r\n\r\n", "head 304 Not Modified len=-1 end |\n",
	  REUSE | IDLE },
	{ "100 then 200", "GET", "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 0\r\n\r\n",
	  "interim 100 Continue len=0 end |\nhead 200 OK len=0 end | content-length=0;\n", REUSE |
	  IDLE },
	{ "103 and 102", "GET",
	  "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" OK
	  "Content-Length: 0\r\n\r\n",
	"interim 103 Early Hints len=0 end | link=</a>;\n" "interim 102 Processing len=0 end |\n"
	  "head 200 OK len=0 end | content-length=0;\n", REUSE | IDLE },
	{ "upgrade", "GET",
	  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw\r\n",
	"head 101 Switching Protocols len=-1 upgrade | connection=Upgrade; "
	  "upgrade=x;\nbody raw\r\n\nend\neof ok\n", UPGRADE | EOF_ },
	{ "upgrade refused", "GET", "HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\n\r\na",
	  "head 403 Forbidden len=1 | content-length=1;\nbody a\nend\n", UPGRADE | REUSE | IDLE },
	{ "101 unasked", "GET",
	  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
	  "fault 502 http1.unasked_response\n", 0 },
	{ "connect", "CONNECT", OK "\r\nraw",
	  "head 200 OK len=-1 upgrade |\nbody raw\nend\neof ok\n", UPGRADE | EOF_ },
	{ "connect refused", "CONNECT", "HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\na",
	  "head 407 No len=1 | content-length=1;\nbody a\nend\n", UPGRADE | REUSE | IDLE },
	{ "more than the length", "GET", OK "Content-Length: 1\r\n\r\nab",
	  "head 200 OK len=1 | content-length=1;\nbody a\nend\n"
	  "fault 502 http1.unasked_response\n", IDLE },
	{ "a second response", "GET", OK "Content-Length: 0\r\n\r\n" OK "Content-Length: 0\r\n\r\n",
	  "head 200 OK len=0 end | content-length=0;\nfault 502 http1.unasked_response\n", IDLE },
	{ "bare LF is taken from upstreams", "GET",
	  "HTTP/1.1 200 OK\nContent-Length: 2\nX: y\n\nok",
	  "head 200 OK len=2 | content-length=2; x=y;\nbody ok\nend\n", REUSE | IDLE },
	{ "bare CR is not", "GET", OK "x: a\rContent-Length: 0\r\n\r\n", BAD, 0 },
	{ "underscores", "GET", OK "X_u: 1\r\nContent-Length: 0\r\n\r\n",
	  "head 200 OK len=0 end | x_u=1; content-length=0;\n", REUSE | IDLE },
	{ "host is a plain property", "GET", OK "Host: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
	  "head 200 OK len=0 end | host=a; host=b; content-length=0;\n", REUSE | IDLE },

	{ "both lengths", "GET", OK
	  "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", DENIED, 0 },
	{ "two lengths", "GET", OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", BAD, 0 },
	{ "two equal lengths", "GET", OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", BAD,
	  0 },
	{ "length -", "GET", OK "Content-Length: -5\r\n\r\nhello", BAD, 0 },
	{ "length word", "GET", OK "Content-Length: x\r\n\r\n", BAD, 0 },
	{ "length huge", "GET", OK "Content-Length: 99999999999999999999999\r\n\r\n", BAD, 0 },
	{ "te gzip", "GET", OK "Transfer-Encoding: gzip\r\n\r\n", TRANSFER, 0 },
	{ "te gzip, chunked", "GET", OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	  TRANSFER, 0 },
	{ "te in http/1.0", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	  DENIED, 0 },
	{ "chunk size", "GET", OK "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	  "head 200 OK len=-1 | transfer-encoding=chunked;\n" BAD, 0 },
	{ "chunk cut", "GET", OK "Transfer-Encoding: chunked\r\n\r\n8\r\nok",
	  "head 200 OK len=-1 | transfer-encoding=chunked;\nbody ok\neof http1.message_cut\n", EOF_
	  },
	{ "length cut", "GET", OK "Content-Length: 8\r\n\r\nok",
	  "head 200 OK len=8 | content-length=8;\nbody ok\neof http1.message_cut\n", EOF_ },
	{ "head cut", "GET", OK "X", "eof http1.message_cut\n", EOF_ },
	{ "nothing", "GET", "", "eof ok\n", EOF_ },
	{ "interim only", "GET", "HTTP/1.1 100 Continue\r\n\r\n",
	  "interim 100 Continue len=0 end |\neof ok\n", EOF_ },
	{ "a folded line is unfolded", "GET",
	  OK "x: a\r\n b\r\n\tc\nContent-Length: 0\r\ny:\r\n d\r\nz: e\r\n \r\n\r\n",
	  "head 200 OK len=0 end | x=a b\tc; content-length=0; y=d; z=e;\n", REUSE | IDLE },
	{ "a folded trailer", "GET",
	  OK "Transfer-Encoding: chunked\r\n\r\n0\r\nx: a\r\n b\r\n\r\n",
	"head 200 OK len=-1 | transfer-encoding=chunked;\nend x=a b;\n", TRAILERS | REUSE | IDLE },
	{ "a folded length", "GET", OK "Content-Length: 1\r\n 0\r\n\r\n0123456789", BAD, 0 },
	{ "a folded transfer-encoding", "GET", OK "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
	  "head 200 OK len=-1 | transfer-encoding=chunked;\nend\n", REUSE | IDLE },
	{ "a folded status line", "GET", OK " x: a\r\n\r\n", BAD, 0 },
	{ "a fold without a line", "GET", OK "Transfer-Encoding: chunked\r\n\r\n0\r\n x: a\r\n\r\n",
	  "head 200 OK len=-1 | transfer-encoding=chunked;\n" BAD, 0 },
	{ "no colon", "GET", OK "x a\r\n\r\n", BAD, 0 },
	{ "blank before colon", "GET", OK "x : a\r\n\r\n", BAD, 0 },
	{ "empty line first", "GET", "\r\n" OK "\r\n", BAD, 0 },
	{ "garbage", "GET", "this is no HTTP\r\n\r\n", BAD, 0 },
	{ "version 2", "GET", "HTTP/2.0 200 OK\r\n\r\n", BAD, 0 },
	{ "version 0.9", "GET", "HTTP/0.9 200 OK\r\n\r\n", BAD, 0 },
	{ "other protocol", "GET", "HTTQ/1.1 200 OK\r\n\r\n", BAD, 0 },
	{ "status of two digits", "GET", "HTTP/1.1 20 OK\r\n\r\n", BAD, 0 },
	{ "status of four digits", "GET", "HTTP/1.1 2000 OK\r\n\r\n", BAD, 0 },
	{ "status 099", "GET", "HTTP/1.1 099 OK\r\n\r\n", BAD, 0 },
	{ "status word", "GET", "HTTP/1.1 abc OK\r\n\r\n", BAD, 0 },
	{ "two blanks before the status", "GET", "HTTP/1.1  200 OK\r\n\r\n", BAD, 0 },
};

static void ask(struct t_peer *t, const char *method, bool upgrade)
{
	struct l7_msg m;

	l7_msg_init(&m, L7_REQUEST, &t->arena);
	m.id = 7;
	m.method = slice_str(method);
	m.host = SLICE("h:1");
	m.path = SLICE("/");
	m.is_upgrade = upgrade;
	codec_http1.encode_head(t->conn, &m, !upgrade, &t->out);
	assert_false(codec_http1.is_idle(t->conn));
}

static void run(size_t i, size_t piece)
{
	struct codec_opts opts = { .enable_trailers = cases[i].how & TRAILERS };
	struct t_peer t;

	t_open(&t, CODEC_CLIENT, NULL, &opts);
	assert_true(codec_http1.is_idle(t.conn));
	ask(&t, cases[i].method, cases[i].how & UPGRADE);
	if (cases[i].how & UPGRADE && !strstr(cases[i].want, "upgrade"))
		codec_http1.encode_end(t.conn, 7, NULL, &t.out);
	t_feed(&t, slice_str(cases[i].in), piece);
	if (cases[i].how & EOF_)
		t_eof(&t);
	if (strcmp(t_text(&t.log), cases[i].want)) {
		print_error("case \"%s\", pieces of %zu:\n", cases[i].name, piece);
		assert_string_equal(t_text(&t.log), cases[i].want);
	}
	if (codec_http1.is_reusable(t.conn) != !!(cases[i].how & REUSE))
		fail_msg("case \"%s\": reusable is wrong", cases[i].name);
	if (!(cases[i].how & EOF_) && codec_http1.is_idle(t.conn) != !!(cases[i].how & IDLE))
		fail_msg("case \"%s\": idle is wrong", cases[i].name);
	t_close(&t);
}

static void test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run(i, 1 << 20);
}

static void test_splits(void **state)
{
	(void)state;
	srand(2);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		run(i, 1);
		for (int k = 0; k < 20; k++)
			run(i, 0);
	}
}

static void test_bytes_without_a_request(void **state)
{
	struct t_peer t;

	(void)state;
	t_open(&t, CODEC_CLIENT, NULL, NULL);
	assert_false(t_feed(&t, SLICE(OK), 100));
	assert_string_equal(t_text(&t.log), "fault 502 http1.unasked_response\n");
	assert_false(codec_http1.is_reusable(t.conn));
	assert_int_equal(buf_len(&t.out), 0);
	t_close(&t);
}

static void test_many_exchanges(void **state)
{
	struct t_peer t;

	(void)state;
	t_open(&t, CODEC_CLIENT, NULL, NULL);
	for (int i = 0; i < 5; i++) {
		ask(&t, i % 2 ? "HEAD" : "GET", false);
		assert_true(t_feed(&t, i % 2 ? SLICE(OK "Content-Length: 3\r\n\r\n") : SLICE(OK
			"Content-Length: 3\r\n\r\nabc"), 3));
		assert_true(codec_http1.is_idle(t.conn) && codec_http1.is_reusable(t.conn));
		arena_reset(&t.arena);
	}
	t_close(&t);
}

/* An interim answer costs arena memory until the message is over: their number is limited. */
static void test_interim_flood(void **state)
{
	struct t_peer t;
	int i = 0;

	(void)state;
	t_open(&t, CODEC_CLIENT, NULL, NULL);
	ask(&t, "GET", false);
	while (t_feed(&t, SLICE("HTTP/1.1 102 Processing\r\nx: y\r\n\r\n"), 1 << 10))
		assert_true(++i <= HTTP1_INTERIM);
	assert_int_equal(i, HTTP1_INTERIM);
	assert_non_null(strstr(t_text(&t.log), "fault 502 http1.too_many_interim_responses\n"));
	t_close(&t);
}

/* The answer is whole before the request is: the connection cannot be used again. */
static void test_early_answer(void **state)
{
	struct l7_msg m;
	struct t_peer t;

	(void)state;
	t_open(&t, CODEC_CLIENT, NULL, NULL);
	l7_msg_init(&m, L7_REQUEST, &t.arena);
	m.method = SLICE("POST");
	m.path = SLICE("/");
	m.body_len = 10;
	codec_http1.encode_head(t.conn, &m, false, &t.out);
	codec_http1.encode_body(t.conn, 0, SLICE("abc"), &t.out);
	t_feed(&t, SLICE("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"), 100);
	assert_false(codec_http1.is_reusable(t.conn));
	assert_false(codec_http1.is_idle(t.conn));
	t_close(&t);
}

static void test_default_head_limit(void **state)
{
	struct buf in = { 0 };
	struct t_peer t;

	(void)state;
	for (int size = 70000; size <= 90000; size += 20000) {
		buf_clear(&in);
		buf_add_slice(&in, SLICE(OK "Content-Length: 0\r\nx: "));
		for (int i = 0; i < size; i++)
			buf_add_char(&in, 'v');
		buf_add_slice(&in, SLICE("\r\n\r\n"));
		t_open(&t, CODEC_CLIENT, NULL, NULL);
		ask(&t, "GET", false);
		assert_int_equal(t_feed(&t, buf_slice(&in), 5000), size < 80000);
		t_close(&t);
	}
	buf_done(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_splits),
		cmocka_unit_test(test_bytes_without_a_request),
		cmocka_unit_test(test_many_exchanges),
		cmocka_unit_test(test_interim_flood),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_default_head_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
