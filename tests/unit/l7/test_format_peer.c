/* SPDX-License-Identifier: Apache-2.0 */
/* Operators about upstreams, sizes and choices: what Envoy 1.40 wrote for the same streams. */
#include "tests/unit/fixture.h"

#include <errno.h>

struct world {
	struct arena a;
	struct l7_msg req;
	struct l7_info in;
};

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->req = request_of(&w->a, "h.test:8080", "/ok");
	msg_add(&w->req, "user-agent", "agent");
	msg_add(&w->req, "x-empty", "");
	w->in = (struct l7_info){ .request = &w->req, .protocol = S("HTTP/1.1"), .start_ns = 1000 };
}

/* The same once the upstream has a connection. */
static void world_connect(struct world *w, const char *addr, const char *hostname)
{
	struct l7_info *in = &w->in;

	assert_int_equal(addr_parse(slice_str(addr), &in->upstream_remote), 0);
	assert_int_equal(addr_parse(S("127.0.0.1:41368"), &in->upstream_local), 0);
	in->has_upstream = in->has_upstream_local = true;
	in->upstream_hostname = slice_str(hostname);
	in->upstream_protocol = S("HTTP/1.1");
	in->upstream_connection_id = 2;
	in->pool_asked_ns = 5000000;
	in->pool_answered_ns = 8999999;
	in->upstream_connect_ns = 6000;
	in->upstream_connected_ns = 8000;
	in->upstream_wire_tx = 173;
	in->upstream_wire_rx = 51;
	in->upstream_head_tx = 149;
	in->upstream_head_rx = 25;
	in->downstream_head_rx = 106;
	in->downstream_head_tx = 113;
}

struct expected {
	const char *format, *text, *json;
};

static void check(struct world *w, const struct expected *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct l7_format *f = NULL;
		struct buf out = { 0 };
		struct err err;

		assert_int_equal(l7_format_compile(slice_str(e[i].format), &w->a, &f, &err), 0);
		l7_format_text(f, &w->in, false, &out);
		assert_slice(buf_slice(&out), e[i].text);
		buf_clear(&out);
		assert_true(l7_format_json_value(f, &w->in, false, &out));
		assert_slice(buf_slice(&out), e[i].json);
		buf_done(&out);
	}
}

static void test_no_upstream(void **state)
{
	static const struct expected none[] = {
		{ "%UPSTREAM_HOST%", "-", "null" },
		{ "%UPSTREAM_HOST_NAME%", "-", "null" },
		{ "%UPSTREAM_HOST_NAME_WITHOUT_PORT%", "-", "null" },
		{ "%UPSTREAM_HOSTS_ATTEMPTED%", "-", "null" },
		{ "%UPSTREAM_PROTOCOL%", "-", "null" },
		{ "%UPSTREAM_CONNECTION_ID%", "0", "0" },
		{ "%UPSTREAM_CONNECTION_IDS_ATTEMPTED%", "-", "null" },
		{ "%UPSTREAM_CONNECTION_POOL_READY_DURATION%", "-", "null" },
		{ "%UPSTREAM_DETECTED_CLOSE_TYPE%", "-", "null" },
		{ "%UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID%", "-", "null" },
		{ "%UPSTREAM_HEADER_BYTES_SENT%", "0", "0" },
		{ "%DOWNSTREAM_DETECTED_CLOSE_TYPE%", "Normal", "\"Normal\"" },
		{ "%DOWNSTREAM_LOCAL_CLOSE_REASON%", "-", "null" },
		{ "%DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID%", "", "\"\"" },
		{ "%DOWNSTREAM_PEER_CERT_V_START(%Y)%", "-", "null" },
		{ "%LOCAL_REPLY_BODY%", "", "\"\"" },
		{ "%CUSTOM_FLAGS%", "", "\"\"" },
		{ "%BYTES_RETRANSMITTED%", "0", "0" },
	};
	struct world w;

	(void)state;
	world_init(&w);
	check(&w, none, ARRAY_LEN(none));
	arena_done(&w.a);
}

