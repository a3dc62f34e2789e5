/* SPDX-License-Identifier: Apache-2.0 */
/* Substitution formats: what Envoy 1.40 wrote for the same formats, as text and as JSON. */
#include "tests/unit/fixture.h"

#include <errno.h>

#include "base/clock.h"

struct world {
	struct arena a;
	struct l7_msg req, resp;
	struct l7_props trailers;
	struct l7_info in;
};

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->req = request_of(&w->a, "h.test", "/path?q=1&r=a%20b");
	w->req.method = S("POST");
	msg_add(&w->req, "user-agent", "ua");
	msg_add(&w->req, "x-a", "abcdef");
	msg_add(&w->req, "x-a", "second");
	msg_add(&w->req, "via", "one");
	msg_add(&w->req, "via", "two");
	msg_add(&w->req, "x-request-id", "0aea6c92-8840-43ba-95a0-6ef8a9f742d0");
	l7_msg_init(&w->resp, L7_RESPONSE, &w->a);
	w->resp.status = 200;
	msg_add(&w->resp, "content-type", "text/plain");
	l7_props_init(&w->trailers, &w->a);
	l7_props_add(&w->trailers, L7_KEY_NONE, S("x-t"), S("tail"));
	w->in = (struct l7_info){
		.request = &w->req,
		.response = &w->resp,
		.trailers = &w->trailers,
		.status = 200,
		.start_wall_ns = 1795444928276703000ull,
		.start_ns = 1000000000ull,
		.request_end_ns = 1003000000ull,
		.end_ns = 1012345678ull,
		.response_last_ns = 1012345678ull,
		.bytes_sent = 4,
		.details = S("some thing"),
		.protocol = S("HTTP/1.1"),
		.connection_id = 70,
		.filter_chain = S("fc"),
		.listener = S("l"),
		.cluster = S("b1"),
		.cluster_stat_name = S("alt"),
		.upstream_failure = S("TLS error: bad"),
	};
	assert_int_equal(addr_parse(S("127.0.0.1:55410"), &w->in.downstream_remote), 0);
	assert_int_equal(addr_parse(S("[::1]:29900"), &w->in.downstream_local), 0);
}

