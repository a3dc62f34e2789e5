/* SPDX-License-Identifier: Apache-2.0 */
/* http1: what is written for responses, requests, replies, and what becomes of the connection. */
#include "tests/unit/codec/t_http1.h"

#define REQ(method) method " / HTTP/1.1\r\nHost: h\r\n\r\n"
#define REQ10 "GET / HTTP/1.0\r\nHost: h\r\n"
#define UPG "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"

enum { END = 1, KEEP = 2, CLOSE = 4, PROPER = 8, TRAILERS = 16 };

/* "name=value;..." to properties. */
static void add_props(struct l7_props *p, const char *text)
{
	struct slice rest = slice_str(text);

	while (rest.len) {
		struct slice value = slice_split(&rest, ';');
		struct slice name = slice_split(&value, '=');

		l7_props_add(p, l7_key_find(name), name, value);
	}
}

static const struct {
	const char *name, *request;
	unsigned int status;
	int64_t body_len;
	const char *props, *body, *want;
	int how; /* KEEP: the connection may be used again */
} answers[] = {
	{ "length", REQ("GET"), 200, 2, "x-a=1", "ok",
	  "HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nok", KEEP },
	{ "length keeps its place", REQ("GET"), 200, 2, "content-length=99;x-a=1;content-length=3",
	  "ok", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: 1\r\n\r\nok", KEEP },
	{ "chunked", REQ("GET"), 200, -1, "content-length=5;transfer-encoding=gzip;connection=x",
	  "ok", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", KEEP },
	{ "chunked, empty", REQ("GET"), 200, -1, "", "",
	  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", KEEP },
	{ "no body", REQ("GET"), 404, -1, "", "",
	  "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", KEEP | END },
	{ "no body whatever was said", REQ("GET"), 200, 7, "content-length=7", "",
	  "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", KEEP | END },
	{ "unknown status", REQ("GET"), 299, -1, "", "",
	  "HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n\r\n", KEEP | END },
	{ "head with length", REQ("HEAD"), 200, 1234, "content-length=1234", "",
	  "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n", KEEP | END },
	{ "head without length", REQ("HEAD"), 200, -1, "", "",
	  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", KEEP | END },
	{ "head loses a body", REQ("HEAD"), 200, 3, "", "abc",
	  "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", KEEP },
	{ "204", REQ("GET"), 204, 5, "content-length=5", "", "HTTP/1.1 204 No Content\r\n\r\n", KEEP
	  | END },
	{ "204 loses a body", REQ("GET"), 204, -1, "transfer-encoding=chunked", "abc",
	  "HTTP/1.1 204 No Content\r\n\r\n", KEEP },
	{ "304", REQ("GET"), 304, -1, "etag=x", "", "HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n",
	  KEEP | END },
	{ "304 with length", REQ("GET"), 304, 200, "content-length=200", "",
	  "HTTP/1.1 304 Not Modified\r\ncontent-length: 200\r\n\r\n", KEEP | END },
	{ "close is announced", REQ("GET"), 200, -1, "", "",
	  "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", END | CLOSE },
	{ "client closes", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 200, -1,
	  "connection=keep-alive", "",
	  "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", END },
	{ "http/1.0", REQ10 "\r\n", 200, 1, "", "a",
	  "HTTP/1.0 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na", 0 },
	{ "http/1.0 keep-alive", REQ10 "Connection: keep-alive\r\n\r\n", 200, 1, "", "a",
	  "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na", KEEP },
	{ "http/1.0 until close", REQ10 "Connection: keep-alive\r\n\r\n", 200, -1, "", "ab",
	  "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nab", 0 },
	{ "http/1.0 head", "HEAD / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", 200, -1,
	  "", "", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n", END | KEEP },
	{ "upgrade agreed", UPG, 101, -1, "upgrade=x;connection=Upgrade", "raw",
	  "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: Upgrade\r\n\r\nraw", 0 },
	{ "upgrade agreed, connection missing", UPG, 101, -1, "upgrade=x", "",
	  "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: Upgrade\r\n\r\n", 0 },
	{ "upgrade refused", UPG, 403, -1, "", "",
	  "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", END },
	{ "connect agreed", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 200, -1, "", "raw",
	  "HTTP/1.1 200 OK\r\n\r\nraw", 0 },
	{ "connect refused", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 404, -1, "", "",
	  "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", END },
	{ "answer before the body is read",
	  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", 200, 1, "", "a",
	  "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na", 0 },
	{ "less than promised", REQ("GET"), 200, 5, "", "abc",
	  "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", 0 },
	{ "more than promised", REQ("GET"), 200, 2, "", "abc",
	  "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", 0 },
	{ "a property that breaks lines is left out", REQ("GET"), 200, -1,
	  "x-a=1\r\nx-b: 2;x c=1;x-d\n=1;=v;ok=\t1", "",
	  "HTTP/1.1 200 OK\r\nok: \t1\r\ncontent-length: 0\r\n\r\n", KEEP | END },
	{ "proper case", REQ("GET"), 200, -1, "x-aa-bb=1;foo$b#$are=2;x1a=3", "",
	  "HTTP/1.1 200 OK\r\nX-Aa-Bb: 1\r\nFoo$B#$Are: 2\r\nX1a: 3\r\nContent-Length: 0\r\n\r\n",
	  KEEP | END | PROPER },
	{ "host in an answer is a plain property", REQ("GET"), 200, -1, "host=a", "",
	  "HTTP/1.1 200 OK\r\nhost: a\r\ncontent-length: 0\r\n\r\n", KEEP | END },
};

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct codec_opts opts = { .accept_http10 = true, .proper_case = answers[i].how &
			PROPER };
		struct l7_msg m;
		struct t_peer t;

		t_open(&t, CODEC_SERVER, NULL, &opts);
		t_feed(&t, slice_str(answers[i].request), 1 << 10);
		assert_false(codec_http1.is_idle(t.conn));
		if (answers[i].how & CLOSE)
			codec_http1.want_close(t.conn);
		l7_msg_init(&m, L7_RESPONSE, &t.arena);
		m.id = 1;
		m.status = answers[i].status;
		m.body_len = answers[i].body_len;
		m.close = true; /* of an upstream: not passed on */
		add_props(&m.props, answers[i].props);
		codec_http1.encode_head(t.conn, &m, answers[i].how & END, &t.out);
		if (!(answers[i].how & END)) {
			codec_http1.encode_body(t.conn, 1, slice_str(answers[i].body), &t.out);
			codec_http1.encode_end(t.conn, 1, NULL, &t.out);
		}
		if (strcmp(t_text(&t.out), answers[i].want)) {
			print_error("case \"%s\":\n", answers[i].name);
			assert_string_equal(t_text(&t.out), answers[i].want);
		}
		if (codec_http1.is_reusable(t.conn) != !!(answers[i].how & KEEP))
			fail_msg("case \"%s\": reusable is wrong", answers[i].name);
		if (answers[i].how & KEEP && !codec_http1.is_idle(t.conn))
			fail_msg("case \"%s\" should be idle", answers[i].name);
		t_close(&t);
	}
}

static const struct {
	const char *name, *method, *host, *path;
	int64_t body_len;
	const char *props, *body, *want;
	int how;
} requests[] = {
	{ "get", "GET", "h:1", "/a?b", 0, "x-a=1;host=evil", "",
	  "GET /a?b HTTP/1.1\r\nhost: h:1\r\nx-a: 1\r\n\r\n", END },
	{ "get with length 0", "GET", "h", "/", 0, "content-length=0;x-a=1", "",
	  "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\nx-a: 1\r\n\r\n", END },
	{ "post without body", "POST", "h", "/", 0, "", "",
	  "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n", END },
	{ "delete without body", "DELETE", "h", "/", 0, "", "",
	  "DELETE / HTTP/1.1\r\nhost: h\r\n\r\n", END },
	{ "options", "OPTIONS", "h", "*", 0, "", "",
	  "OPTIONS * HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n", END },
	{ "length", "POST", "h", "/", 3, "content-length=9", "abc",
	  "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc", 0 },
	{ "chunked", "POST", "h", "/", -1, "transfer-encoding=chunked", "0123456789abcdefg",
	  "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n11\r\n"
	  "0123456789abcdefg\r\n0\r\n\r\n", 0 },
	{ "no path", "GET", "h", "", 0, "", "", "GET / HTTP/1.1\r\nhost: h\r\n\r\n", END },
	{ "only a query", "GET", "h", "?a", 0, "", "", "GET /?a HTTP/1.1\r\nhost: h\r\n\r\n", END },
	{ "no host", "GET", "", "/", 0, "", "", "GET / HTTP/1.1\r\nhost: \r\n\r\n", END },
	{ "a path that breaks the line is escaped", "GET", "h", "/a b\r\nx: y\x7f", 0, "", "",
	  "GET /a%20b%0D%0Ax:%20y%7F HTTP/1.1\r\nhost: h\r\n\r\n", END },
	{ "connect", "CONNECT", "h:1", "", 0, "", "", "CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\n\r\n", 0
	  },
	{ "closing", "GET", "h", "/", 0, "", "",
	  "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", END | CLOSE },
	{ "proper case", "GET", "h", "/", 0, "x-aa=1", "",
	  "GET / HTTP/1.1\r\nHost: h\r\nX-Aa: 1\r\n\r\n", END | PROPER },
};

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		struct codec_opts opts = { .proper_case = requests[i].how & PROPER };
		struct l7_msg m;
		struct t_peer t;

		t_open(&t, CODEC_CLIENT, NULL, &opts);
		if (requests[i].how & CLOSE)
			codec_http1.want_close(t.conn);
		l7_msg_init(&m, L7_REQUEST, &t.arena);
		m.method = slice_str(requests[i].method);
		m.host = slice_str(requests[i].host);
		m.path = slice_str(requests[i].path);
		m.body_len = requests[i].body_len;
		add_props(&m.props, requests[i].props);
		codec_http1.encode_head(t.conn, &m, requests[i].how & END, &t.out);
		if (!(requests[i].how & END)) {
			codec_http1.encode_body(t.conn, 0, slice_str(requests[i].body), &t.out);
			codec_http1.encode_end(t.conn, 0, NULL, &t.out);
		}
		if (strcmp(t_text(&t.out), requests[i].want)) {
			print_error("case \"%s\":\n", requests[i].name);
			assert_string_equal(t_text(&t.out), requests[i].want);
		}
		t_close(&t);
	}
}

/* Draining: what is under way ends as announced; one more answer says that it is the last. */
static void test_want_close(void **state)
{
	(void)state;
	for (int half = 0; half < 2; half++) {
		struct l7_msg m;
		struct t_peer t;

		t_open(&t, CODEC_SERVER, NULL, NULL);
		l7_msg_init(&m, L7_RESPONSE, &t.arena);
		m.status = 200;
		if (half) {
			t_feed(&t, SLICE(REQ("GET")), 100);
			codec_http1.encode_head(t.conn, &m, false, &t.out);
		}
		codec_http1.want_close(t.conn);
		assert_true(codec_http1.is_reusable(t.conn));
		if (half)
			codec_http1.encode_end(t.conn, 1, NULL, &t.out);
		assert_true(codec_http1.is_reusable(t.conn) && codec_http1.is_idle(t.conn));
		buf_clear(&t.out);
		t_feed(&t, SLICE(REQ("GET")), 100);
		codec_http1.encode_head(t.conn, &m, true, &t.out);
		assert_string_equal(t_text(&t.out), "HTTP/1.1 200 OK\r\nconnection: close\r\n"
						    "content-length: 0\r\n\r\n");
		assert_false(codec_http1.is_reusable(t.conn));
		buf_clear(&t.log);
		t_feed(&t, SLICE(REQ("GET")), 100);
		assert_string_equal(t_text(&t.log), "unread 27\n");
		t_close(&t);
	}
}

static int forward(void *owner, struct l7_msg *m, bool end)
{
	struct t_peer *to = owner;

	codec_http1.encode_head(to->conn, m, end, &to->out);
	return 0;
}

static void test_preserve_case(void **state)
{
	static const char in[] = "POST / HTTP/1.1\r\nHost: h\r\nX-MiXed: Vv\r\nx-lower: 1\r\n"
				 "X-UPPER_A: 1\r\nContent-Length: 1\r\n\r\na";
	static const struct codec_events ev = { .head = forward };

	(void)state;
	for (int on = 0; on < 2; on++) {
		struct codec_opts opts = { .preserve_case = on };
		struct codec_fault fault;
		struct t_peer from, to;
		char copy[sizeof(in)];

		t_open(&from, CODEC_SERVER, NULL, &opts);
		t_open(&to, CODEC_CLIENT, NULL, &opts);
		codec_http1.init(from.conn, CODEC_SERVER, NULL, &opts, &ev, &to, &from.arena,
				 &from.reply);
		memcpy(copy, in, sizeof(in));
		assert_int_equal(codec_http1.decode(from.conn, copy, sizeof(in) - 1, &fault),
				 sizeof(in) - 1);
		if (on)
			assert_memory_equal(buf_ptr(&to.out), in, sizeof(in) - 2);
		else
			assert_non_null(strstr(t_text(&to.out), "\r\nhost: h\r\nx-mixed: Vv\r\n"));
		t_close(&from);
		t_close(&to);
	}
}

static void test_upgrade_request(void **state)
{
	static const char head[] =
	  "GET / HTTP/1.1\r\nhost: h\r\nupgrade: x\r\nconnection: keep-alive, Upgrade\r\n\r\n";
	struct l7_msg m;
	struct t_peer t;

	(void)state;
	t_open(&t, CODEC_CLIENT, NULL, NULL);
	l7_msg_init(&m, L7_REQUEST, &t.arena);
	m.method = SLICE("GET");
	m.host = SLICE("h");
	m.path = SLICE("/");
	m.is_upgrade = true;
	add_props(&m.props, "connection=keep-alive, Upgrade;upgrade=x");
	codec_http1.encode_head(t.conn, &m, false, &t.out);
	/* Nothing may follow before the peer agreed: it could be read as a request. */
	codec_http1.encode_body(t.conn, 0, SLICE("early"), &t.out);
	assert_memory_equal(buf_ptr(&t.out), head, sizeof(head) - 1);
	assert_int_equal(buf_len(&t.out), sizeof(head) - 1);
	t_feed(&t,
	  SLICE("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
	  9);
	buf_clear(&t.out);
	codec_http1.encode_body(t.conn, 0, SLICE("late"), &t.out);
	assert_string_equal(t_text(&t.out), "late");
	t_close(&t);
}

/* What comes behind an upgrade request is delivered when the answer agrees, not before. */
static void test_raw_after_101(void **state)
{
	static const char in[] =
	  "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfirst";
	struct l7_msg m;
	struct t_peer t;
	ssize_t r;

	(void)state;
	t_open(&t, CODEC_SERVER, NULL, NULL);
	r = t_decode(&t, in, sizeof(in) - 1);
	assert_int_equal(r, sizeof(in) - 1 - 5);
	assert_int_equal(t_decode(&t, in + r, 5), 0);
	l7_msg_init(&m, L7_RESPONSE, &t.arena);
	m.status = 101;
	codec_http1.encode_head(t.conn, &m, false, &t.out);
	assert_int_equal(t_decode(&t, in + r, 5), 5);
	t_eof(&t);
	assert_string_equal(strstr(t_text(&t.log), "body"), "body first\nend\neof ok\n");
	t_close(&t);
}

static void test_set_raw(void **state)
{
	struct t_peer t;

	(void)state;
	t_open(&t, CODEC_SERVER, NULL, NULL);
	t_feed(&t, SLICE(REQ("GET")), 100);
	codec_http1.set_raw(t.conn);
	t_feed(&t, SLICE("GET \r\n\r\n"), 3);
	codec_http1.encode_body(t.conn, 1, SLICE("x"), &t.out);
	assert_string_equal(t_text(&t.out), "x");
	assert_non_null(strstr(t_text(&t.log), "body GET \r\n\r\n"));
	assert_false(codec_http1.is_reusable(t.conn));
	t_close(&t);
}

static void test_trailers(void **state)
{
	struct codec_opts opts = { .enable_trailers = true };
	struct l7_props trailers;
	struct l7_msg m;

	(void)state;
	for (int on = 0; on < 2; on++) {
		struct t_peer t;

		opts.enable_trailers = on;
		t_open(&t, CODEC_SERVER, NULL, &opts);
		t_feed(&t, SLICE(REQ("GET")), 100);
		l7_msg_init(&m, L7_RESPONSE, &t.arena);
		m.status = 200;
		codec_http1.encode_head(t.conn, &m, false, &t.out);
		buf_clear(&t.out);
		l7_props_init(&trailers, &t.arena);
		add_props(&trailers, "x-t=1;content-length=3;transfer-encoding=chunked;x\r=1");
		codec_http1.encode_end(t.conn, 1, &trailers, &t.out);
		assert_string_equal(t_text(&t.out), on ? "0\r\nx-t: 1\r\n\r\n" : "0\r\n\r\n");
		t_close(&t);
	}
}

static void test_interim(void **state)
{
	struct codec_opts opts = { .accept_http10 = true };
	struct l7_msg m;
	struct t_peer t;

	(void)state;
	for (int old = 0; old < 2; old++) {
		t_open(&t, CODEC_SERVER, NULL, &opts);
		t_feed(&t, old ? SLICE(REQ10 "\r\n") : SLICE(REQ("GET")), 100);
		l7_msg_init(&m, L7_RESPONSE, &t.arena);
		m.status = 100;
		codec_http1.encode_interim(t.conn, &m, &t.out);
		m.status = 103;
		add_props(&m.props, "link=</a>");
		codec_http1.encode_interim(t.conn, &m, &t.out);
		assert_string_equal(t_text(&t.out), old ? "" :
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
			"link: </a>\r\n\r\n");
		assert_false(codec_http1.is_idle(t.conn));
		t_close(&t);
	}
}

static const struct {
	const char *name, *request;
	struct l7_reply reply;
	const char *props, *want;
	int how;
} replies[] = {
	{ "body", REQ("GET"), { .code = L7_REPLY_RATE_LIMITED, .body = { "slow", 4 } },
	  "x-a=1;server=s",
	"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 4\r\n"
	  "content-type: text/plain\r\nx-a: 1\r\nserver: s\r\n\r\nslow", KEEP },
	{ "no body", REQ("GET"), { .code = L7_REPLY_NO_ROUTE }, "",
	  "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", KEEP },
	{ "status", REQ("GET"), { .code = L7_REPLY_DIRECT, .status = 418 }, "",
	  "HTTP/1.1 418 Unknown\r\ncontent-length: 0\r\n\r\n", KEEP },
	{ "head", REQ("HEAD"), { .code = L7_REPLY_DIRECT, .body = { "abc", 3 } }, "",
	  "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-type: text/plain\r\n\r\n", KEEP },
	{ "204", REQ("GET"), { .code = L7_REPLY_DIRECT, .status = 204, .body = { "abc", 3 } }, "",
	  "HTTP/1.1 204 No Content\r\n\r\n", KEEP },
	{ "own type", REQ("GET"), { .code = L7_REPLY_DIRECT, .body = { "{}", 2 } },
	  "content-type=application/json",
	  "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}", KEEP
	  },
	{ "request not read", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\na", { .code =
	  L7_REPLY_TOO_LARGE }, "",
	  "HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", 0 },
	{ "half a head", "GET / HTTP", { .code = L7_REPLY_TIMEOUT_REQUEST }, "",
	  "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", 0 },
	{ "http/1.0", REQ10 "Connection: keep-alive\r\n\r\n", { .code = L7_REPLY_DIRECT, .body = {
	  "abc", 3 } }, "", "HTTP/1.0 200 OK\r\ncontent-length: 3\r\ncontent-type: text/plain\r\n"
	  "connection: keep-alive\r\n\r\nabc", KEEP },
	{ "upgrade", UPG, { .code = L7_REPLY_UPGRADE_REFUSED }, "",
	  "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", 0 },
};

static void test_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		struct codec_opts opts = { .accept_http10 = true };
		struct l7_reply r = replies[i].reply;
		struct t_peer t;

		t_open(&t, CODEC_SERVER, NULL, &opts);
		t_feed(&t, slice_str(replies[i].request), 1 << 10);
		l7_props_init(&r.props, &t.arena);
		add_props(&r.props, replies[i].props);
		codec_http1.encode_reply(t.conn, NULL, &r, &t.out);
		if (strcmp(t_text(&t.out), replies[i].want)) {
			print_error("case \"%s\":\n", replies[i].name);
			assert_string_equal(t_text(&t.out), replies[i].want);
		}
		if (codec_http1.is_reusable(t.conn) != !!(replies[i].how & KEEP))
			fail_msg("case \"%s\": reusable is wrong", replies[i].name);
		t_close(&t);
	}
}