static void test_connected(void **state)
{
	static const struct expected named[] = {
		{ "%UPSTREAM_HOST%", "127.0.0.1:28901", "\"127.0.0.1:28901\"" },
		{ "%UPSTREAM_REMOTE_ADDRESS%", "127.0.0.1:28901", "\"127.0.0.1:28901\"" },
		{ "%UPSTREAM_HOST_NAME%", "b.test:99", "\"b.test:99\"" },
		{ "%UPSTREAM_HOST_NAME_WITHOUT_PORT%", "b.test", "\"b.test\"" },
		{ "%UPSTREAM_HOST_NAMES_ATTEMPTED%", "b.test:99", "\"b.test:99\"" },
		{ "%UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT%", "b.test", "\"b.test\"" },
		{ "%UPSTREAM_HOSTS_ATTEMPTED%", "127.0.0.1:28901", "\"127.0.0.1:28901\"" },
		{ "%UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT%", "127.0.0.1", "\"127.0.0.1\"" },
		{ "%UPSTREAM_PROTOCOL%", "HTTP/1.1", "\"HTTP/1.1\"" },
		{ "%UPSTREAM_CONNECTION_ID%", "2", "2" },
		{ "%UPSTREAM_CONNECTION_IDS_ATTEMPTED%", "2", "\"2\"" },
		{ "%UPSTREAM_CONNECTION_POOL_READY_DURATION%", "3", "3" },
		{ "%UPSTREAM_DETECTED_CLOSE_TYPE%", "Normal", "\"Normal\"" },
		{ "%UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID%", "", "\"\"" },
		{ "%COMMON_DURATION(US_CX_BEG:US_CX_END:us)%", "2", "2" },
		{ "%UPSTREAM_WIRE_BYTES_SENT%", "173", "173" },
		{ "%UPSTREAM_HEADER_BYTES_SENT%", "149", "149" },
		{ "%UPSTREAM_HEADER_BYTES_RECEIVED%", "25", "25" },
		{ "%DOWNSTREAM_HEADER_BYTES_SENT%", "113", "113" },
		{ "%DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED%", "106", "106" },
	};
	static const struct expected v6[] = {
		{ "%UPSTREAM_HOST_NAME%", "[::1]:80", "\"[::1]:80\"" },
		{ "%UPSTREAM_HOST_NAME_WITHOUT_PORT%", "::1", "\"::1\"" },
	};
	static const struct expected literal[] = {
		{ "%UPSTREAM_HOST_NAME_WITHOUT_PORT%", "fe80::1:80", "\"fe80::1:80\"" },
	};
	struct world w;

	(void)state;
	world_init(&w);
	world_connect(&w, "127.0.0.1:28901", "b.test:99");
	check(&w, named, ARRAY_LEN(named));
	world_connect(&w, "[::1]:80", "");
	check(&w, v6, ARRAY_LEN(v6));
	world_connect(&w, "[::1]:80", "fe80::1:80");
	check(&w, literal, ARRAY_LEN(literal));
	arena_done(&w.a);
}

/* The host was chosen, but nobody listens there. */
static void test_refused(void **state)
{
	static const struct expected refused[] = {
		{ "%UPSTREAM_HOST%", "127.0.0.1:1", "\"127.0.0.1:1\"" },
		{ "%UPSTREAM_HOST_NAME%", "b.test", "\"b.test\"" },
		{ "%UPSTREAM_HOST_NAMES_ATTEMPTED%", "-", "null" },
		{ "%UPSTREAM_REMOTE_ADDRESS%", "-", "null" },
		{ "%UPSTREAM_REMOTE_PORT%", "-", "null" },
		{ "%UPSTREAM_PROTOCOL%", "-", "null" },
		{ "%UPSTREAM_DETECTED_CLOSE_TYPE%", "RemoteReset", "\"RemoteReset\"" },
	};
	struct world w;

	(void)state;
	world_init(&w);
	world_connect(&w, "127.0.0.1:1", "b.test");
	w.in.has_upstream_local = false;
	w.in.upstream_was_reset = true;
	check(&w, refused, ARRAY_LEN(refused));
	arena_done(&w.a);
}