static const struct {
	const char *format, *text, *omit, *json;
} cases[] = {
	{ "%REQ(:PATH)%", "/path?q=1&r=a%20b", "/path?q=1&r=a%20b", "\"/path?q=1&r=a%20b\"" },
	{ "%REQ(none)%", "-", "", "null" },
	{ "%REQ(none?:METHOD):2%", "PO", "PO", "\"PO\"" },
	{ "%REQ(X-A):3%", "abc", "abc", "\"abc\"" },
	{ "%REQ(X-A)%", "abcdef", "abcdef", "\"abcdef\"" },
	{ "%REQ(via)%", "one,two", "one,two", "\"one,two\"" },
	{ "%REQ(Host)%", "h.test", "h.test", "\"h.test\"" },
	{ "a-%REQ(none)%-b", "a---b", "a--b", "\"a---b\"" },
	{ "%RESP(content-type)%", "text/plain", "text/plain", "\"text/plain\"" },
	{ "%RESP(:STATUS)%", "200", "200", "\"200\"" },
	{ "%TRAILER(x-t)%", "tail", "tail", "\"tail\"" },
	{ "%TRAILER(none)%", "-", "", "null" },
	{ "%START_TIME%", "2026-11-23T14:42:08.276Z", NULL, "\"2026-11-23T14:42:08.276Z\"" },
	{ "%START_TIME(%s.%3f)%", "1795444928.276", NULL, "\"1795444928.276\"" },
	{ "%START_TIME(%Y-%m-%dT%H:%M:%S.%f%z)%", "2026-11-23T14:42:08.276703000+0000", NULL,
	  NULL },
	{ "%START_TIME(%3f|%6f|%9f|%1f)%", "276|276703|276703000|2", NULL, NULL },
	{ "%START_TIME(%E4S %E*S %E0S)%", "08.2767 08.276703 08", NULL, NULL },
	{ "%START_TIME(100%%)%", "100%", NULL, NULL },
	{ "%START_TIME(%Ez %E*z %:z %::z)%", "+00:00 +00:00:00 +00:00 +00:00:00", NULL, NULL },
	{ "%QUERY_PARAM(r)%", "a b", "a b", "\"a b\"" },
	{ "%QUERY_PARAMS(DECODED)%", "q=1&r=a%20b", NULL, NULL },
	{ "%REQUEST_HEADER(X-A):3%", "abc", "abc", "\"abc\"" },
	{ "%RESPONSE_HEADER(content-type)%", "text/plain", "text/plain", "\"text/plain\"" },
	{ "%RESPONSE_TRAILER(x-t)%", "tail", "tail", "\"tail\"" },
	{ "%REQUEST_DURATION%", "3", "3", "3" },
	{ "%RESPONSE_DURATION%", "-", "", "null" },
	{ "%DURATION%", "12", "12", "12" },
	{ "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%", "12345", "12345", "12345" },
	{ "%COMMON_DURATION(DS_RX_BEG:US_TX_BEG:ms)%", "-", "", "null" },
	{ "%COMMON_DURATION(US_CX_BEG:US_CX_END:ms)%", "-", "", "null" },
	{ "%BYTES_RECEIVED%", "0", "0", "0" },
	{ "%BYTES_SENT%", "4", "4", "4" },
	{ "%BYTES_RECEIVED%%BYTES_SENT%", "04", "04", "\"04\"" },
	{ "%PROTOCOL%", "HTTP/1.1", "HTTP/1.1", "\"HTTP/1.1\"" },
	{ "%RESPONSE_CODE%", "200", "200", "200" },
	{ "%RESPONSE_CODE_DETAILS%", "some_thing", NULL, NULL },
	{ "%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", "some thing", NULL, NULL },
	{ "%CONNECTION_TERMINATION_DETAILS%", "-", "", "null" },
	{ "%RESPONSE_FLAGS%", "-", "-", "\"-\"" },
	{ "%UPSTREAM_HOST%", "-", "", "null" },
	{ "%UPSTREAM_REMOTE_PORT%", "-", "", "null" },
	{ "%UPSTREAM_CLUSTER%", "alt", NULL, NULL },
	{ "%UPSTREAM_CLUSTER_RAW%", "b1", NULL, NULL },
	{ "%UPSTREAM_TRANSPORT_FAILURE_REASON%", "TLS_error:_bad", NULL, NULL },
	{ "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "0", "0", "0" },
	{ "%DOWNSTREAM_REMOTE_ADDRESS%", "127.0.0.1:55410", NULL, NULL },
	{ "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "127.0.0.1", NULL, NULL },
	{ "%DOWNSTREAM_REMOTE_PORT%", "55410", "55410", "55410" },
	{ "%DOWNSTREAM_LOCAL_ADDRESS%", "[::1]:29900", NULL, NULL },
	{ "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "::1", NULL, NULL },
	{ "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "-", "", "null" },
	{ "%REQUESTED_SERVER_NAME%", "-", "", "null" },
	{ "%CONNECTION_ID%", "70", "70", "70" },
	{ "%STREAM_ID%", "0aea6c92-8840-43ba-95a0-6ef8a9f742d0", NULL, NULL },
	{ "%FILTER_CHAIN_NAME%", "fc", NULL, NULL },
	{ "%LISTENER_NAME%", "l", NULL, NULL },
	{ "%ENVIRONMENT(SKIFF_TEST)%", "value", "value", "\"value\"" },
	{ "%ENVIRONMENT(SKIFF_TEST):2%", "va", "va", "\"va\"" },
	{ "%ENVIRONMENT(SKIFF_NONE)%", "-", "-", "\"-\"" },
	{ "%GRPC_STATUS%", "-", "", "null" },
	{ "%REQ_WITHOUT_QUERY(:PATH)%", "/path", NULL, NULL },
	{ "%PATH%", "/path?q=1&r=a%20b", NULL, NULL },
	{ "%PATH(NQ)%", "/path", NULL, NULL },
	{ "%PATH(NQ:PATH):4%", "/pat", NULL, NULL },
	{ "%PATH(WQ:ORIG)%", "-", "", "null" },
	{ "%QUERY_PARAM(q)%", "1", NULL, "\"1\"" },
	{ "%QUERY_PARAM(x)%", "-", "", "null" },
	{ "%QUERY_PARAMS%", "q=1&r=a%20b", NULL, NULL },
	{ "%TRACE_ID%", "-", "", "null" },
	{ "%DYNAMIC_METADATA(a:b):5%", "-", "", "null" },
	{ "%FILTER_STATE(a)%", "-", "", "null" },
	{ "%ACCESS_LOG_TYPE%", "DownstreamEnd", NULL, NULL },
	{ "x%%y", "x%y", "x%y", "\"x%y\"" },
	{ "%%%PROTOCOL%%%", "%HTTP/1.1%", NULL, NULL },
	{ "", "", "", "\"\"" },
	{ "plain \"text\"\n", "plain \"text\"\n", NULL, "\"plain \\\"text\\\"\\n\"" },
};

static void values(void **state)
{
	struct world w;

	(void)state;
	setenv("SKIFF_TEST", "value", 1);
	unsetenv("SKIFF_NONE");
	world_init(&w);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct l7_format *f = format_of(&w.a, cases[i].format);
		struct buf out = { 0 };

		l7_format_text(f, &w.in, false, &out);
		assert_slice(buf_slice(&out), cases[i].text);
		buf_clear(&out);
		l7_format_text(f, &w.in, true, &out);
		assert_slice(buf_slice(&out), cases[i].omit ? cases[i].omit : cases[i].text);
		buf_clear(&out);
		assert_true(l7_format_json_value(f, &w.in, false, &out));
		if (cases[i].json)
			assert_slice(buf_slice(&out), cases[i].json);
		buf_done(&out);
	}
	arena_done(&w.a);
}

static void refused(void **state)
{
	static const struct {
		const char *format, *word;
	} bad[] = {
		{ "%NOT_THERE%", "NOT_THERE" },
		{ "a %VIRTUAL_HOST_NAME% b", "VIRTUAL_HOST_NAME" },
		{ "%REQ%", "REQ" },
		{ "%REQ()%", "REQ" },
		{ "%REQ(a?b?c)%", "REQ" },
		{ "%PROTOCOL(x)%", "PROTOCOL" },
		{ "%PROTOCOL:3%", "PROTOCOL" },
		{ "%RESPONSE_CODE:3%", "RESPONSE_CODE" },
		{ "100%", "3" },
		{ "%", "0" },
		{ "%REQ(a)", "0" },
		{ "%REQ(a):x%", "0" },
		{ "%req(a)%", "0" },
		{ "%PATH(XX)%", "XX" },
		{ "%GRPC_STATUS(WORD)%", "WORD" },
		{ "%COMMON_DURATION(A:B:ms)%", "A:B:ms" },
		{ "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:s)%", "ms, us, ns" },
		{ "%START_TIME(\n)%", "START_TIME" },
		{ "%REQ(a):99999999999%", "length" },
	};
	struct arena a = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct l7_format *f = NULL;
		struct err e = { "" };

		if (l7_format_compile(S(bad[i].format), &a, &f, &e) != -EINVAL)
			fail_msg("'%s' was taken", bad[i].format);
		if (!strstr(e.text, bad[i].word))
			fail_msg("'%s': no '%s' in '%s'", bad[i].format, bad[i].word, e.text);
	}
	arena_done(&a);
}

static void literal(void **state)
{
	struct arena a = { 0 };
	struct slice text;

	(void)state;
	assert_true(l7_format_is_literal(format_of(&a, "100%% plain %% text"), &text));
	assert_slice(text, "100% plain % text");
	assert_true(l7_format_is_literal(format_of(&a, ""), &text));
	assert_slice(text, "");
	assert_false(l7_format_is_literal(format_of(&a, "a%PROTOCOL%"), &text));
	arena_done(&a);
}

static void default_line(void **state)
{
	struct world w;
	struct buf out = { 0 };

	(void)state;
	world_init(&w);
	l7_format_text(l7_format_default(&w.a), &w.in, false, &out);
	assert_slice(
		buf_slice(&out),
		"[2026-11-23T14:42:08.276Z] \"POST /path?q=1&r=a%20b HTTP/1.1\" 200 - 0 4 12 - "
		"\"-\" \"ua\" \"0aea6c92-8840-43ba-95a0-6ef8a9f742d0\" \"h.test\" \"-\"\n");
	buf_clear(&out);
	/* A plain connection has no messages. */
	w.in.request = w.in.response = NULL;
	w.in.protocol = SLICE_NONE;
	w.in.status = 0;
	w.in.flags = L7_FLAG(UF) | L7_FLAG(URX);
	l7_format_text(l7_format_default(&w.a), &w.in, false, &out);
	assert_slice(
		buf_slice(&out),
		"[2026-11-23T14:42:08.276Z] \"- - -\" 0 UF,URX 0 4 12 - \"-\" \"-\" "
		"\"-\" \"-\" \"-\"\n");
	buf_done(&out);
	arena_done(&w.a);
}

static void flags(void **state)
{
	struct buf out = { 0 };

	(void)state;
	l7_flags_text(L7_FLAG(UF) | L7_FLAG(RL), true, &out);
	assert_slice(buf_slice(&out), "UpstreamConnectionFailure,RateLimited");
	buf_done(&out);
}

static void grpc(void **state)
{
	struct world w;
	struct buf out = { 0 };

	(void)state;
	world_init(&w);
	msg_add(&w.req, "content-type", "application/grpc+proto");
	l7_format_text(format_of(&w.a, "%GRPC_STATUS% "), &w.in, false, &out);
	msg_add(&w.resp, "grpc-status", "5");
	l7_format_text(
		format_of(&w.a, "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% "),
		&w.in, false, &out);
	l7_props_add(&w.trailers, L7_KEY_GRPC_STATUS, S("grpc-status"), S("99"));
	l7_format_text(format_of(&w.a, "%GRPC_STATUS% %GRPC_STATUS_NUMBER%"), &w.in, false, &out);
	assert_slice(buf_slice(&out), "Unknown NotFound NOT_FOUND 5 99 99");
	buf_done(&out);
	arena_done(&w.a);
}

static void json_text(void **state)
{
	static const char *const texts[][2] = {
		{ "plain", "\"plain\"" },
		{ "a\"b\\c/\xc3\xa9\xe2\x80\xa8\x01\x7f",
		  "\"a\\\"b\\\\c/\xc3\xa9\xe2\x80\xa8\\u0001\x7f\"" },
		{ "\b\t\n\f\r", "\"\\b\\t\\n\\f\\r\"" },
		{ "a\xc3\xa9\"\\b\xff", "\"a\\u00c3\\u00a9\\u0022\\u005cb\\u00ff\"" },
		{ "\xc0\xaf", "\"\\u00c0\\u00af\"" },
		{ "\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\"" },
		{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct buf out = { 0 };

		l7_json_text(S(texts[i][0]), &out);
		assert_slice(buf_slice(&out), texts[i][1]);
		buf_done(&out);
	}
}

/* A format of nothing but escapes must not cost the square of its length. */
static void many_escapes(void **state)
{
	struct arena a = { 0 };
	char *text = xmalloc(L7_FORMAT_MAX);
	struct slice s;
	const struct l7_format *f;

	(void)state;
	memset(text, '%', L7_FORMAT_MAX);
	assert_int_equal(l7_format_compile(slice_of(text, L7_FORMAT_MAX), &a, &f, NULL), 0);
	assert_true(l7_format_is_literal(f, &s));
	assert_int_equal(s.len, L7_FORMAT_MAX / 2);
	assert_true(a.total < 64u * L7_FORMAT_MAX * 4);
	free(text);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values), cmocka_unit_test(refused), cmocka_unit_test(literal),
		cmocka_unit_test(default_line), cmocka_unit_test(flags), cmocka_unit_test(grpc),
		cmocka_unit_test(json_text), cmocka_unit_test(many_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