static const struct {
	const char *in, *want;
} rejects[] = {
	{ "BAD\r\n\r\n", "HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\n"
	  "content-type: text/plain\r\nconnection: close\r\n\r\nBad Request" },
	{ "GET / HTTP/1.1\r\n\r\n",
	  "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" },
	{ REQ10 "\r\n", "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 16\r\n"
	  "content-type: text/plain\r\nconnection: close\r\n\r\nUpgrade Required" },
	{ "HEAD / HTTP/1.0\r\n\r\n", "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 16\r\n"
	  "content-type: text/plain\r\nconnection: close\r\n\r\n" },
	{ "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
	  "HTTP/1.1 501 Not Implemented\r\ncontent-length: 15\r\n"
	  "content-type: text/plain\r\nconnection: close\r\n\r\nNot Implemented" },
	{ "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx",
	  "HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\n"
	  "content-type: text/plain\r\nconnection: close\r\n\r\nBad Request" },
};

static void test_rejects(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rejects); i++) {
		struct t_peer t;

		t_open(&t, CODEC_SERVER, NULL, NULL);
		assert_false(t_feed(&t, slice_str(rejects[i].in), 7));
		assert_string_equal(t_text(&t.out), rejects[i].want);
		assert_false(codec_http1.is_reusable(t.conn));
		t_close(&t);
	}
}