static void test_coalesce(void **state)
{
	static const struct expected values[] = {
		{ "%COALESCE({\"operators\":[{\"command\":\"REQ\",\"param\":\"user-agent\","
		  "\"max_length\":3},\"PROTOCOL\"]})%", "age", "\"age\"" },
		{ "%COALESCE({\"operators\":[{\"command\":\"REQ\",\"param\":\"none\"},"
		  "{\"command\":\"REQ\",\"param\":\":authority\"}]}):4%", "h.te", "\"h.te\"" },
		{ "%COALESCE({\"operators\":[\"UPSTREAM_PROTOCOL\",\"BYTES_SENT\"]})%", "0", "0" },
		{ "%COALESCE({\"operators\":[\"UPSTREAM_PROTOCOL\",\"TRACE_ID\"]})%", "-", "null" },
		{ "%COALESCE({\"operators\":[\"UPSTREAM_WIRE_BYTES_SENT\"]}):1%", "1", "173" },
		/* An empty value is one. */
		{ "%COALESCE({\"operators\":[\"CUSTOM_FLAGS\",\"PROTOCOL\"]})%", "", "\"\"" },
	};
	static const char *const refused[] = {
		"%COALESCE%",
		"%COALESCE()%",
		"%COALESCE(PROTOCOL)%",
		"%COALESCE([\"PROTOCOL\"])%",
		"%COALESCE({\"operators\":[]})%",
		"%COALESCE({\"operators\":[5]})%",
		"%COALESCE({\"operators\":[\"REQ\"]})%",
		"%COALESCE({\"operators\":[\"REQ(x)\"]})%",
		"%COALESCE({\"operators\":[{\"param\":\"x\"}]})%",
		"%COALESCE({\"operators\":[{\"command\":\"REQ\",\"params\":\"x\"}]})%",
		("%COALESCE({\"operators\":[{\"command\":\"REQ\",\"param\":\"x\","
		 "\"max_length\":-1}]})%"),
		"%COALESCE({\"operators\":[{\"command\":\"COALESCE\",\"param\":\"{}\"}]})%",
		"%COALESCE({\"operators\":[\"PROTOCOL\"],\"more\":1})%",
	};
	struct world w;

	(void)state;
	world_init(&w);
	w.in.upstream_wire_tx = 173;
	check(&w, values, ARRAY_LEN(values));
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		const struct l7_format *f = NULL;
		struct err e;

		assert_int_equal(l7_format_compile(slice_str(refused[i]), &w.a, &f, &e), -EINVAL);
		assert_non_null(strstr(e.text, "COALESCE"));
	}
	arena_done(&w.a);
}

static void test_server_name(void **state)
{
	static const struct expected plain[] = {
		{ "%REQUESTED_SERVER_NAME%", "-", "null" },
		{ "%REQUESTED_SERVER_NAME(SNI_FIRST)%", "h.test", "\"h.test\"" },
		{ "%REQUESTED_SERVER_NAME(HOST_FIRST:ORIG)%", "-", "null" },
	};
	static const struct expected sni[] = {
		{ "%REQUESTED_SERVER_NAME(SNI_FIRST)%", "s.test", "\"s.test\"" },
		{ "%REQUESTED_SERVER_NAME(HOST_FIRST)%", "o.test", "\"o.test\"" },
		{ "%REQUESTED_SERVER_NAME(HOST_FIRST:HOST)%", "h.test", "\"h.test\"" },
	};
	const struct l7_format *f = NULL;
	struct world w;
	struct err e;

	(void)state;
	world_init(&w);
	check(&w, plain, ARRAY_LEN(plain));
	msg_add(&w.req, "x-envoy-original-host", "o.test");
	w.in.requested_server_name = S("s.test");
	check(&w, sni, ARRAY_LEN(sni));
	assert_int_equal(l7_format_compile(S("%REQUESTED_SERVER_NAME(HOST)%"), &w.a, &f, &e),
			 -EINVAL);
	arena_done(&w.a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_upstream),
		cmocka_unit_test(test_connected),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_coalesce),
		cmocka_unit_test(test_server_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
