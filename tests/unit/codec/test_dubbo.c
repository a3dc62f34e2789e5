/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Dubbo codec over real frames: what is read from them, that every split gives the same, that
 * they come out as they went in, and what broken ones get.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "codec/dubbo/dubbo.h"
#include "codec/dubbo/dubbo_impl.h"

/* ---- a connection with everything that its callbacks saw ------------------------------------ */

struct seen {
	unsigned int heads, ends, controls, bodies;
	struct l7_msg m; /* the last head, kept in memory */
	struct buf body;
	struct buf forwarded; /* what another connection's codec made of it */
	const char *control;
	struct arena memory;
	int head_returns;
	void *peer; /* encodes what is seen, when set */
};

struct end {
	void *conn;
	struct arena arena;
	struct buf reply;
	struct seen seen;
	struct codec_fault fault;
};

static int on_head(void *owner, struct l7_msg *m, bool end)
{
	struct seen *s = owner;

	s->heads++;
	if (s->peer)
		codec_dubbo.encode_head(s->peer, m, end, &s->forwarded);
	s->m = *m;
	l7_msg_keep(&s->m, &s->memory);
	if (end)
		s->ends++;
	return s->head_returns;
}

static int on_body(void *owner, uint64_t id, struct slice data)
{
	struct seen *s = owner;

	s->bodies++;
	buf_add_slice(&s->body, data);
	if (s->peer)
		codec_dubbo.encode_body(s->peer, id, data, &s->forwarded);
	return 0;
}

static int on_end(void *owner, uint64_t id, struct l7_props *trailers)
{
	struct seen *s = owner;

	s->ends++;
	if (s->peer)
		codec_dubbo.encode_end(s->peer, id, trailers, &s->forwarded);
	return 0;
}

static int on_control(void *owner, const char *text)
{
	struct seen *s = owner;

	s->controls++;
	s->control = text;
	return 0;
}

static const struct codec_events events = {
	.head = on_head,
	.body = on_body,
	.end = on_end,
	.control = on_control,
};

static void end_open(struct end *e, enum codec_side side, const struct codec_limits *limits)
{
	memset(e, 0, sizeof(*e));
	e->conn = calloc(1, codec_dubbo.conn_size);
	codec_dubbo.init(e->conn, side, limits, NULL, &events, &e->seen, &e->arena, &e->reply);
}

static void end_close(struct end *e)
{
	free(e->conn);
	arena_done(&e->arena);
	arena_done(&e->seen.memory);
	buf_done(&e->reply);
	buf_done(&e->seen.body);
	buf_done(&e->seen.forwarded);
}

/*
 * Feeds @data in pieces of @piece bytes as an engine does: what was not used is given again with
 * more behind. Returns bytes used, or the first error. The memory is exact, for ASan.
 */
static ssize_t feed(struct end *e, struct slice data, size_t piece)
{
	size_t used = 0, have = 0;

	while (have < data.len) {
		char *p;
		ssize_t r;

		have = have + piece < data.len ? have + piece : data.len;
		p = malloc(have - used);
		memcpy(p, data.ptr + used, have - used);
		r = codec_dubbo.decode(e->conn, p, have - used, &e->fault);
		free(p);
		if (r < 0)
			return r;
		arena_reset(&e->arena);
		used += (size_t)r;
	}
	return (ssize_t)used;
}

/* A frame of tests/data/dubbo; stays in memory. */
static struct slice frame_file(const char *name)
{
	static struct {
		const char *name;
		struct slice frame;
	} cache[64];
	static size_t n;
	static char bytes[1 << 20];
	char path[256];
	FILE *f;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(cache[i].name, name))
			return cache[i].frame;
	snprintf(path, sizeof(path), TESTDATA "/dubbo/%s.bin", name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("no %s", path);
	assert_true(n < ARRAY_LEN(cache));
	cache[n].name = name;
	cache[n].frame.len = fread(bytes, 1, sizeof(bytes), f);
	cache[n].frame.ptr = memcpy(malloc(cache[n].frame.len), bytes, cache[n].frame.len);
	fclose(f);
	return cache[n++].frame;
}

static void assert_slice(struct slice s, const char *text)
{
	if (!slice_is_equal(s, slice_str(text)))
		fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(s), text);
}

static uint64_t id_of(const char *frame)
{
	uint64_t id;

	memcpy(&id, frame + 4, 8);
	return be64toh(id);
}

/* ---- requests ------------------------------------------------------------------------------- */

struct want {
	const char *name, *method, *version, *group;
	enum l7_kind kind;
	const char *prop, *value;
};

static const struct want requests[] = {
	{ "v27-hello-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "remote.application", "demo-consumer" },
	{ "v3-hello-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "timeout", "10000" },
	{ "v27-utf8-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "path", "demo.GreetingService" },
	{ "v3-utf8-001-c2s", "sayHello", "0.0.0", "", L7_REQUEST, "interface", "demo.GreetingService" },
	{ "v27-get-001-c2s", "get", NULL, NULL, L7_REQUEST, "interface", "demo.GreetingService" },
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
	{ "v3-fastjson2-005-c2s", "fail", "0.0.0", "", L7_REQUEST, "interface", "demo.GreetingService" },
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
	assert_slice(m->host, "demo.GreetingService");
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
	assert_int_equal(up.seen.m.body_len, 1 << 20);
	assert_false(codec_dubbo.is_idle(up.conn));
	assert_true(codec_dubbo.is_writing(down.conn));
	assert_int_equal(codec_dubbo.eof(up.conn, &up.fault), -EPROTO);
	assert_int_equal(up.fault.code, L7_REPLY_BAD_GATEWAY);
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

/* ---- broken input --------------------------------------------------------------------------- */

static void test_garbage_is_refused_at_its_first_byte(void **state)
{
	static const char *const all[] = { "GET / HTTP/1.1\r\n", "\xda\xbc", "\xbb\xda", "\x16\x03\x01" };

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
static unsigned int answer_of(const void *body, size_t len, unsigned int flag, const char **ret_control)
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
	static const char *const names[] = { "v3-get-001-c2s", "v3-fastjson2-003-c2s", "v27-attach-001-c2s" };
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
		assert_int_equal(answer_of(f.ptr + 16, f.len - 16, 0xc0 | ser, &control), DUBBO_BAD_REQUEST);
		assert_string_equal(control, "bad_serialization");
	}
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
	assert_non_null(memmem(buf_ptr(&e.reply), buf_len(&e.reply), "too many attachments", 20));
	end_close(&e);
	limits = (struct codec_limits){ .head_bytes = 60 };
	end_open(&e, CODEC_SERVER, &limits);
	feed(&e, f, f.len);
	assert_non_null(memmem(buf_ptr(&e.reply), buf_len(&e.reply), "attachments are too large", 25));
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
	assert_memory_equal(buf_ptr(&out) + 16, "\x93" "C\x30\x21org.apache.dubbo.rpc.RpcException", 37);
	assert_memory_equal(out.base + out.tail - 27, "\x97\x09slow downH\x0bretry-after\x01" "1Z", 27);
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
		{ "", 0 }, { "I", 1 }, { "JLjava/util/Map;Ljava/util/List;", 3 }, { "[[I[Ljava/lang/String;Z", 3 },
		{ "BCDFIJSZ", 8 }, { "[", -1 }, { "L", -1 }, { "L;", -1 }, { "Ljava/lang/String", -1 },
		{ "V", -1 }, { "I[", -1 }, { "java.lang.String", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(dubbo_types_count(slice_str(cases[i].types)), cases[i].n);
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