static void test_reject_with_properties(void **state)
{
	struct codec_fault fault = { .code = L7_REPLY_BAD_REQUEST };
	char in[] = "GET / HTTP/1.1\r\nHost: a b\r\n\r\n";
	struct l7_props props;
	struct t_peer t;

	(void)state;
	t_open(&t, CODEC_SERVER, NULL, NULL);
	assert_int_equal(codec_http1.decode(t.conn, in, sizeof(in) - 1, &fault), -EPROTO);
	assert_null(fault.props);
	l7_props_init(&props, &t.arena);
	add_props(&props, "server=s");
	fault.props = &props;
	codec_http1.reject(t.conn, &fault, &t.out);
	assert_string_equal(t_text(&t.out),
			    "HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\n"
			    "content-type: text/plain"
			    "\r\nserver: s\r\nconnection: close\r\n\r\nBad Request");
	t_close(&t);
}

/* When (a part of) an answer is out already, a fault in the rest of the request adds nothing. */
static void test_reject_after_an_answer(void **state)
{
	struct l7_msg m;

	(void)state;
	for (int end = 0; end < 2; end++) {
		struct t_peer t;

		t_open(&t, CODEC_SERVER, NULL, NULL);
		t_feed(&t,
			SLICE("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"),
			100);
		l7_msg_init(&m, L7_RESPONSE, &t.arena);
		m.status = 200;
		codec_http1.encode_head(t.conn, &m, end, &t.out);
		buf_clear(&t.out);
		assert_false(t_feed(&t, SLICE("zz"), 1));
		assert_int_equal(buf_len(&t.out), 0);
		t_close(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_want_close),
		cmocka_unit_test(test_preserve_case),
		cmocka_unit_test(test_upgrade_request),
		cmocka_unit_test(test_raw_after_101),
		cmocka_unit_test(test_set_raw),
		cmocka_unit_test(test_trailers),
		cmocka_unit_test(test_interim),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_rejects),
		cmocka_unit_test(test_reject_with_properties),
		cmocka_unit_test(test_reject_after_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
